//! Where `daymarkctl` keeps things: keys, and a context per fleet with its replica and drafts.

use std::fs;
use std::path::{Path, PathBuf};

use daymark_protocol::trust::Pin;
use serde::{Deserialize, Serialize};

use crate::cli::Global;
use crate::exit::{Failure, Outcome};
use crate::keys::KeyStore;

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
    pub node: Option<PathBuf>,
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
            if entry.path().join("context.json").exists() {
                names.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
        names.sort();
        Ok(names)
    }

    /// Makes a context and makes it the current one.
    pub(crate) fn create_context(&self, name: &str, file: &ContextFile) -> Outcome<PathBuf> {
        let clean =
            name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
        if name.is_empty() || name.len() > 64 || !clean || name.starts_with('.') {
            return Err(Failure::usage(format!(
                "{name:?} cannot name a fleet: use 1 to 64 letters, digits, '-', '_' or '.'"
            )));
        }
        let folder = self.context_folder(name);
        if folder.join("context.json").exists() {
            return Err(Failure::refused(format!("a context named {name:?} exists already"))
                .next("choose another name"));
        }
        fs::create_dir_all(&folder)?;
        write_context(&folder, file)?;
        self.use_context(name)?;
        Ok(folder)
    }

    /// Makes a context the current one.
    pub(crate) fn use_context(&self, name: &str) -> Outcome<()> {
        if !self.context_folder(name).join("context.json").exists() {
            return Err(no_context(name));
        }
        fs::write(self.folder.join("current"), name)?;
        Ok(())
    }

    /// Makes `before` the current context again, or none.
    pub(crate) fn restore_current(&self, before: Option<&str>) -> Outcome<()> {
        match before {
            Some(name) => self.use_context(name),
            None => Ok(fs::remove_file(self.folder.join("current"))?),
        }
    }

    /// Name and folder of the context to work on.
    pub(crate) fn current(&self, global: &Global) -> Outcome<(String, PathBuf)> {
        let name = match &global.context {
            Some(name) => name.clone(),
            None => fs::read_to_string(self.folder.join("current")).map_err(|_| {
                Failure::usage("no fleet is set up on this machine").next(
                    "`daymarkctl fleet init` founds one, `daymarkctl context add` takes one over",
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

fn no_context(name: &str) -> Failure {
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
    let temporary = folder.join("context.json.new");
    fs::write(&temporary, serde_json::to_string_pretty(file)?)?;
    fs::rename(&temporary, &path)?;
    Ok(())
}
