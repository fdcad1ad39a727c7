use std::collections::BTreeSet;

use daymark_protocol::id::KeyId;
use daymark_protocol::trust::{
    Context, Envelope, PublicKey, RoleKeys, Signature, SigningKey, WeakKey, pae,
};
use proptest::prelude::*;

use crate::support::{ids, key, key_id};

/// The order of Ed25519's base point, little-endian (RFC 8032).
const ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

#[test]
fn rfc8032_first_vector_gives_the_public_key() {
    let seed = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
    let seed = data_encoding::HEXLOWER.decode(seed.as_bytes()).unwrap().try_into().unwrap();
    let public = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
    assert_eq!(SigningKey::from_seed(seed).public().to_string(), public);
}

#[test]
fn s1_the_signed_bytes_are_those_of_dsse() {
    let expected = b"DSSEv1 41 application/vnd.daymark.statement.v1+json 11 hello world";
    assert_eq!(pae(Context::Statement, b"hello world"), expected);
}

#[test]
fn s1_a_signature_of_one_kind_of_thing_is_none_of_another() {
    let signature = key('A').sign(Context::Report, b"x");
    assert!(key('A').public().verify(Context::Report, b"x", &signature));
    assert!(!key('A').public().verify(Context::Statement, b"x", &signature));
    assert!(!key('A').public().verify(Context::Root, b"x", &signature));
}

#[test]
fn rt_s6_the_key_that_signs_everything_is_refused() {
    let mut identity = [0; 32];
    identity[0] = 1;
    assert_eq!(PublicKey::from_bytes(identity).unwrap_err(), WeakKey::SmallOrder);
}

#[test]
fn rt_s6_a_second_encoding_of_a_key_is_refused() {
    // y = p + k encodes the point of y = k once more.
    let refused: BTreeSet<String> = (0..19)
        .map(|k| {
            let mut second = [0xff; 32];
            second[0] = 0xed + k;
            second[31] = 0x7f;
            format!("{:?}", PublicKey::from_bytes(second).unwrap_err())
        })
        .collect();
    assert!(refused.contains("NotCanonical"), "{refused:?}");
}

#[test]
fn rt_s6_a_malleated_signature_is_refused() {
    let signature = key('A').sign(Context::Statement, b"x");
    let mut other = signature;
    let mut carry = 0u16;
    for (byte, order) in other.0[32..].iter_mut().zip(ORDER) {
        let sum = u16::from(*byte) + u16::from(order) + carry;
        *byte = sum.to_le_bytes()[0];
        carry = sum >> 8;
    }
    assert!(!key('A').public().verify(Context::Statement, b"x", &other));
}

#[test]
fn keys_show_no_secret() {
    let shown = format!("{:?}", key('A'));
    assert_eq!(shown, format!("SigningKey(of {})", key_id('A').short()));
}

#[test]
fn c5_keys_outside_the_role_do_not_count() {
    let role = RoleKeys { threshold: 2, keys: ids("AB").into_iter().collect() };
    let count = |letters| role.count(&ids(letters).into_iter().collect());
    assert!(!count("ACD").is_met());
    assert!(!count("AA").is_met());
    assert!(count("AB").is_met());
    assert_eq!(count("AC").have.into_iter().collect::<Vec<KeyId>>(), ids("A"));
}

#[test]
fn envelopes_refuse_a_key_that_signs_twice_and_too_many_signatures() {
    let twice = |signatures: Vec<(KeyId, Signature)>| {
        Envelope { context: Context::Root, payload: b"x".to_vec(), signatures }.to_json()
    };
    let signature = Signature([7; 64]);
    assert!(Envelope::parse(&twice(vec![(key_id('A'), signature); 2])).is_err());
    let many = |n: u8| (0..n).map(|i| (KeyId([i; 32]), signature)).collect();
    assert!(Envelope::parse(&twice(many(64))).is_ok());
    assert!(Envelope::parse(&twice(many(65))).is_err());
}

#[test]
fn envelopes_ignore_what_dsse_says_to_ignore_and_know_their_types() {
    let read = |payload_type: &str| {
        let json = format!(
            r#"{{"payload":"eA==","payloadType":"{payload_type}","signatures":[],"extra":1}}"#
        );
        Envelope::parse(json.as_bytes())
    };
    assert_eq!(read(Context::Root.payload_type()).unwrap().payload, b"x");
    assert!(read("application/json").is_err());
}

proptest! {
    #[test]
    fn envelopes_come_back_as_written(
        payload in prop::collection::vec(any::<u8>(), 0..200),
        signatures in prop::collection::btree_map(any::<[u8; 32]>(), any::<[u8; 32]>(), 0..5),
    ) {
        let signatures = signatures
            .into_iter()
            .map(|(id, half)| {
                let whole = [half, half].concat().try_into().unwrap();
                (KeyId(id), Signature(whole))
            })
            .collect();
        let envelope = Envelope { context: Context::Statement, payload, signatures };
        prop_assert_eq!(Envelope::parse(&envelope.to_json()).unwrap(), envelope);
    }

    #[test]
    fn i9_envelopes_of_noise_are_refused_without_panic(noise in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(Envelope::parse(&noise).is_err());
    }
}
