//! Repair: comparing with one peer and pulling or pushing what one side lacks (DESIGN section 5).
//!
//! No session is kept: each message is answered from what is held now, so that losing, repeating
//! or reordering any of them costs time and nothing else. `comparing` has what differs.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use daymark_protocol::document::{Changes, DocumentId, Outcome};
use daymark_protocol::id::{Digest, KeyId};
use daymark_protocol::limits;
use daymark_protocol::wire::{
    BucketOf, Hello, ITEMS_PER_MESSAGE_MAX, Session, SyncMessage, Tag, WantedReports, in_parts,
};

use crate::admission;
use crate::effect::{Admission, Batch, Channel, Effect};
use crate::intake::Origin;
use crate::join::RootOrder;
use crate::node::Node;
use crate::timer::Timer;

/// Pause between comparisons that this node opens, ms: drawn anew each time.
const REPAIR_PAUSE_MS: RangeInclusive<u64> = 10_000..=30_000;
/// Bytes of entries or reports that one request is answered with; the rest is asked for again.
pub(crate) const ANSWER_BYTES_MAX: usize = 1024 * 1024;
/// Bytes of a blob in one message.
const PIECE_BYTES: usize = 60 * 1024;

/// Digests of what a node compares, kept until something changes.
#[derive(Debug, Default)]
pub(crate) struct SetDigests {
    entries: Option<EntryDigests>,
    heads: Option<Digest>,
}

#[derive(Clone, Copy, Debug)]
struct EntryDigests {
    fleet: Digest,
    site: [u8; 8],
    site_entries: Digest,
}

impl SetDigests {
    /// Forgets what these changes may have changed. Reports come all the time, entries seldom.
    pub(crate) fn forget(&mut self, changes: &Changes) {
        if !changes.is_empty() {
            self.heads = None;
        }
        if !changes.is_of_reports_alone() {
            self.entries = None;
        }
    }
}

impl Node {
    /// Opens a comparison with one peer.
    pub(crate) fn compare(&mut self, peer: KeyId, batch: &mut Batch) {
        if self.wanted_admission(&peer) < Admission::Authority {
            return;
        }
        let Some(hello) = self.hello() else { return };
        self.send_sync(peer, &SyncMessage::Hello(hello), batch);
        self.want_own_reports(peer, batch);
    }

    /// Opens a comparison with a random peer, and waits for the next time. A machine that is not
    /// enrolled asks a random peer whether it is by now: nobody else would tell it.
    pub(crate) fn repair(&mut self, batch: &mut Batch) {
        self.remember_addresses();
        if !self.visitors.is_empty() {
            // A delegation may have ended, or a laptop stayed away.
            self.readmit(batch);
        }
        if !self.is_member(&self.own)
            && let Some(peer) = self.random_peer(Admission::Stranger)
        {
            self.ask_to_join(peer, batch);
        }
        if let Some(peer) = self.random_peer(Admission::Authority) {
            self.compare(peer, batch);
        }
        let pause_ms = self.jitter.between(*REPAIR_PAUSE_MS.start(), *REPAIR_PAUSE_MS.end());
        self.timers.set_resting(Timer::Repair, self.reading.mono.plus_ms(pause_ms));
    }

    /// One of the connected peers that may hear at least this much.
    fn random_peer(&mut self, least: Admission) -> Option<KeyId> {
        let peers: Vec<KeyId> = self
            .peers
            .keys()
            .filter(|peer| self.wanted_admission(peer) >= least)
            .copied()
            .collect();
        let chosen = self.peer_choice.below(peers.len() as u64);
        peers.get(usize::try_from(chosen).unwrap_or(0)).copied()
    }

    /// A message over the sync channel.
    pub(crate) fn sync_received(&mut self, peer: KeyId, bytes: &[u8], batch: &mut Batch) {
        let admission = self.wanted_admission(&peer);
        if admission < Admission::Authority {
            self.counters.unadmitted += 1;
            return;
        }
        let Ok(message) = SyncMessage::decode(bytes) else {
            self.counters.malformed += 1;
            return;
        };
        let member = admission == Admission::Member;
        match message {
            SyncMessage::Hello(hello) => self.on_hello(peer, &hello, member, batch),
            SyncMessage::WantRoots { first, last } => self.on_want_roots(peer, first, last, batch),
            SyncMessage::Roots(roots) => {
                let outcomes = self.take_roots(&roots, Origin::Repair, batch);
                if outcomes.contains(&Outcome::New) || self.roots_wanted().is_some() {
                    self.compare(peer, batch);
                }
            }
            SyncMessage::Buckets { of, session, bits, fingerprints }
                if member || of != BucketOf::Heads =>
            {
                self.on_buckets(peer, (of, session, bits), &fingerprints, batch);
            }
            SyncMessage::Marks { of, session, bits, buckets }
                if member || of != BucketOf::Heads =>
            {
                self.on_marks(peer, (of, session, bits), &buckets, batch);
            }
            SyncMessage::Heads { session, heads, wanted } if member => {
                self.on_heads(peer, session, &heads, &wanted, batch);
            }
            SyncMessage::WantEntries { document, session, marks } => {
                self.on_want_entries(peer, &document, session, &marks, batch);
            }
            SyncMessage::WantMarked { session, wanted } if member => {
                self.on_want_marked(peer, session, &wanted, batch);
            }
            SyncMessage::Entries(entries) => {
                self.take_entries(&entries, Origin::Repair, batch);
            }
            SyncMessage::WantReports(wanted) if member => {
                self.send_reports(peer, &wanted, ANSWER_BYTES_MAX, batch);
            }
            SyncMessage::Reports(reports) if member => {
                let outcomes = self.take_reports(&reports, Origin::Repair, batch);
                self.note_own_reports(peer, &reports, batch);
                self.want_gaps(peer, &outcomes, batch);
                self.want_blobs(peer, batch);
            }
            SyncMessage::WantBlob { digest, offset } if member || self.holds_list(&digest) => {
                self.on_want_blob(peer, digest, offset, batch);
            }
            SyncMessage::Blob { digest, offset, total, bytes }
                if member || self.lacks_list(&digest) =>
            {
                self.on_blob(peer, digest, offset, total, &bytes, batch);
            }
            SyncMessage::Heartbeats(heartbeats) => self.on_heartbeats(&heartbeats, batch),
            SyncMessage::Buckets { .. }
            | SyncMessage::Marks { .. }
            | SyncMessage::Heads { .. }
            | SyncMessage::WantMarked { .. }
            | SyncMessage::WantReports(_)
            | SyncMessage::Reports(_)
            | SyncMessage::WantBlob { .. }
            | SyncMessage::Blob { .. } => self.counters.unadmitted += 1,
        }
    }

    fn hello(&mut self) -> Option<Hello> {
        let (root, (sets, heads)) = (self.root_digest()?, self.set_digests()?);
        let nonce = self.nonces.nonce();
        Some(Hello {
            root_version: self.root_version(),
            nonce,
            root: nonce.tag(&root),
            fleet: nonce.tag(&sets.fleet),
            site: sets.site,
            site_entries: nonce.tag(&sets.site_entries),
            heads: nonce.tag(&heads),
            wall: self.reading.wall,
            synchronised: self.reading.synchronised,
        })
    }

    fn root_digest(&self) -> Option<Digest> {
        Some(self.replica.as_ref()?.chain().newest_digest())
    }

    fn set_digests(&mut self) -> Option<(EntryDigests, Digest)> {
        let replica = self.replica.as_ref()?;
        let entries = self.set_digests.entries.unwrap_or_else(|| {
            let site = admission::site_of(replica.standing(), &self.own);
            let of = |document| Digest::of_all(replica.hashes(document).map(Digest::as_bytes));
            EntryDigests {
                fleet: of(&DocumentId::Fleet),
                site: Hello::site_name(&site),
                site_entries: of(&site),
            }
        });
        let heads = self.set_digests.heads;
        let heads = heads.unwrap_or_else(|| Digest::of_all(self.heads().map(|head| head.bytes())));
        self.set_digests = SetDigests { entries: Some(entries), heads: Some(heads) };
        Some((entries, heads))
    }

    fn on_hello(&mut self, peer: KeyId, hello: &Hello, member: bool, batch: &mut Batch) {
        if self.is_counted(&peer) {
            self.clock.heard(&self.reading, peer, hello.wall);
        }
        self.want_lists(peer, batch);
        let (Some(root), Some((sets, heads))) = (self.root_digest(), self.set_digests()) else {
            return;
        };
        let own_version = self.root_version();
        if hello.root_version > own_version || self.roots_wanted().is_some() {
            let most = own_version.saturating_add(limits::ROOTS_PER_MESSAGE_MAX as u64);
            let newer = (own_version.saturating_add(1), hello.root_version.min(most));
            let (first, last) = self.roots_wanted().unwrap_or(newer);
            return self.send_sync(peer, &SyncMessage::WantRoots { first, last }, batch);
        }
        if hello.root_version < own_version {
            // It will ask for the roots, and compare again when it has them.
            let Some(own) = self.hello() else { return };
            return self.send_sync(peer, &SyncMessage::Hello(own), batch);
        }
        let differs = |tag: Tag, digest: &Digest| hello.nonce.tag(digest) != tag;
        let roots_differ = differs(hello.root, &root);
        if roots_differ {
            // Rivals: each side keeps both (RULES R4). What differs otherwise is compared all the
            // same, since a rival may be refused here.
            let want = SyncMessage::WantRoots { first: own_version, last: own_version };
            self.send_sync(peer, &want, batch);
        }
        let same_site = hello.site == sets.site;
        let fleet_differs = differs(hello.fleet, &sets.fleet);
        let site_differs = same_site && differs(hello.site_entries, &sets.site_entries);
        let heads_differ = same_site && member && differs(hello.heads, &heads);
        if same_site && member && !(roots_differ || fleet_differs || site_differs) {
            self.agreed();
        }
        if !(roots_differ || fleet_differs || site_differs || heads_differ) {
            self.counters.agreements += 1;
            if same_site && member {
                self.shown_own_reports(peer, batch);
            }
            return;
        }
        self.counters.differences += 1;
        let session = Session { opener: hello.nonce, answerer: self.nonces.nonce() };
        if fleet_differs {
            let of = BucketOf::Entries(DocumentId::Fleet);
            self.send_buckets(peer, of, session, batch);
        }
        if let (true, Some(replica)) = (site_differs, &self.replica) {
            let site = admission::site_of(replica.standing(), &self.own);
            self.send_buckets(peer, BucketOf::Entries(site), session, batch);
        }
        if heads_differ {
            self.send_buckets(peer, BucketOf::Heads, session, batch);
        }
    }

    fn on_want_roots(&mut self, peer: KeyId, first: u64, last: u64, batch: &mut Batch) {
        // Who may ask here holds its chain up to its pin, and wants newer ones.
        let roots = self.roots_between(first, last, RootOrder::Upward);
        for part in in_parts(roots, limits::ROOTS_PER_MESSAGE_MAX) {
            self.send_sync(peer, &SyncMessage::Roots(part), batch);
        }
    }

    pub(crate) fn send_entries(
        &mut self,
        peer: KeyId,
        document: &DocumentId,
        hashes: &[Digest],
        bytes_max: usize,
        batch: &mut Batch,
    ) {
        let Some(replica) = &self.replica else { return };
        // A statement travels with its signatures, whatever was asked for: apart, most of a first
        // sync would wait for the other half, and there is room for few that wait.
        let together = hashes.iter().map(|hash| replica.with_signatures(document, hash));
        let (whole, single): (Vec<_>, Vec<_>) = together.partition(|hashes| hashes.len() > 1);
        let mut sent = BTreeSet::new();
        let entries = whole
            .into_iter()
            .chain(single)
            .flatten()
            .filter(|hash| sent.insert(*hash))
            .filter_map(|hash| replica.entry(document, &hash));
        let entries = up_to(bytes_max, entries);
        for part in in_parts(entries, ITEMS_PER_MESSAGE_MAX) {
            if !self.spend(&peer) {
                return;
            }
            self.send_sync(peer, &SyncMessage::Entries(part), batch);
        }
    }

    pub(crate) fn send_reports(
        &mut self,
        peer: KeyId,
        wanted: &[WantedReports],
        bytes_max: usize,
        batch: &mut Batch,
    ) {
        let Some(replica) = &self.replica else { return };
        // Each host once: the heads that led here may repeat.
        let mut hosts = BTreeSet::new();
        if !self.reporter.is_open() {
            // Whoever lacks them must not show them back as what it held (RULES Q15).
            hosts.insert(self.own);
        }
        let chains = wanted
            .iter()
            .filter(|want| hosts.insert(want.host))
            .filter_map(|want| Some((want, replica.host_chain(&want.host)?)));
        let reports = chains.flat_map(|(want, chain)| {
            let same = chain.generation() == want.generation;
            let from = if same { want.from_count } else { 1 };
            let reports = chain.evidence().filter(move |report| report.count() >= from);
            reports.map(|report| report.bytes().to_vec())
        });
        let reports = up_to(bytes_max, reports);
        for part in in_parts(reports, ITEMS_PER_MESSAGE_MAX) {
            if !self.spend(&peer) {
                return;
            }
            self.send_sync(peer, &SyncMessage::Reports(part), batch);
        }
    }

    fn on_want_blob(&mut self, peer: KeyId, digest: Digest, offset: u32, batch: &mut Batch) {
        let Some(blob) = self.replica.as_ref().and_then(|replica| replica.blob(&digest)) else {
            return;
        };
        let (Ok(start), Ok(total)) = (usize::try_from(offset), u32::try_from(blob.len())) else {
            return;
        };
        let Some(rest) = blob.get(start..) else { return };
        let bytes = rest[..rest.len().min(PIECE_BYTES)].to_vec();
        self.send_sync(peer, &SyncMessage::Blob { digest, offset, total, bytes }, batch);
    }

    pub(crate) fn send_sync(&mut self, peer: KeyId, message: &SyncMessage, batch: &mut Batch) {
        let bytes = message.encode();
        self.counters.sent_bytes += bytes.len() as u64;
        batch.now(Effect::Send { peer, channel: Channel::Sync, bytes });
    }
}

/// The first items that come to at most `bytes_max` bytes.
fn up_to(bytes_max: usize, items: impl Iterator<Item = Vec<u8>>) -> Vec<Vec<u8>> {
    let mut left = bytes_max;
    items
        .map_while(|item| {
            left = left.checked_sub(item.len())?;
            Some(item)
        })
        .collect()
}
