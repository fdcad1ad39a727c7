//! Push: what is new goes out at once by gossip, and what gossip brings is judged in the same step
//! (DESIGN section 5).

use std::collections::{BTreeMap, BTreeSet};

use daymark_protocol::document::{Changes, DocumentId, FreshEntry, Outcome, StoredReport};
use daymark_protocol::id::{Digest, KeyId};
use daymark_protocol::wire::{Fetching, GossipMessage, ITEMS_PER_MESSAGE_MAX, Liveness, in_parts};

use crate::admission;
use crate::durable::UpdateState;
use crate::effect::{Admission, Batch, Effect, Topic, Verdict};
use crate::event::GossipId;
use crate::groups::PushGroups;
use crate::intake::Origin;
use crate::node::Node;
use crate::timer::Timer;

/// Hosts whose newest liveness is kept.
const LIVENESS_HOSTS_MAX: usize = 4_096;
/// Longest pause between joining a group and comparing with a peer, ms.
const GROUP_PAUSE_MS_MAX: u64 = 1_000;
/// Shortest pause between own livenesses, ms.
const LIVENESS_PAUSE_MS_MIN: u64 = 5_000;
/// Fresh items that repair brought and that are still pushed: more than these come from a first
/// sync or a long absence, and repair spreads those better.
const REPAIRED_PUSHED_MAX: usize = 32;
/// First pause between own livenesses, ms, for each host of the group: gossip makes about six copies
/// of some 300 bytes, so that a node sends at most 30 B/s of them in any fleet.
const LIVENESS_PAUSE_MS_PER_HOST: u64 = 60_000;
/// The pause doubles this often while there is nothing new to say: who missed it hears of the
/// others by then, and the longer a host said the same, the fewer there are.
const LIVENESS_DOUBLINGS_MAX: u32 = 4;

/// What the newest own liveness said of where this node is and what it fetches.
#[derive(Debug, Default)]
pub(crate) struct Said {
    generation: u64,
    addresses: Vec<String>,
    index: Option<Digest>,
    /// How often it was said again.
    again: u32,
}

impl Said {
    /// Takes down what is said now.
    fn note(&mut self, said: &Liveness) {
        let Liveness { generation, addresses, fetching, .. } = said;
        let index = fetching.map(|fetching| fetching.index);
        let same =
            (self.generation, &self.addresses, self.index) == (*generation, addresses, index);
        let again = if same { self.again.saturating_add(1) } else { 0 };
        *self = Self { generation: *generation, addresses: addresses.clone(), index, again };
    }

    /// The pause before it is said again.
    fn pause_ms(&self, members: u64) -> u64 {
        let first_ms = LIVENESS_PAUSE_MS_PER_HOST.saturating_mul(members.max(1));
        first_ms.saturating_mul(1 << self.again.min(LIVENESS_DOUBLINGS_MAX))
    }
}

impl Node {
    /// A topic of the fleet, once it is known: a document, or a push group.
    fn topic(&self, name: &str) -> Option<Topic> {
        let fleet = self.replica.as_ref()?.chain().fleet()?;
        Some(Topic(format!("daymark/{fleet}/{name}")))
    }

    pub(crate) fn own_site(&self) -> Option<DocumentId> {
        let replica = self.replica.as_ref()?;
        Some(admission::site_of(replica.standing(), &self.own))
    }

    /// Subscribes to the groups that this node belongs to, each once, and leaves those that it no
    /// longer belongs to. While no root is held whole its site cannot be told: it stays.
    pub(crate) fn subscribe(&mut self, batch: &mut Batch) {
        let Some(replica) = &self.replica else { return };
        if replica.standing().root.is_none() {
            return;
        }
        self.groups = PushGroups::of(admission::hosts_beside(replica.standing(), &self.own));
        let mut names = vec![DocumentId::Fleet.to_string()];
        if let Some(site) = self.own_site() {
            names.extend(self.groups.heard(&site, &self.own));
            names.push(site.to_string());
        }
        let wanted: BTreeSet<Topic> = names.iter().filter_map(|name| self.topic(name)).collect();
        for topic in self.topics.difference(&wanted) {
            batch.now(Effect::Unsubscribe(topic.clone()));
        }
        for topic in wanted.difference(&self.topics) {
            batch.now(Effect::Subscribe(topic.clone()));
            // What was said in the group before is compared soon.
            let soon = self.reading.mono.plus_ms(self.jitter.below(GROUP_PAUSE_MS_MAX));
            self.timers.set_earlier(Timer::Repair, soon);
        }
        self.topics = wanted;
    }

    /// Pushes what is new and came in this way, if the groups would not have it otherwise.
    pub(crate) fn push(&mut self, changes: &Changes, origin: Origin, batch: &mut Batch) {
        // What other groups' hosts report comes by repair alone, and goes on by repair.
        let ours = |report: &&StoredReport| self.groups.share(&report.host, &self.own);
        let reports: Vec<&StoredReport> = match origin {
            Origin::Own | Origin::Local => changes.reports.iter().collect(),
            Origin::Repair => changes.reports.iter().filter(ours).collect(),
            Origin::Gossip => return,
        };
        if origin == Origin::Repair && changes.fresh.len() + reports.len() > REPAIRED_PUSHED_MAX {
            return;
        }
        self.push_entries(&changes.fresh, batch);
        self.push_reports(&reports, batch);
    }

    fn push_entries(&mut self, fresh: &[FreshEntry], batch: &mut Batch) {
        for document in [Some(DocumentId::Fleet), self.own_site()].into_iter().flatten() {
            let Some(topic) = self.topic(&document.to_string()) else { return };
            let entries: Vec<Vec<u8>> = fresh
                .iter()
                .filter(|entry| entry.documents.contains(&document))
                .map(|entry| entry.bytes.clone())
                .collect();
            for part in in_parts(entries, ITEMS_PER_MESSAGE_MAX) {
                self.publish(&topic, &GossipMessage::Entries(part), false, batch);
            }
        }
    }

    /// Publishes reports, each in the group of its host. Own reports promise something, so they go
    /// out only when they are durable.
    fn push_reports(&mut self, reports: &[&StoredReport], batch: &mut Batch) {
        let Some(site) = self.own_site() else { return };
        let mut groups: BTreeMap<(bool, String), Vec<Vec<u8>>> = BTreeMap::new();
        for report in reports {
            let name = self.groups.name(&site, &report.host);
            let reports = groups.entry((report.host == self.own, name)).or_default();
            reports.push(report.bytes.clone());
        }
        for ((own, name), reports) in groups {
            let Some(topic) = self.topic(&name) else { return };
            for part in in_parts(reports, ITEMS_PER_MESSAGE_MAX) {
                self.publish(&topic, &GossipMessage::Reports(part), own, batch);
            }
        }
    }

    fn publish(
        &mut self,
        topic: &Topic,
        message: &GossipMessage,
        when_durable: bool,
        batch: &mut Batch,
    ) {
        let bytes = message.encode();
        self.counters.published_bytes += bytes.len() as u64;
        let effect = Effect::Publish { topic: topic.clone(), bytes };
        if when_durable { batch.after(effect) } else { batch.now(effect) }
    }

    /// Judges a gossip message and takes what it brings.
    pub(crate) fn gossip_received(
        &mut self,
        id: GossipId,
        from: KeyId,
        bytes: &[u8],
        batch: &mut Batch,
    ) {
        let before = self.counters;
        let verdict = self.judge_gossip(from, bytes, batch);
        batch.now(Effect::Verdict { id, verdict });
        self.blame_since(from, &before, batch);
    }

    fn judge_gossip(&mut self, from: KeyId, bytes: &[u8], batch: &mut Batch) -> Verdict {
        if self.wanted_admission(&from) < Admission::Member {
            self.counters.unadmitted += 1;
            return Verdict::Ignore;
        }
        if !self.spend(&from) {
            return Verdict::Ignore;
        }
        match GossipMessage::decode(bytes) {
            Ok(GossipMessage::Entries(entries)) => {
                verdict(&self.take_entries(&entries, Origin::Gossip, batch))
            }
            Ok(GossipMessage::Reports(reports)) => {
                let outcomes = self.take_reports(&reports, Origin::Gossip, batch);
                self.want_gaps(from, &outcomes, batch);
                verdict(&outcomes)
            }
            Ok(GossipMessage::Liveness(bytes)) => self.liveness_received(&bytes),
            Err(_) => {
                self.counters.malformed += 1;
                Verdict::Reject
            }
        }
    }

    fn liveness_received(&mut self, bytes: &[u8]) -> Verdict {
        let Ok(said) = self.shared.liveness(bytes) else {
            self.counters.refused += 1;
            return Verdict::Reject;
        };
        let host = said.host();
        let ours = self.replica.as_ref().and_then(|replica| replica.chain().fleet());
        if Some(said.fleet) != ours || self.wanted_admission(&host) < Admission::Member {
            return Verdict::Ignore;
        }
        let newest = self.liveness.get(&host);
        let room = newest.is_some() || self.liveness.len() < LIVENESS_HOSTS_MAX;
        let newer =
            newest.is_none_or(|held| (held.generation, held.count) < (said.generation, said.count));
        if !newer || !room || host == self.own {
            return Verdict::Ignore;
        }
        // Its reading is no evidence: whoever passes it on may have kept it back. What a peer
        // says over its own connection is.
        self.addresses.tell(host, said.addresses.clone());
        self.liveness.insert(host, said);
        self.keep_terms_of(host);
        self.timers.set_earlier(Timer::Dial, self.reading.mono);
        Verdict::Accept
    }

    /// Tells peers where this node is and what it fetches, once it has a generation to say it in.
    pub(crate) fn tell_liveness(&mut self, batch: &mut Batch) {
        self.wait_to_tell();
        let Some(fleet) = self.replica.as_ref().and_then(|replica| replica.chain().fleet()) else {
            return;
        };
        let Some(topic) = self.liveness_topic() else { return };
        if self.wanted_admission(&self.own) < Admission::Member || self.reporter.generation() == 0 {
            return;
        }
        self.liveness_count += 1;
        let said = Liveness {
            fleet,
            key: self.key.public(),
            generation: self.reporter.generation(),
            count: self.liveness_count,
            wall: self.reading.wall,
            synchronised: self.reading.synchronised,
            addresses: self.listening.clone(),
            fetching: self.fetching(),
        };
        let message = GossipMessage::Liveness(said.sign(&self.key));
        self.publish(&topic, &message, true, batch);
        self.fetching_told = said.fetching.map(|fetching| fetching.index);
        self.liveness_said.note(&said);
        self.wait_to_tell();
    }

    fn wait_to_tell(&mut self) {
        // Where there are groups, as many again come from the whole site.
        let hosts = self.group_count() * if self.groups.are_several() { 2 } else { 1 };
        let pause_ms = self.liveness_said.pause_ms(hosts);
        let pause_ms = pause_ms + self.jitter.below(LIVENESS_PAUSE_MS_MIN);
        self.timers.set_resting(Timer::Liveness, self.reading.mono.plus_ms(pause_ms));
    }

    /// Tells soon, because something changed.
    pub(crate) fn tell_liveness_soon(&mut self) {
        let soon = self.reading.mono.plus_ms(self.jitter.below(LIVENESS_PAUSE_MS_MIN));
        self.timers.set_earlier(Timer::Liveness, soon);
    }

    fn fetching(&self) -> Option<Fetching> {
        match &self.saved.get().update {
            UpdateState::Staging(attempt) => Some(Fetching {
                index: attempt.target.index_digest?,
                verified_bytes: attempt.progress.verified_bytes,
            }),
            UpdateState::Idle
            | UpdateState::Staged(_)
            | UpdateState::Activating(_)
            | UpdateState::Rebooting(_)
            | UpdateState::Confirming(_)
            | UpdateState::FallingBack(_) => None,
        }
    }

    /// Notices that another image is fetched, or none.
    pub(crate) fn notice_fetching(&mut self) {
        if self.fetching().map(|fetching| fetching.index) != self.fetching_told {
            self.tell_liveness_soon();
        }
    }

    /// The own group mostly; the whole site once in as many times as there are groups, so that
    /// machines of different groups know where to find each other.
    fn liveness_topic(&mut self) -> Option<Topic> {
        let site = self.own_site()?;
        let to_all = self.groups.are_several() && self.jitter.below(self.groups.count()) == 0;
        let name = if to_all { site.to_string() } else { self.groups.name(&site, &self.own) };
        self.topic(&name)
    }

    /// Hosts of the own group that were heard of.
    fn group_count(&self) -> u64 {
        let hosts: BTreeSet<&KeyId> = self.liveness.keys().chain(self.peers.keys()).collect();
        hosts.iter().filter(|host| self.groups.share(host, &self.own)).count() as u64
    }
}

/// One bad item makes the message its sender's fault; a message that brings nothing new to
/// this node, or nothing that it may judge, is not passed on.
fn verdict(outcomes: &[Outcome]) -> Verdict {
    let mut verdict = Verdict::Ignore;
    for outcome in outcomes {
        match outcome {
            Outcome::Refused(_) => return Verdict::Reject,
            Outcome::New => verdict = Verdict::Accept,
            Outcome::Known | Outcome::Held(_) | Outcome::NotKept(_) => {}
        }
    }
    verdict
}
