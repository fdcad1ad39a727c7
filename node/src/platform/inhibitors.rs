//! Who on this machine asks that it not be changed now: systemd inhibitors and the operator's
//! programs. They can only stop, never start; one that cannot be asked stops too (I6).

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::command::{self, Run};

/// Time that each program gets.
const PROGRAM_TIMEOUT: Duration = Duration::from_secs(10);
/// Most programs asked; more would take longer than a look at the machine may.
const PROGRAMS_MAX: usize = 32;

/// Every reason not to change the machine now.
pub async fn inhibitors(programs: &Path) -> Vec<String> {
    let mut reasons = of_programs(programs).await;
    if Path::new("/run/systemd/system").exists() {
        reasons.extend(of_systemd().await);
    }
    reasons
}

/// systemd inhibitors that block a shutdown.
async fn of_systemd() -> Vec<String> {
    let call = [
        "--json=short",
        "call",
        "org.freedesktop.login1",
        "/org/freedesktop/login1",
        "org.freedesktop.login1.Manager",
        "ListInhibitors",
    ];
    match command::run(Run::new("busctl", PROGRAM_TIMEOUT).arguments(&call)).await {
        Ok(output) if output.success() => parse_systemd(&output.stdout),
        Ok(output) => vec![unreadable(&output.last_words())],
        Err(error) => vec![unreadable(&error.to_string())],
    }
}

fn unreadable(why: &str) -> String {
    format!("systemd's inhibitors cannot be read ({why})")
}

/// `{"data":[[["shutdown","who","why","block",0,1234],…]]}`.
pub(crate) fn parse_systemd(bytes: &[u8]) -> Vec<String> {
    let parsed: Option<Value> = serde_json::from_slice(bytes).ok();
    let rows = parsed.as_ref().and_then(|value| value.get("data")?.get(0)?.as_array());
    let Some(rows) = rows else { return vec![unreadable("not the answer expected")] };
    rows.iter()
        .filter_map(|row| {
            let field = |index: usize| row.get(index).and_then(Value::as_str);
            let (Some(what), Some(who), Some(why), Some(mode)) =
                (field(0), field(1), field(2), field(3))
            else {
                return Some(unreadable("not the answer expected"));
            };
            let stops = mode.starts_with("block") && what.split(':').any(|what| what == "shutdown");
            stops.then(|| format!("systemd: {who}: {why}"))
        })
        .collect()
}

/// Programs in a folder, in order of their names: status 0 is no objection, anything else is one,
/// explained by the last line written.
async fn of_programs(folder: &Path) -> Vec<String> {
    let programs = match programs(folder) {
        Ok(programs) => programs,
        Err(why) => return vec![why],
    };
    let mut reasons = Vec::new();
    for program in programs {
        let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match command::run(Run::new(&program, PROGRAM_TIMEOUT)).await {
            Ok(output) if output.success() => {}
            Ok(output) => reasons.push(format!("{name}: {}", output.last_words())),
            Err(error) => reasons.push(format!("{name}: {error}")),
        }
    }
    reasons
}

fn programs(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(format!("{} cannot be read: {error}", folder.display())),
    };
    let mut programs: Vec<PathBuf> = entries
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.is_file() && !is_leftover(path))
        .collect();
    programs.sort();
    if programs.len() > PROGRAMS_MAX {
        return Err(format!("{} holds more than {PROGRAMS_MAX} programs", folder.display()));
    }
    Ok(programs)
}

/// Hidden files and what editors and package managers leave.
fn is_leftover(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.starts_with('.') || name.ends_with('~') || name.contains(".dpkg-")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn program(folder: &Path, name: &str, text: &str, mode: u32) {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    #[tokio::test]
    async fn only_a_clean_yes_lets_through() {
        let folder = tempfile::tempdir().unwrap();
        assert!(of_programs(&folder.path().join("none")).await.is_empty());
        program(folder.path(), "10-fine", "#!/bin/sh\nexit 0\n", 0o755);
        program(folder.path(), "20-busy", "#!/bin/sh\necho pressing plates\nexit 1\n", 0o755);
        program(folder.path(), "30-broken", "#!/bin/sh\nkill -9 $$\n", 0o755);
        program(folder.path(), "40-forgotten", "#!/bin/sh\nexit 0\n", 0o644);
        program(folder.path(), ".hidden", "", 0o644);
        let reasons = of_programs(folder.path()).await;
        assert_eq!(reasons.len(), 3, "{reasons:?}");
        assert_eq!(reasons[0], "20-busy: pressing plates");
        assert!(reasons[2].starts_with("40-forgotten: "));
    }

    #[test]
    fn i6_systemd_blocks_count_and_an_odd_answer_is_a_reason_too() {
        let answer = br#"{"type":"a(ssssuu)","data":[[
            ["sleep","NetworkManager","turns off networks","delay",0,10],
            ["shutdown:idle","press","part in the die","block",0,11],
            ["shutdown","upower","battery","delay",0,12]]]}"#;
        assert_eq!(parse_systemd(answer), ["systemd: press: part in the die"]);
        assert_eq!(parse_systemd(br#"{"data":[[]]}"#), [""; 0]);
        for odd in [&b"{}"[..], b"", br#"{"data":[[["shutdown"]]]}"#] {
            assert_eq!(parse_systemd(odd).len(), 1);
        }
    }
}
