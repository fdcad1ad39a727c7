//! Comparing two sets by buckets under a session's key: pure, and the same on both sides.

use std::collections::{BTreeMap, BTreeSet};

use daymark_protocol::id::Digest;
use daymark_protocol::wire::{BUCKET_BITS_MAX, Bucket, Head, MARKS_MAX, Mark, SessionKey};

/// Items that a bucket should hold about: a fingerprint costs 4 bytes, and so does each mark of a
/// bucket that differs.
const ITEMS_PER_BUCKET: usize = 16;
/// Bytes of buckets in one message, with room for its frame.
const PART_BYTES: usize = 61_000;

/// An item as a comparison sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Placed<T> {
    place: u64,
    pub(crate) mark: Mark,
    pub(crate) item: T,
}

impl Placed<Digest> {
    /// An entry.
    pub(crate) fn entry(hash: Digest, key: &SessionKey) -> Self {
        Self { place: key.place(&hash.0), mark: key.mark_of_entry(&hash), item: hash }
    }
}

impl Placed<Head> {
    /// A head, in the bucket of its host.
    pub(crate) fn head(head: Head, key: &SessionKey) -> Self {
        Self { place: key.place(&head.host.0), mark: key.mark_of_head(&head), item: head }
    }
}

impl<T> Placed<T> {
    /// The name of its host, if it is a head.
    pub(crate) fn place(&self) -> u64 {
        self.place
    }

    fn bucket(&self, bits: u8) -> u16 {
        let leading = self.place.checked_shr(64 - u32::from(bits)).unwrap_or(0);
        u16::try_from(leading).unwrap_or(u16::MAX)
    }
}

/// Leading bits with which `count` items make buckets of a few each.
pub(crate) fn bits_for(count: usize) -> u8 {
    let buckets = count.div_ceil(ITEMS_PER_BUCKET).next_power_of_two();
    u8::try_from(buckets.trailing_zeros()).unwrap_or(u8::MAX).min(BUCKET_BITS_MAX)
}

/// Fingerprints of all 2^bits buckets; zeros for an empty one.
pub(crate) fn fingerprints<T>(own: &[Placed<T>], bits: u8) -> Vec<Mark> {
    let mut all = vec![Mark::default(); 1 << bits];
    for item in own {
        if let Some(bucket) = all.get_mut(usize::from(item.bucket(bits))) {
            *bucket = bucket.xor(item.mark);
        }
    }
    all
}

/// The own buckets whose fingerprints differ from the other side's, empty ones included.
pub(crate) fn differing<T>(own: &[Placed<T>], bits: u8, theirs: &[Mark]) -> Vec<Bucket> {
    let ours = fingerprints(own, bits);
    let mut marks: BTreeMap<u16, Vec<Mark>> = (0..=u16::MAX)
        .zip(ours.iter().zip(theirs))
        .filter(|(_, (ours, theirs))| ours != theirs)
        .map(|(index, _)| (index, Vec::new()))
        .collect();
    for item in own {
        if let Some(marks) = marks.get_mut(&item.bucket(bits)) {
            marks.push(item.mark);
        }
    }
    marks.into_iter().map(|(index, marks)| Bucket { index, marks }).collect()
}

/// How one bucket differs from the other side's.
#[derive(Clone, Debug)]
pub(crate) struct Unlike<T> {
    /// Own items that none of its marks fits.
    pub(crate) surplus: Vec<Placed<T>>,
    /// Its marks that no own item fits.
    pub(crate) lacking: BTreeSet<Mark>,
}

/// How the buckets that the other side showed differ, by bucket.
pub(crate) fn unlike<T>(own: Vec<Placed<T>>, bits: u8, theirs: &[Bucket]) -> Vec<Unlike<T>> {
    let mut marks: BTreeMap<u16, BTreeSet<Mark>> = BTreeMap::new();
    for bucket in theirs {
        marks.entry(bucket.index).or_default().extend(&bucket.marks);
    }
    let of = |marks: &BTreeSet<Mark>| Unlike { surplus: vec![], lacking: marks.clone() };
    let mut found: BTreeMap<u16, Unlike<T>> =
        marks.iter().map(|(index, marks)| (*index, of(marks))).collect();
    for item in own {
        let index = item.bucket(bits);
        let (Some(marks), Some(unlike)) = (marks.get(&index), found.get_mut(&index)) else {
            continue;
        };
        if marks.contains(&item.mark) {
            unlike.lacking.remove(&item.mark);
        } else {
            unlike.surplus.push(item);
        }
    }
    found.into_values().collect()
}

/// Splits buckets into messages' worth. A bucket that is larger than one by itself is cut: what is
/// left out is found next time.
pub(crate) fn in_parts(buckets: Vec<Bucket>) -> Vec<Vec<Bucket>> {
    let mut parts: Vec<Vec<Bucket>> = Vec::new();
    let mut bytes = usize::MAX;
    for mut bucket in buckets {
        bucket.marks.truncate(MARKS_MAX);
        let takes = 4 + 4 * bucket.marks.len();
        if bytes.saturating_add(takes) > PART_BYTES {
            parts.push(Vec::new());
            bytes = 0;
        }
        bytes += takes;
        if let Some(part) = parts.last_mut() {
            part.push(bucket);
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use daymark_protocol::wire::{Nonce, Session};
    use proptest::prelude::*;

    use super::*;

    fn key(number: u8) -> SessionKey {
        Session { opener: Nonce([number; 8]), answerer: Nonce([9; 8]) }.key()
    }

    fn placed(set: &BTreeSet<[u8; 32]>, key: &SessionKey) -> Vec<Placed<Digest>> {
        set.iter().map(|hash| Placed::entry(Digest(*hash), key)).collect()
    }

    #[test]
    fn buckets_hold_a_few_items_each() {
        assert_eq!((bits_for(0), bits_for(16), bits_for(17), bits_for(1 << 20)), (0, 0, 1, 12));
        let set: BTreeSet<[u8; 32]> = (0..=255).map(|byte| [byte; 32]).collect();
        assert!(placed(&set, &key(1)).iter().all(|item| item.bucket(0) == 0));
        assert!(placed(&set, &key(1)).iter().all(|item| item.bucket(3) < 8));
    }

    /// Items whose marks are alike hide each other under one key, and not under the next.
    #[test]
    fn items_that_look_alike_by_chance_are_told_apart_next_time() {
        let all: Vec<Digest> = (0_u32..200_000).map(|n| Digest::of(&n.to_be_bytes())).collect();
        let mut marks = BTreeMap::new();
        let twins = all.iter().find_map(|item| {
            let before = marks.insert(key(1).mark_of_entry(item), *item);
            before.map(|before| (before, *item))
        });
        let (one, other) = twins.expect("among so many there are twins");
        let sees = |key: SessionKey| {
            let (own, theirs) = ([Placed::entry(one, &key)], [Placed::entry(other, &key)]);
            !differing(&own, 0, &fingerprints(&theirs, 0)).is_empty()
        };
        assert!(!sees(key(1)) && sees(key(2)));
    }

    proptest! {
        #[test]
        fn one_comparison_finds_what_each_side_lacks(
            common in prop::collection::btree_set(any::<[u8; 32]>(), 0..200),
            only_ours in prop::collection::btree_set(any::<[u8; 32]>(), 0..5),
            only_theirs in prop::collection::btree_set(any::<[u8; 32]>(), 0..5),
            session: u8,
        ) {
            let key = key(session);
            let ours: BTreeSet<_> = common.union(&only_ours).copied().collect();
            let theirs: BTreeSet<_> = common.union(&only_theirs).copied().collect();
            let bits = bits_for(ours.len());
            let (own, other) = (placed(&ours, &key), placed(&theirs, &key));
            let shown = differing(&other, bits, &fingerprints(&own, bits));
            let shown: Vec<Bucket> = in_parts(shown).into_iter().flatten().collect();
            let found = unlike(own, bits, &shown);
            let surplus: BTreeSet<[u8; 32]> =
                found.iter().flat_map(|it| &it.surplus).map(|item| item.item.0).collect();
            prop_assert_eq!(surplus, ours.difference(&theirs).copied().collect());
            let lacking: BTreeSet<Mark> =
                found.iter().flat_map(|it| &it.lacking).copied().collect();
            let missing = theirs.difference(&ours).map(|hash| key.mark_of_entry(&Digest(*hash)));
            prop_assert_eq!(lacking, missing.collect());
        }

        #[test]
        fn parts_lose_nothing_and_each_fits_a_message(
            sizes in prop::collection::vec(0_usize..9_000, 0..30),
        ) {
            let bucket = |(index, size): (u16, &usize)| Bucket {
                index,
                marks: (0..u32::try_from(*size).unwrap()).map(|n| Mark(n.to_be_bytes())).collect(),
            };
            let buckets: Vec<Bucket> = (0..).zip(&sizes).map(bucket).collect();
            let parts = in_parts(buckets.clone());
            for part in &parts {
                let bytes: usize = part.iter().map(|it| 4 + 4 * it.marks.len()).sum();
                prop_assert!(bytes <= PART_BYTES);
            }
            prop_assert_eq!(parts.into_iter().flatten().collect::<Vec<_>>(), buckets);
        }
    }
}
