//! Other updaters on this machine: two that change one OS end in a broken one. Each is found by
//! its running process, its active unit or its configuration; the last alone counts only where
//! something runs it by that configuration.

use std::collections::BTreeSet;
use std::path::Path;

use super::systemd::Systemd;

/// Stands for every updater that could not be looked for: until systemd answers, one may be active.
const UNKNOWN: &str = "unknown, as systemctl does not answer";

/// One updater.
struct Updater {
    /// Its name, for people.
    name: &'static str,
    /// What the operator does about it.
    advice: &'static str,
    /// Process names, as the kernel cuts them to 15 bytes.
    processes: &'static [&'static str],
    /// systemd units.
    units: &'static [&'static str],
}

const UPDATERS: &[Updater] = &[
    Updater {
        name: "platform-update-agent",
        advice: "systemctl disable --now platform-update-agent",
        processes: &["platform-update"],
        units: &["platform-update-agent.service"],
    },
    Updater {
        name: "unattended-upgrades",
        advice: "set APT::Periodic::Unattended-Upgrade \"0\" or remove the package",
        processes: &["unattended-upgr"],
        units: &[],
    },
    Updater {
        name: "rauc-hawkbit-updater",
        advice: "systemctl disable --now rauc-hawkbit-updater",
        processes: &["rauc-hawkbit-up"],
        units: &["rauc-hawkbit-updater.service"],
    },
    Updater {
        name: "mender",
        advice: "systemctl disable --now mender-updated mender-client",
        processes: &["mender-update", "mender-updated", "mender-client", "mender"],
        units: &["mender-updated.service", "mender-client.service"],
    },
];

/// The names of those that are active; where systemd runs and does not answer, one more that says
/// so.
pub async fn active(root: &Path) -> Vec<String> {
    active_by(root, Systemd::of(root)).await
}

async fn active_by(root: &Path, systemd: Option<Systemd>) -> Vec<String> {
    let processes = processes(root);
    let mut found = Vec::new();
    let units = match systemd {
        None => BTreeSet::new(),
        Some(systemd) => systemd.units("active").await.unwrap_or_else(|error| {
            tracing::warn!(%error, "cannot look for other updaters");
            found.push(UNKNOWN.to_owned());
            BTreeSet::new()
        }),
    };
    for updater in UPDATERS {
        let runs = updater.processes.iter().any(|name| processes.iter().any(|found| found == name));
        let configured = updater.name == "unattended-upgrades" && apt_upgrades_unattended(root);
        let unit_active = updater.units.iter().any(|unit| units.contains(*unit));
        if runs || configured || unit_active {
            found.push(updater.name.to_owned());
        }
    }
    found
}

/// What to do about an updater that [`active`] named.
pub fn advice(name: &str) -> &'static str {
    if name == UNKNOWN {
        return "make `systemctl list-units` work for the agent's user";
    }
    UPDATERS.iter().find(|updater| updater.name == name).map_or("disable it", |found| found.advice)
}

fn processes(root: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(root.join("proc")).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_name().to_string_lossy().bytes().all(|b| b.is_ascii_digit()))
        .filter_map(|entry| std::fs::read_to_string(entry.path().join("comm")).ok())
        .map(|name| name.trim().to_owned())
        .collect()
}

/// Whether apt's periodic job upgrades by itself: the last setting in the order that apt reads
/// its configuration in counts.
fn apt_upgrades_unattended(root: &Path) -> bool {
    if !root.join("usr/bin/unattended-upgrade").exists() {
        return false;
    }
    let folder = std::fs::read_dir(root.join("etc/apt/apt.conf.d")).into_iter().flatten().flatten();
    let mut files: Vec<_> = folder.map(|entry| entry.path()).collect();
    files.sort();
    files.push(root.join("etc/apt/apt.conf"));
    let mut enabled = false;
    for text in files.iter().filter_map(|file| std::fs::read_to_string(file).ok()) {
        for line in text.lines() {
            let setting = line.trim().strip_prefix("APT::Periodic::Unattended-Upgrade");
            if let Some(value) = setting {
                enabled = !matches!(value.trim().trim_end_matches(';').trim_matches('"'), "0" | "");
            }
        }
    }
    enabled
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    #[tokio::test]
    async fn each_is_found_by_its_process() {
        for updater in UPDATERS {
            let root = tempfile::tempdir().unwrap();
            write(root.path(), "proc/17/comm", "sshd\n");
            assert_eq!(active(root.path()).await, [""; 0]);
            assert!(updater.processes.iter().all(|name| name.len() <= 15), "the kernel cuts at 15");
            write(root.path(), "proc/42/comm", &format!("{}\n", updater.processes[0]));
            assert_eq!(active(root.path()).await, [updater.name]);
            assert_ne!(advice(updater.name), "disable it");
        }
    }

    #[tokio::test]
    async fn where_systemd_does_not_answer_one_may_be_active() {
        let root = tempfile::tempdir().unwrap();
        let found = active_by(root.path(), Some(Systemd::asked_by("false"))).await;
        assert_eq!(found, [UNKNOWN]);
        assert_ne!(advice(UNKNOWN), "disable it");
        assert_eq!(active_by(root.path(), Some(Systemd::asked_by("true"))).await, [""; 0]);
    }

    #[test]
    fn unattended_upgrades_are_found_by_what_apt_would_do() {
        let root = tempfile::tempdir().unwrap();
        let setting = |value: &str| format!("APT::Periodic::Unattended-Upgrade \"{value}\";\n");
        write(root.path(), "etc/apt/apt.conf.d/20auto-upgrades", &setting("1"));
        assert!(!apt_upgrades_unattended(root.path()), "the program is not installed");
        write(root.path(), "usr/bin/unattended-upgrade", "");
        assert!(apt_upgrades_unattended(root.path()));
        write(root.path(), "etc/apt/apt.conf.d/99-off", &setting("0"));
        assert!(!apt_upgrades_unattended(root.path()));
    }
}
