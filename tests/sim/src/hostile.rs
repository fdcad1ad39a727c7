//! Members whose key a thief has: a real node behind an adversary that holds back what it sends
//! and sends more.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use daymark_core::effect::Channel;
use daymark_protocol::document::{FactPath, Report, Value, statement_entry};
use daymark_protocol::id::{Digest, FleetId};
use daymark_protocol::limits::MESSAGE_BYTES_MAX;
use daymark_protocol::resource::{Kind, OsUpdatePolicySpec, Role, Scope, Spec, Target, TargetOs};
use daymark_protocol::time::WallTime;
use daymark_protocol::trust::{Draft, ResourceDraft, SigningKey, Statement, named_id};
use daymark_protocol::wire::{GossipMessage, SyncMessage};

use crate::faults::Fault;
use crate::operators::{Ledger, PROFILE, Rule, Saying};
use crate::random::Dice;
use crate::scenario::HostileAct;

/// Old messages that it keeps to send again.
const KEPT_MAX: usize = 64;
/// Mischiefs of one thief until faults end, about: enough of each kind, whatever the run's length.
const MISCHIEFS: u64 = 60;
/// Drafts that one message of a flood of them brings.
const DRAFTS: usize = 16;
/// Shortest and longest time that a trickling answer takes, ms.
const TRICKLE_MS: std::ops::RangeInclusive<u64> = 30_000..=600_000;
/// Messages of a flood: several times what a node handles at once.
const FLOOD_MESSAGES: usize = 3_000;

/// A message that an adversary makes up.
#[derive(Clone, Debug)]
pub(crate) struct Mischief {
    pub(crate) fault: Fault,
    /// Over what: gossip if none.
    pub(crate) channel: Option<Channel>,
    pub(crate) bytes: Arc<[u8]>,
    /// How often it is sent.
    pub(crate) times: usize,
}

/// A thief in front of a node.
#[derive(Debug)]
pub(crate) struct Adversary {
    acts: Vec<HostileAct>,
    /// When faults end, ms.
    calm_ms: u64,
    dice: Dice,
    kept: VecDeque<(Option<Channel>, Arc<[u8]>)>,
    /// The entry that it keeps back for ever.
    victim: Option<Digest>,
    /// A report that it heard, to be changed.
    report: Option<Vec<u8>>,
    forged: u64,
}

/// What a thief signs with and about.
pub(crate) struct Loot<'a> {
    pub(crate) fleet: FleetId,
    pub(crate) own_key: &'a SigningKey,
    pub(crate) role_key: &'a SigningKey,
    pub(crate) now: WallTime,
    /// Generation of its own node's reports.
    pub(crate) generation: u64,
}

impl Adversary {
    pub(crate) fn new(acts: &[HostileAct], calm_ms: u64, dice: Dice) -> Self {
        let (acts, kept) = (acts.to_vec(), VecDeque::new());
        Self { acts, calm_ms, dice, kept, victim: None, report: None, forged: 0 }
    }

    pub(crate) fn does(&self, act: HostileAct) -> bool {
        self.acts.contains(&act)
    }

    /// How late a message leaves, if it is made to trickle, ms.
    pub(crate) fn trickles_ms(&mut self, channel: Channel) -> Option<u64> {
        let trickles =
            self.does(HostileAct::Stall) && channel == Channel::Sync && self.dice.below(4) > 0;
        trickles.then(|| self.dice.between(*TRICKLE_MS.start(), *TRICKLE_MS.end()))
    }

    /// Pause until the next mischief, ms: it is at it until the calm.
    pub(crate) fn pause_ms(&mut self) -> u64 {
        let share_ms = (self.calm_ms / MISCHIEFS).max(20_000);
        self.dice.between(share_ms / 2, share_ms * 3 / 2)
    }

    /// Which of so many neighbours is next.
    pub(crate) fn place(&mut self, neighbours: usize) -> usize {
        self.dice.place(neighbours)
    }

    /// Remembers what it hears.
    pub(crate) fn hears(&mut self, channel: Option<Channel>, bytes: &Arc<[u8]>) {
        if self.kept.len() >= KEPT_MAX {
            self.kept.pop_front();
        }
        self.kept.push_back((channel, Arc::clone(bytes)));
        if channel.is_none() {
            match GossipMessage::decode(bytes) {
                Ok(GossipMessage::Reports(mut reports)) => self.report = reports.pop(),
                Ok(GossipMessage::Entries(_) | GossipMessage::Liveness(_)) | Err(_) => {}
            }
        }
    }

    /// What leaves instead of a message of its node, and whether something was kept back. The first
    /// statement that its node would pass on by gossip becomes the one that it keeps back for ever.
    pub(crate) fn leaves(
        &mut self,
        channel: Option<Channel>,
        bytes: &Arc<[u8]>,
    ) -> (Arc<[u8]>, bool) {
        let unchanged = || (Arc::clone(bytes), false);
        if !self.does(HostileAct::Withhold) {
            return unchanged();
        }
        if self.victim.is_none()
            && channel.is_none()
            && let Ok(GossipMessage::Entries(entries)) = GossipMessage::decode(bytes)
        {
            self.victim = entries.first().map(|entry| Digest::of(entry));
        }
        let Some(victim) = self.victim else { return unchanged() };
        let without = |entries: Vec<Vec<u8>>| -> Vec<Vec<u8>> {
            entries.into_iter().filter(|entry| Digest::of(entry) != victim).collect()
        };
        let (all, left) = match channel {
            None => match GossipMessage::decode(bytes) {
                Ok(GossipMessage::Entries(entries)) => (entries.len(), without(entries)),
                Ok(GossipMessage::Reports(_) | GossipMessage::Liveness(_)) | Err(_) => {
                    return unchanged();
                }
            },
            Some(Channel::Sync) => match SyncMessage::decode(bytes) {
                Ok(SyncMessage::Entries(entries)) => (entries.len(), without(entries)),
                Ok(_) | Err(_) => return unchanged(),
            },
            Some(Channel::Join) => return unchanged(),
        };
        if left.len() == all {
            return unchanged();
        }
        let bytes = match channel {
            None => GossipMessage::Entries(left).encode(),
            Some(_) => SyncMessage::Entries(left).encode(),
        };
        (bytes.into(), true)
    }

    /// The next mischief, if it can do what it drew.
    pub(crate) fn mischief(&mut self, loot: &Loot<'_>, ledger: &mut Ledger) -> Option<Mischief> {
        let act = self.acts.get(self.dice.place(self.acts.len())).copied()?;
        let once = |fault, channel, bytes: Vec<u8>| {
            Some(Mischief { fault, channel, bytes: bytes.into(), times: 1 })
        };
        match act {
            HostileAct::Forge => {
                let entries = self.order(loot, loot.own_key, ledger);
                once(Fault::Forged, None, GossipMessage::Entries(entries).encode())
            }
            HostileAct::Stolen => {
                let entries = self.order(loot, loot.role_key, ledger);
                once(Fault::Stolen, None, GossipMessage::Entries(entries).encode())
            }
            HostileAct::Replay => {
                let place = self.dice.place(self.kept.len());
                let (channel, bytes) = self.kept.get(place)?.clone();
                Some(Mischief { fault: Fault::Replayed, channel, bytes, times: 1 })
            }
            HostileAct::Garble => {
                let length = self.dice.between(1, 2_000);
                let bytes = (0..length).map(|_| u8::try_from(self.dice.below(256)).unwrap_or(0));
                let bytes = bytes.collect();
                let channels = [None, Some(Channel::Sync), Some(Channel::Join)];
                once(Fault::Garbled, channels[self.dice.place(3)], bytes)
            }
            HostileAct::Oversize => {
                once(Fault::Oversized, Some(Channel::Sync), vec![1; MESSAGE_BYTES_MAX + 1])
            }
            HostileAct::Flood => {
                let wishes = self.dice.below(2) == 0;
                let message = if wishes {
                    SyncMessage::WantRoots { first: 1, last: 1 }
                } else {
                    SyncMessage::Entries(self.order(loot, loot.role_key, ledger))
                };
                let bytes = message.encode().into();
                let channel = Some(Channel::Sync);
                Some(Mischief { fault: Fault::Flooded, channel, bytes, times: FLOOD_MESSAGES })
            }
            HostileAct::Invent => {
                let mut report = self.report.clone()?;
                let middle = report.len() / 2;
                *report.get_mut(middle)? ^= 1;
                once(Fault::Invented, None, GossipMessage::Reports(vec![report]).encode())
            }
            HostileAct::Rejoin => {
                let joins: Vec<_> =
                    self.kept.iter().filter(|(kept, _)| *kept == Some(Channel::Join)).collect();
                let (channel, bytes) = joins.get(self.dice.place(joins.len()))?;
                let (channel, bytes) = (*channel, Arc::clone(bytes));
                Some(Mischief { fault: Fault::Rejoined, channel, bytes, times: 1 })
            }
            HostileAct::Drafts => {
                let drafts = (0..DRAFTS).flat_map(|_| self.order(loot, loot.role_key, ledger));
                let entries = drafts.collect();
                once(Fault::Drafts, Some(Channel::Sync), SyncMessage::Entries(entries).encode())
            }
            HostileAct::Boast => {
                let report = self.boast(loot)?;
                once(Fault::Boasted, None, GossipMessage::Reports(vec![report]).encode())
            }
            // These happen by themselves.
            HostileAct::Withhold | HostileAct::Chunks | HostileAct::Stall => None,
        }
    }

    /// A report of its own machine that says it runs what nobody released.
    fn boast(&mut self, loot: &Loot<'_>) -> Option<Vec<u8>> {
        self.forged += 1;
        let path = FactPath::new(["os", "version"]).ok()?;
        let report = Report {
            fleet: loot.fleet,
            host: loot.own_key.public().id(),
            generation: loot.generation + self.forged,
            count: 1,
            previous: Digest([0; 32]),
            deletes: BTreeSet::new(),
            puts: BTreeMap::from([(path, Value::Text("66.6.6".to_owned()))]),
        };
        Some(report.sign(loot.own_key).ok()?.bytes().to_vec())
    }

    /// An order of an image that nobody released, signed by one key.
    fn order(&mut self, loot: &Loot<'_>, key: &SigningKey, ledger: &mut Ledger) -> Vec<Vec<u8>> {
        self.forged += 1;
        let id = named_id(Kind::OsUpdatePolicy, &loot.fleet, &Scope::Fleet, "everyone");
        let profile = Digest::of(b"an image of the thief's");
        let policy: OsUpdatePolicySpec = serde_json::from_value(serde_json::json!({
            "name": "everyone", "updatePolicy": "UPDATE_POLICY_TARGET",
            "targetOs": TargetOs {
                profile: PROFILE.into(), version: "66.6.6".into(), digest: profile,
            },
        }))
        .expect("the policy is well-formed");
        let everyone = Target { all: true, ..Target::default() };
        let version = 100 + self.forged;
        let resource =
            ResourceDraft::new(id.clone(), version, &Spec::OsUpdatePolicy(Box::new(policy)));
        let draft =
            Draft::new(loot.fleet, Scope::Fleet, loot.now).resource(resource.target(everyone));
        let statement: Statement = draft.finish().expect("the statement is well-formed");
        let saying = [Saying::Order {
            id,
            version,
            profile,
            site: None,
            window: Rule::Once(0, None),
            sees: vec![],
        }];
        let signatures = ledger.signed(&statement, (Role::Policy, &saying), &[key], false);
        std::iter::once(statement_entry(statement.bytes())).chain(signatures).collect()
    }
}
