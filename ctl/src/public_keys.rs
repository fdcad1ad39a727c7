//! Public keys as people hand them over: `NAME=HEX`, a file with that line, or an OpenSSH public
//! key of type ssh-ed25519.

use std::path::Path;

use data_encoding::{BASE64, HEXLOWER};
use daymark_protocol::trust::PublicKey;

use crate::exit::{Failure, Outcome};

/// Largest file that is read as a public key.
const FILE_BYTES_MAX: u64 = 4096;
/// What stands before the raw key in the blob of an OpenSSH key: its type, and the key's length.
const SSH_HEAD: &[u8] = b"\0\0\0\x0bssh-ed25519\0\0\0\x20";

/// A public key and whose it is.
#[derive(Clone, Debug)]
pub(crate) struct Person {
    /// The name: as written, an OpenSSH key's comment, or the file's.
    pub name: String,
    /// The key.
    pub key: PublicKey,
}

/// Reads `NAME=HEX`, an OpenSSH line, or a file that holds either.
pub(crate) fn read(text: &str) -> Outcome<Person> {
    let path = Path::new(text);
    if !path.is_file() {
        return line(text, None);
    }
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    if std::fs::metadata(path)?.len() > FILE_BYTES_MAX {
        return Err(not_a_key(text));
    }
    let content = std::fs::read_to_string(path).map_err(|_| not_a_key(text))?;
    let first =
        content.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
    line(first.ok_or_else(|| not_a_key(text))?, stem)
}

pub(crate) fn line(text: &str, file_stem: Option<String>) -> Outcome<Person> {
    let text = text.trim();
    if text.starts_with("ssh-ed25519 ") {
        return ssh(text, file_stem);
    }
    let named = text.split_once('=').map(|(name, hex)| (name.to_owned(), hex));
    let (name, hex) = named.or_else(|| Some((file_stem?, text))).ok_or_else(|| not_a_key(text))?;
    let raw = HEXLOWER.decode(hex.trim().as_bytes()).map_err(|_| not_a_key(text))?;
    person(&name, &raw)
}

fn ssh(text: &str, file_stem: Option<String>) -> Outcome<Person> {
    let mut words = text.split_whitespace().skip(1);
    let blob = words.next().and_then(|word| BASE64.decode(word.as_bytes()).ok());
    let blob = blob.ok_or_else(|| not_a_key(text))?;
    let raw = blob.strip_prefix(SSH_HEAD).ok_or_else(|| not_a_key(text))?;
    let comment =
        words.next().map(|comment| comment.split('@').next().unwrap_or(comment).to_owned());
    let name = file_stem.or(comment).ok_or_else(|| {
        Failure::usage("the OpenSSH key does not say whose it is").next("write NAME=FILE")
    })?;
    person(&name, raw)
}

fn person(name: &str, raw: &[u8]) -> Outcome<Person> {
    let raw: [u8; 32] = raw.try_into().map_err(|_| not_a_key(name))?;
    let key = PublicKey::from_bytes(raw)
        .map_err(|error| Failure::usage(format!("the key of {name}: {error}")))?;
    Ok(Person { name: name.to_owned(), key })
}

fn not_a_key(text: &str) -> Failure {
    Failure::usage(format!("{text:?} is not a public key")).next(
        "`daymarkctl key show NAME` prints it on its holder's machine: NAME=KEY, a file with that \
         line, or an OpenSSH key of type ssh-ed25519",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8032, section 7.1, test 1.
    const PUBLIC: &str = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";

    #[test]
    fn the_forms_mean_the_same_key() {
        let raw = HEXLOWER.decode(PUBLIC.as_bytes()).unwrap();
        let blob = BASE64.encode(&[SSH_HEAD, &raw].concat());
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("alice.pub");
        let written = read(&format!("alice={PUBLIC}")).unwrap();
        for line in [format!("alice={PUBLIC}"), format!("ssh-ed25519 {blob} someone@laptop\n")] {
            std::fs::write(&file, line).unwrap();
            assert_eq!(read(file.to_str().unwrap()).unwrap().key, written.key);
        }
        let ssh = read(&format!("ssh-ed25519 {blob} alice@laptop")).unwrap();
        assert_eq!((ssh.name.as_str(), ssh.key), ("alice", written.key));
        for bad in ["alice", "alice=00", &format!("ssh-rsa {blob} alice"), PUBLIC] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
