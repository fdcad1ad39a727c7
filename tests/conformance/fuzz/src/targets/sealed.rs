//! Sealed packs, from outside and from within: whatever is changed of a pack from outside does not
//! decrypt, so a second target seals what was changed of its body, as anyone may.

use std::collections::BTreeSet;

use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Key, Nonce};
use daymark_protocol::control::Item;
use daymark_protocol::sealed::{
    Drawn, Opened, Recipient, SealError, open, recipients_digest, seal,
};
use daymark_protocol::trust::SigningKey;

use super::{BINARY, refused, world};
use crate::target::{Allowance, Target, Told};

pub(super) const TARGETS: &[Target] = &[
    Target {
        name: "pack",
        about: "a sealed pack as it lies on a stick",
        input_bytes_max: 64 * 1024,
        allowance: BINARY,
        words: &["DMSEAL1\n"],
        sources: &["protocol/src/sealed/mod.rs"],
        run: |input| told(open(input, world::fleet(), &readers())),
    },
    Target {
        name: "pack-body",
        about: "what is inside a pack, sealed by whoever wrote it",
        input_bytes_max: 64 * 1024,
        // An item costs a few hundred bytes, and 37 of input.
        allowance: Allowance { base_bytes: 256 * 1024, per_byte: 48 },
        words: &["fleet", "site/berlin"],
        sources: &["protocol/src/sealed/body.rs"],
        run: |input| {
            let pack = around(input);
            let opened = open(&pack, world::fleet(), &readers());
            if let Ok(opened) = &opened {
                comes_back(opened, input);
            }
            told(opened)
        },
    },
];

/// Who can read: a key that none of them is for comes first.
fn readers() -> [SigningKey; 2] {
    [world::key(77), world::host()]
}

fn recipients() -> BTreeSet<Recipient> {
    [Recipient::from(&world::host().public()), Recipient::from(&world::key(1).public())].into()
}

const DRAWN: Drawn = Drawn { ephemeral: [5; 32], content: [6; 32] };

/// A pack of items, to the host among others.
pub(crate) fn pack(items: &[Item]) -> Result<Vec<u8>, SealError> {
    seal(world::fleet(), items, &recipients(), &DRAWN)
}

/// What is inside such a pack.
pub(crate) fn body(items: &[Item]) -> anyhow::Result<Vec<u8>> {
    let pack = pack(items)?;
    let (head, sealed) = pack.split_at(head()?.len());
    let opened = cipher().decrypt(&Nonce::default(), Payload { msg: sealed, aad: head });
    opened.map_err(|error| anyhow::anyhow!("the pack does not open: {error}"))
}

/// All of a pack before its body: the same for every body.
fn head() -> Result<Vec<u8>, SealError> {
    let empty = pack(&[])?;
    let body = EMPTY_BODY_BYTES + TAG_BYTES;
    Ok(empty.split_at(empty.len().saturating_sub(body)).0.to_vec())
}

/// What a body of no items is filled up to.
const EMPTY_BODY_BYTES: usize = 4096;
const TAG_BYTES: usize = 16;

/// A pack with this body.
fn around(body: &[u8]) -> Vec<u8> {
    let mut pack = head().expect("two recipients are no more than there may be");
    let sealed = cipher().encrypt(&Nonce::default(), Payload { msg: body, aad: &pack });
    pack.extend(sealed.expect("a body of some kilobytes can be sealed"));
    pack
}

fn cipher() -> ChaCha20Poly1305 {
    ChaCha20Poly1305::new(&Key::from(DRAWN.content))
}

fn told(opened: Result<Opened, SealError>) -> Told {
    let opened = opened.map_err(refused)?;
    let kinds = opened.items.iter().take(3).map(|item| match item {
        Item::Root { .. } => 'r',
        Item::Entry { .. } => 'e',
        Item::Report { .. } => 'g',
        Item::Blob { .. } => 'b',
    });
    Ok(kinds.collect())
}

/// Sealed again, the items have the body that they came in, but for how far it was filled.
fn comes_back(opened: &Opened, input: &[u8]) {
    if opened.sealed_to != recipients_digest(&recipients()) {
        return;
    }
    let again = body(&opened.items).expect("what was read is within every limit");
    let end = |body: &[u8]| body.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    assert_eq!(again[..end(&again)], input[..end(input)], "a body is accepted in a second form");
}
