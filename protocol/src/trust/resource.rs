//! One resource of a change set, and its digest (RULES S2, Q5).

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::id::{Digest, KeyId, ResourceId};
use crate::limits;
use crate::resource::{Kind, SCHEMA, Spec, Target};
use crate::trust::fields::{FieldError, Fields};

/// The host that another one takes the place of (RULES S2, S4): the statement ends it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Replaced {
    /// The key that ends.
    pub host: KeyId,
    /// The version of its line at which it does: like a tombstone of that version.
    pub version: u64,
    /// Its site; none for hosts without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<ResourceId>,
}

/// One resource of a change set. What stands outside the spec is understood even by an agent too
/// old for the spec.
#[derive(Clone, Debug)]
pub struct Resource {
    /// Kind, also one that this version does not know.
    pub kind: String,
    /// Id.
    pub id: ResourceId,
    /// Version; 1 is the first.
    pub version: u64,
    /// Version of the spec's schema.
    pub schema: u32,
    /// For unknown kinds: whether it closes (RULES S3).
    pub closes: bool,
    /// A tombstone.
    pub gone: bool,
    /// Whom it is for; everyone where the target cannot be read, so that what closes stays closed.
    pub target: Option<Target>,
    /// Hosts only: the site (RULES Q2).
    pub site: Option<ResourceId>,
    /// Hosts only: the site left by this version.
    pub moved_from: Option<ResourceId>,
    /// Hosts only: the machine in whose place it comes.
    pub replaces: Option<Replaced>,
    /// The spec as received.
    pub raw_spec: Option<Box<RawValue>>,
    pub(super) spec: Result<Option<Spec>, String>,
    digest: Digest,
}

impl Resource {
    /// Takes a resource apart. Its spec is read by [`super::reading`], which knows the statement.
    pub(super) fn read(json: &str) -> Result<Self, FieldError> {
        let mut fields = Fields::read(json.as_bytes())?;
        let raw_target = fields.raw("target");
        let raw_spec = fields.raw("spec");
        let mut resource = Self {
            kind: fields.required("kind")?,
            id: fields.required("id")?,
            version: fields.required("version")?,
            schema: fields.optional("schema")?.unwrap_or(SCHEMA),
            closes: fields.optional("closes")?.unwrap_or_default(),
            gone: fields.optional("gone")?.unwrap_or_default(),
            target: None,
            site: fields.optional("site")?,
            moved_from: fields.optional("movedFrom")?,
            replaces: None,
            raw_spec: raw_spec.map(ToOwned::to_owned),
            spec: Ok(None),
            digest: Digest([0; 32]),
        };
        resource.digest = resource.digest_with(raw_target, &fields);
        let replaces = fields.raw("replaces").map(|raw| serde_json::from_str(raw.get()));
        match replaces.transpose() {
            Ok(replaces) => resource.replaces = replaces,
            Err(error) => resource.spec = Err(format!("what it replaces cannot be read: {error}")),
        }
        match raw_target.map(|raw| serde_json::from_str::<Target>(raw.get())).transpose() {
            Ok(target) => resource.target = target,
            Err(error) => {
                resource.target = Some(Target { all: true, ..Target::default() });
                resource.spec = Err(format!("its target cannot be read: {error}"));
            }
        }
        if let Some(unknown) = fields.rest().first() {
            resource.spec = Err(format!("field {unknown:?} is not known to this version"));
        }
        Ok(resource)
    }

    /// Whether what it replaces makes sense: a host another host, at a version that there may be.
    pub(super) fn check_replaced(&self) -> Result<(), String> {
        let Some(replaced) = &self.replaces else { return Ok(()) };
        let fits = (1..=limits::RESOURCE_VERSION_MAX).contains(&replaced.version)
            && self.known_kind() == Some(Kind::Host)
            && self.id.as_host() != Some(replaced.host);
        if fits { Ok(()) } else { Err("only a host can replace another host".into()) }
    }

    /// The kind, if this version knows it.
    pub fn known_kind(&self) -> Option<Kind> {
        self.kind.parse().ok()
    }

    /// The content; `None` for a tombstone, and a sentence for people if this version cannot read
    /// it or it contradicts its statement.
    pub fn spec(&self) -> Result<Option<&Spec>, &str> {
        self.spec.as_ref().map(Option::as_ref).map_err(String::as_str)
    }

    /// What is compared to tell whether two say the same: (kind, id, version, target, schema,
    /// spec), target and spec as received (RULES Q5, C2), and what else changes its meaning:
    /// tombstone, `closes`, the sites of a host, fields of newer versions.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    fn digest_with(&self, raw_target: Option<&RawValue>, rest: &Fields<'_>) -> Digest {
        let text = |raw: Option<&RawValue>| raw.map_or("", RawValue::get).to_owned();
        let id = |id: &Option<ResourceId>| id.as_ref().map_or("", ResourceId::as_str).to_owned();
        let mut parts = vec![
            self.kind.clone(),
            self.id.to_string(),
            self.version.to_string(),
            text(raw_target),
            self.schema.to_string(),
            text(self.raw_spec.as_deref()),
            format!("{} {}", self.gone, self.closes),
            id(&self.site),
            id(&self.moved_from),
        ];
        for (name, value) in rest.rest_raw() {
            parts.extend([name.to_owned(), value.to_owned()]);
        }
        let parts: Vec<&[u8]> = parts.iter().map(String::as_bytes).collect();
        Digest::of_parts(&parts)
    }
}
