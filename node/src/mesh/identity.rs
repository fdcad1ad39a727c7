//! Between the key ids of the fleet and the peer ids of libp2p.
//!
//! A peer id of an Ed25519 key holds the key itself, so the key id (SHA-256 of the raw key)
//! follows from it. The way back needs the key, which only a connection or an address with
//! `/p2p/…` reveals.

use daymark_protocol::id::KeyId;
use libp2p::PeerId;
use libp2p::identity::{Keypair, PublicKey};
use sha2::{Digest as _, Sha256};

/// The multihash code of a key that is inlined, not hashed.
const IDENTITY_MULTIHASH: u64 = 0;

/// The key id of a peer; `None` unless its key is Ed25519 (RULES A1).
pub(super) fn key_id(peer: &PeerId) -> Option<KeyId> {
    let hash = peer.as_ref();
    if hash.code() != IDENTITY_MULTIHASH {
        return None;
    }
    let key = PublicKey::try_decode_protobuf(hash.digest()).ok()?;
    let raw = key.try_into_ed25519().ok()?.to_bytes();
    Some(KeyId(Sha256::digest(raw).into()))
}

/// The key pair of a seed; the given copy of the seed is wiped.
pub(super) fn keypair(mut seed: [u8; 32]) -> Keypair {
    Keypair::ed25519_from_bytes(&mut seed[..]).expect("every 32 bytes are an Ed25519 seed")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8032, section 7.1, test 1: seed and public key; the key id by `sha256sum`.
    #[test]
    fn key_id_follows_from_the_peer_id() {
        let seed = data_encoding::HEXLOWER
            .decode(b"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
            .unwrap();
        let peer = keypair(seed.try_into().unwrap()).public().to_peer_id();
        let expected = "21fe31dfa154a261626bf854046fd2271b7bed4b6abe45aa58877ef47f9721b9";
        assert_eq!(key_id(&peer).unwrap().to_string(), expected);
    }

    #[test]
    fn a1_only_ed25519_peer_ids_have_a_key_id() {
        // The peer id of an RSA key: a SHA-256 multihash, as in the libp2p specification.
        let rsa: PeerId = "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N".parse().unwrap();
        assert_eq!(key_id(&rsa), None);
        assert_eq!(key_id(&PeerId::random()), None);
    }
}
