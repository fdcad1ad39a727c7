//! Every message survives the wire, nothing else does, and nothing panics.

use proptest::prelude::*;

use super::*;
use crate::document::DocumentId;
use crate::id::{Digest, FleetId, KeyId};
use crate::time::WallTime;
use crate::trust::SigningKey;

fn items() -> impl Strategy<Value = Vec<Vec<u8>>> {
    prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 0..8)
}

fn digest() -> impl Strategy<Value = Digest> {
    any::<[u8; 32]>().prop_map(Digest)
}

fn document() -> impl Strategy<Value = DocumentId> {
    prop_oneof![
        Just(DocumentId::Fleet),
        Just(DocumentId::Site("site-1a2b3c4d".parse().unwrap())),
        any::<[u8; 32]>().prop_map(|key| DocumentId::Host(KeyId(key))),
    ]
}

fn mark() -> impl Strategy<Value = Mark> {
    any::<[u8; 4]>().prop_map(Mark)
}

fn marks() -> impl Strategy<Value = Vec<Mark>> {
    prop::collection::btree_set(mark(), 0..5).prop_map(|marks| marks.into_iter().collect())
}

fn session() -> impl Strategy<Value = Session> {
    any::<[[u8; 8]; 2]>()
        .prop_map(|[opener, answerer]| Session { opener: Nonce(opener), answerer: Nonce(answerer) })
}

fn short_head() -> impl Strategy<Value = ShortHead> {
    (any::<(u64, u64, u8)>(), mark()).prop_map(|((host, generation, count), mark)| ShortHead {
        host,
        generation,
        count,
        mark,
    })
}

fn buckets() -> impl Strategy<Value = Vec<Bucket>> {
    let bucket = (0_u16..8, marks());
    prop::collection::vec(bucket.prop_map(|(index, marks)| Bucket { index, marks }), 0..5)
}

fn hello() -> Hello {
    Hello {
        root_version: 3,
        nonce: Nonce([1; 8]),
        root: Tag([2; 8]),
        fleet: Tag([3; 8]),
        site: [4; 8],
        site_entries: Tag([5; 8]),
        heads: Tag([6; 8]),
        wall: WallTime::from_ms(1),
        synchronised: true,
    }
}

fn comparing() -> impl Strategy<Value = SyncMessage> {
    let of = || prop_oneof![document().prop_map(BucketOf::Entries), Just(BucketOf::Heads)];
    let fingerprints = prop::collection::vec(mark(), 8);
    prop_oneof![
        (of(), session(), fingerprints).prop_map(|(of, session, fingerprints)| {
            SyncMessage::Buckets { of, session, bits: 3, fingerprints }
        }),
        (of(), session(), buckets()).prop_map(|(of, session, buckets)| {
            SyncMessage::Marks { of, session, bits: 3, buckets }
        }),
        (session(), prop::collection::vec(short_head(), 0..5), marks())
            .prop_map(|(session, heads, wanted)| SyncMessage::Heads { session, heads, wanted }),
        (document(), session(), marks()).prop_map(|(document, session, marks)| {
            SyncMessage::WantEntries { document, session, marks }
        }),
        (session(), marks(), any::<u8>()).prop_map(|(session, marks, from)| {
            let wanted = marks.into_iter().map(|mark| (mark, from)).collect();
            SyncMessage::WantMarked { session, wanted }
        }),
    ]
}

fn sync_message() -> impl Strategy<Value = SyncMessage> {
    let wanted = (any::<[u8; 32]>(), any::<u64>(), any::<u64>()).prop_map(
        |(host, generation, from_count)| WantedReports {
            host: KeyId(host),
            generation,
            from_count,
        },
    );
    prop_oneof![
        Just(SyncMessage::Hello(hello())),
        any::<(u64, u64)>().prop_map(|(first, last)| SyncMessage::WantRoots { first, last }),
        items().prop_map(SyncMessage::Roots),
        comparing(),
        items().prop_map(SyncMessage::Entries),
        prop::collection::vec(wanted, 0..5).prop_map(SyncMessage::WantReports),
        items().prop_map(SyncMessage::Reports),
        (digest(), any::<u32>())
            .prop_map(|(digest, offset)| SyncMessage::WantBlob { digest, offset }),
        (digest(), any::<u32>(), any::<u32>(), prop::collection::vec(any::<u8>(), 0..99)).prop_map(
            |(digest, offset, total, bytes)| SyncMessage::Blob { digest, offset, total, bytes }
        ),
        prop::collection::vec(prop::collection::vec(any::<u8>(), 0..99), 0..5)
            .prop_map(SyncMessage::Heartbeats),
    ]
}

proptest! {
    #[test]
    fn sync_messages_survive_and_every_cut_is_refused(message in sync_message()) {
        let bytes = message.encode();
        prop_assert_eq!(SyncMessage::decode(&bytes), Ok(message));
        for end in 0..bytes.len() {
            prop_assert!(SyncMessage::decode(&bytes[..end]).is_err());
        }
    }

    #[test]
    fn join_and_gossip_messages_survive(
        root_version in any::<u64>(),
        roots in items(),
        entries in items(),
    ) {
        let ask = JoinMessage::Ask { root_version, roots: (1, 9), entries: entries.clone() };
        prop_assert_eq!(JoinMessage::decode(&ask.encode()), Ok(ask));
        let answer = JoinMessage::Answer { root_version, roots, entries: entries.clone() };
        prop_assert_eq!(JoinMessage::decode(&answer.encode()), Ok(answer));
        for message in [GossipMessage::Entries(entries.clone()), GossipMessage::Reports(entries)] {
            prop_assert_eq!(GossipMessage::decode(&message.encode()), Ok(message));
        }
    }

    #[test]
    fn hostile_bytes_are_refused_or_read_back_to_themselves(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        kind in 0_u8..15,
    ) {
        let mut framed = vec![1, kind];
        framed.extend(bytes);
        if let Ok(message) = SyncMessage::decode(&framed) {
            // A clock reading out of range is the one thing that is clamped.
            if !matches!(message, SyncMessage::Hello(_)) {
                prop_assert_eq!(message.encode(), framed.clone());
            }
        }
        if let Ok(message) = GossipMessage::decode(&framed) {
            prop_assert_eq!(message.encode(), framed.clone());
        }
        let _ = JoinMessage::decode(&framed);
        let _ = Liveness::verify(&framed);
    }

    #[test]
    fn parts_lose_nothing_that_fits_and_each_fits_a_message(
        sizes in prop::collection::vec(0_usize..70_000, 0..20),
        limit in 1_usize..5,
    ) {
        let items: Vec<Vec<u8>> = sizes.iter().map(|size| vec![7; *size]).collect();
        let parts = in_parts(items.clone(), limit);
        let fitting = |item: &&Vec<u8>| item.len() + 4 <= limits::MESSAGE_BYTES_MAX - FRAME_BYTES;
        let kept: Vec<&Vec<u8>> = items.iter().filter(fitting).collect();
        prop_assert_eq!(parts.iter().flatten().collect::<Vec<_>>(), kept);
        for part in parts {
            prop_assert!(part.len() <= limit && !part.is_empty());
            prop_assert!(SyncMessage::Entries(part).encode().len() <= limits::MESSAGE_BYTES_MAX);
        }
    }
}

#[test]
fn two_peers_in_agreement_exchange_at_most_100_bytes() {
    assert!(SyncMessage::Hello(hello()).encode().len() <= 100);
}

#[test]
fn a_join_answer_fits_a_message_whatever_it_is_given() {
    let root_version = 1;
    let (roots, entries) = (vec![vec![0; 30_000]; 9], vec![vec![0; 20_000]; 9]);
    let bytes = JoinMessage::Answer { root_version, roots, entries }.encode();
    assert!(bytes.len() <= limits::MESSAGE_BYTES_MAX);
    assert!(JoinMessage::decode(&bytes).is_ok());
}

#[test]
fn r2_a_message_carries_at_most_64_roots() {
    let roots = |count| vec![vec![0; 10]; count];
    let message = |count| SyncMessage::decode(&SyncMessage::Roots(roots(count)).encode());
    assert!(message(64).is_ok() && message(65).is_err());
    let answer = JoinMessage::Answer { root_version: 1, roots: roots(100), entries: vec![] };
    let Ok(JoinMessage::Answer { roots, .. }) = JoinMessage::decode(&answer.encode()) else {
        panic!("it is read");
    };
    assert_eq!(roots.len(), 64);
}

#[test]
fn a_message_of_another_version_or_too_large_is_refused() {
    let mut bytes = SyncMessage::WantRoots { first: 1, last: 2 }.encode();
    bytes[0] = 2;
    assert_eq!(SyncMessage::decode(&bytes), Err(DecodeError::Invalid("message format")));
    let large = vec![1; limits::MESSAGE_BYTES_MAX + 1];
    assert!(matches!(SyncMessage::decode(&large), Err(DecodeError::TooLong { .. })));
}

#[test]
fn d7_a_liveness_counts_only_under_its_hosts_signature() {
    let key = SigningKey::from_seed([5; 32]);
    let liveness = Liveness {
        fleet: FleetId([1; 32]),
        key: key.public(),
        generation: 2,
        count: 9,
        wall: WallTime::from_ms(1_000),
        synchronised: false,
        addresses: vec!["/ip4/10.0.0.1/tcp/4001".to_owned(), "x".repeat(300)],
        fetching: Some(Fetching { index: Digest([3; 32]), verified_bytes: 77 }),
    };
    let bytes = liveness.sign(&key);
    let read = Liveness::verify(&bytes).unwrap();
    assert_eq!(read.host(), key.public().id());
    assert_eq!(read.addresses, ["/ip4/10.0.0.1/tcp/4001"], "too long to be told");
    assert_eq!(read.fetching, liveness.fetching);
    let forged = liveness.sign(&SigningKey::from_seed([6; 32]));
    assert_eq!(Liveness::verify(&forged), Err(RefusedLiveness::Signature));
    for at in 0..bytes.len() {
        let mut broken = bytes.clone();
        broken[at] ^= 1;
        assert!(Liveness::verify(&broken).is_err(), "byte {at}");
    }
}

/// Times beyond the representable range would stand for its end a second time.
#[test]
fn a_clock_reading_has_one_form() {
    let mut bytes = SyncMessage::Hello(hello()).encode();
    // Before the last byte, which says whether the clock is synchronised.
    let wall = bytes.len() - 9..bytes.len() - 1;
    assert_eq!(bytes[wall.clone()], 1_i64.to_be_bytes());
    bytes[wall].copy_from_slice(&i64::MAX.to_be_bytes());
    assert_eq!(SyncMessage::decode(&bytes), Err(DecodeError::Invalid("clock reading")));
}
