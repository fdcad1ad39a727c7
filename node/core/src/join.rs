//! The join exchange (RULES A2): roots, and Host statements of the two machines that talk, both
//! ways. It is all that a stranger hears, and it is what admits it.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use daymark_protocol::document::{Entry, signature_entry, statement_entry};
use daymark_protocol::id::{Digest, KeyId, ResourceId};
use daymark_protocol::limits;
use daymark_protocol::resource::Kind;
use daymark_protocol::rules::{Rule, holds};
use daymark_protocol::trust::{Held, Statement};
use daymark_protocol::wire::JoinMessage;

use crate::admission::Terms;
use crate::effect::{Admission, Batch, Channel, Effect};
use crate::intake::Origin;
use crate::node::Node;

/// In which order roots are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RootOrder {
    /// Lowest first: above the newest that the asker holds each is signed by the one below it.
    Upward,
    /// Highest first: below its pin each is named by the one above it.
    Downward,
}

impl Node {
    /// Asks a peer, unless both sides' connection already lets everything through.
    pub(crate) fn ask_to_join(&mut self, peer: KeyId, batch: &mut Batch) {
        if self.replica.is_none() {
            return;
        }
        let root_version = self.root_version();
        // From the own newest on: a rival of it must be known (RULES R4).
        let newer = (root_version.max(1), root_version + limits::ROOTS_PER_MESSAGE_MAX as u64 - 1);
        let message = JoinMessage::Ask {
            root_version,
            roots: self.roots_wanted().unwrap_or(newer),
            // The peer's own too: who was removed and cannot know hears of it from whoever does.
            entries: self.host_entries(&BTreeSet::from([self.own, peer])),
        };
        self.send_join(peer, &message, batch);
    }

    /// A message over the join channel.
    pub(crate) fn join_received(&mut self, peer: KeyId, bytes: &[u8], batch: &mut Batch) {
        let Some(state) = self.peers.get_mut(&peer) else { return };
        if self.replica.is_none() || !state.budget.spend_join(self.reading.mono) {
            self.counters.over_budget += 1;
            return;
        }
        match JoinMessage::decode(bytes) {
            Ok(JoinMessage::Ask { root_version, roots: (first, last), entries }) => {
                #[cfg(feature = "planted-bugs")]
                self.planted_asked(peer, batch);
                self.take_host_entries(peer, &entries, batch);
                // What does not fit is left out: those come first that the asker can place.
                let upward = root_version > 0 && last > root_version;
                let order = if upward { RootOrder::Upward } else { RootOrder::Downward };
                let answer = JoinMessage::Answer {
                    root_version: self.root_version(),
                    roots: self.roots_between(first, last, order),
                    entries: self.host_entries(&BTreeSet::from([self.own, peer])),
                };
                self.send_join(peer, &answer, batch);
                if root_version > self.root_version() {
                    self.ask_to_join(peer, batch);
                }
            }
            Ok(JoinMessage::Answer { root_version, roots, entries }) => {
                self.show_rivals(peer, root_version, &roots, batch);
                let (version, wanted) = (self.root_version(), self.roots_wanted());
                self.take_roots(&roots, Origin::Repair, batch);
                self.take_host_entries(peer, &entries, batch);
                // There may be more roots, or entries that the last ones left no room for.
                if self.root_version() > version || self.roots_wanted() != wanted {
                    self.ask_to_join(peer, batch);
                }
            }
            Ok(JoinMessage::Visit) => self.visit_asked(peer, batch),
            Ok(JoinMessage::Proof { key, signature }) => {
                self.proof_shown(peer, key, &signature, batch);
            }
            // A node is nobody's visitor.
            Ok(
                JoinMessage::Challenge(_)
                | JoinMessage::Welcome { .. }
                | JoinMessage::TurnedAway { .. },
            ) => {}
            Err(_) => self.counters.malformed += 1,
        }
    }

    /// Shows all roots of the newest version to a peer whose answer has not all of them: who holds
    /// one rival alone knows of nothing to ask for (RULES R4).
    fn show_rivals(&mut self, peer: KeyId, version: u64, shown: &[Vec<u8>], batch: &mut Batch) {
        let rivals = self.roots_between(version, version, RootOrder::Upward);
        if version != self.root_version() || rivals.iter().all(|root| shown.contains(root)) {
            return;
        }
        let told =
            JoinMessage::Answer { root_version: version, roots: rivals, entries: Vec::new() };
        self.send_join(peer, &told, batch);
    }

    /// Takes what a join message shows, if it is about one of the two machines that talk.
    fn take_host_entries(&mut self, peer: KeyId, entries: &[Vec<u8>], batch: &mut Batch) {
        let about = about(&BTreeSet::from([self.own, peer]));
        let decode = |bytes| Entry::decode_sharing(bytes, &self.shared).ok();
        let decoded: Vec<(Entry, &Vec<u8>)> =
            entries.iter().filter_map(|bytes| Some((decode(bytes)?, bytes))).collect();
        let statements: BTreeSet<Digest> = decoded
            .iter()
            .filter_map(|(entry, _)| match entry {
                Entry::Statement(statement) if is_host_of(statement, &about) => {
                    Some(statement.digest())
                }
                Entry::Statement(_) | Entry::Signature { .. } => None,
            })
            .collect();
        let fitting: Vec<Vec<u8>> = decoded
            .into_iter()
            .filter(|(entry, _)| match entry {
                Entry::Statement(statement) => statements.contains(&statement.digest()),
                Entry::Signature { statement, .. } => {
                    statements.contains(statement) || self.holds_statement(statement)
                }
            })
            .map(|(_, bytes)| bytes.clone())
            .collect();
        self.refresh_interest(batch);
        self.take_entries(&fitting, Origin::Repair, batch);
    }

    fn holds_statement(&self, digest: &Digest) -> bool {
        self.replica.as_ref().is_some_and(|replica| replica.statement(digest).is_some())
    }

    /// Host statements of these machines with their signatures, as entries: a tombstone included.
    /// A message holds few: what counts comes first, the highest version before others, each whole,
    /// so that the drafts of one key crowd out nothing.
    fn host_entries(&self, hosts: &BTreeSet<KeyId>) -> Vec<Vec<u8>> {
        let Some(replica) = &self.replica else { return vec![] };
        let hosts = about(hosts);
        let version = |statement: &Statement| {
            statement.payload().resources.first().map(|resource| resource.version)
        };
        let of_hosts = replica.statements().filter(|(_, held)| is_host_of(&held.statement, &hosts));
        let mut found: Vec<(bool, Reverse<Option<u64>>, &Digest, &Held)> = of_hosts
            .map(|(digest, held)| {
                (!replica.counts(digest), Reverse(version(&held.statement)), digest, held)
            })
            .collect();
        found.sort_by_key(|(draft, version, digest, _)| (*draft, *version, **digest));
        let mut entries = Vec::new();
        for (_, _, digest, held) in found {
            entries.push(statement_entry(held.statement.bytes()));
            let signatures = held.signatures.iter();
            entries.extend(signatures.map(|(key, by)| signature_entry(digest, key, by)));
        }
        entries
    }

    /// Version of the newest root held; 0 if none is.
    pub(crate) fn root_version(&self) -> u64 {
        self.replica.as_ref().map_or(0, |replica| replica.chain().newest_version())
    }

    /// Roots that are missing below the pinned one, if any are.
    pub(crate) fn roots_wanted(&self) -> Option<(u64, u64)> {
        let missing = self.replica.as_ref()?.chain().missing()?;
        Some((*missing.start(), *missing.end()))
    }

    /// Held roots of these versions, as many as one exchange carries.
    pub(crate) fn roots_between(&self, first: u64, last: u64, order: RootOrder) -> Vec<Vec<u8>> {
        let Some(replica) = &self.replica else { return vec![] };
        let roots = replica.chain().roots();
        let mut roots: Vec<Vec<u8>> = roots
            .filter(|(version, _)| (first..=last).contains(version))
            .map(|(_, bytes)| bytes.to_vec())
            .collect();
        if order == RootOrder::Downward {
            roots.reverse();
        }
        roots.truncate(limits::ROOTS_PER_MESSAGE_MAX);
        roots
    }

    pub(crate) fn send_join(&mut self, peer: KeyId, message: &JoinMessage, batch: &mut Batch) {
        let bytes = message.encode();
        self.counters.sent_bytes += bytes.len() as u64;
        batch.now(Effect::Send { peer, channel: Channel::Join, bytes });
    }

    /// Whether a host is enrolled now.
    pub(crate) fn is_member(&self, host: &KeyId) -> bool {
        self.wanted_admission(host) == Admission::Member
    }

    /// Whether a peer is enrolled now, and not by a token alone: then its word counts here.
    pub(crate) fn is_counted(&self, peer: &KeyId) -> bool {
        self.terms_of(peer).is_some_and(|terms| terms.counts_for_others(self.now()))
    }

    /// What a peer's connections should let through, by what counts now.
    pub(crate) fn wanted_admission(&self, peer: &KeyId) -> Admission {
        if self.is_shut_out(peer) {
            return Admission::Stranger;
        }
        let terms = self.terms_of(peer);
        let by_statement = terms.map_or(Admission::Stranger, |terms| terms.at(self.now()));
        if by_statement == Admission::Stranger && !holds(Rule::A2Members) {
            return Admission::Member;
        }
        if by_statement == Admission::Stranger && self.visitor_rights(peer).is_some() {
            return Admission::Visitor;
        }
        by_statement
    }

    /// The terms of a host: those kept at hand, unless what counts changed since.
    fn terms_of(&self, host: &KeyId) -> Option<Terms> {
        let replica = self.replica.as_ref()?;
        let kept = self.terms.get(host).filter(|_| !self.standing_changed);
        Some(kept.copied().unwrap_or_else(|| Terms::of(replica.standing(), host)))
    }

    /// Keeps the terms of those at hand whom this node deals with.
    pub(crate) fn keep_terms(&mut self) {
        let Some(replica) = &self.replica else { return };
        let hosts = self.peers.keys().chain(self.liveness.keys()).chain([&self.own]);
        let terms = |host: &KeyId| (*host, Terms::of(replica.standing(), host));
        self.terms = hosts.map(terms).collect();
    }

    /// Keeps the terms of one more.
    pub(crate) fn keep_terms_of(&mut self, host: KeyId) {
        if !self.standing_changed
            && let Some(terms) = self.terms_of(&host)
        {
            self.terms.insert(host, terms);
        }
    }
}

/// Machines with the names of their Host statements.
fn about(hosts: &BTreeSet<KeyId>) -> Vec<(KeyId, ResourceId)> {
    hosts.iter().map(|host| (*host, ResourceId::from(*host))).collect()
}

/// Whether a statement is nothing but the Host of one of these machines. Host statements stand
/// alone (RULES S2).
fn is_host_of(statement: &Statement, hosts: &[(KeyId, ResourceId)]) -> bool {
    match statement.payload().resources.as_slice() {
        [resource] if resource.kind == Kind::Host.name() => {
            let replaced = resource.replaces.as_ref().map(|replaced| replaced.host);
            hosts.iter().any(|(host, id)| resource.id == *id || replaced == Some(*host))
        }
        [] | [_] | [_, _, ..] => false,
    }
}
