//! A fleet with one key for all roles, and nodes whose time the test moves.

use daymark_core::durable::DurableState;
use daymark_core::effect::{Admission, Channel, Effect, Reply, Verdict, Write};
use daymark_core::event::{Carried, GossipId, Inspection, Reading, RequestId};
use daymark_core::{Batch, ClockTrust, CoreConfig, Event, Node, Start};
use daymark_protocol::decide::{
    Activity, Gate, GateAnswer, Installed, InstalledSource, Machine, PlatformKind,
};
use daymark_protocol::document::{StoredEntry, StoredReport, signature_entry, statement_entry};
use daymark_protocol::id::{Digest, FleetId, KeyId};
use daymark_protocol::limits::DISPLAY_NAME_BYTES_MAX;
use daymark_protocol::resource::{
    HaltSpec, HostSpec, Kind, OsType, Role, ScheduleStatus, Scope, SingleScheduleSpec, SiteSpec,
    Spec, Target, TargetOs,
};
use daymark_protocol::time::{MonoTime, WallTime};
use daymark_protocol::trust::{
    Context, Draft, Envelope, Floors, Pin, ResourceDraft, Root, RootDraft, Signature, SigningKey,
    named_id,
};
use daymark_protocol::wire::SyncMessage;

pub(crate) fn start() -> WallTime {
    WallTime::from_ms(1_800_000_000_000)
}

pub(crate) fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed([seed; 32])
}

pub(crate) struct Fleet {
    pub(crate) key: SigningKey,
    pub(crate) id: FleetId,
    pub(crate) roots: Vec<Vec<u8>>,
    pub(crate) pins: Vec<Pin>,
}

impl Fleet {
    pub(crate) fn new(seed: u8, versions: u64) -> Self {
        Self::with_idle_keys(seed, versions, 0)
    }

    /// A fleet whose roots name so many keys besides, which makes them large.
    pub(crate) fn with_idle_keys(seed: u8, versions: u64, idle: u8) -> Self {
        let key = key(seed);
        let mut draft =
            RootDraft::first("test", start(), WallTime::MAX).key(key.public(), "everyone");
        for idle in 0..idle {
            let idle = SigningKey::from_seed([idle; 32]);
            draft = draft.key(idle.public(), &"n".repeat(DISPLAY_NAME_BYTES_MAX));
        }
        for role in Role::ALL {
            draft = draft.role(role, 1, [key.public().id()]);
        }
        Self::founded(key, draft, versions)
    }

    /// A fleet in which two of two keys enrol, [`Self::signed`] being one of them.
    pub(crate) fn with_two_who_enrol(seed: u8, second: &SigningKey) -> Self {
        let key = key(seed);
        let mut draft = RootDraft::first("test", start(), WallTime::MAX)
            .key(key.public(), "everyone")
            .key(second.public(), "second");
        for role in Role::ALL {
            draft = draft.role(role, 1, [key.public().id()]);
        }
        let both = [key.public().id(), second.public().id()];
        Self::founded(key, draft.role(Role::Enroll, 2, both), 1)
    }

    fn founded(key: SigningKey, mut draft: RootDraft, versions: u64) -> Self {
        let (mut roots, mut pins, mut id) = (vec![], vec![], None);
        for version in 1..=versions {
            let (payload, root) = draft.finish().unwrap();
            id = id.or(Some(FleetId(root.digest.0)));
            pins.push(Pin { version, digest: root.digest });
            roots.push(Envelope::signed(Context::Root, payload, [&key]).to_json());
            draft = RootDraft::after(&root, start(), WallTime::MAX);
        }
        Self { key, id: id.unwrap(), roots, pins }
    }

    /// Root 2, one of many that its signers may write.
    pub(crate) fn second_root(&self, seconds: i64) -> Vec<u8> {
        let first = self.read_root(&self.roots[0]);
        let issued = start().plus_ms(seconds * 1_000);
        self.sign_root(&RootDraft::after(&first, issued, WallTime::MAX))
    }

    pub(crate) fn read_root(&self, envelope: &[u8]) -> Root {
        Root::parse(&Envelope::parse(envelope).unwrap().payload).unwrap()
    }

    pub(crate) fn sign_root(&self, draft: &RootDraft) -> Vec<u8> {
        let (payload, _) = draft.finish().unwrap();
        Envelope::signed(Context::Root, payload, [&self.key]).to_json()
    }

    pub(crate) fn pin(&self) -> Pin {
        *self.pins.last().unwrap()
    }

    pub(crate) fn draft(&self) -> Draft {
        Draft::new(self.id, Scope::Fleet, start())
    }

    /// A statement's entry and that of its signature.
    pub(crate) fn signed(&self, draft: &Draft) -> [Vec<u8>; 2] {
        let statement = draft.finish().unwrap();
        let signature = self.key.sign(Context::Statement, statement.bytes());
        let signature = signature_entry(&statement.digest(), &self.key.public().id(), &signature);
        [statement_entry(statement.bytes()), signature]
    }

    /// Different signatures of a statement under the fleet's key that do not verify.
    pub(crate) fn forged(&self, draft: &Draft, count: u16) -> Vec<Vec<u8>> {
        let statement = draft.finish().unwrap().digest();
        let signature = |number: u16| {
            let mut bytes = [0; 64];
            bytes[2..4].copy_from_slice(&number.to_be_bytes());
            signature_entry(&statement, &self.key.public().id(), &Signature(bytes))
        };
        (0..count).map(signature).collect()
    }

    pub(crate) fn host(&self, host: &SigningKey, version: u64, site: &str) -> ResourceDraft {
        let public = host.public();
        let name = "press".to_owned();
        let spec = HostSpec { name, public_key: public.to_string(), ..HostSpec::default() };
        ResourceDraft::new(public.id().into(), version, &Spec::Host(spec))
            .site(Some(site.parse().unwrap()))
    }

    pub(crate) fn enroll(&self, host: &SigningKey, site: &str) -> [Vec<u8>; 2] {
        self.signed(&self.draft().resource(self.host(host, 1, site)))
    }

    /// A halt of the site `berlin`.
    pub(crate) fn halt_berlin(&self) -> [Vec<u8>; 2] {
        let scope = Scope::Site("berlin".parse().unwrap());
        let id = named_id(Kind::Halt, &self.id, &scope, "stop");
        let spec = Spec::Halt(HaltSpec { name: "stop".into(), policy: None });
        let halt = ResourceDraft::new(id, 1, &spec).target(everyone());
        self.signed(&Draft::new(self.id, scope, start()).resource(halt))
    }

    pub(crate) fn remove(&self, host: &SigningKey, site: &str) -> [Vec<u8>; 2] {
        let gone = ResourceDraft::tombstone(Kind::Host, host.public().id().into(), 2);
        self.signed(&self.draft().resource(gone.site(Some(site.parse().unwrap()))))
    }
}

/// The name of the only OS profile.
const PROFILE: &str = "edge";
/// The version that every machine runs at first.
pub(crate) const FIRST: &str = "1.0.0";

pub(crate) fn everyone() -> Target {
    Target { all: true, ..Target::default() }
}

impl Fleet {
    /// The resource digest of a released OS profile, and its entries.
    pub(crate) fn release(&self, version: &str) -> (Digest, [Vec<u8>; 2]) {
        let spec = serde_json::from_value(serde_json::json!({
            "name": PROFILE, "type": "OS_TYPE_IMMUTABLE", "provider": "OS_PROVIDER_KIND_INFRA",
            "profileName": PROFILE, "osImageVersion": version,
            "indexDigest": Digest::of(version.as_bytes()), "indexBytes": 1_000,
        }));
        let id = named_id(Kind::OsProfile, &self.id, &Scope::Fleet, version);
        let resource = ResourceDraft::new(id, 1, &Spec::OsProfile(spec.unwrap()));
        let draft = self.draft().resource(resource);
        let digest = draft.finish().unwrap().payload().resources[0].digest();
        (digest, self.signed(&draft))
    }

    /// A policy for everyone that asks for a released OS profile.
    pub(crate) fn policy(&self, policy_version: u64, version: &str, digest: Digest) -> Draft {
        let target_os = TargetOs { profile: PROFILE.into(), version: version.into(), digest };
        let spec = serde_json::from_value(serde_json::json!({
            "name": "everyone", "updatePolicy": "UPDATE_POLICY_TARGET", "targetOs": target_os,
            "spreadSeconds": 0,
        }));
        let spec = Spec::OsUpdatePolicy(spec.unwrap());
        let id = named_id(Kind::OsUpdatePolicy, &self.id, &Scope::Fleet, "everyone");
        self.draft().resource(ResourceDraft::new(id, policy_version, &spec).target(everyone()))
    }

    /// The site `berlin`.
    pub(crate) fn site(&self) -> [Vec<u8>; 2] {
        let spec = Spec::Site(SiteSpec { name: "Berlin".into(), ..SiteSpec::default() });
        let resource = ResourceDraft::new("berlin".parse().unwrap(), 1, &spec);
        self.signed(&self.draft().resource(resource))
    }

    /// A window for everyone that has no end.
    pub(crate) fn window(&self) -> [Vec<u8>; 2] {
        let spec = Spec::SingleSchedule(SingleScheduleSpec {
            name: "always".into(),
            schedule_status: ScheduleStatus::OsUpdate,
            start_seconds: start().as_seconds(),
            end_seconds: None,
        });
        let id = named_id(Kind::SingleSchedule, &self.id, &Scope::Fleet, "always");
        self.signed(&self.draft().resource(ResourceDraft::new(id, 1, &spec).target(everyone())))
    }

    /// Everything that an update to `version` takes, and the digest of its profile.
    pub(crate) fn order(&self, version: &str) -> (Digest, Vec<Carried>) {
        let (digest, released) = self.release(version);
        let policy = self.signed(&self.policy(1, version, digest));
        let all = [self.site(), released, policy, self.window()];
        (digest, entries(all.into_iter().flatten()))
    }
}

pub(crate) fn entries(all: impl IntoIterator<Item = Vec<u8>>) -> Vec<Carried> {
    all.into_iter().map(Carried::Entry).collect()
}

/// What one step asked for.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) immediate: Vec<Effect>,
    pub(crate) writes: Vec<Write>,
    pub(crate) deferred: Vec<Effect>,
}

impl Asked {
    pub(crate) fn reply(&self) -> Reply {
        let is_reply = |effect: &Effect| matches!(effect, Effect::Reply { .. });
        assert!(!self.immediate.iter().any(is_reply), "an answer promises durability");
        let found = self.deferred.iter().find_map(|effect| match effect {
            Effect::Reply { reply, .. } => Some(reply.clone()),
            _ => None,
        });
        found.expect("every request is answered")
    }

    pub(crate) fn verdict(&self) -> Verdict {
        let found = self.immediate.iter().find_map(|effect| match effect {
            Effect::Verdict { verdict, .. } => Some(*verdict),
            _ => None,
        });
        found.expect("gossip is judged in the same step, at once")
    }

    pub(crate) fn admitted(&self) -> Option<Admission> {
        self.immediate.iter().find_map(|effect| match effect {
            Effect::Admit { admission, .. } => Some(*admission),
            _ => None,
        })
    }

    /// The messages for one peer over the sync channel.
    pub(crate) fn told(&self, to: KeyId) -> Vec<SyncMessage> {
        let sync = self
            .sends()
            .into_iter()
            .filter(|(peer, channel, _)| *peer == to && *channel == Channel::Sync);
        sync.map(|(_, _, bytes)| SyncMessage::decode(&bytes).unwrap()).collect()
    }

    pub(crate) fn sends(&self) -> Vec<(KeyId, Channel, Vec<u8>)> {
        let all = self.immediate.iter().chain(&self.deferred);
        all.filter_map(|effect| match effect {
            Effect::Send { peer, channel, bytes } => Some((*peer, *channel, bytes.clone())),
            _ => None,
        })
        .collect()
    }
}

/// What a machine stored, as its store and files would hold it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    pub(crate) durable: DurableState,
    pub(crate) roots: Vec<(u64, Vec<u8>)>,
    pub(crate) entries: Vec<StoredEntry>,
    pub(crate) reports: Vec<StoredReport>,
    pub(crate) floors: Floors,
    pub(crate) blobs: Vec<(Digest, Vec<u8>)>,
}

impl Disk {
    /// A disk of which only the small file and the roots are left.
    pub(crate) fn of(durable: DurableState, roots: &[Vec<u8>]) -> Self {
        Self { durable, roots: (1..).zip(roots.to_vec()).collect(), ..Self::default() }
    }

    /// What a machine with this disk starts from.
    pub(crate) fn start(&self, key: SigningKey) -> Start {
        Start {
            seed: key.public().id().0,
            key,
            durable: self.durable.clone(),
            roots: self.roots.iter().map(|(_, root)| root.clone()).collect(),
            entries: self.entries.clone(),
            reports: self.reports.clone(),
            blobs: self.blobs.clone(),
            floors: self.floors.clone(),
        }
    }

    fn write(&mut self, write: &Write) {
        match write.clone() {
            Write::PutEntry { document, hash, bytes } => {
                self.entries.push(StoredEntry { document, hash, bytes });
            }
            Write::DropEntry { document, hash } => {
                self.entries.retain(|held| (&held.document, held.hash) != (&document, hash));
            }
            Write::PutReport { host, generation, count, bytes } => {
                self.reports.push(StoredReport { host, generation, count, bytes });
            }
            Write::DropReports { host, below } => {
                self.reports.retain(|held| held.host != host || held.generation >= below);
            }
            Write::PutBlob { digest, bytes } => self.blobs.push((digest, bytes)),
            Write::DropBlob { digest } => self.blobs.retain(|(held, _)| *held != digest),
            Write::PutRoot { version, bytes } => {
                self.roots.retain(|(held, _)| *held != version);
                self.roots.push((version, bytes));
            }
            Write::AppendFloor(floor) => drop(self.floors.apply(floor)),
            Write::PutState(state) => self.durable = *state,
        }
    }
}

/// A node, its clocks and its disk.
pub(crate) struct Rig {
    pub(crate) key: SigningKey,
    pub(crate) node: Node,
    pub(crate) now_ms: u64,
    /// Whether the operating system says that its clock is synchronised.
    pub(crate) synchronised: bool,
    pub(crate) disk: Disk,
}

impl Rig {
    pub(crate) fn new(seed: u8) -> Self {
        Self::on(seed, Disk::default())
    }

    /// A machine that starts with this disk.
    pub(crate) fn on(seed: u8, disk: Disk) -> Self {
        let key = key(seed);
        let started = disk.start(key.clone());
        let config = CoreConfig::new(ClockTrust::Synchronised, WallTime::EPOCH, 8).unwrap();
        let (node, batch) = Node::new(config, started, reading(0, true));
        let mut rig = Self { key, node, now_ms: 0, synchronised: true, disk };
        rig.note(batch);
        rig
    }

    /// The machine after a restart, inspected, with what its disk holds.
    pub(crate) fn restarted(seed: u8, disk: Disk) -> Self {
        let mut rig = Self::on(seed, disk);
        rig.step(Event::Inspected(Box::new(inspection())));
        rig
    }

    /// An enrolled member of site `berlin`, inspected.
    pub(crate) fn member(fleet: &Fleet, seed: u8) -> Self {
        let mut rig = Self::new(seed);
        let mut items: Vec<Carried> = fleet.roots.iter().cloned().map(Carried::Root).collect();
        items.extend(entries(fleet.enroll(&rig.key, "berlin")));
        assert_eq!(rig.join(fleet.pin(), items).reply(), Reply::Done);
        rig.step(Event::Inspected(Box::new(inspection())));
        rig
    }

    pub(crate) fn id(&self) -> KeyId {
        self.key.public().id()
    }

    pub(crate) fn step(&mut self, event: Event) -> Asked {
        let batch = self.node.step(reading(self.now_ms, self.synchronised), event);
        self.note(batch)
    }

    fn note(&mut self, mut batch: Batch) -> Asked {
        let immediate = batch.take_immediate();
        let writes = batch.writes().to_vec();
        writes.iter().for_each(|write| self.disk.write(write));
        Asked { immediate, writes, deferred: batch.confirm_durable() }
    }

    /// A gate's answer in the newest decision.
    pub(crate) fn gate(&self, gate: Gate) -> GateAnswer {
        let gates = &self.node.decision().expect("it decided").gates;
        gates.iter().find(|answer| answer.gate == gate).expect("every gate answers").clone()
    }

    pub(crate) fn wait(&mut self, ms: u64) -> Asked {
        self.now_ms += ms;
        self.step(Event::Wake)
    }

    pub(crate) fn join(&mut self, pin: Pin, items: Vec<Carried>) -> Asked {
        self.step(Event::Join { request: RequestId(1), pin, items })
    }

    pub(crate) fn submit(&mut self, items: Vec<Carried>) -> Asked {
        self.step(Event::Submit { request: RequestId(2), items, visitor: None })
    }

    pub(crate) fn gossip(&mut self, from: KeyId, bytes: Vec<u8>) -> Asked {
        self.step(Event::Gossip { id: GossipId(1), from, bytes })
    }

    pub(crate) fn connect(&mut self, peer: KeyId, admission: Admission) -> Asked {
        self.step(Event::Connected { peer, address: "/test".into(), admission })
    }

    /// What a peer is answered to a comparison that it opens.
    pub(crate) fn told_when_asked(&mut self, peer: KeyId) -> Vec<SyncMessage> {
        self.receive(peer, &SyncMessage::WantRoots { first: 1, last: 9 }).told(peer)
    }

    pub(crate) fn receive(&mut self, peer: KeyId, message: &SyncMessage) -> Asked {
        let (channel, bytes) = (Channel::Sync, message.encode());
        self.step(Event::Received { peer, channel, bytes })
    }
}

/// Connects two nodes and carries messages until none is left.
pub(crate) fn talk(a: &mut Rig, b: &mut Rig, admission: Admission) {
    let mut queue = a.connect(b.id(), admission).sends();
    queue.extend(b.connect(a.id(), admission).sends());
    carry(a, b, queue);
}

/// Carries what two say, and what they answer, until both are silent.
pub(crate) fn carry(a: &mut Rig, b: &mut Rig, mut queue: Vec<(KeyId, Channel, Vec<u8>)>) {
    let mut carried = 0;
    while let Some((to, channel, bytes)) = queue.pop() {
        carried += 1;
        assert!(carried < 1_000, "they talk for ever");
        let (from, to) = if to == a.id() { (b.id(), &mut *a) } else { (a.id(), &mut *b) };
        queue.extend(to.step(Event::Received { peer: from, channel, bytes }).sends());
    }
}

fn reading(ms: u64, synchronised: bool) -> Reading {
    let wall = start().plus_ms(i64::try_from(ms).unwrap() + 60_000);
    Reading { mono: MonoTime(ms), wall, synchronised }
}

pub(crate) fn inspection() -> Inspection {
    Inspection {
        machine: Machine {
            os_type: OsType::Immutable,
            platform: PlatformKind::Slots,
            architecture: "x86_64".into(),
            installed: Some(Installed {
                profile: Some(PROFILE.into()),
                version: Some(FIRST.into()),
                index_digest: Some(Digest::of(FIRST.as_bytes())),
                image_sha256: None,
                source: InstalledSource::Slot,
            }),
            staged: None,
            quarantine: vec![],
            inhibitors: vec![],
            other_updaters: vec![],
            activation_ms: None,
            activity: Activity::Idle,
            slot_busy: None,
        },
        booted_slot: Some("a".into()),
        boot_unconfirmed: false,
        boot_id: None,
        facts: vec![],
    }
}
