//! What an index accepts and what it refuses.

use proptest::prelude::*;

use super::*;

fn index(parts: &[(&str, &[u32])]) -> Result<Index, BadIndex> {
    let mut builder = IndexBuilder::default();
    for (name, sizes) in parts {
        builder.begin_part(name)?;
        for (at, size) in sizes.iter().enumerate() {
            builder.push_chunk(ChunkHash::of(format!("{name}{at}").as_bytes()), *size)?;
        }
    }
    builder.finish()
}

fn sample() -> Index {
    index(&[("agent", &[20_000, 5]), ("rootfs", &[262_144, 16_384, 1])]).unwrap()
}

#[test]
fn chunks_are_numbered_across_parts() {
    let index = sample();
    assert_eq!(index.chunk_count(), 5);
    assert_eq!(index.total_bytes(), 20_005 + 278_529);
    assert_eq!(index.part("rootfs").unwrap().chunk_numbers(), 2..5);
    assert_eq!(index.chunk(3).unwrap().offset, 262_144);
    let owners: Vec<_> = (0..6).map(|n| index.part_of(n).map(|p| p.name.as_str())).collect();
    let expected =
        [Some("agent"), Some("agent"), Some("rootfs"), Some("rootfs"), Some("rootfs"), None];
    assert_eq!(owners, expected);
}

/// RULES Q5: the digest that a profile signs is SHA-256 of the index's bytes.
#[test]
fn q5_an_index_opens_only_under_its_digest() {
    let bytes = sample().encode();
    let digest = Digest::of(&bytes);
    assert_eq!(Index::open(&bytes, &digest).unwrap(), sample());
    assert_eq!(sample().digest(), digest);
    let other = Digest::of(b"other");
    assert_eq!(
        Index::open(&bytes, &other),
        Err(BadIndex::OtherDigest { expected: other, got: digest })
    );
}

#[test]
fn the_form_is_the_documented_one() {
    let bytes = index(&[("rootfs", &[9])]).unwrap().encode();
    let hash = ChunkHash::of(b"rootfs0");
    let expected = [
        b"DMIX\x01\x01\x00\x01\x06rootfs".as_slice(),
        &9_u64.to_be_bytes(),
        &1_u32.to_be_bytes(),
        hash.as_bytes(),
        &9_u32.to_be_bytes(),
    ]
    .concat();
    assert_eq!(bytes, expected);
}

#[test]
fn every_truncation_and_every_extension_is_refused() {
    let bytes = sample().encode();
    for end in 0..bytes.len() {
        assert!(Index::decode(&bytes[..end]).is_err(), "cut to {end} bytes");
    }
    let mut longer = bytes;
    longer.push(0);
    assert_eq!(Index::decode(&longer), Err(BadIndex::Trailing));
}

#[test]
fn a_claim_of_more_chunks_than_bytes_is_refused_before_it_is_believed() {
    let mut bytes = index(&[("rootfs", &[9])]).unwrap().encode();
    bytes[23..27].copy_from_slice(&u32::MAX.to_be_bytes());
    assert_eq!(Index::decode(&bytes), Err(BadIndex::Truncated));
}

#[test]
fn names_orders_and_sizes_are_checked() {
    assert_eq!(index(&[]), Err(BadIndex::PartCount(0)));
    assert_eq!(index(&[("a", &[])]), Err(BadIndex::EmptyPart("a".into())));
    for name in ["", "A", "a/b", "..", "ä", &"a".repeat(33)] {
        assert_eq!(index(&[(name, &[1])]), Err(BadIndex::PartName(name.into())), "{name:?}");
    }
    assert_eq!(index(&[("b", &[1]), ("a", &[1])]), Err(BadIndex::PartOrder("a".into())));
    assert_eq!(index(&[("a", &[1]), ("a", &[1])]), Err(BadIndex::PartOrder("a".into())));
    for (sizes, bad) in [(&[0][..], 0), (&[262_145], 262_145), (&[16_383, 20_000], 16_383)] {
        let refused = BadIndex::ChunkSize { part: "a".into(), bytes: bad };
        assert_eq!(index(&[("a", sizes)]), Err(refused));
    }
    let mut wrong_sum = index(&[("rootfs", &[9])]).unwrap().encode();
    wrong_sum[22] = 8;
    let refused = BadIndex::PartSize { part: "rootfs".into(), bytes: 8, sum: 9 };
    assert_eq!(Index::decode(&wrong_sum), Err(refused));
}

proptest! {
    /// One image has one form: whatever decodes encodes to the very bytes it came from.
    #[test]
    fn what_decodes_is_in_the_one_form(at in 0_usize..250, byte: u8) {
        let mut bytes = sample().encode();
        let at = at % bytes.len();
        bytes[at] = byte;
        if let Ok(index) = Index::decode(&bytes) {
            prop_assert_eq!(index.encode(), bytes);
        }
    }

    #[test]
    fn any_bytes_are_taken_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let with_head = [b"DMIX\x01\x01\x00\x01".as_slice(), &bytes].concat();
        drop(Index::decode(&with_head));
        drop(Index::decode(&bytes));
    }
}
