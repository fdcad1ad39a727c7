//! Where `daymarkctl` keeps things: keys, and a context per fleet with its replica and drafts.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use daymark_node::durable::write_atomic;
use daymark_protocol::trust::Pin;
use serde::{Deserialize, Serialize};

use crate::cli::Global;
use crate::exit::{Failure, Outcome};
use crate::keys::KeyStore;
use crate::whole_file::{self, NewFolder};

/// The folder of everything.
#[derive(Clone, Debug)]
pub(crate) struct Home {
    folder: PathBuf,
}

/// What a context remembers besides its replica.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ContextFile {
    /// The fleet, pinned when the context was made.
    pub pin: Pin,
    /// The node it talks to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
}

impl Home {
    /// `--home`, `DAYMARK_HOME`, or `~/.daymark`.
    pub(crate) fn open(global: &Global) -> Outcome<Self> {
        if let Some(folder) = &global.home {
            return Ok(Self { folder: folder.clone() });
        }
        let home = std::env::home_dir().ok_or_else(|| {
            Failure::usage("this user has no home folder").next("name one with --home FOLDER")
        })?;
        Ok(Self { folder: home.join(".daymark") })
    }

    /// The keys of this machine.
    pub(crate) fn keys(&self) -> KeyStore {
        KeyStore::new(self.folder.join("keys"))
    }

    /// The folder of a context.
    pub(crate) fn context_folder(&self, name: &str) -> PathBuf {
        self.folder.join("contexts").join(name)
    }

    /// Names of all contexts.
    pub(crate) fn contexts(&self) -> Outcome<Vec<String>> {
        let mut names = Vec::new();
        let Ok(entries) = fs::read_dir(self.folder.join("contexts")) else { return Ok(names) };
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if !name.starts_with('.') && entry.path().join("context.json").exists() {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    /// Begins a context: out of sight until it is whole.
    pub(crate) fn begin_context(&self, name: &str) -> Outcome<NewContext> {
        let clean =
            name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
        if name.is_empty() || name.len() > 64 || !clean || name.starts_with('.') {
            return Err(Failure::usage(format!(
                "{name:?} cannot name a fleet: use 1 to 64 letters, digits, '-', '_' or '.'"
            )));
        }
        let contexts = self.folder.join("contexts");
        if contexts.join(name).exists() {
            return Err(exists(name));
        }
        let begun = whole_file::create_private_folder(&contexts)
            .and_then(|()| NewFolder::begin(&contexts))
            .with_context(|| format!("cannot make a context in {}", contexts.display()))?;
        Ok(NewContext { folder: begun, name: name.to_owned(), home: self.clone() })
    }

    /// Makes a context the current one.
    pub(crate) fn use_context(&self, name: &str) -> Outcome<()> {
        if !self.context_folder(name).join("context.json").exists() {
            return Err(no_context(name));
        }
        let path = self.current_file();
        write_atomic(&path, name.as_bytes(), 0o600)
            .with_context(|| format!("cannot write {}", path.display()))?;
        Ok(())
    }

    /// Removes a context with its replica and drafts; the keys stay. The current one only if there
    /// is no other.
    pub(crate) fn remove_context(&self, name: &str) -> Outcome<()> {
        let removed = |path: &Path| format!("cannot remove {}", path.display());
        if self.chosen()?.as_deref() == Some(name) {
            if self.contexts()?.len() > 1 {
                return Err(Failure::refused(format!("context {name} is the current one"))
                    .next("choose another first: `daymarkctl context use NAME`"));
            }
            let current = self.current_file();
            fs::remove_file(&current).with_context(|| removed(&current))?;
        }
        let folder = self.context_folder(name);
        Ok(whole_file::remove_folder(&folder).with_context(|| removed(&folder))?)
    }

    fn current_file(&self) -> PathBuf {
        self.folder.join("current")
    }

    /// Name of the context that was chosen last.
    fn chosen(&self) -> Outcome<Option<String>> {
        let path = self.current_file();
        match fs::read_to_string(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            read => Ok(Some(read.with_context(|| format!("cannot read {}", path.display()))?)),
        }
    }

    /// Name and folder of the context to work on.
    pub(crate) fn current(&self, global: &Global) -> Outcome<(String, PathBuf)> {
        let name = match &global.context {
            Some(name) => name.clone(),
            None => self.chosen()?.ok_or_else(|| {
                Failure::usage("no fleet is set up on this machine").next(
                    "`daymarkctl fleet init` founds one, `daymarkctl context add` takes one over, \
                     `daymarkctl context use` chooses one",
                )
            })?,
        };
        let folder = self.context_folder(&name);
        if !folder.join("context.json").exists() {
            return Err(no_context(&name));
        }
        Ok((name, folder))
    }
}

/// A context that is not whole yet. Dropped, it leaves nothing behind.
#[derive(Debug)]
pub(crate) struct NewContext {
    folder: NewFolder,
    name: String,
    home: Home,
}

impl NewContext {
    /// The folder of what it will hold.
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The name by which [`Home::current`] finds it until it is whole.
    pub(crate) fn unfinished_name(&self) -> String {
        self.path().file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Puts it where contexts are, all at once, and makes it the current one.
    pub(crate) fn finish(self) -> Outcome<()> {
        let place = self.home.context_folder(&self.name);
        match self.folder.publish(&self.name) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                return Err(exists(&self.name));
            }
            made => made.with_context(|| format!("cannot make {}", place.display()))?,
        };
        self.home.use_context(&self.name)
    }
}

fn exists(name: &str) -> Failure {
    Failure::refused(format!("a context named {name:?} exists already"))
        .next("choose another name, or `daymarkctl context remove` that one")
}

/// What is said where there is no context of a name.
pub(crate) fn no_context(name: &str) -> Failure {
    Failure::usage(format!("there is no context {name:?}"))
        .next("`daymarkctl context list` shows them")
}

/// Reads a context's file.
pub(crate) fn read_context(folder: &Path) -> Outcome<ContextFile> {
    let path = folder.join("context.json");
    let text = fs::read_to_string(&path).map_err(|error| {
        anyhow::Error::new(error).context(format!("cannot read {}", path.display()))
    })?;
    serde_json::from_str(&text).map_err(|error| {
        anyhow::Error::new(error).context(format!("{} is damaged", path.display())).into()
    })
}

/// Writes a context's file.
pub(crate) fn write_context(folder: &Path, file: &ContextFile) -> Outcome<()> {
    let path = folder.join("context.json");
    write_atomic(&path, &serde_json::to_vec_pretty(file)?, 0o600)
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(())
}
