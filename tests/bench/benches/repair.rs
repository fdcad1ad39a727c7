//! What two nodes send each other to compare 10,000 host documents: in agreement (budget 100 B), and
//! with 100 that differ (budget 12 KB besides the changes), and for a new node's first sync, with the
//! rounds it takes (DESIGN section 10). The nodes are the real core; only the wire between them is
//! played. Frames and TLS are not counted.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use daymark_bench::{Enrolled, bytes_of, figure, ms, now};
use daymark_core::durable::DurableState;
use daymark_core::effect::{Admission, Channel, Effect};
use daymark_core::event::{Carried, Event, Reading, RequestId};
use daymark_core::{Batch, ClockTrust, CoreConfig, Node, Start};
use daymark_protocol::document::{DocumentId, Replica, StoredEntry, StoredReport};
use daymark_protocol::id::{Digest, KeyId};
use daymark_protocol::time::{MonoTime, WallTime};
use daymark_protocol::trust::{Floors, SigningKey};
use daymark_protocol::wire::SyncMessage;

const HOSTS: u32 = 10_000;
const DIFFERING: usize = 100;
/// Comparisons after which a pair that still differs is given up.
const ROUNDS_MAX: u32 = 100;

fn main() {
    let enrolled = Enrolled::new(HOSTS);
    let mut replica = enrolled.replica();
    let entries: Vec<&[u8]> = enrolled.entries.iter().map(Vec::as_slice).collect();
    drop(replica.accept_entries(&entries));
    let reports: Vec<[Vec<u8>; 2]> = enrolled
        .hosts
        .iter()
        .map(|host| enrolled.reports(host, 2).try_into().expect("two reports"))
        .collect();
    let stored = stored_entries(&replica);
    let differs = |number: usize| number % (HOSTS as usize / DIFFERING) == 7;
    let before = |number: usize| if differs(number) { 1 } else { 2 };
    let start = |number: usize, count: &dyn Fn(usize) -> usize| {
        let reports = stored_reports(&enrolled, &reports, count);
        node(&enrolled, enrolled.hosts[number].clone(), stored.clone(), reports)
    };

    let mut wire = Wire::new(start(0, &before), start(1, &before));
    // Each opens a new generation of its own reports when it first meets another.
    wire.compare();
    assert!(wire.agree());
    wire.forget_counts();
    wire.compare();
    figure("two peers in agreement on 10,000", &format!("{} B", wire.overhead), "budget 100 B");

    wire.forget_counts();
    let newer = (0..HOSTS as usize).filter(|number| differs(*number));
    let items = newer.map(|number| Carried::Report(reports[number][1].clone())).collect();
    drop(wire.step(0, Event::Submit { request: RequestId(1), items, visitor: None }));
    wire.compare();
    assert!(wire.agree());
    figure(
        "100 of 10,000 host documents differ, besides the changes",
        &format!("{} B", wire.overhead),
        &format!("budget 12,000 B; the changes: {} B", wire.content),
    );

    // And the other way round: whoever opens the comparison is behind.
    let mut wire = Wire::new(start(0, &before), start(1, &before));
    wire.compare();
    let newer = (0..HOSTS as usize).filter(|number| differs(*number));
    let items = newer.map(|number| Carried::Report(reports[number][1].clone())).collect();
    drop(wire.step(1, Event::Submit { request: RequestId(1), items, visitor: None }));
    wire.forget_counts();
    wire.compare();
    assert!(wire.agree());
    figure("  if the other one opens", &format!("{} B", wire.overhead), "");
    first_sync(&enrolled, start(0, &|_| 2), enrolled.hosts[1].clone());
}

/// A node that has only its own Host statement meets one that has everything.
fn first_sync(enrolled: &Enrolled, full: Node, key: SigningKey) {
    // The site's statement and its signature, then each host's.
    let own = [&enrolled.entries[..2], &enrolled.entries[4..6]].concat();
    let mut replica = enrolled.replica();
    drop(replica.accept_entries(&own.iter().map(Vec::as_slice).collect::<Vec<_>>()));
    let new = node(enrolled, key, stored_entries(&replica), Vec::new());
    let mut wire = Wire::new(full, new);
    let began = Instant::now();
    let mut rounds = 0;
    while !wire.agree() && rounds < ROUNDS_MAX {
        wire.compare();
        rounds += 1;
    }
    let what = if wire.agree() { "first sync of 10,000" } else { "first sync, given up" };
    figure(what, &ms(began.elapsed()), &format!("{} of it at the new node", ms(wire.busy[1])));
    figure(
        "  its rounds and bytes",
        &format!("{rounds} rounds"),
        &format!("{} B of content, {} B besides", wire.content, wire.overhead),
    );
}

fn stored_entries(replica: &Replica) -> Vec<StoredEntry> {
    let of = |document: &DocumentId| {
        let entries = replica.entries(document);
        let stored = |(hash, bytes)| StoredEntry { document: document.clone(), hash, bytes };
        entries.map(stored).collect::<Vec<_>>()
    };
    replica.documents().flat_map(of).collect()
}

fn stored_reports(
    enrolled: &Enrolled,
    reports: &[[Vec<u8>; 2]],
    count: &dyn Fn(usize) -> usize,
) -> Vec<StoredReport> {
    let hosts = enrolled.hosts.iter().zip(reports).enumerate();
    hosts
        .flat_map(|(number, (host, reports))| {
            let host = host.public().id();
            (1_u64..).zip(reports).take(count(number)).map(move |(count, bytes)| StoredReport {
                host,
                generation: 1,
                count,
                bytes: bytes.clone(),
            })
        })
        .collect()
}

fn node(
    enrolled: &Enrolled,
    key: SigningKey,
    entries: Vec<StoredEntry>,
    reports: Vec<StoredReport>,
) -> Node {
    let config = CoreConfig::new(ClockTrust::Synchronised, WallTime::EPOCH, 8)
        .expect("eight links are allowed");
    let start = Start {
        seed: key.public().id().0,
        key,
        durable: DurableState { pin: Some(enrolled.fleet.pin()), ..DurableState::default() },
        roots: vec![bytes_of(enrolled.fleet.root())],
        entries,
        reports,
        blobs: Vec::<(Digest, Vec<u8>)>::new(),
        floors: Floors::default(),
    };
    let (node, batch) = Node::new(config, start, reading(0));
    drop(batch);
    node
}

fn reading(mono_ms: u64) -> Reading {
    let wall = now().plus_ms(i64::try_from(mono_ms).unwrap_or(0));
    Reading { mono: MonoTime(mono_ms), wall, synchronised: true }
}

/// Two connected nodes. The first opens the comparisons.
struct Wire {
    nodes: [Node; 2],
    ids: [KeyId; 2],
    now_ms: u64,
    /// Bytes of entries, reports and blobs, and of all else.
    content: usize,
    overhead: usize,
    /// Time spent in each node.
    busy: [Duration; 2],
}

impl Wire {
    fn new(one: Node, other: Node) -> Self {
        let ids = [one.host(), other.host()];
        let nodes = [one, other];
        Self { nodes, ids, now_ms: 0, content: 0, overhead: 0, busy: [Duration::ZERO; 2] }
    }

    fn agree(&self) -> bool {
        let held = |node: &Node| {
            let replica = node.replica()?;
            let documents = replica.documents().map(|d| replica.fingerprint(d));
            let heads = replica.heads().map(|(host, head)| (*host, head.hash));
            Some((documents.collect::<Vec<_>>(), heads.collect::<Vec<_>>()))
        };
        held(&self.nodes[0]) == held(&self.nodes[1])
    }

    fn forget_counts(&mut self) {
        (self.content, self.overhead) = (0, 0);
    }

    /// Both see each other anew, which opens a comparison; what the second would open is dropped.
    fn compare(&mut self) {
        // So little that no timer runs out.
        self.now_ms += 1;
        let mut queue: VecDeque<(usize, Channel, Vec<u8>)> = VecDeque::new();
        for at in [1, 0] {
            let peer = self.ids[1 - at];
            drop(self.step(at, Event::Disconnected { peer }));
            let address = "/ip4/10.0.0.1/tcp/1".to_owned();
            let admission = Admission::Member;
            let sent = self.step(at, Event::Connected { peer, address, admission });
            let opens = |(channel, _): &(Channel, Vec<u8>)| at == 0 || *channel == Channel::Join;
            let sent = sent.into_iter().filter(opens);
            queue.extend(sent.map(|(channel, bytes)| (1 - at, channel, bytes)));
        }
        while let Some((at, channel, bytes)) = queue.pop_front() {
            self.count(channel, &bytes);
            let peer = self.ids[1 - at];
            let sent = self.step(at, Event::Received { peer, channel, bytes });
            queue.extend(sent.into_iter().map(|(channel, bytes)| (1 - at, channel, bytes)));
        }
    }

    fn count(&mut self, channel: Channel, bytes: &[u8]) {
        let message = SyncMessage::decode(bytes).ok().filter(|_| channel == Channel::Sync);
        match message {
            Some(SyncMessage::Entries(_) | SyncMessage::Reports(_) | SyncMessage::Blob { .. }) => {
                self.content += bytes.len()
            }
            Some(_) | None => self.overhead += bytes.len(),
        }
    }

    /// One step; the messages that it sends.
    fn step(&mut self, at: usize, event: Event) -> Vec<(Channel, Vec<u8>)> {
        let began = Instant::now();
        let mut batch: Batch = self.nodes[at].step(reading(self.now_ms), event);
        self.busy[at] += began.elapsed();
        let mut effects = batch.take_immediate();
        effects.extend(batch.confirm_durable());
        let sent = |effect| match effect {
            Effect::Send { channel, bytes, .. } => Some((channel, bytes)),
            Effect::Subscribe(_)
            | Effect::Unsubscribe(_)
            | Effect::Publish { .. }
            | Effect::Verdict { .. }
            | Effect::Admit { .. }
            | Effect::Bridge { .. }
            | Effect::Dial { .. }
            | Effect::Reply { .. }
            | Effect::Perform { .. }
            | Effect::Cancel { .. } => None,
        };
        effects.into_iter().filter_map(sent).collect()
    }
}
