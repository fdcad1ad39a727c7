//! The administrator of the fleets that are measured, and what they sign.

use daymark_core::event::Carried;
use daymark_protocol::document::{signature_entry, statement_entry};
use daymark_protocol::id::{FleetId, ResourceId};
use daymark_protocol::resource::{HostSpec, Kind, Role, Scope, SiteSpec, Spec};
use daymark_protocol::time::WallTime;
use daymark_protocol::trust::{
    Context, Draft, Envelope, Pin, PublicKey, ResourceDraft, RootDraft, SigningKey, named_id,
};

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
    pub fn new(issued: WallTime) -> Self {
        let key = SigningKey::from_seed([9; 32]);
        let expires = issued.plus_ms(10 * 365 * 24 * 3_600_000);
        let mut draft = RootDraft::first("measured", issued, expires).key(key.public(), "admin");
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

    fn signed(&self, draft: &Draft) -> Vec<Carried> {
        let statement = draft.finish().expect("the statement is well-formed");
        let signature = self.key.sign(Context::Statement, statement.bytes());
        let digest = statement.digest();
        vec![
            Carried::Entry(statement_entry(statement.bytes())),
            Carried::Entry(signature_entry(&digest, &self.key.public().id(), &signature)),
        ]
    }

    /// Creates a site.
    pub fn create_site(&self, name: &str) -> Vec<Carried> {
        let spec = Spec::Site(SiteSpec { name: name.to_owned(), ..SiteSpec::default() });
        self.signed(&self.draft().resource(ResourceDraft::new(self.site(name), 1, &spec)))
    }

    /// Enrols a machine at a site.
    pub fn enroll(&self, name: &str, machine: &PublicKey, site: &str) -> Vec<Carried> {
        let public_key = machine.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        let spec = Spec::Host(HostSpec { name: name.to_owned(), public_key, ..Default::default() });
        let resource =
            ResourceDraft::new(machine.id().into(), 1, &spec).site(Some(self.site(site)));
        self.signed(&self.draft().resource(resource))
    }
}
