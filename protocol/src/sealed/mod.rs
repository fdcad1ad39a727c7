//! A pack: items of a fleet as they travel on a stick, encrypted to those who may read them
//! (`docs/decisions/0030-sealed-sticks.md`). Pure; whoever seals brings the randomness.
//!
//! ```text
//! "DMSEAL1\n"  fleet (32)  ephemeral X25519 key (32)  slots (4)
//! slots × { tag (16)  content key, wrapped (48) }    ordered by tag, filled up to a power of two
//! body, ChaCha20-Poly1305 under the content key, all before it as associated data
//! ```
//!
//! A slot's tag and key come out of BLAKE3 from the shared secret of the ephemeral key and the
//! X25519 form of a recipient's Ed25519 key, so that a reader finds its own with one multiplication
//! and nobody else learns whose the others are. What a pack brings is believed as little as what lies
//! there in the clear: anyone may seal, and each item is checked by its own signatures.

mod body;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Key, Nonce};
use curve25519_dalek::MontgomeryPoint;

use crate::codec::{DecodeError, Reader, Writer};
use crate::control::Item;
use crate::id::{Digest, FleetId};
use crate::trust::{PublicKey, SigningKey};

pub use self::body::{PACK_ITEM_BYTES_MAX, Packing};

const MAGIC: &[u8; 8] = b"DMSEAL1\n";
/// Most recipients: three times the largest fleet that is planned for, and its role keys.
pub const RECIPIENTS_MAX: usize = 32_768;
/// Fewest slots, so that a small fleet's size is not told.
const SLOTS_MIN: usize = 32;
const TAG_BYTES: usize = 16;
const WRAPPED_BYTES: usize = 48;
const SLOT_BYTES: usize = TAG_BYTES + WRAPPED_BYTES;
const HEAD_BYTES: usize = 8 + 32 + 32 + 4;
/// Largest pack.
pub const PACK_BYTES_MAX: usize =
    HEAD_BYTES + RECIPIENTS_MAX * SLOT_BYTES + body::BODY_BYTES_MAX + 16;
const SLOT_CONTEXT: &str = "daymark 2026-11 slot of a sealed pack";
const FILL_CONTEXT: &str = "daymark 2026-11 filling of a sealed pack";

/// Why a pack cannot be sealed or opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// Its first bytes are not those of a pack.
    #[error("it is no sealed pack, or one of a newer form")]
    NotAPack,
    /// Its fleet is another.
    #[error("it belongs to fleet {}", .0.short())]
    Foreign(FleetId),
    /// None of the keys is among those that it was sealed to.
    #[error("it is not sealed to a key that is here")]
    NotForUs,
    /// It does not decrypt.
    #[error("it is damaged or was altered")]
    Damaged,
    /// It was cut, or says what cannot be.
    #[error("it is damaged: {0}")]
    Malformed(#[from] DecodeError),
    /// More recipients, items or bytes than a pack holds.
    #[error("{what}: {given}, and a pack takes at most {limit}")]
    TooMuch {
        /// Of what.
        what: &'static str,
        /// How many.
        given: usize,
        /// The limit.
        limit: usize,
    },
}

/// Whom a pack may be sealed to: the X25519 form of an Ed25519 key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Recipient([u8; 32]);

impl From<&PublicKey> for Recipient {
    fn from(key: &PublicKey) -> Self {
        Self(key.to_montgomery())
    }
}

/// Bytes from the operating system, drawn anew for each pack.
#[derive(Clone, Copy)]
pub struct Drawn {
    /// The ephemeral private key.
    pub ephemeral: [u8; 32],
    /// The content key.
    pub content: [u8; 32],
}

impl fmt::Debug for Drawn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Drawn(…)")
    }
}

/// What an opened pack brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Digest of the recipients that it was sealed to, as [`recipients_digest`] gives it.
    pub sealed_to: Digest,
    /// The items.
    pub items: Vec<Item>,
}

/// What tells one set of recipients from another.
pub fn recipients_digest(recipients: &BTreeSet<Recipient>) -> Digest {
    let keys: Vec<&[u8]> = recipients.iter().map(|recipient| recipient.0.as_slice()).collect();
    Digest::of_parts(&keys)
}

/// Seals items; roots do not belong into a pack.
///
/// # Errors
/// [`SealError::TooMuch`].
pub fn seal(
    fleet: FleetId,
    items: &[Item],
    recipients: &BTreeSet<Recipient>,
    drawn: &Drawn,
) -> Result<Vec<u8>, SealError> {
    let given = recipients.len();
    if given > RECIPIENTS_MAX {
        return Err(SealError::TooMuch { what: "recipients", given, limit: RECIPIENTS_MAX });
    }
    let body = body::encode(recipients_digest(recipients), items)?;
    let ephemeral = MontgomeryPoint::mul_base_clamped(drawn.ephemeral).to_bytes();
    let mut slots: BTreeMap<[u8; TAG_BYTES], [u8; WRAPPED_BYTES]> = BTreeMap::new();
    for recipient in recipients {
        let shared = MontgomeryPoint(recipient.0).mul_clamped(drawn.ephemeral).to_bytes();
        let (tag, key) = slot(&shared, &ephemeral, recipient, fleet);
        slots.insert(tag, wrap(&key, &drawn.content)?);
    }
    fill(&mut slots, &drawn.content);
    let mut writer = Writer::new();
    writer.raw(MAGIC);
    writer.raw(&fleet.0);
    writer.raw(&ephemeral);
    writer.u32(u32::try_from(slots.len()).unwrap_or(u32::MAX));
    for (tag, wrapped) in &slots {
        writer.raw(tag);
        writer.raw(wrapped);
    }
    let mut pack = writer.finish();
    let payload = Payload { msg: &body, aad: &pack };
    let sealed = cipher(&drawn.content).encrypt(&Nonce::default(), payload);
    pack.extend(sealed.map_err(|_| SealError::Damaged)?);
    Ok(pack)
}

/// Opens a pack of this fleet with whichever of the keys it is sealed to.
///
/// # Errors
/// [`SealError`], and nothing of it is given out.
pub fn open(pack: &[u8], fleet: FleetId, keys: &[SigningKey]) -> Result<Opened, SealError> {
    let mut reader = Reader::new(pack);
    if reader.take(MAGIC.len(), "the mark").map_err(|_| SealError::NotAPack)? != MAGIC {
        return Err(SealError::NotAPack);
    }
    let theirs = FleetId(reader.array("the fleet")?);
    if theirs != fleet {
        return Err(SealError::Foreign(theirs));
    }
    let ephemeral: [u8; 32] = reader.array("the ephemeral key")?;
    let count = reader.count(RECIPIENTS_MAX, "slots")?;
    let slots = reader.take(count * SLOT_BYTES, "slots")?;
    let (head, sealed) = pack.split_at(pack.len() - reader.remaining());
    if sealed.len() > body::BODY_BYTES_MAX + 16 {
        let (what, given, limit) = ("body bytes", sealed.len(), body::BODY_BYTES_MAX);
        return Err(SealError::TooMuch { what, given, limit });
    }
    let content = keys.iter().find_map(|key| content_key(slots, &ephemeral, fleet, key));
    let content = content.ok_or(SealError::NotForUs)?;
    let payload = Payload { msg: sealed, aad: head };
    let body = cipher(&content).decrypt(&Nonce::default(), payload);
    body::decode(&body.map_err(|_| SealError::Damaged)?)
}

fn content_key(
    slots: &[u8],
    ephemeral: &[u8; 32],
    fleet: FleetId,
    key: &SigningKey,
) -> Option<[u8; 32]> {
    let shared = MontgomeryPoint(*ephemeral).mul_clamped(key.to_scalar()).to_bytes();
    // A point of small order would give everyone the same secret.
    if shared == [0; 32] {
        return None;
    }
    let (tag, wrapping) = slot(&shared, ephemeral, &Recipient::from(&key.public()), fleet);
    let (slots, _) = slots.as_chunks::<SLOT_BYTES>();
    let place = slots.binary_search_by(|slot| slot[..TAG_BYTES].cmp(&tag)).ok()?;
    let wrapped = slots.get(place)?.get(TAG_BYTES..)?;
    cipher(&wrapping).decrypt(&Nonce::default(), wrapped).ok()?.try_into().ok()
}

/// A slot's tag and the key that wraps the content key in it.
fn slot(
    shared: &[u8; 32],
    ephemeral: &[u8; 32],
    recipient: &Recipient,
    fleet: FleetId,
) -> ([u8; TAG_BYTES], [u8; 32]) {
    let mut hasher = blake3::Hasher::new_derive_key(SLOT_CONTEXT);
    for part in [shared, ephemeral, &recipient.0, &fleet.0] {
        hasher.update(part);
    }
    let (mut tag, mut key) = ([0; TAG_BYTES], [0; 32]);
    let mut drawn = hasher.finalize_xof();
    drawn.fill(&mut tag);
    drawn.fill(&mut key);
    (tag, key)
}

fn wrap(key: &[u8; 32], content: &[u8; 32]) -> Result<[u8; WRAPPED_BYTES], SealError> {
    // Each wrapping key is used once, so that a fixed nonce is safe; so is the content key.
    let wrapped = cipher(key).encrypt(&Nonce::default(), content.as_slice());
    wrapped.ok().and_then(|wrapped| wrapped.try_into().ok()).ok_or(SealError::Damaged)
}

/// Adds slots of nobody, which look like the others.
fn fill(slots: &mut BTreeMap<[u8; TAG_BYTES], [u8; WRAPPED_BYTES]>, content: &[u8; 32]) {
    let wanted = slots.len().max(SLOTS_MIN).next_power_of_two();
    let mut hasher = blake3::Hasher::new_derive_key(FILL_CONTEXT);
    hasher.update(content);
    let mut drawn = hasher.finalize_xof();
    while slots.len() < wanted {
        let (mut tag, mut wrapped) = ([0; TAG_BYTES], [0; WRAPPED_BYTES]);
        drawn.fill(&mut tag);
        drawn.fill(&mut wrapped);
        slots.entry(tag).or_insert(wrapped);
    }
}

fn cipher(key: &[u8; 32]) -> ChaCha20Poly1305 {
    ChaCha20Poly1305::new(&Key::from(*key))
}

#[cfg(test)]
mod tests;
