//! Repair: comparing with one peer and pulling or pushing what one side lacks (DESIGN section 5).
//!
//! No session is kept: each message is answered from what is held now, so that losing, repeating
//! or reordering any of them costs time and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use daymark_protocol::document::{DocumentId, Outcome};
use daymark_protocol::id::{Digest, KeyId};
use daymark_protocol::limits;
use daymark_protocol::wire::{
    Bucket, BucketOf, Fingerprint, Head, Hello, ITEMS_PER_MESSAGE_MAX, SyncMessage, WantedReports,
    in_parts,
};

use crate::admission;
use crate::buckets;
use crate::effect::{Admission, Batch, Channel, Effect};
use crate::intake::Origin;
use crate::join::RootOrder;
use crate::node::Node;
use crate::timer::Timer;

/// Pause between comparisons that this node opens, ms: drawn anew each time.
const REPAIR_PAUSE_MS: RangeInclusive<u64> = 10_000..=30_000;
/// Hashes in one message, 32 bytes each, with room for its buckets.
const HASHES_PER_MESSAGE: usize = 1_700;
/// Heads in one message, 80 bytes each, with room for its buckets.
const HEADS_PER_MESSAGE: usize = 650;
/// Bytes of entries or reports that one request is answered with; the rest is asked for again.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;
/// Bytes of a blob in one message.
const PIECE_BYTES: usize = 60 * 1024;

/// Fingerprints of what a node compares, kept until something changes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fingerprints {
    fleet: Fingerprint,
    site: [u8; 8],
    site_entries: Fingerprint,
    heads: Fingerprint,
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
        if !self.is_member(&self.own)
            && let Some(peer) = self.random_peer(Admission::Stranger)
        {
            self.ask_to_join(peer, batch);
        }
        if let Some(peer) = self.random_peer(Admission::Authority) {
            self.compare(peer, batch);
        }
        let pause_ms = self.jitter.between(*REPAIR_PAUSE_MS.start(), *REPAIR_PAUSE_MS.end());
        self.timers.set(Timer::Repair, self.reading.mono.plus_ms(pause_ms));
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
            SyncMessage::Buckets { of: BucketOf::Entries(document), bits, fingerprints } => {
                self.on_entry_buckets(peer, document, bits, &fingerprints, batch);
            }
            SyncMessage::Buckets { of: BucketOf::Heads, bits, fingerprints } if member => {
                self.on_head_buckets(peer, bits, &fingerprints, batch);
            }
            SyncMessage::Hashes { document, bits, buckets } => {
                self.on_hashes(peer, document, bits, &buckets, batch);
            }
            SyncMessage::Heads { bits, buckets } if member => {
                self.on_heads(peer, bits, &buckets, batch);
            }
            SyncMessage::WantEntries { document, hashes } => {
                self.send_entries(peer, &document, &hashes, ANSWER_BYTES_MAX, batch);
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
            SyncMessage::Buckets { of: BucketOf::Heads, .. }
            | SyncMessage::Heads { .. }
            | SyncMessage::WantReports(_)
            | SyncMessage::Reports(_)
            | SyncMessage::WantBlob { .. }
            | SyncMessage::Blob { .. } => self.counters.unadmitted += 1,
        }
    }

    fn hello(&mut self) -> Option<Hello> {
        let prints = self.fingerprints()?;
        let replica = self.replica.as_ref()?;
        let digest = replica.chain().newest_digest();
        Some(Hello {
            root_version: replica.chain().newest_version(),
            root_digest: std::array::from_fn(|at| digest.0[at]),
            fleet: prints.fleet,
            site: prints.site,
            site_entries: prints.site_entries,
            heads: prints.heads,
            wall: self.reading.wall,
            synchronised: self.reading.synchronised,
        })
    }

    fn fingerprints(&mut self) -> Option<Fingerprints> {
        if let Some(kept) = self.fingerprints {
            return Some(kept);
        }
        let replica = self.replica.as_ref()?;
        let site = admission::site_of(replica.standing(), &self.own);
        let heads: Vec<Digest> = self.heads().iter().map(Head::digest).collect();
        let prints = Fingerprints {
            fleet: Fingerprint::of(replica.hashes(&DocumentId::Fleet)),
            site: Hello::site_name(&site),
            site_entries: Fingerprint::of(replica.hashes(&site)),
            heads: Fingerprint::of(heads.iter()),
        };
        self.fingerprints = Some(prints);
        Some(prints)
    }

    /// Heads of the reports of the own site's hosts, by host.
    fn heads(&self) -> Vec<Head> {
        self.heads_between(KeyId([0; 32])..=KeyId([0xff; 32]))
    }

    fn heads_between(&self, range: RangeInclusive<KeyId>) -> Vec<Head> {
        let Some(replica) = &self.replica else { return vec![] };
        let site = admission::site_of(replica.standing(), &self.own);
        replica
            .heads_between(range)
            .filter(|(host, head)| {
                head.generation > 0 && admission::site_of(replica.standing(), host) == site
            })
            .map(|(host, head)| Head {
                host: *host,
                generation: head.generation,
                count: head.count,
                hash: head.hash,
            })
            .collect()
    }

    fn on_hello(&mut self, peer: KeyId, hello: &Hello, member: bool, batch: &mut Batch) {
        if self.is_counted(&peer) {
            self.clock.heard(&self.reading, peer, hello.wall);
        }
        self.want_lists(peer, batch);
        let (Some(own), Some(prints)) = (self.hello(), self.fingerprints()) else { return };
        if hello.root_version > own.root_version || self.roots_wanted().is_some() {
            let most = own.root_version.saturating_add(limits::ROOTS_PER_MESSAGE_MAX as u64);
            let newer = (own.root_version.saturating_add(1), hello.root_version.min(most));
            let (first, last) = self.roots_wanted().unwrap_or(newer);
            return self.send_sync(peer, &SyncMessage::WantRoots { first, last }, batch);
        }
        if hello.root_version < own.root_version {
            // It will ask for the roots, and compare again when it has them.
            return self.send_sync(peer, &SyncMessage::Hello(own), batch);
        }
        let roots_differ = hello.root_digest != own.root_digest;
        if roots_differ {
            // Rivals: each side keeps both (RULES R4). What differs otherwise is compared all the
            // same, since a rival may be refused here.
            let version = own.root_version;
            let want = SyncMessage::WantRoots { first: version, last: version };
            self.send_sync(peer, &want, batch);
        }
        let same_site = hello.site == prints.site;
        let fleet_differs = hello.fleet != prints.fleet;
        let site_differs = same_site && hello.site_entries != prints.site_entries;
        let heads_differ = same_site && member && hello.heads != prints.heads;
        if !(roots_differ || fleet_differs || site_differs || heads_differ) {
            self.counters.agreements += 1;
            if same_site && member {
                self.shown_own_reports(peer, batch);
            }
            return;
        }
        self.counters.differences += 1;
        if fleet_differs {
            self.send_entry_buckets(peer, DocumentId::Fleet, batch);
        }
        if let (true, Some(replica)) = (site_differs, &self.replica) {
            let site = admission::site_of(replica.standing(), &self.own);
            self.send_entry_buckets(peer, site, batch);
        }
        if heads_differ {
            let heads = self.heads();
            let bits = buckets::bits_for(heads.len());
            let own = buckets::sort(heads, bits, |head| head.host.0);
            let fingerprints = buckets::fingerprints(&own, bits, Head::digest);
            let message = SyncMessage::Buckets { of: BucketOf::Heads, bits, fingerprints };
            self.send_sync(peer, &message, batch);
        }
    }

    fn on_want_roots(&mut self, peer: KeyId, first: u64, last: u64, batch: &mut Batch) {
        // Who may ask here holds its chain up to its pin, and wants newer ones.
        let roots = self.roots_between(first, last, RootOrder::Upward);
        for part in in_parts(roots, limits::ROOTS_PER_MESSAGE_MAX) {
            self.send_sync(peer, &SyncMessage::Roots(part), batch);
        }
    }

    fn sorted_hashes(&self, document: &DocumentId, bits: u8) -> BTreeMap<u16, Vec<Digest>> {
        let hashes = self.replica.iter().flat_map(|replica| replica.hashes(document)).copied();
        buckets::sort(hashes, bits, |hash| hash.0)
    }

    fn send_entry_buckets(&mut self, peer: KeyId, document: DocumentId, batch: &mut Batch) {
        let Some(replica) = &self.replica else { return };
        let bits = buckets::bits_for(replica.hashes(&document).count());
        let own = self.sorted_hashes(&document, bits);
        let fingerprints = buckets::fingerprints(&own, bits, |hash| *hash);
        let of = BucketOf::Entries(document);
        self.send_sync(peer, &SyncMessage::Buckets { of, bits, fingerprints }, batch);
    }

    fn on_entry_buckets(
        &mut self,
        peer: KeyId,
        document: DocumentId,
        bits: u8,
        theirs: &[[u8; 8]],
        batch: &mut Batch,
    ) {
        if !self.compares(&document) {
            return;
        }
        let own = self.sorted_hashes(&document, bits);
        let prints = buckets::fingerprints(&own, bits, |hash| *hash);
        let differing = buckets::differing(&own, &prints, theirs);
        for buckets in buckets::in_parts(differing, HASHES_PER_MESSAGE) {
            let message = SyncMessage::Hashes { document: document.clone(), bits, buckets };
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

    fn on_hashes(
        &mut self,
        peer: KeyId,
        document: DocumentId,
        bits: u8,
        theirs: &[Bucket<Digest>],
        batch: &mut Batch,
    ) {
        if !self.compares(&document) {
            return;
        }
        let Some(replica) = &self.replica else { return };
        let (mut lacking, mut surplus) = (Vec::new(), Vec::new());
        for bucket in theirs {
            let theirs: BTreeSet<Digest> = bucket.items.iter().copied().collect();
            let (from, to) = buckets::range_of(bucket.index, bits).into_inner();
            let between = Digest(from)..=Digest(to);
            let ours: BTreeSet<Digest> =
                replica.hashes_between(&document, between).copied().collect();
            lacking.extend(theirs.difference(&ours).copied());
            surplus.extend(ours.difference(&theirs).copied());
        }
        for hashes in lacking.chunks(ITEMS_PER_MESSAGE_MAX) {
            let (document, hashes) = (document.clone(), hashes.to_vec());
            self.send_sync(peer, &SyncMessage::WantEntries { document, hashes }, batch);
        }
        // A first sync brings all that the peer lacks; the peer's budget bounds it.
        self.send_entries(peer, &document, &surplus, usize::MAX, batch);
    }

    fn send_entries(
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

    fn on_head_buckets(&mut self, peer: KeyId, bits: u8, theirs: &[[u8; 8]], batch: &mut Batch) {
        let own = buckets::sort(self.heads(), bits, |head| head.host.0);
        let prints = buckets::fingerprints(&own, bits, Head::digest);
        let differing = buckets::differing(&own, &prints, theirs);
        for buckets in buckets::in_parts(differing, HEADS_PER_MESSAGE) {
            self.send_sync(peer, &SyncMessage::Heads { bits, buckets }, batch);
        }
    }

    fn on_heads(&mut self, peer: KeyId, bits: u8, theirs: &[Bucket<Head>], batch: &mut Batch) {
        let (mut lacking, mut surplus) = (Vec::new(), Vec::new());
        for bucket in theirs {
            let (from, to) = buckets::range_of(bucket.index, bits).into_inner();
            let between = self.heads_between(KeyId(from)..=KeyId(to));
            let ours: BTreeMap<KeyId, Head> =
                between.into_iter().map(|head| (head.host, head)).collect();
            let hosts: BTreeMap<KeyId, Head> =
                bucket.items.iter().map(|head| (head.host, *head)).collect();
            for (host, head) in &hosts {
                lacking.extend(ahead(head, ours.get(host)));
            }
            for (host, head) in &ours {
                surplus.extend(ahead(head, hosts.get(host)));
            }
        }
        for wanted in lacking.chunks(HEADS_PER_MESSAGE) {
            self.send_sync(peer, &SyncMessage::WantReports(wanted.to_vec()), batch);
        }
        self.send_reports(peer, &surplus, usize::MAX, batch);
    }

    fn send_reports(
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

/// What one side lacks of a host's reports, if the other side's head is ahead of its own. Heads of
/// one place with different hashes are a fork: then each side shows all (RULES D6).
fn ahead(head: &Head, other: Option<&Head>) -> Option<WantedReports> {
    let from_count = match other {
        None => 1,
        Some(other) if other.generation < head.generation => 1,
        Some(other) if other.generation > head.generation => return None,
        Some(other) if other.count < head.count => other.count + 1,
        Some(other) if other.count == head.count && other.hash != head.hash => 1,
        Some(_) => return None,
    };
    Some(WantedReports { host: head.host, generation: head.generation, from_count })
}
