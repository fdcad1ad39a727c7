//! A JSON object taken apart by field, so that unknown fields are seen and values kept as received.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

/// A field that is missing or malformed, or no object at all.
#[derive(Debug, thiserror::Error)]
pub enum FieldError {
    /// Not an object.
    #[error("expected a JSON object")]
    NotAnObject(#[source] serde_json::Error),
    /// The field is missing.
    #[error("field {0:?} is missing")]
    Missing(&'static str),
    /// The field is not of its type.
    #[error("field {name:?} is malformed: {source}")]
    Malformed {
        /// Its name.
        name: &'static str,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

/// The fields not yet taken.
pub(super) struct Fields<'a>(BTreeMap<String, &'a RawValue>);

impl<'a> Fields<'a> {
    pub(super) fn read(json: &'a [u8]) -> Result<Self, FieldError> {
        serde_json::from_slice(json).map(Self).map_err(FieldError::NotAnObject)
    }

    pub(super) fn raw(&mut self, name: &str) -> Option<&'a RawValue> {
        self.0.remove(name)
    }

    pub(super) fn optional<T: DeserializeOwned>(
        &mut self,
        name: &'static str,
    ) -> Result<Option<T>, FieldError> {
        let parse = |raw: &RawValue| serde_json::from_str(raw.get());
        let malformed = |source| FieldError::Malformed { name, source };
        self.raw(name).map(parse).transpose().map_err(malformed)
    }

    pub(super) fn required<T: DeserializeOwned>(
        &mut self,
        name: &'static str,
    ) -> Result<T, FieldError> {
        self.optional(name)?.ok_or(FieldError::Missing(name))
    }

    /// Names of the fields that nobody took, cut for people.
    pub(super) fn rest(&self) -> Vec<String> {
        self.0.keys().map(|name| name.chars().take(40).collect()).collect()
    }

    /// The fields that nobody took, as received.
    pub(super) fn rest_raw(&self) -> impl Iterator<Item = (&str, &'a str)> {
        self.0.iter().map(|(name, raw)| (name.as_str(), raw.get()))
    }
}
