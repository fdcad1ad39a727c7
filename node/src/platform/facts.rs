//! Facts of this machine for its report and its enrolment request. Short, and none of them is
//! relied on.

use std::path::{Path, PathBuf};

use crate::durable::read_bounded;

/// What firmware says when its maker left the serial number open (RULES D6).
const PLACEHOLDERS: [&str; 16] = [
    "none",
    "n/a",
    "na",
    "null",
    "default",
    "default string",
    "to be filled by o.e.m.",
    "o.e.m.",
    "oem",
    "not specified",
    "not applicable",
    "unknown",
    "invalid",
    "serial",
    "serial number",
    "system serial number",
];
/// What it says when it counted its keyboard instead.
const COUNTED: [&str; 3] = ["0123456789", "123456789", "987654321"];
/// Longest file of one value that is read.
const FILE_BYTES_MAX: u64 = 4096;
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

/// Where this machine's identity is read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityFiles {
    /// The installation's machine-id; `None`: it has none that lasts.
    pub machine_id: Option<PathBuf>,
    /// The board's serial number: the first file counts that says one.
    pub serial: Vec<PathBuf>,
}

/// Reads it; the UUID from below `root` (`/` on a real machine).
pub fn hardware(root: &Path, files: &IdentityFiles) -> Hardware {
    Hardware {
        serial: files.serial.iter().find_map(|path| said(path)),
        uuid: said(&root.join("sys/class/dmi/id/product_uuid")).map(|uuid| uuid.to_lowercase()),
        machine_id: files.machine_id.as_deref().and_then(said),
    }
}

/// What a file of one line says, unless it cannot be read or says nothing of this one machine.
fn said(path: &Path) -> Option<String> {
    let bytes = read_bounded(path, FILE_BYTES_MAX).ok()??;
    // A device tree ends its strings with a zero.
    let text = short(String::from_utf8_lossy(&bytes).trim_matches(['\0', ' ', '\t', '\r', '\n']));
    (!is_placeholder(&text)).then_some(text)
}

fn is_placeholder(text: &str) -> bool {
    let text = text.to_lowercase();
    let mut letters = text.chars().filter(char::is_ascii_alphanumeric);
    let first = letters.next();
    // Zeros, or no letter at all.
    let one_letter = letters.all(|letter| Some(letter) == first);
    one_letter
        // What systemd writes into an image that never booted.
        || text == "uninitialized"
        || PLACEHOLDERS.contains(&text.as_str())
        || COUNTED.iter().any(|counted| text.starts_with(counted))
}

/// The machine's name, architecture as in `uname -m`, and kernel release.
pub fn kernel() -> (String, String, String) {
    let names = rustix::system::uname();
    let text = |name: &std::ffi::CStr| short(&name.to_string_lossy());
    (text(names.nodename()), text(names.machine()), text(names.release()))
}

/// Facts as (name, value), sorted by name.
pub fn facts(root: &Path, files: &IdentityFiles) -> Vec<(String, String)> {
    let (hostname, architecture, release) = kernel();
    let hardware = hardware(root, files);
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
        let (first, second) = (root.path().join("dmi"), root.path().join("device-tree"));
        let id = root.path().join("machine-id");
        let files = IdentityFiles {
            machine_id: Some(id.clone()),
            serial: vec![first.clone(), second.clone()],
        };
        for placeholder in [
            "To Be Filled By O.E.M.\n",
            "\n",
            "Default string\n",
            "None",
            "0123456789",
            "0123456789ABCDEF",
            "00000000\0",
            "...............",
            "XXXXXXXX",
        ] {
            std::fs::write(&first, placeholder).unwrap();
            assert_eq!(hardware(root.path(), &files), Hardware::default(), "{placeholder:?}");
        }
        std::fs::write(&id, "uninitialized\n").unwrap();
        assert_eq!(hardware(root.path(), &files), Hardware::default());
        std::fs::write(&second, b"100000008a1b2c3d\0").unwrap();
        let serial = |files: &IdentityFiles| hardware(root.path(), files).serial;
        assert_eq!(serial(&files).as_deref(), Some("100000008a1b2c3d"));
        std::fs::write(&first, "C07XX\n").unwrap();
        assert_eq!(serial(&files).as_deref(), Some("C07XX"));
        // What is no file of one line says nothing.
        std::fs::write(&first, vec![b'A'; 1 << 20]).unwrap();
        std::fs::remove_file(&second).unwrap();
        std::fs::create_dir(&second).unwrap();
        assert_eq!(serial(&files), None);
    }

    #[test]
    fn facts_of_this_machine_are_short_sorted_and_few() {
        let files = IdentityFiles { machine_id: Some("/etc/machine-id".into()), serial: vec![] };
        let facts = facts(Path::new("/"), &files);
        assert!(facts.is_sorted() && facts.len() <= 64);
        assert!(facts.iter().all(|(_, value)| value.chars().count() <= VALUE_CHARS_MAX));
        assert!(facts.iter().any(|(name, _)| name == "kernel"));
    }
}
