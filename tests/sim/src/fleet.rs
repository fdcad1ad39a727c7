//! The administrators of a simulated fleet: their keys, and the statements they sign.

use daymark_core::event::Carried;
use daymark_protocol::document::{signature_entry, statement_entry};
use daymark_protocol::id::{Digest, FleetId, ResourceId};
use daymark_protocol::resource::{
    HostSpec, Kind, OsUpdatePolicySpec, Role, ScheduleStatus, Scope, SingleScheduleSpec, SiteSpec,
    Spec, Target, TargetOs,
};
use daymark_protocol::time::WallTime;
use daymark_protocol::trust::{
    Context, Draft, Envelope, Pin, PublicKey, ResourceDraft, RootDraft, SigningKey, Statement,
    named_id,
};

use crate::random::child;

/// The name of the only OS profile.
pub const PROFILE: &str = "edge";

/// A fleet with one key for all roles.
#[derive(Debug)]
pub struct Fleet {
    key: SigningKey,
    root: Vec<u8>,
    pin: Pin,
    id: FleetId,
    issued: WallTime,
}

impl Fleet {
    /// A fleet whose root is issued at `issued` and lasts ten years.
    pub fn new(seed: u64, issued: WallTime) -> Self {
        let key = SigningKey::from_seed(child(seed, "administrator"));
        let expires = issued.plus_ms(10 * 365 * 24 * 3_600_000);
        let mut draft = RootDraft::first("simulated", issued, expires).key(key.public(), "admin");
        for role in Role::ALL {
            draft = draft.role(role, 1, [key.public().id()]);
        }
        let (payload, root) = draft.finish().expect("the root is well-formed");
        let envelope = Envelope::signed(Context::Root, payload, [&key]);
        let pin = Pin { version: root.version, digest: root.digest };
        Self { key, root: envelope.to_json(), pin, id: FleetId(root.digest.0), issued }
    }

    /// What a machine is given to take the fleet.
    pub fn pin(&self) -> Pin {
        self.pin
    }

    /// The root.
    pub fn root(&self) -> Carried {
        Carried::Root(self.root.clone())
    }

    /// The id of a site.
    pub fn site(&self, name: &str) -> ResourceId {
        named_id(Kind::Site, &self.id, &Scope::Fleet, name)
    }

    fn draft(&self) -> Draft {
        Draft::new(self.id, Scope::Fleet, self.issued)
    }

    fn signed(&self, draft: &Draft) -> (Statement, Vec<Carried>) {
        let statement = draft.finish().expect("the statement is well-formed");
        let signature = self.key.sign(Context::Statement, statement.bytes());
        let digest = statement.digest();
        let entries = vec![
            Carried::Entry(statement_entry(statement.bytes())),
            Carried::Entry(signature_entry(&digest, &self.key.public().id(), &signature)),
        ];
        (statement, entries)
    }

    /// Creates a site.
    pub fn create_site(&self, name: &str) -> Vec<Carried> {
        let spec = Spec::Site(SiteSpec { name: name.to_owned(), ..SiteSpec::default() });
        self.signed(&self.draft().resource(ResourceDraft::new(self.site(name), 1, &spec))).1
    }

    /// Enrols a machine at a site.
    pub fn enroll(&self, name: &str, machine: &PublicKey, site: &str) -> Vec<Carried> {
        let public_key = machine.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        let spec = Spec::Host(HostSpec { name: name.to_owned(), public_key, ..Default::default() });
        let resource =
            ResourceDraft::new(machine.id().into(), 1, &spec).site(Some(self.site(site)));
        self.signed(&self.draft().resource(resource)).1
    }

    /// Removes a machine from a site.
    pub fn remove(&self, machine: &PublicKey, site: &str) -> Vec<Carried> {
        let gone = ResourceDraft::tombstone(Kind::Host, machine.id().into(), 2);
        self.signed(&self.draft().resource(gone.site(Some(self.site(site))))).1
    }

    /// Releases an image, orders it for everyone, and opens a window: what an update needs.
    pub fn order_update(&self, version: &str, start: WallTime, end: WallTime) -> Vec<Carried> {
        let profile = serde_json::from_value(serde_json::json!({
            "name": PROFILE, "type": "OS_TYPE_IMMUTABLE", "provider": "OS_PROVIDER_KIND_INFRA",
            "profileName": PROFILE, "osImageVersion": version,
            "indexDigest": index_of(version), "indexBytes": 1_000,
        }));
        let profile = Spec::OsProfile(Box::new(profile.expect("the profile is well-formed")));
        let id = |kind, name: &str| named_id(kind, &self.id, &Scope::Fleet, name);
        let resource = ResourceDraft::new(id(Kind::OsProfile, version), 1, &profile);
        let (released, mut items) = self.signed(&self.draft().resource(resource));
        let digest = released.payload().resources[0].digest();
        let everyone = Target { all: true, ..Target::default() };
        let window = Spec::SingleSchedule(SingleScheduleSpec {
            name: version.to_owned(),
            schedule_status: ScheduleStatus::OsUpdate,
            start_seconds: start.as_seconds(),
            end_seconds: Some(end.as_seconds()),
        });
        let policy: OsUpdatePolicySpec = serde_json::from_value(serde_json::json!({
            "name": "everyone", "updatePolicy": "UPDATE_POLICY_TARGET", "spreadSeconds": 600,
            "targetOs": TargetOs { profile: PROFILE.into(), version: version.into(), digest },
        }))
        .expect("the policy is well-formed");
        let policy = Spec::OsUpdatePolicy(Box::new(policy));
        let draft = self
            .draft()
            .resource(
                ResourceDraft::new(id(Kind::SingleSchedule, version), 1, &window)
                    .target(everyone.clone()),
            )
            .resource(
                ResourceDraft::new(id(Kind::OsUpdatePolicy, version), 1, &policy).target(everyone),
            );
        items.extend(self.signed(&draft).1);
        items
    }
}

/// The index digest of an image.
pub fn index_of(version: &str) -> Digest {
    Digest::of_parts(&[b"image", version.as_bytes()])
}
