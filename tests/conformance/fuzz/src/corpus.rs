//! The inputs that a target starts from: `corpus/TARGET/`, one file each.

use std::fs;
use std::path::PathBuf;

use anyhow::Context as _;

/// Largest file that is committed: a corpus is for reading, and for small pull requests.
pub(crate) const FILE_BYTES_MAX: usize = 24 * 1024;

fn folder(target: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target)
}

/// All inputs of a target, by name.
pub(crate) fn of(target: &str) -> anyhow::Result<Vec<(String, Vec<u8>)>> {
    let folder = folder(target);
    let mut inputs = Vec::new();
    let files = fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()));
    for file in files? {
        let path = file?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        inputs.push((name, fs::read(&path).with_context(|| format!("{}", path.display()))?));
    }
    inputs.sort();
    Ok(inputs)
}

/// Keeps an input; whether it did, which it does not if it is too large for a corpus.
pub(crate) fn keep(target: &str, name: &str, input: &[u8]) -> anyhow::Result<bool> {
    if input.len() > FILE_BYTES_MAX {
        return Ok(false);
    }
    let folder = folder(target);
    fs::create_dir_all(&folder)?;
    fs::write(folder.join(name), input)?;
    Ok(true)
}
