//! Push: what is new goes out at once by gossip, and what gossip brings is judged in the same step
//! (DESIGN section 5).

use std::collections::BTreeSet;

use daymark_protocol::document::{DocumentId, FreshEntry, Outcome, StoredReport};
use daymark_protocol::id::KeyId;
use daymark_protocol::wire::{Fetching, GossipMessage, ITEMS_PER_MESSAGE_MAX, Liveness, in_parts};

use crate::admission;
use crate::durable::UpdateState;
use crate::effect::{Admission, Batch, Effect, Topic, Verdict};
use crate::event::GossipId;
use crate::intake::Origin;
use crate::node::Node;
use crate::timer::Timer;

/// Hosts whose newest liveness is kept.
const LIVENESS_HOSTS_MAX: usize = 4_096;
/// Longest pause between joining a group and comparing with a peer, ms.
const GROUP_PAUSE_MS_MAX: u64 = 1_000;
/// Shortest pause between own livenesses, ms.
const LIVENESS_PAUSE_MS_MIN: u64 = 5_000;
/// Pause between own livenesses while nothing changes, ms, for each enrolled host: gossip makes
/// about six copies of some 300 bytes, so that a node sends about 30 B/s of them in any fleet.
const LIVENESS_PAUSE_MS_PER_HOST: u64 = 60_000;

impl Node {
    /// The topic of a document's group, once the fleet is known.
    pub(crate) fn topic(&self, document: &DocumentId) -> Option<Topic> {
        let fleet = self.replica.as_ref()?.chain().fleet()?;
        Some(Topic(format!("daymark/{fleet}/{document}")))
    }

    fn own_site(&self) -> Option<DocumentId> {
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
        let documents = [Some(DocumentId::Fleet), self.own_site()];
        let wanted: BTreeSet<Topic> =
            documents.iter().flatten().filter_map(|document| self.topic(document)).collect();
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

    /// Publishes entries and reports in their groups. Own reports promise something, so they go
    /// out only when they are durable.
    pub(crate) fn push(
        &mut self,
        fresh: &[FreshEntry],
        reports: &[StoredReport],
        batch: &mut Batch,
    ) {
        let site = self.own_site();
        for document in [Some(DocumentId::Fleet), site.clone()].into_iter().flatten() {
            let Some(topic) = self.topic(&document) else { return };
            let entries: Vec<Vec<u8>> = fresh
                .iter()
                .filter(|entry| entry.documents.contains(&document))
                .map(|entry| entry.bytes.clone())
                .collect();
            for part in in_parts(entries, ITEMS_PER_MESSAGE_MAX) {
                self.publish(&topic, &GossipMessage::Entries(part), false, batch);
            }
        }
        let Some(topic) = site.and_then(|site| self.topic(&site)) else { return };
        let (own, others): (Vec<&StoredReport>, Vec<&StoredReport>) =
            reports.iter().partition(|report| report.host == self.own);
        for (reports, durable) in [(own, true), (others, false)] {
            let reports = reports.into_iter().map(|report| report.bytes.clone()).collect();
            for part in in_parts(reports, ITEMS_PER_MESSAGE_MAX) {
                self.publish(&topic, &GossipMessage::Reports(part), durable, batch);
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
        let refused = self.counters.refused;
        let verdict = self.judge_gossip(from, bytes, batch);
        batch.now(Effect::Verdict { id, verdict });
        self.blame(from, self.counters.refused - refused, batch);
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
        let Ok(said) = Liveness::verify(bytes) else {
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
        self.timers.set_earlier(Timer::Dial, self.reading.mono);
        Verdict::Accept
    }

    /// Tells peers where this node is and what it fetches, once it has a generation to say it in.
    pub(crate) fn tell_liveness(&mut self, batch: &mut Batch) {
        let members = self.member_count();
        let pause_ms = LIVENESS_PAUSE_MS_PER_HOST.saturating_mul(members.max(1));
        let pause_ms = pause_ms + self.jitter.below(LIVENESS_PAUSE_MS_MIN);
        self.timers.set(Timer::Liveness, self.reading.mono.plus_ms(pause_ms));
        let Some(fleet) = self.replica.as_ref().and_then(|replica| replica.chain().fleet()) else {
            return;
        };
        let Some(topic) = self.own_site().and_then(|site| self.topic(&site)) else { return };
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

    fn member_count(&self) -> u64 {
        let hosts: BTreeSet<&KeyId> = self.liveness.keys().chain(self.peers.keys()).collect();
        hosts.len() as u64
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
