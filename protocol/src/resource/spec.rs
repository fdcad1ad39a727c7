//! Specs read from the JSON of a statement.

use serde::de::DeserializeOwned;

use super::{Kind, Spec};

/// The schema of specs that this version writes and reads.
pub const SCHEMA: u32 = 1;

/// A spec that this version cannot read: its id is unknown (RULES S3).
#[derive(Debug, thiserror::Error)]
pub enum UnreadableSpec {
    /// Written for a newer agent.
    #[error(
        "this {kind} is written in schema {schema}, and this version of Daymark reads {SCHEMA}"
    )]
    Schema {
        /// The kind.
        kind: Kind,
        /// The schema it names.
        schema: u32,
    },
    /// A field is missing, unknown or of the wrong form.
    #[error("this {kind} cannot be read: {source}")]
    Form {
        /// The kind.
        kind: Kind,
        /// Which field, and where.
        source: serde_json::Error,
    },
}

impl Spec {
    /// Reads the spec of a resource of `kind`. Its form only: whether the values keep their limits
    /// is [`Spec::validate`]'s question.
    pub fn parse(kind: Kind, schema: u32, json: &str) -> Result<Self, UnreadableSpec> {
        if schema != SCHEMA {
            return Err(UnreadableSpec::Schema { kind, schema });
        }
        Self::read(kind, json).map_err(|source| UnreadableSpec::Form { kind, source })
    }

    fn read(kind: Kind, json: &str) -> Result<Self, serde_json::Error> {
        fn of<T: DeserializeOwned>(json: &str) -> Result<T, serde_json::Error> {
            serde_json::from_str(json)
        }
        Ok(match kind {
            Kind::Region => Self::Region(of(json)?),
            Kind::Site => Self::Site(of(json)?),
            Kind::Host => Self::Host(of(json)?),
            Kind::OsProfile => Self::OsProfile(of(json)?),
            Kind::SingleSchedule => Self::SingleSchedule(of(json)?),
            Kind::RepeatedSchedule => Self::RepeatedSchedule(of(json)?),
            Kind::Blackout => Self::Blackout(of(json)?),
            Kind::OsUpdatePolicy => Self::OsUpdatePolicy(of(json)?),
            Kind::Promotion => Self::Promotion(of(json)?),
            Kind::CustomConfig => Self::CustomConfig(of(json)?),
            Kind::Hold => Self::Hold(of(json)?),
            Kind::Retry => Self::Retry(of(json)?),
            Kind::Halt => Self::Halt(of(json)?),
            Kind::Resume => Self::Resume(of(json)?),
            Kind::Emergency => Self::Emergency(of(json)?),
            Kind::Token => Self::Token(of(json)?),
        })
    }

    /// The kind of the resource it is the content of.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Region(_) => Kind::Region,
            Self::Site(_) => Kind::Site,
            Self::Host(_) => Kind::Host,
            Self::OsProfile(_) => Kind::OsProfile,
            Self::SingleSchedule(_) => Kind::SingleSchedule,
            Self::RepeatedSchedule(_) => Kind::RepeatedSchedule,
            Self::Blackout(_) => Kind::Blackout,
            Self::OsUpdatePolicy(_) => Kind::OsUpdatePolicy,
            Self::Promotion(_) => Kind::Promotion,
            Self::CustomConfig(_) => Kind::CustomConfig,
            Self::Hold(_) => Kind::Hold,
            Self::Retry(_) => Kind::Retry,
            Self::Halt(_) => Kind::Halt,
            Self::Resume(_) => Kind::Resume,
            Self::Emergency(_) => Kind::Emergency,
            Self::Token(_) => Kind::Token,
        }
    }
}
