//! The effective configuration with where each value came from, for `config show`.

use super::key::KEYS;
use super::layers::{Inputs, Layers};
use super::{SettingsError, key};

/// One line of `config show`.
#[derive(Clone, Debug, serde::Serialize)]
pub struct ShownKey {
    /// The key.
    pub key: String,
    /// Its value as TOML; empty if it has none.
    pub value: String,
    /// Where the value came from.
    pub origin: String,
    /// The environment variable that sets it.
    pub variable: String,
    /// What it means.
    pub doc: String,
}

/// Every key, set or not, in the order of the table, slots last.
///
/// # Errors
/// As [`super::Settings::load`].
pub fn show(inputs: &Inputs) -> Result<Vec<ShownKey>, SettingsError> {
    let layers = Layers::read(inputs)?;
    layers.settings()?;
    let shown = |path: &str, doc: &str| {
        let set = layers.values.get(path);
        ShownKey {
            key: path.to_owned(),
            value: set.map(|(value, _)| value.to_string()).unwrap_or_default(),
            origin: set.map_or_else(|| "not set".to_owned(), |(_, origin)| origin.to_string()),
            variable: key::variable(path),
            doc: doc.to_owned(),
        }
    };
    let mut lines: Vec<ShownKey> = KEYS.iter().map(|key| shown(key.path, key.doc)).collect();
    let slots = layers.values.keys().filter(|path| key::slot_part(path).is_some());
    lines.extend(slots.map(|path| shown(path, "file or block device of a slot's part")));
    Ok(lines)
}
