//! What two peers do about sets that differ: buckets, then marks, then what one side lacks. Each
//! message names its session, whose key both compute again, so that no state is kept between them.

use std::collections::{BTreeMap, BTreeSet};

use daymark_protocol::document::DocumentId;
use daymark_protocol::id::Digest;
use daymark_protocol::id::KeyId;
use daymark_protocol::wire::{
    Bucket, BucketOf, Head, ITEMS_PER_MESSAGE_MAX, Mark, Session, SessionKey, ShortHead,
    SyncMessage, WantedReports,
};

use crate::admission;
use crate::buckets::{self, Placed};
use crate::effect::Batch;
use crate::node::Node;
use crate::sync::ANSWER_BYTES_MAX;

/// Bytes of heads and marks in one message, with room for its frame.
const HEADS_BYTES: usize = 60_000;

impl Node {
    /// Heads of the reports of the own site's hosts, by host: of no others any are kept.
    pub(crate) fn heads(&self) -> impl Iterator<Item = Head> {
        let held = self.replica.iter().flat_map(|replica| replica.heads());
        held.filter(|(_, head)| head.generation > 0).map(|(host, head)| Head {
            host: *host,
            generation: head.generation,
            count: head.count,
            hash: head.hash,
        })
    }

    fn placed_heads(&self, key: &SessionKey) -> Vec<Placed<Head>> {
        self.heads().map(|head| Placed::head(head, key)).collect()
    }

    fn placed_entries(&self, document: &DocumentId, key: &SessionKey) -> Vec<Placed<Digest>> {
        let hashes = self.replica.iter().flat_map(|replica| replica.hashes(document));
        hashes.map(|hash| Placed::entry(*hash, key)).collect()
    }

    /// Shows a peer the buckets of a set that differs.
    pub(crate) fn send_buckets(
        &mut self,
        peer: KeyId,
        of: BucketOf,
        session: Session,
        batch: &mut Batch,
    ) {
        let key = session.key();
        let (bits, fingerprints) = match &of {
            BucketOf::Entries(document) => bucketed(&self.placed_entries(document, &key)),
            BucketOf::Heads => bucketed(&self.placed_heads(&key)),
        };
        let message = SyncMessage::Buckets { of, session, bits, fingerprints };
        self.send_sync(peer, &message, batch);
    }

    /// Answers buckets with what is in those that differ.
    pub(crate) fn on_buckets(
        &mut self,
        peer: KeyId,
        (of, session, bits): (BucketOf, Session, u8),
        theirs: &[Mark],
        batch: &mut Batch,
    ) {
        let key = session.key();
        let differing = match &of {
            BucketOf::Entries(document) if !self.compares(document) => return,
            BucketOf::Entries(document) => {
                buckets::differing(&self.placed_entries(document, &key), bits, theirs)
            }
            BucketOf::Heads => buckets::differing(&self.placed_heads(&key), bits, theirs),
        };
        for buckets in buckets::in_parts(differing) {
            let message = SyncMessage::Marks { of: of.clone(), session, bits, buckets };
            self.send_sync(peer, &message, batch);
        }
    }

    /// Whether a document is one that this node compares: whose whole it is meant to have.
    fn compares(&self, document: &DocumentId) -> bool {
        let Some(replica) = &self.replica else { return false };
        match document {
            DocumentId::Fleet => true,
            DocumentId::Site(_) => admission::site_of(replica.standing(), &self.own) == *document,
            DocumentId::Host(_) => false,
        }
    }

    /// Answers marks: with the entries that the peer lacks and a wish for those missing here, or
    /// with where the heads stand here that it marked otherwise.
    pub(crate) fn on_marks(
        &mut self,
        peer: KeyId,
        (of, session, bits): (BucketOf, Session, u8),
        theirs: &[Bucket],
        batch: &mut Batch,
    ) {
        let key = session.key();
        match of {
            BucketOf::Entries(document) => {
                if self.compares(&document) {
                    let unlike =
                        buckets::unlike(self.placed_entries(&document, &key), bits, theirs);
                    self.settle_entries(peer, &document, session, &unlike, batch);
                }
            }
            BucketOf::Heads => {
                let unlike = buckets::unlike(self.placed_heads(&key), bits, theirs);
                self.tell_heads(peer, session, &unlike, batch);
            }
        }
    }

    fn settle_entries(
        &mut self,
        peer: KeyId,
        document: &DocumentId,
        session: Session,
        unlike: &[buckets::Unlike<Digest>],
        batch: &mut Batch,
    ) {
        let lacking: Vec<Mark> = unlike.iter().flat_map(|it| &it.lacking).copied().collect();
        let lacking = BTreeSet::from_iter(lacking).into_iter().collect::<Vec<Mark>>();
        for marks in lacking.chunks(ITEMS_PER_MESSAGE_MAX) {
            let (document, marks) = (document.clone(), marks.to_vec());
            self.send_sync(peer, &SyncMessage::WantEntries { document, session, marks }, batch);
        }
        let surplus: Vec<Digest> =
            unlike.iter().flat_map(|it| &it.surplus).map(|item| item.item).collect();
        // A first sync brings all that the peer lacks; the peer's budget bounds it.
        self.send_entries(peer, document, &surplus, usize::MAX, batch);
    }

    /// What is in one bucket stays in one message: a head, and the mark that stands for it there.
    fn tell_heads(
        &mut self,
        peer: KeyId,
        session: Session,
        unlike: &[buckets::Unlike<Head>],
        batch: &mut Batch,
    ) {
        let mut parts: Vec<(Vec<ShortHead>, Vec<Mark>)> = Vec::new();
        let mut bytes = usize::MAX;
        for bucket in unlike {
            let takes = 21 * bucket.surplus.len() + 4 * bucket.lacking.len();
            if bytes.saturating_add(takes) > HEADS_BYTES {
                parts.push((Vec::new(), Vec::new()));
                bytes = 0;
            }
            bytes += takes;
            if let Some((heads, wanted)) = parts.last_mut() {
                let room = HEADS_BYTES / 21;
                heads.extend(bucket.surplus.iter().map(short).take(room - heads.len().min(room)));
                wanted.extend(&bucket.lacking);
            }
        }
        for (heads, wanted) in parts {
            self.send_sync(peer, &SyncMessage::Heads { session, heads, wanted }, batch);
        }
    }

    /// Sends the entries that a peer asked for by their marks.
    pub(crate) fn on_want_entries(
        &mut self,
        peer: KeyId,
        document: &DocumentId,
        session: Session,
        marks: &[Mark],
        batch: &mut Batch,
    ) {
        let marks: BTreeSet<&Mark> = marks.iter().collect();
        let mut wanted = self.placed_entries(document, &session.key());
        wanted.retain(|entry| marks.contains(&entry.mark));
        let hashes: Vec<Digest> = wanted.into_iter().map(|entry| entry.item).collect();
        self.send_entries(peer, document, &hashes, ANSWER_BYTES_MAX, batch);
    }

    /// Answers a peer's heads: with the reports that it lacks, and a wish for those missing here.
    pub(crate) fn on_heads(
        &mut self,
        peer: KeyId,
        session: Session,
        heads: &[ShortHead],
        wanted: &[Mark],
        batch: &mut Batch,
    ) {
        let mut theirs: BTreeMap<u64, &ShortHead> =
            heads.iter().map(|head| (head.host, head)).collect();
        let wanted: BTreeSet<&Mark> = wanted.iter().collect();
        let (mut lacking, mut surplus) = (BTreeMap::new(), Vec::new());
        for own in self.placed_heads(&session.key()) {
            let ours = short(&own);
            let from_count = match theirs.remove(&own.place()) {
                Some(their) => {
                    lacking.extend(missing_from(their, Some(&ours)).map(|from| (their.mark, from)));
                    missing_from(&ours, Some(their))
                }
                None => missing_from(&ours, None).filter(|_| wanted.contains(&own.mark)),
            };
            surplus.extend(from_count.map(|from| wanted_of(&own.item, from)));
        }
        lacking.extend(theirs.into_values().map(|their| (their.mark, 1)));
        let lacking: Vec<(Mark, u8)> = lacking.into_iter().collect();
        for wanted in lacking.chunks(ITEMS_PER_MESSAGE_MAX) {
            let message = SyncMessage::WantMarked { session, wanted: wanted.to_vec() };
            self.send_sync(peer, &message, batch);
        }
        self.send_reports(peer, &surplus, usize::MAX, batch);
    }

    /// Sends the reports that a peer asked for by the marks of their heads.
    pub(crate) fn on_want_marked(
        &mut self,
        peer: KeyId,
        session: Session,
        wanted: &[(Mark, u8)],
        batch: &mut Batch,
    ) {
        let wanted: BTreeMap<Mark, u8> = wanted.iter().copied().collect();
        let held = self.placed_heads(&session.key());
        let asked = held.iter().filter_map(|own| Some((own, *wanted.get(&own.mark)?)));
        let reports: Vec<WantedReports> =
            asked.map(|(own, from)| wanted_of(&own.item, from)).collect();
        self.send_reports(peer, &reports, ANSWER_BYTES_MAX, batch);
    }
}

fn bucketed<T>(own: &[Placed<T>]) -> (u8, Vec<Mark>) {
    let bits = buckets::bits_for(own.len());
    (bits, buckets::fingerprints(own, bits))
}

fn short(head: &Placed<Head>) -> ShortHead {
    ShortHead {
        host: head.place(),
        generation: head.item.generation,
        count: u8::try_from(head.item.count).unwrap_or(u8::MAX),
        mark: head.mark,
    }
}

fn wanted_of(head: &Head, from_count: u8) -> WantedReports {
    let (host, generation) = (head.host, head.generation);
    WantedReports { host, generation, from_count: u64::from(from_count) }
}

/// The first report of a host that one side lacks, if the other side's head is ahead of its own.
/// Heads of one place with different marks are a fork: then each side shows all (RULES D6).
fn missing_from(head: &ShortHead, other: Option<&ShortHead>) -> Option<u8> {
    match other {
        None => Some(1),
        Some(other) if other.generation < head.generation => Some(1),
        Some(other) if other.generation > head.generation => None,
        Some(other) if other.count < head.count => Some(other.count.saturating_add(1)),
        Some(other) if other.count == head.count && other.mark != head.mark => Some(1),
        Some(_) => None,
    }
}
