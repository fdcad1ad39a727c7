//! Heartbeats: "the newest statements as of T are these" (RULES K1, D7). They tell a site that was
//! cut off how old what it knows may be, and what it lacks. Newest-only, beside the documents.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::id::{Digest, FleetId, KeyId};
use crate::limits;
use crate::resource::{Role, Scope};
use crate::time::WallTime;
use crate::trust::envelope::{Envelope, EnvelopeError};
use crate::trust::{Context, Quorum, Root, Seen, pae, strict_json};

/// Why a heartbeat is refused.
#[derive(Debug, thiserror::Error)]
pub enum RefusedHeartbeat {
    /// Not an envelope.
    #[error("a heartbeat's envelope was refused")]
    Envelope(#[source] EnvelopeError),
    /// An envelope of something else.
    #[error("the envelope does not hold a heartbeat")]
    NotAHeartbeat,
    /// Longer than a statement's payload may be.
    #[error("the heartbeat has {0} bytes, more than a heartbeat may have")]
    TooLong(usize),
    /// Not JSON of the form.
    #[error("the heartbeat is not readable")]
    NotReadable(#[source] serde_json::Error),
    /// More than [`limits::HEARTBEAT_NEWEST_MAX`] statements.
    #[error("the heartbeat names {0} statements, more than it may")]
    TooMany(usize),
    /// For another fleet.
    #[error("the heartbeat is for another fleet")]
    OtherFleet,
    /// The threshold of role `heartbeat` is not met.
    #[error("the heartbeat has {} of {} signatures that role heartbeat demands", .0.have.len(), .0.need)]
    TooFewSignatures(Quorum),
    /// As [`Self::TooFewSignatures`], and a signature under one of the role's keys does not verify:
    /// nobody passes that on in good faith.
    #[error("a signature of the heartbeat under key {} does not verify", .0.short())]
    BadSignature(KeyId),
}

/// What a heartbeat says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Heartbeat {
    /// The fleet.
    pub fleet: FleetId,
    /// The part of the fleet that it speaks to.
    pub scope: Scope,
    /// The moment as of which it speaks.
    pub time: WallTime,
    /// What was the newest then: whoever holds less of it waits. Higher versions are fine.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub newest: Vec<Seen>,
}

impl Heartbeat {
    /// The payload, ready to be signed in an [`Envelope`] of [`Context::Heartbeat`].
    ///
    /// # Errors
    /// If it names too many statements or becomes too long.
    pub fn write(&self) -> Result<Vec<u8>, RefusedHeartbeat> {
        let payload = serde_json::to_vec(self).map_err(RefusedHeartbeat::NotReadable)?;
        Self::parse(&payload).map(|_| payload)
    }

    /// Reads a payload, whoever signed it.
    ///
    /// # Errors
    /// If it is not one within bounds.
    pub fn parse(payload: &[u8]) -> Result<Self, RefusedHeartbeat> {
        if payload.len() > limits::STATEMENT_PAYLOAD_BYTES_MAX {
            return Err(RefusedHeartbeat::TooLong(payload.len()));
        }
        strict_json::check(payload, limits::JSON_DEPTH_MAX)
            .map_err(RefusedHeartbeat::NotReadable)?;
        let heartbeat: Self =
            serde_json::from_slice(payload).map_err(RefusedHeartbeat::NotReadable)?;
        match heartbeat.newest.len() {
            ..=limits::HEARTBEAT_NEWEST_MAX => Ok(heartbeat),
            many => Err(RefusedHeartbeat::TooMany(many)),
        }
    }

    /// The digest by which a root takes it back: SHA-256 of its pre-authentication encoding.
    pub fn digest_of(payload: &[u8]) -> Digest {
        Digest::of(&pae(Context::Heartbeat, payload))
    }
}

/// A heartbeat that met its threshold under the root that it was last held against.
#[derive(Clone, Debug)]
pub struct SignedHeartbeat {
    heartbeat: Heartbeat,
    digest: Digest,
    bytes: Vec<u8>,
    envelope: Envelope,
}

impl SignedHeartbeat {
    /// Reads an envelope and holds it against a fleet and its newest root.
    ///
    /// # Errors
    /// If it is none, or its threshold is not met.
    pub fn verify(bytes: &[u8], fleet: FleetId, newest: &Root) -> Result<Self, RefusedHeartbeat> {
        let signed = Self::read(bytes, fleet)?;
        signed.check(newest).map(|()| signed)
    }

    /// Reads an envelope, whoever signed it: it says nothing before it was [checked](Self::check).
    ///
    /// # Errors
    /// If it is none.
    pub(crate) fn read(bytes: &[u8], fleet: FleetId) -> Result<Self, RefusedHeartbeat> {
        let envelope = Envelope::parse(bytes).map_err(RefusedHeartbeat::Envelope)?;
        if envelope.context != Context::Heartbeat {
            return Err(RefusedHeartbeat::NotAHeartbeat);
        }
        let heartbeat = Heartbeat::parse(&envelope.payload)?;
        if heartbeat.fleet != fleet {
            return Err(RefusedHeartbeat::OtherFleet);
        }
        let digest = Heartbeat::digest_of(&envelope.payload);
        Ok(Self { heartbeat, digest, bytes: bytes.to_vec(), envelope })
    }

    /// Holds its signatures against role `heartbeat` of a root. Only those under keys of that role
    /// are looked at, each key once, until there are enough: what a message may cost is bounded by
    /// what the root names (I9).
    ///
    /// # Errors
    /// If its threshold is not met.
    pub fn check(&self, root: &Root) -> Result<(), RefusedHeartbeat> {
        let Envelope { payload, signatures, .. } = &self.envelope;
        let mut quorum = Quorum { have: BTreeSet::new(), need: 1 };
        let Some(role) = root.role(Role::Heartbeat) else {
            return Err(RefusedHeartbeat::TooFewSignatures(quorum));
        };
        quorum.need = role.threshold;
        let mut bad = BTreeSet::new();
        for (id, signature) in signatures {
            let Some(key) = root.keys.get(id).filter(|_| role.keys.contains(id)) else { continue };
            if quorum.have.contains(id) || bad.contains(id) {
                continue;
            }
            if key.public.verify(Context::Heartbeat, payload, signature) {
                quorum.have.insert(*id);
            } else {
                bad.insert(*id);
            }
            if quorum.is_met() {
                return Ok(());
            }
        }
        match bad.first() {
            Some(key) => Err(RefusedHeartbeat::BadSignature(*key)),
            None => Err(RefusedHeartbeat::TooFewSignatures(quorum)),
        }
    }

    /// What it says.
    pub fn heartbeat(&self) -> &Heartbeat {
        &self.heartbeat
    }

    /// The digest by which a root takes it back.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The envelope, as it is carried: a blob.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether it takes the place of another of its scope: the later one does, of two for one
    /// moment the one with the lower digest.
    pub fn replaces(&self, other: &Self) -> bool {
        (other.heartbeat.time, self.digest) < (self.heartbeat.time, other.digest)
    }
}
