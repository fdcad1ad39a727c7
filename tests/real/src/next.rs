//! A node of the next version: it moves the data folder on before it runs.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use daymark_node::boot::{BOOT_SLOT_VARIABLE, SwitchFile};
use daymark_node::durable::{DataFolder, FORMAT, read_record, write_record};

fn main() -> ExitCode {
    match migrate() {
        Ok(()) => daymark_node::main_node(),
        Err(_) => ExitCode::FAILURE,
    }
}

/// What an agent of the next version does before it runs: it writes what it adds to the state,
/// and moves the folder to its own layout as soon as its boot is confirmed, not before.
fn migrate() -> anyhow::Result<()> {
    let data = PathBuf::from(std::env::var_os("MIGRATE").context("MIGRATE names the data folder")?);
    let slot = std::env::var(BOOT_SLOT_VARIABLE)?;
    let switch = SwitchFile::new(&data.with_file_name("boot.state")).read()?;
    let confirmed = switch.is_none_or(|switch| !switch.is_on_trial(&slot));
    let mut folder = DataFolder::open_as(&data, FORMAT..=FORMAT + 1)?;
    if confirmed {
        folder.raise_format()?;
    }
    let state = data.join("state");
    let kept: Option<serde_json::Value> = read_record(&state, "state")?;
    if let Some(serde_json::Value::Object(mut kept)) = kept {
        kept.insert("ofTheNextVersion".to_owned(), serde_json::json!({ "list": [1, 2] }));
        write_record(&state, "state", 0o600, &kept)?;
    }
    let confirmed = if confirmed { "confirmed" } else { "not confirmed" };
    let told = format!("layout {}, may write {}, boot {confirmed}\n", folder.format(), FORMAT + 1);
    Ok(std::fs::write(data.join("migrated"), told)?)
}
