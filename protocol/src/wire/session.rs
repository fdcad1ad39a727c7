//! The key of one comparison: nobody who writes entries or reports can know beforehand what they
//! are compared by, so nobody can make two sets look alike, or put many items into one bucket.
//!
//! Both sides draw a nonce for each comparison. Two items whose short marks are alike by chance, or
//! two sets, differ under the next key. None of this is a secret between the two peers.

use siphasher::sip::SipHasher24;

use crate::id::{Digest, KeyId};

/// 8 bytes that a peer draws for one comparison.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Nonce(pub [u8; 8]);

/// What a set's digest looks like under a nonce.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tag(pub [u8; 8]);

impl Nonce {
    /// The first 8 bytes of the SHA-256 of the nonce and a set's own digest, which is whole and
    /// not keyed: to be kept until the set changes.
    pub fn tag(&self, digest: &Digest) -> Tag {
        let keyed = Digest::of_parts(&[b"daymark tag", &self.0, digest.as_bytes()]);
        Tag(std::array::from_fn(|at| keyed.0[at]))
    }
}

/// One comparison: the nonces of whoever said hello, and of whoever answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Session {
    /// Of whoever said hello.
    pub opener: Nonce,
    /// Of whoever answered.
    pub answerer: Nonce,
}

impl Session {
    /// What items are placed and marked under.
    pub fn key(&self) -> SessionKey {
        let key = Digest::of_parts(&[b"daymark session", &self.opener.0, &self.answerer.0]);
        SessionKey(SipHasher24::new_with_key(&std::array::from_fn(|at| key.0[at])))
    }
}

/// A short name of an item under a session's key; of a bucket, the XOR of those of its items.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark(pub [u8; 4]);

impl Mark {
    /// Adds an item to a bucket's mark, or takes it out.
    #[must_use]
    pub fn xor(self, other: Self) -> Self {
        Self((u32::from_be_bytes(self.0) ^ u32::from_be_bytes(other.0)).to_be_bytes())
    }
}

/// The key of a session: SipHash-2-4 under the first 16 bytes of SHA-256 of both nonces.
#[derive(Clone, Copy, Debug)]
pub struct SessionKey(SipHasher24);

impl SessionKey {
    /// The place of an entry, by its hash, or of a host: its leading bits are the bucket's.
    pub fn place(&self, name: &[u8; 32]) -> u64 {
        self.0.hash(name)
    }

    /// The mark of an entry: the last 4 bytes of its place.
    pub fn mark_of_entry(&self, hash: &Digest) -> Mark {
        let [.., a, b, c, d] = self.place(&hash.0).to_be_bytes();
        Mark([a, b, c, d])
    }

    /// The mark of a host's head.
    pub fn mark_of_head(&self, head: &Head) -> Mark {
        let [.., a, b, c, d] = self.0.hash(&head.bytes()).to_be_bytes();
        Mark([a, b, c, d])
    }
}

/// The newest report of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Head {
    /// The host.
    pub host: KeyId,
    /// Its generation.
    pub generation: u64,
    /// Its count.
    pub count: u64,
    /// Its hash.
    pub hash: Digest,
}

impl Head {
    /// All of it: what is marked, and, of all heads by host one after the other, the set's digest.
    pub fn bytes(&self) -> [u8; 80] {
        let mut bytes = [0; 80];
        bytes[..32].copy_from_slice(&self.host.0);
        bytes[32..40].copy_from_slice(&self.generation.to_be_bytes());
        bytes[40..48].copy_from_slice(&self.count.to_be_bytes());
        bytes[48..].copy_from_slice(&self.hash.0);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(opener: u8, answerer: u8) -> Session {
        Session { opener: Nonce([opener; 8]), answerer: Nonce([answerer; 8]) }
    }

    #[test]
    fn each_nonce_alone_changes_where_items_are_put_and_how_they_are_marked() {
        let item = Digest([7; 32]);
        let head = Head { host: KeyId([1; 32]), generation: 1, count: 2, hash: item };
        let all: std::collections::BTreeSet<_> = [(1, 1), (1, 2), (2, 1), (2, 2)]
            .map(|(opener, answerer)| {
                let key = session(opener, answerer).key();
                (key.place(&item.0), key.mark_of_entry(&item), key.mark_of_head(&head))
            })
            .into();
        assert_eq!(all.len(), 4);
        assert_ne!(Nonce([1; 8]).tag(&item), Nonce([2; 8]).tag(&item));
    }

    #[test]
    fn names_made_to_fall_into_one_bucket_scatter_under_the_next_key() {
        let bucket = |key: SessionKey, name: &Digest| key.place(&name.0) >> 56;
        let known = session(1, 1).key();
        let names: Vec<Digest> = (0_u32..20_000)
            .map(|number| Digest::of(&number.to_be_bytes()))
            .filter(|name| bucket(known, name) == 0)
            .collect();
        let mut of: std::collections::BTreeMap<u64, usize> = Default::default();
        for name in &names {
            *of.entry(bucket(session(1, 2).key(), name)).or_default() += 1;
        }
        assert!(names.len() > 40 && of.values().all(|many| *many < 6), "{of:?}");
    }
}
