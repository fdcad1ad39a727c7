use proptest::prelude::*;

use super::*;
use crate::control::Bytes;
use crate::document::DocumentId;
use crate::id::KeyId;

const FLEET: FleetId = FleetId([7; 32]);

fn key(seed: u16) -> SigningKey {
    let mut bytes = [9; 32];
    bytes[..2].copy_from_slice(&seed.to_be_bytes());
    SigningKey::from_seed(bytes)
}

fn recipients(seeds: std::ops::Range<u16>) -> BTreeSet<Recipient> {
    seeds.map(|seed| Recipient::from(&key(seed).public())).collect()
}

fn drawn(byte: u8) -> Drawn {
    Drawn { ephemeral: [byte; 32], content: [byte ^ 0xff; 32] }
}

fn items() -> Vec<Item> {
    let entry = |document: DocumentId, text: &str| Item::Entry {
        document,
        hash: Digest::of(text.as_bytes()),
        bytes: Bytes(text.as_bytes().to_vec()),
    };
    let blob = b"a list".to_vec();
    vec![
        entry(DocumentId::Fleet, "the policy of press-07"),
        entry(DocumentId::Site("site-berlin".parse().unwrap()), "line=3"),
        Item::Report {
            host: KeyId([3; 32]),
            generation: 4,
            count: 5,
            bytes: Bytes(b"edge@2.0.0".to_vec()),
        },
        Item::Blob { digest: Digest::of(&blob), bytes: Bytes(blob) },
    ]
}

#[test]
fn each_recipient_opens_a_pack_and_nobody_else() {
    let to = recipients(0..5);
    let pack = seal(FLEET, &items(), &to, &drawn(1)).unwrap();
    for seed in 0..5 {
        let opened = open(&pack, FLEET, &[key(99), key(seed)]).unwrap();
        assert_eq!(opened, Opened { sealed_to: recipients_digest(&to), items: items() });
    }
    assert_eq!(open(&pack, FLEET, &[key(5)]), Err(SealError::NotForUs));
    assert_eq!(open(&pack, FLEET, &[]), Err(SealError::NotForUs));
    let other = FleetId([8; 32]);
    assert_eq!(open(&pack, other, &[key(1)]), Err(SealError::Foreign(FLEET)));
    assert_eq!(open(b"{\"signed\":1}", FLEET, &[key(1)]), Err(SealError::NotAPack));
    for known in
        [b"press-07".as_slice(), b"berlin", b"line", b"edge", &Recipient::from(&key(1).public()).0]
    {
        assert!(!pack.windows(known.len()).any(|window| window == known));
    }
}

#[test]
fn sizes_tell_little_of_what_is_inside() {
    let few = seal(FLEET, &items()[..1], &recipients(0..1), &drawn(1)).unwrap();
    let more = seal(FLEET, &items(), &recipients(0..30), &drawn(2)).unwrap();
    assert_eq!(few.len(), more.len());
    assert_ne!(few[HEAD_BYTES..], more[HEAD_BYTES..]);
}

#[test]
fn i9_a_pack_that_is_cut_or_altered_anywhere_is_refused_whole() {
    let pack = seal(FLEET, &items(), &recipients(0..2), &drawn(3)).unwrap();
    let keys = [key(1)];
    for end in (0..HEAD_BYTES + 40).chain((0..pack.len()).step_by(61)) {
        open(&pack[..end], FLEET, &keys).unwrap_err();
    }
    for place in (0..HEAD_BYTES + 100).chain((0..pack.len()).step_by(17)) {
        let mut altered = pack.clone();
        altered[place] ^= 4;
        open(&altered, FLEET, &keys).unwrap_err();
    }
    let mut longer = pack;
    longer.push(0);
    open(&longer, FLEET, &keys).unwrap_err();
}

#[test]
fn i9_what_a_pack_claims_is_bounded_before_it_is_believed() {
    let mut head = MAGIC.to_vec();
    head.extend(FLEET.0);
    head.extend([0; 32]);
    head.extend(u32::MAX.to_be_bytes());
    assert!(matches!(open(&head, FLEET, &[key(1)]), Err(SealError::Malformed(_))));
    let root = vec![Item::Root { version: 1, bytes: Bytes(vec![1]) }];
    seal(FLEET, &root, &recipients(0..1), &drawn(1)).unwrap_err();
    let largest = vec![1; PACK_ITEM_BYTES_MAX];
    let largest = vec![Item::Blob { digest: Digest::of(&largest), bytes: Bytes(largest) }];
    let pack = seal(FLEET, &largest, &recipients(0..1), &drawn(1)).unwrap();
    assert!(pack.len() <= PACK_BYTES_MAX);
    assert_eq!(open(&pack, FLEET, &[key(0)]).unwrap().items, largest);
}

#[test]
fn items_are_spread_over_packs_in_order() {
    let blob = |size: usize| Item::Blob { digest: Digest([1; 32]), bytes: Bytes(vec![1; size]) };
    let items = vec![blob(5_000_000), blob(2_000_000), blob(16_000_000), blob(1), blob(2)];
    let mut packing = Packing::default();
    let mut packs: Vec<Vec<Item>> =
        items.iter().cloned().filter_map(|item| packing.add(item)).collect();
    packs.extend(packing.finish());
    assert_eq!(packs.iter().map(Vec::len).collect::<Vec<_>>(), [1, 1, 1, 2]);
    assert_eq!(packs.concat(), items);
    assert!(Packing::default().finish().is_none());
}

proptest! {
    /// Whatever lies on a stick, opening it gives an answer.
    #[test]
    fn i9_any_bytes_are_refused_without_harm(
        bytes in proptest::collection::vec(any::<u8>(), 0..4096), marked in any::<bool>(),
    ) {
        let mut pack = if marked { [&MAGIC[..], &FLEET.0].concat() } else { Vec::new() };
        pack.extend(bytes);
        prop_assert!(open(&pack, FLEET, &[key(1)]).is_err());
        prop_assert!(body::decode(&pack).is_err());
    }
}
