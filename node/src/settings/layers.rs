//! From files, environment and flags to one value per key, each with where it came from. Says
//! nothing about what the values mean together: that is `validate.rs`.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::SettingsError;
use super::key::{self, KEYS, Key, Kind};

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Built in.
    Default,
    /// A file.
    File(PathBuf),
    /// An environment variable.
    Variable(String),
    /// A flag of the command line.
    Flag,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Variable(name) => write!(f, "${name}"),
            Self::Flag => f.write_str("command line"),
        }
    }
}

/// What to read, weakest first.
#[derive(Clone, Debug, Default)]
pub struct Inputs {
    /// Folders of `*.toml` fragments; one that does not exist is empty.
    pub folders: Vec<PathBuf>,
    /// Files that must exist.
    pub files: Vec<PathBuf>,
    /// Environment variables.
    pub variables: Vec<(String, String)>,
    /// `KEY=VALUE` from the command line.
    pub flags: Vec<(String, String)>,
}

impl Inputs {
    /// The system's folders and this process's environment.
    pub fn system() -> Self {
        Self {
            folders: ["/usr/lib/daymark/config.d", "/etc/daymark/config.d"]
                .map(PathBuf::from)
                .into(),
            files: Vec::new(),
            variables: std::env::vars_os()
                .filter_map(|(name, value)| {
                    Some((name.into_string().ok()?, value.into_string().ok()?))
                })
                .filter(|(name, _)| name.starts_with("DAYMARK_"))
                .collect(),
            flags: Vec::new(),
        }
    }
}

/// One value per key that has any.
#[derive(Clone, Debug)]
pub(crate) struct Layers {
    pub(crate) values: BTreeMap<String, (Value, Origin)>,
}

impl Layers {
    /// Reads and merges; a later source replaces a key of an earlier one as a whole.
    pub(crate) fn read(inputs: &Inputs) -> Result<Self, SettingsError> {
        let mut layers = Self { values: BTreeMap::new() };
        for key in KEYS.iter().filter(|key| !key.default.is_empty()) {
            let value = parse_scalar(key.default).expect("defaults in the table are TOML");
            layers.values.insert(key.path.to_owned(), (value, Origin::Default));
        }
        for folder in &inputs.folders {
            for file in fragments(folder)? {
                layers.add_file(&file)?;
            }
        }
        for file in &inputs.files {
            layers.add_file(file)?;
        }
        layers.add_variables(&inputs.variables)?;
        for (path, text) in &inputs.flags {
            layers.add_text(path, text, Origin::Flag)?;
        }
        Ok(layers)
    }

    fn add_file(&mut self, file: &Path) -> Result<(), SettingsError> {
        let text = std::fs::read_to_string(file)
            .map_err(|source| SettingsError::Read { file: file.to_owned(), source })?;
        self.add_text_of(file, &text)
    }

    /// Adds what a file says.
    pub(crate) fn add_text_of(&mut self, file: &Path, text: &str) -> Result<(), SettingsError> {
        let table: Table =
            text.parse().map_err(|error: toml::de::Error| SettingsError::Syntax {
                file: file.to_owned(),
                line: error.span().map_or(1, |span| line_of(text, span.start)),
                message: error.message().to_owned(),
            })?;
        let mut leaves = Vec::new();
        flatten(String::new(), Value::Table(table), &mut leaves);
        for (path, value) in leaves {
            self.set(&path, value, Origin::File(file.to_owned()))?;
        }
        Ok(())
    }

    fn add_variables(&mut self, variables: &[(String, String)]) -> Result<(), SettingsError> {
        let sections: Vec<String> = KEYS.iter().map(|key| key::variable(first(key.path))).collect();
        for (name, text) in variables {
            let known = KEYS.iter().find(|key| key::variable(key.path) == *name);
            let slot = name.to_lowercase().replace('_', ".");
            let slot = slot.strip_prefix("daymark.").filter(|path| key::slot_part(path).is_some());
            let ours =
                |section: &String| *name == *section || name.starts_with(&format!("{section}_"));
            if let Some(path) = known.map(|key| key.path).or(slot) {
                self.add_text(path, text, Origin::Variable(name.clone()))?;
            } else if sections.iter().any(ours) {
                return Err(SettingsError::unknown(
                    name,
                    &Origin::Variable(name.clone()),
                    |text| {
                        key::nearest(
                            &text.trim_start_matches("DAYMARK_").to_lowercase().replace('_', "."),
                        )
                        .map(key::variable)
                    },
                ));
            }
        }
        Ok(())
    }

    fn add_text(&mut self, path: &str, text: &str, origin: Origin) -> Result<(), SettingsError> {
        let value = match key::find(path).map(|key| key.kind) {
            Some(Kind::Texts) => {
                let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
                Value::Array(items.map(|item| Value::String(item.to_owned())).collect())
            }
            Some(Kind::Number(..) | Kind::Flag) => {
                parse_scalar(text).unwrap_or_else(|| Value::String(text.to_owned()))
            }
            Some(Kind::Text | Kind::Choice(_)) | None => Value::String(text.to_owned()),
        };
        self.set(path, value, origin)
    }

    fn set(&mut self, path: &str, value: Value, origin: Origin) -> Result<(), SettingsError> {
        let kind = match key::find(path) {
            Some(Key { kind, .. }) => *kind,
            None if key::slot_part(path).is_some() => Kind::Text,
            None => {
                let near = |text: &str| key::nearest(text).map(str::to_owned);
                return Err(SettingsError::unknown(path, &origin, near));
            }
        };
        if let Some(expected) = misfit(kind, &value) {
            return Err(SettingsError::Value { key: path.to_owned(), origin, expected });
        }
        self.values.insert(path.to_owned(), (value, origin));
        Ok(())
    }
}

fn first(path: &str) -> &str {
    path.split('.').next().unwrap_or(path)
}

fn parse_scalar(text: &str) -> Option<Value> {
    format!("v = {text}").parse::<Table>().ok()?.remove("v")
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

/// Files of a folder in the order of their names, so that `50-site.toml` follows `10-base.toml`.
fn fragments(folder: &Path) -> Result<Vec<PathBuf>, SettingsError> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(SettingsError::Read { file: folder.to_owned(), source }),
    };
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    files.sort();
    Ok(files)
}

fn flatten(prefix: String, value: Value, leaves: &mut Vec<(String, Value)>) {
    let Value::Table(table) = value else {
        leaves.push((prefix, value));
        return;
    };
    for (name, value) in table {
        let path = if prefix.is_empty() { name } else { format!("{prefix}.{name}") };
        flatten(path, value, leaves);
    }
}

/// What was expected, if the value is not of the kind.
fn misfit(kind: Kind, value: &Value) -> Option<String> {
    let fits = match kind {
        Kind::Text => value.is_str(),
        Kind::Texts => value.as_array().is_some_and(|items| items.iter().all(Value::is_str)),
        Kind::Number(least, most) => {
            value.as_integer().is_some_and(|number| (least..=most).contains(&number))
        }
        Kind::Flag => value.is_bool(),
        Kind::Choice(words) => value.as_str().is_some_and(|word| words.contains(&word)),
    };
    let expected = || match kind {
        Kind::Text => "a string in quotes".to_owned(),
        Kind::Texts => "a list of strings".to_owned(),
        Kind::Number(least, most) => format!("a whole number from {least} to {most}"),
        Kind::Flag => "true or false".to_owned(),
        Kind::Choice(words) => format!("one of {}", words.join(", ")),
    };
    (!fits).then(expected)
}
