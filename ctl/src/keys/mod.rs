//! The administrators' private keys: one file a key, the seed encrypted under a passphrase
//! (Argon2id, ChaCha20-Poly1305). No other crate ever sees a role key.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use argon2::{Algorithm, Argon2, Params, Version};
use chacha20poly1305::aead::{Aead as _, KeyInit as _};
use chacha20poly1305::{ChaCha20Poly1305, Key, Nonce};
use data_encoding::HEXLOWER;
use daymark_node::durable::write_atomic;
use daymark_protocol::id::KeyId;
use daymark_protocol::trust::{Context, PublicKey, Signature, SigningKey};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::exit::{Exit, Failure, Outcome};
use crate::{output, whole_file};

pub(crate) mod paper;
pub(crate) mod ssh_agent;

/// Most of a key's file that is read: names, a key and a salt.
const FILE_BYTES_MAX: u64 = 64 * 1024;
/// Memory of Argon2id in KiB, passes and lanes: OWASP's first recommendation (19 MiB, 2, 1).
const ARGON2_COST: (u32, u32, u32) = (19 * 1024, 2, 1);

/// The file of a key. Has no `Debug` that could show an unencrypted seed.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct KeyFile {
    /// Version of this form.
    format: u32,
    name: String,
    public_key: String,
    /// Encrypted seed; the plain seed in hex if `salt` is absent. None of a key in an ssh-agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    seed: Option<Zeroizing<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    salt: Option<String>,
}

/// A key as listed: its public half.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct KeyInfo {
    /// Name of the key on this machine.
    pub name: String,
    /// Raw public key in hex; what others enter as `--member`.
    pub public_key: String,
    /// Key id.
    pub id: KeyId,
    /// Whether a passphrase protects it.
    pub encrypted: bool,
    /// Whether an ssh-agent holds it, and not this folder.
    pub ssh_agent: bool,
}

/// A key that can sign.
#[derive(Clone, Debug)]
pub(crate) enum OpenKey {
    /// Its seed is here.
    Seed(SigningKey),
    /// An ssh-agent has it.
    SshAgent(PublicKey),
}

impl OpenKey {
    /// Its public half.
    pub(crate) fn public(&self) -> PublicKey {
        match self {
            Self::Seed(key) => key.public(),
            Self::SshAgent(key) => key.clone(),
        }
    }

    /// Signs `message` as a thing of kind `context`.
    pub(crate) fn sign(&self, context: Context, message: &[u8]) -> Outcome<Signature> {
        match self {
            Self::Seed(key) => Ok(key.sign(context, message)),
            Self::SshAgent(key) => ssh_agent::sign(key, context, message),
        }
    }
}

/// The folder of keys.
#[derive(Clone, Debug)]
pub(crate) struct KeyStore {
    folder: PathBuf,
}

impl KeyStore {
    /// The key store in `folder`, which is made when the first key is.
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// The file of a key.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.json"))
    }

    /// Makes a key. An empty passphrase leaves the seed unencrypted, for tests and machines that
    /// sign unattended.
    pub(crate) fn create(&self, name: &str, passphrase: &str) -> Outcome<KeyInfo> {
        let mut seed = Zeroizing::new([0_u8; 32]);
        getrandom::fill(seed.as_mut())
            .map_err(|error| Failure::new(Exit::Failed, format!("cannot draw a key: {error}")))?;
        self.keep(name, &seed, passphrase)
    }

    /// Keeps a key whose seed is known, such as one from paper.
    pub(crate) fn keep(&self, name: &str, seed: &[u8; 32], passphrase: &str) -> Outcome<KeyInfo> {
        check_name(name)?;
        let file = key_file(name, seed, passphrase)?;
        self.write(name, &file)?;
        info(&file)
    }

    /// Takes in the file of a key that was exported, as it is and under its own name.
    pub(crate) fn import(&self, path: &Path) -> Outcome<KeyInfo> {
        let file = read(path)?;
        let whole = |text: &Option<String>| {
            text.as_ref().is_none_or(|hex| HEXLOWER.decode(hex.as_bytes()).is_ok())
        };
        let seed = file.seed.as_ref().map(|seed| decode_hex(seed, path)).transpose()?;
        if seed.is_none() || !whole(&file.salt) {
            return Err(Failure::usage(format!("{} holds no key", path.display()))
                .next("`daymarkctl key export NAME` prints the file of one"));
        }
        check_name(&file.name)?;
        let imported = info(&file)?;
        self.write(&file.name, &file)?;
        Ok(imported)
    }

    /// Notes a key that an ssh-agent holds.
    pub(crate) fn note_agents(&self, name: &str, key: &PublicKey) -> Outcome<KeyInfo> {
        check_name(name)?;
        let public_key = key.to_string();
        let file = KeyFile { format: 1, name: name.into(), public_key, seed: None, salt: None };
        self.write(name, &file)?;
        info(&file)
    }

    /// Encrypts a key under another passphrase. The old file stays until the new one is whole.
    pub(crate) fn change_passphrase(
        &self,
        name: &str,
        seed: &[u8; 32],
        passphrase: &str,
    ) -> Outcome<()> {
        let json = to_json(&key_file(name, seed, passphrase)?)?;
        let path = self.file(name);
        write_atomic(&path, &json, 0o600).map_err(|error| {
            anyhow::Error::new(error).context(format!("cannot write {}", path.display())).into()
        })
    }

    fn write(&self, name: &str, file: &KeyFile) -> Outcome<()> {
        let cannot = |what: &Path| format!("cannot make {}", what.display());
        whole_file::create_private_folder(&self.folder).with_context(|| cannot(&self.folder))?;
        let path = self.file(name);
        match whole_file::create(&path, &to_json(file)?, 0o600) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                Err(Failure::refused(format!("a key named {name:?} exists already"))
                    .next("choose another name; keys are never overwritten"))
            }
            made => Ok(made.with_context(|| cannot(&path))?),
        }
    }

    /// All keys, by name. A damaged file is warned of, and fails only where there is no key but it.
    pub(crate) fn list(&self) -> Outcome<Vec<KeyInfo>> {
        let (mut keys, mut damaged) = (Vec::new(), Vec::new());
        let failed = || format!("cannot read {}", self.folder.display());
        let entries = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(keys),
            entries => entries.with_context(failed)?,
        };
        for entry in entries {
            let path = entry.with_context(failed)?.path();
            if path.extension().is_some_and(|extension| extension == "json") {
                match read(&path).and_then(|file| info(&file)) {
                    Ok(key) => keys.push(key),
                    Err(failure) => damaged.push(failure),
                }
            }
        }
        if keys.is_empty()
            && let Some(failure) = damaged.pop()
        {
            return Err(failure);
        }
        damaged.iter().for_each(|failure| output::note(&format!("warning: {:#}", failure.error)));
        keys.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(keys)
    }

    /// Opens a key to sign with; `passphrase` is asked only if the key has one.
    pub(crate) fn open(
        &self,
        name: &str,
        passphrase: impl FnOnce() -> Outcome<Zeroizing<String>>,
    ) -> Outcome<OpenKey> {
        let file = self.read(name)?;
        match &file.seed {
            None => Ok(OpenKey::SshAgent(public(&file)?)),
            Some(_) => {
                let seed = self.seed(name, passphrase)?;
                Ok(OpenKey::Seed(SigningKey::from_seed(*seed)))
            }
        }
    }

    fn read(&self, name: &str) -> Outcome<KeyFile> {
        let path = self.file(name);
        if !path.exists() {
            return Err(Failure::usage(format!("there is no key named {name:?}"))
                .next("`daymarkctl key list` shows the keys of this machine"));
        }
        read(&path)
    }

    /// The seed of a key; `passphrase` is asked only if the key has one.
    pub(crate) fn seed(
        &self,
        name: &str,
        passphrase: impl FnOnce() -> Outcome<Zeroizing<String>>,
    ) -> Outcome<Zeroizing<[u8; 32]>> {
        let (file, path) = (self.read(name)?, self.file(name));
        let seed = file.seed.as_ref().ok_or_else(|| held_by_agent(name))?;
        let bytes = decode_hex(seed, &path)?;
        let seed = match &file.salt {
            None => bytes,
            Some(salt) => Zeroizing::new(
                cipher(&passphrase()?, &decode_hex(salt, &path)?)?
                    .decrypt(&Nonce::default(), bytes.as_ref())
                    .map_err(|_| {
                        Failure::refused(format!("wrong passphrase for key {name:?}"))
                            .next("try again; the key file is unchanged")
                    })?,
            ),
        };
        let seed: [u8; 32] = seed.as_slice().try_into().map_err(|_| damaged(&path))?;
        Ok(Zeroizing::new(seed))
    }
}

/// The file of a key.
fn key_file(name: &str, seed: &[u8; 32], passphrase: &str) -> Outcome<KeyFile> {
    let public_key = SigningKey::from_seed(*seed).public().to_string();
    let (seed, salt) = if passphrase.is_empty() {
        (HEXLOWER.encode(seed.as_ref()), None)
    } else {
        let mut salt = [0_u8; 16];
        getrandom::fill(&mut salt)
            .map_err(|error| Failure::new(Exit::Failed, format!("cannot draw a salt: {error}")))?;
        let cipher = cipher(passphrase, &salt)?;
        // The key of the cipher is drawn with the salt and used once, so a fixed nonce is safe.
        let sealed = cipher
            .encrypt(&Nonce::default(), seed.as_ref())
            .map_err(|_| Failure::new(Exit::Failed, "cannot encrypt the key"))?;
        (HEXLOWER.encode(&sealed), Some(HEXLOWER.encode(&salt)))
    };
    let seed = Some(Zeroizing::new(seed));
    Ok(KeyFile { format: 1, name: name.into(), public_key, seed, salt })
}

fn check_name(name: &str) -> Outcome<()> {
    let clean = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    if name.is_empty() || name.len() > 64 || !clean || name.starts_with('.') {
        return Err(Failure::usage(format!(
            "{name:?} cannot name a key: use 1 to 64 letters, digits, '-', '_' or '.'"
        )));
    }
    Ok(())
}

fn cipher(passphrase: &str, salt: &[u8]) -> Outcome<ChaCha20Poly1305> {
    let (memory_kib, passes, lanes) = ARGON2_COST;
    let params = Params::new(memory_kib, passes, lanes, Some(32))
        .map_err(|error| Failure::new(Exit::Failed, format!("Argon2 parameters: {error}")))?;
    let mut key = Zeroizing::new([0_u8; 32]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(passphrase.as_bytes(), salt, key.as_mut())
        .map_err(|error| Failure::new(Exit::Failed, format!("Argon2: {error}")))?;
    Ok(ChaCha20Poly1305::new(&Key::from(*key)))
}

fn read(path: &Path) -> Outcome<KeyFile> {
    let mut file = Zeroizing::new(Vec::new());
    fs::File::open(path)
        .and_then(|opened| opened.take(FILE_BYTES_MAX).read_to_end(&mut file))
        .with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_slice(&file).map_err(|_| damaged(path))
}

fn to_json(file: &KeyFile) -> Outcome<Zeroizing<Vec<u8>>> {
    Ok(Zeroizing::new(serde_json::to_vec_pretty(file)?))
}

fn decode_hex(text: &str, path: &Path) -> Outcome<Zeroizing<Vec<u8>>> {
    HEXLOWER.decode(text.as_bytes()).map(Zeroizing::new).map_err(|_| damaged(path))
}

fn damaged(path: &Path) -> Failure {
    Failure::new(Exit::Failed, format!("{} is not a key file, or is damaged", path.display()))
        .next("restore it from its backup")
}

fn public(file: &KeyFile) -> Outcome<PublicKey> {
    let raw = HEXLOWER.decode(file.public_key.as_bytes()).unwrap_or_default();
    let raw: [u8; 32] = raw.try_into().map_err(|_| {
        Failure::new(Exit::Failed, format!("the file of key {:?} is damaged", file.name))
    })?;
    PublicKey::from_bytes(raw)
        .map_err(|error| Failure::new(Exit::Failed, format!("key {:?}: {error}", file.name)))
}

fn info(file: &KeyFile) -> Outcome<KeyInfo> {
    Ok(KeyInfo {
        name: file.name.clone(),
        public_key: file.public_key.clone(),
        id: public(file)?.id(),
        encrypted: file.salt.is_some(),
        ssh_agent: file.seed.is_none(),
    })
}

/// What is refused of a key that an ssh-agent holds.
pub(crate) fn held_by_agent(name: &str) -> Failure {
    Failure::refused(format!("key {name:?} is in an ssh-agent, not here"))
        .next("back it up and change its passphrase with OpenSSH's own tools")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passphrase(text: &str) -> impl FnOnce() -> Outcome<Zeroizing<String>> {
        let text = Zeroizing::new(text.to_owned());
        move || Ok(text)
    }

    #[test]
    fn an_encrypted_key_opens_with_its_passphrase_only() {
        let folder = tempfile::tempdir().unwrap();
        let store = KeyStore::new(folder.path().join("keys"));
        let made = store.create("alice", "correct horse").unwrap();
        let text = fs::read_to_string(store.file("alice")).unwrap();
        let key = store.open("alice", passphrase("correct horse")).unwrap();
        let signature = key.sign(Context::Root, b"x").unwrap();
        let public = PublicKey::from_bytes(
            *SigningKey::from_seed(*store.seed("alice", passphrase("correct horse")).unwrap())
                .public()
                .as_bytes(),
        )
        .unwrap();
        assert_eq!(public.id(), made.id);
        assert!(public.verify(Context::Root, b"x", &signature));
        let wrong = store.open("alice", passphrase("wrong")).err().unwrap();
        assert_eq!(wrong.exit, Exit::Refused);
        assert_eq!(text, fs::read_to_string(store.file("alice")).unwrap());
    }

    #[test]
    fn a_key_is_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let store = KeyStore::new(folder.path().to_owned());
        let first = store.create("bob", "").unwrap();
        assert_eq!(store.create("bob", "").err().unwrap().exit, Exit::Refused);
        assert_eq!(store.list().unwrap()[0].id, first.id);
    }

    #[test]
    fn names_that_leave_the_folder_are_refused() {
        let store = KeyStore::new(PathBuf::from("/nonexistent"));
        for name in ["../x", "", ".hidden", "a/b"] {
            assert_eq!(store.create(name, "").err().unwrap().exit, Exit::Usage, "{name}");
        }
    }
}
