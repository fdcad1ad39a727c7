//! Facts of this machine for its report and its enrolment request. Short, and none of them is
//! relied on.

use std::path::Path;

/// What firmware says when its maker left the serial number open (RULES D6).
const PLACEHOLDERS: [&str; 8] = [
    "none",
    "to be filled by o.e.m.",
    "default string",
    "system serial number",
    "not specified",
    "0123456789",
    "123456789",
    "0",
];
/// Longest value kept.
const VALUE_CHARS_MAX: usize = 120;

/// Identity of the hardware, as far as the firmware has one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hardware {
    /// Serial number.
    pub serial: Option<String>,
    /// System UUID.
    pub uuid: Option<String>,
    /// The installation's machine-id.
    pub machine_id: Option<String>,
}

/// Reads it below `root` (`/` on a real machine).
pub fn hardware(root: &Path) -> Hardware {
    let read = |path: &str| {
        let text = std::fs::read_to_string(root.join(path)).ok()?;
        let text = short(text.trim());
        let open = text.is_empty() || PLACEHOLDERS.contains(&text.to_lowercase().as_str());
        (!open).then_some(text)
    };
    Hardware {
        serial: read("sys/class/dmi/id/product_serial"),
        uuid: read("sys/class/dmi/id/product_uuid").map(|uuid| uuid.to_lowercase()),
        machine_id: read("etc/machine-id"),
    }
}

/// The machine's name, architecture as in `uname -m`, and kernel release.
pub fn kernel() -> (String, String, String) {
    let names = rustix::system::uname();
    let text = |name: &std::ffi::CStr| short(&name.to_string_lossy());
    (text(names.nodename()), text(names.machine()), text(names.release()))
}

/// Facts as (name, value), sorted by name.
pub fn facts(root: &Path) -> Vec<(String, String)> {
    let (hostname, architecture, release) = kernel();
    let hardware = hardware(root);
    let mut facts = vec![
        ("agent", Some(env!("CARGO_PKG_VERSION").to_owned())),
        ("architecture", Some(architecture)),
        ("cpu", processor(root)),
        ("cpus", std::thread::available_parallelism().ok().map(|count| count.to_string())),
        ("hostname", Some(hostname)),
        ("kernel", Some(release)),
        ("machineId", hardware.machine_id),
        ("memoryMib", memory_mib(root).map(|mib| mib.to_string())),
        ("serial", hardware.serial),
        ("uuid", hardware.uuid),
    ];
    facts.sort_unstable();
    facts.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

fn processor(root: &Path) -> Option<String> {
    let text = std::fs::read_to_string(root.join("proc/cpuinfo")).ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    line.split_once(':').map(|(_, model)| short(model.trim()))
}

fn memory_mib(root: &Path) -> Option<u64> {
    let text = std::fs::read_to_string(root.join("proc/meminfo")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib / 1024)
}

fn short(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control()).take(VALUE_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn d6_placeholders_are_no_identity() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("sys/class/dmi/id");
        std::fs::create_dir_all(&folder).unwrap();
        for placeholder in ["To Be Filled By O.E.M.\n", "\n", "Default string\n"] {
            std::fs::write(folder.join("product_serial"), placeholder).unwrap();
            assert_eq!(hardware(root.path()), Hardware::default());
        }
        std::fs::write(folder.join("product_serial"), "C07XX\n").unwrap();
        assert_eq!(hardware(root.path()).serial.as_deref(), Some("C07XX"));
    }

    #[test]
    fn facts_of_this_machine_are_short_sorted_and_few() {
        let facts = facts(Path::new("/"));
        assert!(facts.is_sorted() && facts.len() <= 64);
        assert!(facts.iter().all(|(_, value)| value.chars().count() <= VALUE_CHARS_MAX));
        assert!(facts.iter().any(|(name, _)| name == "kernel"));
    }
}
