//! Writing statements: what `daymarkctl`, tests and the simulator sign. Roots: [`super::RootDraft`].
//!
//! Nothing here decides whether a text makes sense to the fleet; it is built so that every replica
//! accepts it, from the times and keys that the caller gives.

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use crate::id::{FleetId, KeyId, ResourceId};
use crate::resource::{HostSpec, Kind, SCHEMA, Scope, Spec, Target, TokenSpec};
use crate::target::NO_SITE;
use crate::time::WallTime;
use crate::trust::{Context, RefusedStatement, Replaced, Seen, Signature, SigningKey, Statement};

/// The id of a named resource (RULES Q4). Hosts have none: their id is their key id.
pub fn named_id(kind: Kind, fleet: &FleetId, scope: &Scope, name: &str) -> ResourceId {
    ResourceId::derive(kind.prefix(), fleet, &scope.to_string(), kind.name(), name)
}

/// Version 1 of a Host as a token fixes it, with the two signatures that let it in: the token's key's
/// and the machine's own (RULES S9).
///
/// # Errors
/// If the name or a label breaks a limit so that nobody could read it.
pub fn join_by_token(
    fleet: FleetId,
    issued: WallTime,
    name: &str,
    token: &TokenSpec,
    token_key: &SigningKey,
    machine: &SigningKey,
) -> Result<(Statement, [(KeyId, Signature); 2]), RefusedStatement> {
    let public = machine.public();
    let spec = Spec::Host(HostSpec {
        name: name.to_owned(),
        public_key: public.to_string(),
        labels: token.labels.clone(),
        ..HostSpec::default()
    });
    let host = ResourceDraft::new(public.id().into(), 1, &spec).site(token.site.clone());
    let none = || NO_SITE.parse().expect("`none` is a resource id");
    let scope = Scope::Site(token.site.clone().unwrap_or_else(none));
    let statement = Draft::new(fleet, scope, issued).resource(host).finish()?;
    let signed = [token_key, machine]
        .map(|key| (key.public().id(), key.sign(Context::Statement, statement.bytes())));
    Ok((statement, signed))
}

/// A statement being written.
#[derive(Clone, Debug, Serialize)]
pub struct Draft {
    fleet: FleetId,
    scope: Scope,
    issued: WallTime,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<WallTime>,
    #[serde(skip_serializing_if = "String::is_empty")]
    reason: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    ticket: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    sees: Vec<Seen>,
    resources: Vec<ResourceDraft>,
}

impl Draft {
    /// An empty change set.
    pub fn new(fleet: FleetId, scope: Scope, issued: WallTime) -> Self {
        Self {
            fleet,
            scope,
            issued,
            until: None,
            reason: String::new(),
            ticket: String::new(),
            sees: Vec::new(),
            resources: Vec::new(),
        }
    }

    /// Sets its end (RULES S6).
    #[must_use]
    pub fn until(mut self, until: WallTime) -> Self {
        self.until = Some(until);
        self
    }

    /// Sets why, for people.
    #[must_use]
    pub fn reason(mut self, reason: &str) -> Self {
        reason.clone_into(&mut self.reason);
        self
    }

    /// Sets the ticket, for people.
    #[must_use]
    pub fn ticket(mut self, ticket: &str) -> Self {
        ticket.clone_into(&mut self.ticket);
        self
    }

    /// Adds what the signers knew (RULES S5).
    #[must_use]
    pub fn sees(mut self, seen: impl IntoIterator<Item = Seen>) -> Self {
        self.sees.extend(seen);
        self
    }

    /// Adds a resource.
    #[must_use]
    pub fn resource(mut self, resource: ResourceDraft) -> Self {
        self.resources.push(resource);
        self
    }

    /// The statement, ready to be signed: the same draft gives the same bytes.
    pub fn finish(&self) -> Result<Statement, RefusedStatement> {
        let json = serde_json::to_vec(self).map_err(RefusedStatement::NotReadable)?;
        Statement::parse(&json)
    }
}

/// A resource being written: a tombstone unless it is given a spec.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ResourceDraft {
    kind: String,
    id: ResourceId,
    version: u64,
    schema: u32,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    closes: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    gone: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<Target>,
    #[serde(skip_serializing_if = "Option::is_none")]
    site: Option<ResourceId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    moved_from: Option<ResourceId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    replaces: Option<Replaced>,
    #[serde(skip_serializing_if = "Option::is_none")]
    spec: Option<Box<RawValue>>,
}

impl ResourceDraft {
    /// A resource with content.
    pub fn new(id: ResourceId, version: u64, spec: &Spec) -> Self {
        Self::of_kind(spec.kind().name(), id, version, Some(content(spec)))
    }

    /// The end of a resource.
    pub fn tombstone(kind: Kind, id: ResourceId, version: u64) -> Self {
        Self::of_kind(kind.name(), id, version, None)
    }

    /// A resource of any kind, with content as it is; a tombstone without.
    pub fn of_kind(kind: &str, id: ResourceId, version: u64, spec: Option<Box<RawValue>>) -> Self {
        Self {
            kind: kind.to_owned(),
            id,
            version,
            schema: SCHEMA,
            closes: false,
            gone: spec.is_none(),
            target: None,
            site: None,
            moved_from: None,
            replaces: None,
            spec,
        }
    }

    /// Sets whom it is for.
    #[must_use]
    pub fn target(mut self, target: Target) -> Self {
        self.target = Some(target);
        self
    }

    /// Hosts: sets the site.
    #[must_use]
    pub fn site(mut self, site: Option<ResourceId>) -> Self {
        self.site = site;
        self
    }

    /// Hosts: sets the machine whose place it takes, and which thereby ends.
    #[must_use]
    pub fn replaces(mut self, replaced: Replaced) -> Self {
        self.replaces = Some(replaced);
        self
    }

    /// Hosts: sets the site that this version leaves.
    #[must_use]
    pub fn moved_from(mut self, site: Option<ResourceId>) -> Self {
        self.moved_from = site;
        self
    }

    /// Unknown kinds: marks it as closing.
    #[must_use]
    pub fn closing(mut self) -> Self {
        self.closes = true;
        self
    }

    /// Sets the version of the spec's schema.
    #[must_use]
    pub fn schema(mut self, schema: u32) -> Self {
        self.schema = schema;
        self
    }
}

fn content(spec: &Spec) -> Box<RawValue> {
    let raw = match spec {
        Spec::Region(spec) => to_raw_value(spec),
        Spec::Site(spec) => to_raw_value(spec),
        Spec::Host(spec) => to_raw_value(spec),
        Spec::OsProfile(spec) => to_raw_value(spec),
        Spec::SingleSchedule(spec) => to_raw_value(spec),
        Spec::RepeatedSchedule(spec) => to_raw_value(spec),
        Spec::Blackout(spec) => to_raw_value(spec),
        Spec::OsUpdatePolicy(spec) => to_raw_value(spec),
        Spec::Promotion(spec) => to_raw_value(spec),
        Spec::CustomConfig(spec) => to_raw_value(spec),
        Spec::Hold(spec) => to_raw_value(spec),
        Spec::Retry(spec) => to_raw_value(spec),
        Spec::Halt(spec) => to_raw_value(spec),
        Spec::Resume(spec) => to_raw_value(spec),
        Spec::Emergency(spec) => to_raw_value(spec),
        Spec::Token(spec) => to_raw_value(spec),
    };
    raw.expect("specs are structs of strings, numbers, lists and string-keyed maps")
}
