//! Statements: one change set each, kept as the bytes received (RULES S1 to S8).
//!
//! What is *refused* here lies in the form alone, so that agents of any version keep the same
//! set (RULES S3): size, JSON without duplicate keys, the fields that place a statement (fleet,
//! scope, ids, versions, sites, times) and tombstones without spec. Everything else, unknown
//! kinds, schemas, targets and fields at any level included, is taken as it is and makes the
//! resource *unread*: [`Resource::spec`] is an error and its id unknown when deciding. Whether a
//! change set mixes roles depends on what kinds an agent knows, and is judged, not refused.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::id::{Digest, FleetId, ResourceId};
use crate::limits;
use crate::resource::{Kind, NewerFields, Role, Scope};
use crate::rules::{Rule, holds};
use crate::time::WallTime;
use crate::trust::fields::{FieldError, Fields};
use crate::trust::{Context, Resource, pae, reading, strict_json};

/// Bytes that are no statement's payload, for good.
#[derive(Debug, thiserror::Error)]
pub enum RefusedStatement {
    /// Longer than [`limits::STATEMENT_PAYLOAD_BYTES_MAX`].
    #[error("the statement has {0} bytes, more than a statement may have")]
    TooLong(usize),
    /// Not JSON, duplicate keys, or too deep.
    #[error("the statement is not readable")]
    NotReadable(#[source] serde_json::Error),
    /// A field that places the statement is missing or malformed.
    #[error("the statement is malformed")]
    Field(#[source] FieldError),
    /// No resource, or more than [`limits::STATEMENT_RESOURCES_MAX`].
    #[error("the statement has {0} resources")]
    Resources(usize),
    /// More than [`limits::SEES_MAX`] lines in `sees`.
    #[error("the statement sees {0} resources, more than it may")]
    Sees(usize),
    /// A kind's name that is empty, too long or not letters and digits.
    #[error("{0:?} is no name of a kind")]
    KindName(String),
    /// A version of 0, or of 2^63 or more.
    #[error("version {version} of {kind} {id} is out of range")]
    Version {
        /// Its kind.
        kind: String,
        /// Its id.
        id: ResourceId,
        /// Its version.
        version: u64,
    },
    /// A tombstone with a spec, or something else without one (RULES S2).
    #[error("{kind} {id} must have either a spec or `gone`")]
    Tombstone {
        /// Its kind.
        kind: String,
        /// Its id.
        id: ResourceId,
    },
    /// The same (kind, id) twice (RULES S2).
    #[error("{kind} {id} stands twice in the statement")]
    Twice {
        /// Its kind.
        kind: String,
        /// Its id.
        id: ResourceId,
    },
}

/// A change set that no role speaks for: it counts for nothing (RULES S2).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MixedRoles {
    /// Resources of two roles.
    #[error("one statement cannot speak under both {0} and {1}")]
    TwoRoles(Role, Role),
    /// A kind that must be alone in its statement is not.
    #[error("a {0} must stand alone in its statement")]
    NotAlone(Kind),
}

/// What a statement says.
#[derive(Clone, Debug)]
pub struct Payload {
    /// The fleet it is for.
    pub fleet: FleetId,
    /// Where it lives.
    pub scope: Scope,
    /// When the author says it was written.
    pub issued: WallTime,
    /// Its end (RULES S6).
    pub until: Option<WallTime>,
    /// Why, for people.
    pub reason: String,
    /// Ticket, for people.
    pub ticket: String,
    /// Closings and narrower policies that the signers knew (RULES S5).
    pub sees: Vec<Seen>,
    /// The change set.
    pub resources: Vec<Resource>,
}

/// One line of `sees`: on the wire `[scope, kind, id, version]`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Seen(
    /// Scope of what was seen.
    pub Scope,
    /// Its kind, also one that this version does not know.
    pub String,
    /// Its id.
    pub ResourceId,
    /// The version that was seen.
    pub u64,
);

impl std::fmt::Display for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self(scope, kind, id, version) = self;
        write!(f, "{kind} {id} v{version} of {scope}")
    }
}

/// A statement that is well-formed; who signed it is another matter. Copies share its content.
#[derive(Clone, Debug)]
pub struct Statement(Arc<Content>);

#[derive(Debug)]
struct Content {
    bytes: Box<[u8]>,
    digest: Digest,
    payload: Payload,
}

impl Statement {
    /// Reads a payload.
    pub fn parse(payload: &[u8]) -> Result<Self, RefusedStatement> {
        Self::parse_as(payload, &NewerFields::NONE)
    }

    /// As [`Self::parse`], as a reader that knows these fields too. What is refused is the same.
    pub(crate) fn parse_as(payload: &[u8], newer: &NewerFields) -> Result<Self, RefusedStatement> {
        if payload.len() > limits::STATEMENT_PAYLOAD_BYTES_MAX {
            return Err(RefusedStatement::TooLong(payload.len()));
        }
        if holds(Rule::S1Form) {
            strict_json::check(payload, limits::JSON_DEPTH_MAX)
                .map_err(RefusedStatement::NotReadable)?;
        }
        let mut read = read_payload(payload)?;
        check_form(&read)?;
        reading::read_specs(&mut read, newer);
        let digest = Self::digest_of(payload);
        Ok(Self(Arc::new(Content { bytes: payload.into(), digest, payload: read.payload })))
    }

    /// The digest of a statement with this payload: SHA-256 of its pre-authentication encoding
    /// (RULES Q5).
    pub fn digest_of(payload: &[u8]) -> Digest {
        Digest::of(&pae(Context::Statement, payload))
    }

    /// The payload as received.
    pub fn bytes(&self) -> &[u8] {
        &self.0.bytes
    }

    /// The statement's digest (RULES Q5).
    pub fn digest(&self) -> Digest {
        self.0.digest
    }

    /// Whether a copy of it is held elsewhere.
    pub(crate) fn is_shared(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }

    /// What it says.
    pub fn payload(&self) -> &Payload {
        &self.0.payload
    }

    /// The one role that speaks for all its resources. Unknown kinds count at the threshold of
    /// `policy` (RULES S3); a halt's role is `halt`, though a key of `policy` will do.
    pub fn role(&self) -> Result<Role, MixedRoles> {
        let resources = &self.0.payload.resources;
        let kinds = || resources.iter().map(Resource::known_kind);
        if resources.len() > 1
            && let Some(alone) = kinds().flatten().find(|kind| kind.stands_alone())
        {
            return Err(MixedRoles::NotAlone(alone));
        }
        let mut roles = kinds().map(|kind| kind.map_or(Role::Policy, Kind::role));
        let first = roles.next().unwrap_or(Role::Policy);
        match roles.find(|role| *role != first) {
            Some(other) if holds(Rule::S2OneRole) => Err(MixedRoles::TwoRoles(first, other)),
            Some(_) | None => Ok(first),
        }
    }
}

/// A payload with what its reader needs to know besides.
pub(super) struct ReadPayload {
    pub(super) payload: Payload,
    /// Names of fields that this version does not know.
    pub(super) unknown_fields: Vec<String>,
}

fn read_payload(json: &[u8]) -> Result<ReadPayload, RefusedStatement> {
    let mut fields = Fields::read(json).map_err(RefusedStatement::Field)?;
    let mut take = || -> Result<_, FieldError> {
        let payload = Payload {
            fleet: fields.required("fleet")?,
            scope: fields.required("scope")?,
            issued: fields.required("issued")?,
            until: fields.optional("until")?,
            reason: fields.optional("reason")?.unwrap_or_default(),
            ticket: fields.optional("ticket")?.unwrap_or_default(),
            sees: fields.optional("sees")?.unwrap_or_default(),
            resources: Vec::new(),
        };
        let resources: Vec<Box<serde_json::value::RawValue>> = fields.required("resources")?;
        Ok((payload, resources))
    };
    let (mut payload, resources) = take().map_err(RefusedStatement::Field)?;
    if resources.is_empty() || resources.len() > limits::STATEMENT_RESOURCES_MAX {
        return Err(RefusedStatement::Resources(resources.len()));
    }
    payload.resources = resources
        .iter()
        .map(|json| Resource::read(json.get()))
        .collect::<Result<_, _>>()
        .map_err(RefusedStatement::Field)?;
    Ok(ReadPayload { payload, unknown_fields: fields.rest() })
}

fn check_form(read: &ReadPayload) -> Result<(), RefusedStatement> {
    let payload = &read.payload;
    if payload.sees.len() > limits::SEES_MAX {
        return Err(RefusedStatement::Sees(payload.sees.len()));
    }
    let mut names = BTreeSet::new();
    for resource in &payload.resources {
        let Resource { kind, id, version, .. } = resource;
        let letters = kind.bytes().all(|b| b.is_ascii_alphanumeric());
        if kind.is_empty() || kind.len() > limits::KIND_BYTES_MAX || !letters {
            return Err(RefusedStatement::KindName(kind.chars().take(80).collect()));
        }
        let (kind, id, version) = (kind.clone(), id.clone(), *version);
        if version == 0 || version > limits::RESOURCE_VERSION_MAX {
            return Err(RefusedStatement::Version { kind, id, version });
        }
        if resource.gone == resource.raw_spec.is_some() {
            return Err(RefusedStatement::Tombstone { kind, id });
        }
        if !names.insert((&resource.kind, &resource.id)) && holds(Rule::S2Once) {
            return Err(RefusedStatement::Twice { kind, id });
        }
    }
    Ok(())
}
