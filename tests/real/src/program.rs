//! The programs that the tests start: the node and its boot program, told apart by the name that
//! they are started under, as the demo does; and a node of the next version.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use daymark_node::boot::{BOOT_SLOT_VARIABLE, SwitchFile};
use daymark_node::durable::{DataFolder, FORMAT, read_record, write_record};

fn main() -> ExitCode {
    let name = std::env::args_os().next().unwrap_or_default();
    match Path::new(&name).file_name().and_then(|name| name.to_str()) {
        Some("daymark-boot") => {
            // A test that is killed takes its machines along.
            let signal = Some(rustix::process::Signal::KILL);
            let _ = rustix::process::set_parent_process_death_signal(signal);
            daymark_node::main_boot()
        }
        Some("daymark-node-next") => match migrate() {
            Ok(()) => daymark_node::main_node(),
            Err(_) => ExitCode::FAILURE,
        },
        _ => daymark_node::main_node(),
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
