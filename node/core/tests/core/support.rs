//! A fleet with one key for all roles, and nodes whose time the test moves.

use daymark_core::durable::DurableState;
use daymark_core::effect::{Admission, Channel, Effect, Reply, Topic, Verdict, Write};
use daymark_core::event::{Carried, GossipId, Inspection, Reading, RequestId};
use daymark_core::{ClockTrust, CoreConfig, Event, Node, Start};
use daymark_protocol::decide::{Activity, Machine, PlatformKind};
use daymark_protocol::document::{signature_entry, statement_entry};
use daymark_protocol::id::{FleetId, KeyId};
use daymark_protocol::limits::DISPLAY_NAME_BYTES_MAX;
use daymark_protocol::resource::{HostSpec, Kind, OsType, Role, Scope, Spec};
use daymark_protocol::time::{MonoTime, WallTime};
use daymark_protocol::trust::{
    Context, Draft, Envelope, Floors, Pin, ResourceDraft, Root, RootDraft, Signature, SigningKey,
};
use daymark_protocol::wire::SyncMessage;

pub(crate) fn start() -> WallTime {
    WallTime::from_ms(1_800_000_000_000)
}

pub(crate) fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed([seed; 32])
}

pub(crate) struct Fleet {
    key: SigningKey,
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
        let (mut roots, mut pins, mut id) = (vec![], vec![], None);
        let mut draft =
            RootDraft::first("test", start(), WallTime::MAX).key(key.public(), "everyone");
        for idle in 0..idle {
            let idle = SigningKey::from_seed([idle; 32]);
            draft = draft.key(idle.public(), &"n".repeat(DISPLAY_NAME_BYTES_MAX));
        }
        for role in Role::ALL {
            draft = draft.role(role, 1, [key.public().id()]);
        }
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

    pub(crate) fn remove(&self, host: &SigningKey, site: &str) -> [Vec<u8>; 2] {
        let gone = ResourceDraft::tombstone(Kind::Host, host.public().id().into(), 2);
        self.signed(&self.draft().resource(gone.site(Some(site.parse().unwrap()))))
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

    pub(crate) fn sends(&self) -> Vec<(KeyId, Channel, Vec<u8>)> {
        let all = self.immediate.iter().chain(&self.deferred);
        all.filter_map(|effect| match effect {
            Effect::Send { peer, channel, bytes } => Some((*peer, *channel, bytes.clone())),
            _ => None,
        })
        .collect()
    }
}

/// A node and its clocks.
pub(crate) struct Rig {
    pub(crate) key: SigningKey,
    pub(crate) node: Node,
    pub(crate) now_ms: u64,
}

impl Rig {
    pub(crate) fn new(seed: u8) -> Self {
        Self::on(seed, DurableState::default(), vec![], Floors::default()).0
    }

    /// A machine whose disk holds this.
    pub(crate) fn on(
        seed: u8,
        durable: DurableState,
        roots: Vec<Vec<u8>>,
        floors: Floors,
    ) -> (Self, Asked) {
        let (entries, reports, blobs) = (vec![], vec![], vec![]);
        let key = key(seed);
        let started = Start {
            key: key.clone(),
            seed: [seed; 32],
            durable,
            roots,
            entries,
            reports,
            blobs,
            floors,
        };
        let config = CoreConfig::new(ClockTrust::Synchronised, WallTime::EPOCH, 8).unwrap();
        let (node, batch) = Node::new(config, started, reading(0));
        (Self { key, node, now_ms: 0 }, asked(batch))
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
        asked(self.node.step(reading(self.now_ms), event))
    }

    pub(crate) fn wait(&mut self, ms: u64) -> Asked {
        self.now_ms += ms;
        self.step(Event::Wake)
    }

    pub(crate) fn join(&mut self, pin: Pin, items: Vec<Carried>) -> Asked {
        self.step(Event::Join { request: RequestId(1), pin, items })
    }

    pub(crate) fn submit(&mut self, items: Vec<Carried>) -> Asked {
        self.step(Event::Submit { request: RequestId(2), items })
    }

    pub(crate) fn gossip(&mut self, from: KeyId, bytes: Vec<u8>) -> Asked {
        let topic = Topic("any".into());
        self.step(Event::Gossip { id: GossipId(1), from, topic, bytes })
    }

    pub(crate) fn connect(&mut self, peer: KeyId, admission: Admission) -> Asked {
        self.step(Event::Connected { peer, address: "/test".into(), admission })
    }

    pub(crate) fn receive(&mut self, peer: KeyId, message: &SyncMessage) -> Asked {
        let (channel, bytes) = (Channel::Sync, message.encode());
        self.step(Event::Received { peer, channel, bytes })
    }
}

/// Connects two nodes and carries messages until none is left.
pub(crate) fn talk(a: &mut Rig, b: &mut Rig, admission: Admission) {
    let mut queue: Vec<(KeyId, Channel, Vec<u8>)> = a.connect(b.id(), admission).sends();
    queue.extend(b.connect(a.id(), admission).sends());
    let mut carried = 0;
    while let Some((to, channel, bytes)) = queue.pop() {
        carried += 1;
        assert!(carried < 1_000, "they talk for ever");
        let (from, to) = if to == a.id() { (b.id(), &mut *a) } else { (a.id(), &mut *b) };
        queue.extend(to.step(Event::Received { peer: from, channel, bytes }).sends());
    }
}

fn asked(mut batch: daymark_core::Batch) -> Asked {
    let immediate = batch.take_immediate();
    let writes = batch.writes().to_vec();
    Asked { immediate, writes, deferred: batch.confirm_durable() }
}

fn reading(ms: u64) -> Reading {
    let wall = start().plus_ms(i64::try_from(ms).unwrap() + 60_000);
    Reading { mono: MonoTime(ms), wall, synchronised: true }
}

pub(crate) fn inspection() -> Inspection {
    Inspection {
        machine: Machine {
            os_type: OsType::Immutable,
            platform: PlatformKind::Slots,
            architecture: String::new(),
            installed: None,
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
