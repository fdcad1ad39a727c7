//! A small fleet to test with: keys, roots, statements and hosts.

use std::collections::BTreeMap;

use daymark_protocol::document::{
    Changes, Facts, Interest, Outcome, Replica, ReportWriter, signature_entry, statement_entry,
};
use daymark_protocol::id::{FleetId, KeyId, ResourceId};
use daymark_protocol::resource::{
    HaltSpec, HostSpec, Kind, ResumeSpec, Role, Scope, SiteSpec, Spec, Target,
};
use daymark_protocol::time::WallTime;
use daymark_protocol::trust::{
    Context, Draft, Envelope, Floors, Pin, ResourceDraft, Root, RootChain, RootDraft, SigningKey,
    Statement, named_id,
};

pub(crate) const NOW: WallTime = WallTime::EPOCH;

pub(crate) fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed([seed; 32])
}

pub(crate) fn id_of(key: &SigningKey) -> KeyId {
    key.public().id()
}

/// Policy keys 1 to 3 (two must sign), halt key 4, enroll keys 5 and 6 (one suffices), release 7,
/// root key 9.
pub(crate) struct Fleet {
    pub(crate) envelopes: Vec<Vec<u8>>,
    pub(crate) roots: Vec<Root>,
}

impl Fleet {
    pub(crate) fn new() -> Self {
        let mut draft = RootDraft::first("test", NOW, WallTime::MAX);
        for seed in [1, 2, 3, 4, 5, 6, 7, 9] {
            draft = draft.key(key(seed).public(), "someone");
        }
        let ids = |seeds: &[u8]| seeds.iter().map(|seed| id_of(&key(*seed))).collect::<Vec<_>>();
        draft = draft
            .role(Role::Root, 1, ids(&[9]))
            .role(Role::Policy, 2, ids(&[1, 2, 3]))
            .role(Role::Halt, 1, ids(&[4]))
            .role(Role::Enroll, 1, ids(&[5, 6]))
            .role(Role::Release, 1, ids(&[7]));
        let mut fleet = Self { envelopes: Vec::new(), roots: Vec::new() };
        fleet.sign_root(&draft);
        fleet
    }

    pub(crate) fn sign_root(&mut self, draft: &RootDraft) {
        let (payload, root) = draft.finish().unwrap();
        self.envelopes.push(Envelope::signed(Context::Root, payload, [&key(9)]).to_json());
        self.roots.push(root);
    }

    /// A second root that also lets key `seed` speak under `policy`.
    pub(crate) fn add_policy_key(&mut self, seed: u8) {
        let last = self.roots.last().unwrap();
        let mut draft = RootDraft::after(last, NOW, WallTime::MAX);
        draft = draft.key(key(seed).public(), "newcomer");
        let policy = last.role(Role::Policy).unwrap();
        let keys: Vec<KeyId> = policy.keys.iter().copied().chain([id_of(&key(seed))]).collect();
        let draft = draft.role(Role::Policy, policy.threshold, keys);
        self.sign_root(&draft);
    }

    pub(crate) fn id(&self) -> FleetId {
        FleetId(self.roots[0].digest.0)
    }

    pub(crate) fn pin(&self) -> Pin {
        Pin { version: 1, digest: self.roots[0].digest }
    }

    pub(crate) fn chain(&self) -> RootChain {
        let mut chain = RootChain::new(self.pin());
        for envelope in &self.envelopes {
            chain.accept(envelope).unwrap();
        }
        chain
    }

    pub(crate) fn replica(&self) -> Replica {
        Replica::new(self.chain(), Floors::default(), Interest::default())
    }

    pub(crate) fn draft(&self, scope: Scope) -> Draft {
        Draft::new(self.id(), scope, NOW)
    }

    /// A Site resource, which policy keys speak for: the plainest thing with versions.
    pub(crate) fn site(&self, name: &str, version: u64, said: &str) -> Statement {
        self.site_in(Scope::Fleet, name, version, said)
    }

    pub(crate) fn site_in(&self, scope: Scope, name: &str, version: u64, said: &str) -> Statement {
        let id = named_id(Kind::Site, &self.id(), &scope, name);
        let spec = Spec::Site(SiteSpec { name: said.to_owned(), ..SiteSpec::default() });
        self.draft(scope).resource(ResourceDraft::new(id, version, &spec)).finish().unwrap()
    }

    pub(crate) fn halt(&self, name: &str) -> Statement {
        self.halt_draft(name).finish().unwrap()
    }

    pub(crate) fn halt_draft(&self, name: &str) -> Draft {
        let id = named_id(Kind::Halt, &self.id(), &Scope::Fleet, name);
        let spec = Spec::Halt(HaltSpec { name: name.to_owned(), policy: None });
        let target = Target { all: true, ..Target::default() };
        let halt = ResourceDraft::new(id, 1, &spec).target(target);
        self.draft(Scope::Fleet).resource(halt)
    }

    pub(crate) fn resume(&self, halts: &[&Statement]) -> Statement {
        let name = format!("resume {}", halts[0].digest());
        let id = named_id(Kind::Resume, &self.id(), &Scope::Fleet, &name);
        let halts = halts.iter().map(|halt| halt.digest()).collect();
        let spec = Spec::Resume(ResumeSpec { name: "resume".into(), halts });
        self.draft(Scope::Fleet).resource(ResourceDraft::new(id, 1, &spec)).finish().unwrap()
    }

    pub(crate) fn host_draft(&self, host: &SigningKey, version: u64, site: &str) -> ResourceDraft {
        let public = host.public();
        let spec = Spec::Host(HostSpec {
            name: "press".into(),
            public_key: public.to_string(),
            ..HostSpec::default()
        });
        ResourceDraft::new(public.id().into(), version, &spec).site(Some(resource_id(site)))
    }

    pub(crate) fn host(&self, host: &SigningKey, version: u64, site: &str) -> Statement {
        let draft = self.draft(Scope::Site(resource_id(site)));
        draft.resource(self.host_draft(host, version, site)).finish().unwrap()
    }

    pub(crate) fn writer(&self, host: &SigningKey, generation: u64) -> ReportWriter {
        ReportWriter::new(self.id(), id_of(host), generation, None)
    }

    /// A replica in which this host is enrolled.
    pub(crate) fn replica_with(&self, host: &SigningKey) -> Replica {
        let mut replica = self.replica();
        accept(&mut replica, &signed(&self.host(host, 1, "berlin"), &[&key(5)]));
        replica
    }
}

pub(crate) fn resource_id(text: &str) -> ResourceId {
    text.parse().unwrap()
}

pub(crate) fn entry_of(statement: &Statement) -> Vec<u8> {
    statement_entry(statement.bytes())
}

pub(crate) fn signature_of(statement: &Statement, key: &SigningKey) -> Vec<u8> {
    let signature = key.sign(Context::Statement, statement.bytes());
    signature_entry(&statement.digest(), &id_of(key), &signature)
}

/// A statement's entry and those of its signatures.
pub(crate) fn signed(statement: &Statement, keys: &[&SigningKey]) -> Vec<Vec<u8>> {
    let mut entries = vec![entry_of(statement)];
    entries.extend(keys.iter().map(|key| signature_of(statement, key)));
    entries
}

pub(crate) fn accept(replica: &mut Replica, entries: &[Vec<u8>]) -> (Vec<Outcome>, Changes) {
    let entries: Vec<&[u8]> = entries.iter().map(Vec::as_slice).collect();
    replica.accept_entries(&entries)
}

pub(crate) fn facts(pairs: &[(&[&str], &str)]) -> Facts {
    let mut facts = Facts::default();
    for (path, text) in pairs {
        facts.set_text(path, text);
    }
    facts
}

/// Everything that a replica holds of its documents, as sets of bytes.
pub(crate) fn contents(replica: &Replica) -> BTreeMap<String, Vec<Vec<u8>>> {
    replica
        .documents()
        .map(|document| {
            let entries = replica.entries(document).map(|(_, bytes)| bytes).collect();
            (document.to_string(), entries)
        })
        .collect()
}

/// Hands over all that `from` holds and `to` lacks, as repair does.
pub(crate) fn repair(from: &Replica, to: &mut Replica) {
    let mut missing = Vec::new();
    for document in from.documents() {
        for hash in from.hashes(document).filter(|hash| !to.has(document, hash)) {
            missing.push(from.entry(document, hash).unwrap());
        }
    }
    accept(to, &missing);
    let hosts: Vec<KeyId> = from.heads().map(|(host, _)| *host).collect();
    for host in hosts {
        if from.head(&host) != to.head(&host) {
            let reports: Vec<&[u8]> = from.reports(&host).collect();
            to.accept_reports(&reports);
        }
    }
}

/// A small deterministic source of choices (SplitMix64), so that a failing seed can be replayed.
pub(crate) struct Choices(pub(crate) u64);

impl Choices {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap()
    }

    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for at in (1..items.len()).rev() {
            items.swap(at, self.below(at + 1));
        }
    }
}
