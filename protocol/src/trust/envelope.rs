//! DSSE envelopes: a payload as signed, with its signatures. Nothing is verified here.

use std::collections::BTreeSet;

use data_encoding::BASE64;
use serde::{Deserialize, Serialize};

use crate::id::KeyId;
use crate::limits;
use crate::trust::{Context, Signature, SigningKey};

/// Bytes that are no envelope within bounds.
#[derive(Debug, thiserror::Error)]
pub enum EnvelopeError {
    /// Longer than [`limits::ENVELOPE_BYTES_MAX`].
    #[error("the envelope has {0} bytes, more than an envelope may have")]
    TooLong(usize),
    /// Not the JSON of an envelope.
    #[error("the envelope is not readable")]
    NotAnEnvelope(#[source] serde_json::Error),
    /// A kind of signed thing that this version does not know.
    #[error("the envelope holds a {0:?}, which this version does not know")]
    UnknownType(String),
    /// Payload or signature is not base64, or a signature is not 64 bytes.
    #[error("{0} of the envelope is not base64 of the right length")]
    NotBase64(&'static str),
    /// More than [`limits::SIGNATURES_MAX`] signatures, or two by one key.
    #[error("the envelope has too many signatures, or two by one key")]
    TooManySignatures,
}

/// A signed thing with its signatures, in the order received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// What kind of thing it is.
    pub context: Context,
    /// The bytes that are signed.
    pub payload: Vec<u8>,
    /// At most [`limits::SIGNATURES_MAX`], one by each key, not verified.
    pub signatures: Vec<(KeyId, Signature)>,
}

/// The JSON form, with DSSE's field names. Other fields are ignored, as DSSE demands; nothing
/// outside the payload has authority.
#[derive(Serialize, Deserialize)]
struct Wire {
    payload: String,
    #[serde(rename = "payloadType")]
    payload_type: String,
    signatures: Vec<WireSignature>,
}

#[derive(Serialize, Deserialize)]
struct WireSignature {
    keyid: KeyId,
    sig: String,
}

impl Envelope {
    /// Reads the JSON form.
    pub fn parse(bytes: &[u8]) -> Result<Self, EnvelopeError> {
        if bytes.len() > limits::ENVELOPE_BYTES_MAX {
            return Err(EnvelopeError::TooLong(bytes.len()));
        }
        let wire: Wire = serde_json::from_slice(bytes).map_err(EnvelopeError::NotAnEnvelope)?;
        let context = Context::from_payload_type(&wire.payload_type).ok_or_else(|| {
            EnvelopeError::UnknownType(wire.payload_type.chars().take(80).collect())
        })?;
        let payload = BASE64
            .decode(wire.payload.as_bytes())
            .map_err(|_| EnvelopeError::NotBase64("the payload"))?;
        let mut keys = BTreeSet::new();
        let mut signatures = Vec::new();
        for WireSignature { keyid, sig } in wire.signatures {
            let raw = BASE64.decode(sig.as_bytes()).ok().and_then(|raw| raw.try_into().ok());
            signatures
                .push((keyid, Signature(raw.ok_or(EnvelopeError::NotBase64("a signature"))?)));
            if !keys.insert(keyid) || signatures.len() > limits::SIGNATURES_MAX {
                return Err(EnvelopeError::TooManySignatures);
            }
        }
        Ok(Self { context, payload, signatures })
    }

    /// The JSON form, the same bytes for the same envelope.
    pub fn to_json(&self) -> Vec<u8> {
        let wire = Wire {
            payload: BASE64.encode(&self.payload),
            payload_type: self.context.payload_type().to_owned(),
            signatures: self
                .signatures
                .iter()
                .map(|(keyid, sig)| WireSignature { keyid: *keyid, sig: BASE64.encode(&sig.0) })
                .collect(),
        };
        serde_json::to_vec(&wire).expect("strings and lists always have a JSON form")
    }
}

impl Envelope {
    /// A payload signed by `keys`.
    pub fn signed<'a>(
        context: Context,
        payload: Vec<u8>,
        keys: impl IntoIterator<Item = &'a SigningKey>,
    ) -> Self {
        let mut envelope = Self { context, payload, signatures: Vec::new() };
        for key in keys {
            envelope.add_signature(key);
        }
        envelope
    }

    /// Adds a signature, unless that key signed already.
    pub fn add_signature(&mut self, key: &SigningKey) {
        let id = key.public().id();
        if self.signatures.iter().all(|(other, _)| *other != id) {
            self.signatures.push((id, key.sign(self.context, &self.payload)));
        }
    }
}
