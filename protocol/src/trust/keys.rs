//! Ed25519 keys and signatures, and what keeps one kind of signed thing from passing for another.
//!
//! Only `verify_strict` is used, and weak or non-canonical keys are refused: otherwise one point
//! would have two key ids, and the identity point would "sign" everything (RULES S1).

use std::fmt;

use data_encoding::HEXLOWER;
use ed25519_dalek::{Signer as _, VerifyingKey};

use crate::id::{Digest, KeyId};

/// Bytes that are no usable Ed25519 public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WeakKey {
    /// Not the encoding of a point of the curve.
    #[error("the public key is not a point of Ed25519")]
    NotAPoint,
    /// A second encoding of a point, which would give one key two ids.
    #[error("the public key is not in canonical form")]
    NotCanonical,
    /// A point of small order, under which signatures of anything verify.
    #[error("the public key is weak")]
    SmallOrder,
}

/// The kind of a signed thing, and thereby the DSSE `payloadType` that its signature covers. A
/// signature over one kind never verifies as another (RULES S1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Context {
    /// A trust root.
    Root,
    /// A statement.
    Statement,
    /// A host's report.
    Report,
    /// A host's newest word on where it is (RULES D7).
    Liveness,
    /// A machine's request to be enrolled.
    Enrolment,
    /// A word on what is newest (RULES K1).
    Heartbeat,
    /// That whoever holds a role key asks to be served by one node over one connection.
    Visit,
}

impl Context {
    const ALL: [Self; 7] = [
        Self::Root,
        Self::Statement,
        Self::Report,
        Self::Liveness,
        Self::Enrolment,
        Self::Heartbeat,
        Self::Visit,
    ];

    /// The DSSE `payloadType`.
    pub fn payload_type(self) -> &'static str {
        match self {
            Self::Root => "application/vnd.daymark.root.v1+json",
            Self::Statement => "application/vnd.daymark.statement.v1+json",
            Self::Report => "application/vnd.daymark.report.v1",
            Self::Liveness => "application/vnd.daymark.liveness.v1",
            Self::Enrolment => "application/vnd.daymark.enrolment.v1+json",
            Self::Heartbeat => "application/vnd.daymark.heartbeat.v1+json",
            Self::Visit => "application/vnd.daymark.visit.v1",
        }
    }

    /// The context of a DSSE `payloadType`.
    pub fn from_payload_type(payload_type: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|context| context.payload_type() == payload_type)
    }
}

/// DSSE's pre-authentication encoding: the bytes that are signed for `payload`.
pub fn pae(context: Context, payload: &[u8]) -> Vec<u8> {
    let payload_type = context.payload_type();
    let head = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len());
    let mut bytes = Vec::with_capacity(head.len() + payload.len());
    bytes.extend_from_slice(head.as_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// A public key that is a canonical encoding of a point of large order.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

impl PublicKey {
    /// Checks and takes the raw bytes of a key.
    pub fn from_bytes(bytes: [u8; 32]) -> Result<Self, WeakKey> {
        let key = VerifyingKey::from_bytes(&bytes).map_err(|_| WeakKey::NotAPoint)?;
        if key.is_weak() {
            return Err(WeakKey::SmallOrder);
        }
        if key.to_edwards().compress().to_bytes() != bytes {
            return Err(WeakKey::NotCanonical);
        }
        Ok(Self(key))
    }

    /// The raw bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    /// The key's id: SHA-256 of its raw bytes.
    pub fn id(&self) -> KeyId {
        KeyId(Digest::of(self.as_bytes()).0)
    }

    /// Its X25519 form, to encrypt to whoever holds it.
    pub(crate) fn to_montgomery(&self) -> [u8; 32] {
        self.0.to_montgomery().to_bytes()
    }

    /// Whether this key signed `message` as a thing of kind `context`.
    pub fn verify(&self, context: Context, message: &[u8], signature: &Signature) -> bool {
        let signature = ed25519_dalek::Signature::from_bytes(&signature.0);
        self.0.verify_strict(&pae(context, message), &signature).is_ok()
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(self.as_bytes()))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.id().short())
    }
}

/// The raw bytes of a signature, not yet verified. Ordered, because of several signatures by one
/// key on one statement the lowest counts (RULES D2).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signature(pub [u8; 64]);

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signature({}…)", HEXLOWER.encode(&self.0[..6]))
    }
}

/// A private key. Wiped from memory when dropped; never shown, never serialised.
#[derive(Clone)]
pub struct SigningKey(ed25519_dalek::SigningKey);

impl SigningKey {
    /// The key of a 32-byte seed.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self(ed25519_dalek::SigningKey::from_bytes(&seed))
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    /// Its X25519 form, not yet clamped, to decrypt what was encrypted to its public half.
    pub(crate) fn to_scalar(&self) -> [u8; 32] {
        self.0.to_scalar_bytes()
    }

    /// Signs `message` as a thing of kind `context`.
    pub fn sign(&self, context: Context, message: &[u8]) -> Signature {
        Signature(self.0.sign(&pae(context, message)).to_bytes())
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey(of {})", self.public().id().short())
    }
}
