//! Comparing two sets by buckets of leading bits: pure, and the same on both sides.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use daymark_protocol::id::Digest;
use daymark_protocol::wire::{BUCKET_BITS_MAX, Bucket};

/// Items that a bucket should hold about: a fingerprint costs 8 bytes, an item at least 32.
const ITEMS_PER_BUCKET: usize = 8;

/// Leading bits with which `count` items make buckets of a few each.
pub(crate) fn bits_for(count: usize) -> u8 {
    let buckets = count.div_ceil(ITEMS_PER_BUCKET).next_power_of_two();
    u8::try_from(buckets.trailing_zeros()).unwrap_or(u8::MAX).min(BUCKET_BITS_MAX)
}

/// The bucket of a name.
pub(crate) fn bucket_of(name: &[u8; 32], bits: u8) -> u16 {
    let leading = u16::from_be_bytes([name[0], name[1]]);
    leading.checked_shr(16 - u32::from(bits)).unwrap_or(0)
}

/// The names of a bucket.
pub(crate) fn range_of(index: u16, bits: u8) -> RangeInclusive<[u8; 32]> {
    let free = 16 - u32::from(bits);
    let low = index.checked_shl(free).unwrap_or(0);
    let high = low | u16::MAX.checked_shr(u32::from(bits)).unwrap_or(0);
    let (mut from, mut to) = ([0; 32], [0xff; 32]);
    from[..2].copy_from_slice(&low.to_be_bytes());
    to[..2].copy_from_slice(&high.to_be_bytes());
    from..=to
}

/// Sorts items into buckets, keeping their order. Empty buckets are absent.
pub(crate) fn sort<T>(
    items: impl IntoIterator<Item = T>,
    bits: u8,
    name: impl Fn(&T) -> [u8; 32],
) -> BTreeMap<u16, Vec<T>> {
    let mut buckets: BTreeMap<u16, Vec<T>> = BTreeMap::new();
    for item in items {
        buckets.entry(bucket_of(&name(&item), bits)).or_default().push(item);
    }
    buckets
}

/// Fingerprints of all 2^bits buckets; zeros for an empty one.
pub(crate) fn fingerprints<T>(
    buckets: &BTreeMap<u16, Vec<T>>,
    bits: u8,
    content: impl Fn(&T) -> Digest,
) -> Vec<[u8; 8]> {
    let mut all = vec![[0; 8]; 1 << bits];
    for (index, items) in buckets {
        let bytes: Vec<u8> = items.iter().flat_map(|item| content(item).0).collect();
        let digest = Digest::of(&bytes);
        all[usize::from(*index)] = std::array::from_fn(|at| digest.0[at]);
    }
    all
}

/// The own buckets whose fingerprints differ from the other side's, empty ones included.
pub(crate) fn differing<T: Clone>(
    own: &BTreeMap<u16, Vec<T>>,
    own_fingerprints: &[[u8; 8]],
    theirs: &[[u8; 8]],
) -> Vec<Bucket<T>> {
    (0..=u16::MAX)
        .zip(own_fingerprints.iter().zip(theirs))
        .filter(|(_, (own, theirs))| own != theirs)
        .map(|(index, _)| Bucket { index, items: own.get(&index).cloned().unwrap_or_default() })
        .collect()
}

/// Splits buckets into messages' worth of at most `items_max` items and 1,024 buckets. A bucket
/// that is larger by itself is cut: what is left out is found next time.
pub(crate) fn in_parts<T>(buckets: Vec<Bucket<T>>, items_max: usize) -> Vec<Vec<Bucket<T>>> {
    let mut parts: Vec<Vec<Bucket<T>>> = Vec::new();
    let mut items = usize::MAX;
    for mut bucket in buckets {
        bucket.items.truncate(items_max);
        let full = parts.last().is_none_or(|part| part.len() >= 1_024);
        if full || items.saturating_add(bucket.items.len()) > items_max {
            parts.push(Vec::new());
            items = 0;
        }
        items += bucket.items.len();
        if let Some(part) = parts.last_mut() {
            part.push(bucket);
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn buckets_are_leading_bits() {
        assert_eq!(bucket_of(&[0xff; 32], 0), 0);
        assert_eq!(bucket_of(&[0xff; 32], 3), 7);
        assert_eq!(bucket_of(&[0b1010_0000; 32], 3), 5);
        assert_eq!((bits_for(0), bits_for(8), bits_for(9), bits_for(1 << 20)), (0, 0, 1, 11));
    }

    proptest! {
        #[test]
        fn the_names_of_a_bucket_are_those_between_its_ends(
            name: [u8; 32],
            index: u16,
            bits in 0..=BUCKET_BITS_MAX,
        ) {
            let index = index % (1 << bits);
            let lies_between = range_of(index, bits).contains(&name);
            prop_assert_eq!(lies_between, bucket_of(&name, bits) == index);
            prop_assert!(range_of(bucket_of(&name, bits), bits).contains(&name));
        }

        #[test]
        fn what_one_side_lacks_lies_in_the_buckets_that_differ(
            common in prop::collection::btree_set(any::<[u8; 32]>(), 0..200),
            only_ours in prop::collection::btree_set(any::<[u8; 32]>(), 0..5),
            only_theirs in prop::collection::btree_set(any::<[u8; 32]>(), 0..5),
        ) {
            let ours: BTreeSet<_> = common.union(&only_ours).copied().map(Digest).collect();
            let theirs: BTreeSet<_> = common.union(&only_theirs).copied().map(Digest).collect();
            let bits = bits_for(ours.len());
            let sorted = |set: &BTreeSet<Digest>| sort(set.iter().copied(), bits, |item| item.0);
            let (own, other) = (sorted(&ours), sorted(&theirs));
            let print = |set: &_| fingerprints(set, bits, |item: &Digest| *item);
            let found = differing(&other, &print(&other), &print(&own));
            let seen: BTreeSet<u16> = found.iter().map(|bucket| bucket.index).collect();
            for item in ours.symmetric_difference(&theirs) {
                prop_assert!(seen.contains(&bucket_of(&item.0, bits)));
            }
            let carried: Vec<Digest> =
                found.iter().flat_map(|bucket| bucket.items.clone()).collect();
            let parted: Vec<Digest> = in_parts(found, 10_000)
                .into_iter()
                .flatten()
                .flat_map(|bucket| bucket.items)
                .collect();
            prop_assert_eq!(carried, parted);
        }
    }
}
