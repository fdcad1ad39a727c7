//! Where a host is, what its clock says and what it fetches. Newest-only, beside the documents
//! (RULES D7); signed by the host, since gossip carries it without saying who wrote it.

use crate::codec::{DecodeError, Reader, Writer};
use crate::id::{Digest, FleetId, KeyId};
use crate::time::WallTime;
use crate::trust::{Context, PublicKey, Signature, SigningKey, WeakKey};

const FORMAT: u8 = 1;
/// Most addresses that a host tells.
pub const ADDRESSES_MAX: usize = 8;
/// Longest address: a multiaddr with a DNS name and a peer id.
pub const ADDRESS_BYTES_MAX: usize = 256;

/// Why a liveness is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RefusedLiveness {
    /// Its bytes.
    #[error("the liveness is not well-formed")]
    Form(#[from] DecodeError),
    /// Its key.
    #[error("the liveness names a weak key")]
    Key(#[from] WeakKey),
    /// Its signature.
    #[error("the liveness is not signed by its host")]
    Signature,
}

/// An image that a host fetches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fetching {
    /// Its index digest.
    pub index: Digest,
    /// Bytes of it that are verified in the slot.
    pub verified_bytes: u64,
}

/// A host's newest word on itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Liveness {
    /// The fleet.
    pub fleet: FleetId,
    /// The host's key; its id is the host's.
    pub key: PublicKey,
    /// Generation of its reports: higher after each start.
    pub generation: u64,
    /// Rises with each liveness of a generation.
    pub count: u64,
    /// Its clock's reading.
    pub wall: WallTime,
    /// Whether its operating system says that the clock is synchronised.
    pub synchronised: bool,
    /// Multiaddrs that peers may dial; at most [`ADDRESSES_MAX`].
    pub addresses: Vec<String>,
    /// The image it fetches.
    pub fetching: Option<Fetching>,
}

impl Liveness {
    /// The host.
    pub fn host(&self) -> KeyId {
        self.key.id()
    }

    /// Signed bytes. `key` must be the one that the liveness names. Addresses beyond the limits
    /// are left out.
    pub fn sign(&self, key: &SigningKey) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.u8(FORMAT).raw(self.fleet.as_bytes()).raw(self.key.as_bytes());
        writer.u64(self.generation).u64(self.count);
        writer.i64(self.wall.as_ms()).bool(self.synchronised);
        let fits = |address: &&String| address.len() <= ADDRESS_BYTES_MAX;
        let addresses: Vec<&String> =
            self.addresses.iter().filter(fits).take(ADDRESSES_MAX).collect();
        writer.count(addresses.len());
        for address in addresses {
            writer.text(address);
        }
        writer.bool(self.fetching.is_some());
        if let Some(fetching) = self.fetching {
            writer.raw(fetching.index.as_bytes()).u64(fetching.verified_bytes);
        }
        let mut bytes = writer.finish();
        let signature = key.sign(Context::Liveness, &bytes);
        bytes.extend(signature.0);
        bytes
    }

    /// Reads and verifies.
    ///
    /// # Errors
    /// If it is malformed or not signed by the host it names.
    pub fn verify(bytes: &[u8]) -> Result<Self, RefusedLiveness> {
        let (body, signature) =
            bytes.split_last_chunk::<64>().ok_or(DecodeError::Truncated("signature"))?;
        let liveness = Self::decode(body)?;
        if liveness.key.verify(Context::Liveness, body, &Signature(*signature)) {
            Ok(liveness)
        } else {
            Err(RefusedLiveness::Signature)
        }
    }

    fn decode(body: &[u8]) -> Result<Self, RefusedLiveness> {
        let mut reader = Reader::new(body);
        if reader.u8("liveness format")? != FORMAT {
            return Err(DecodeError::Invalid("liveness format").into());
        }
        let fleet = FleetId(reader.array("fleet")?);
        let key = PublicKey::from_bytes(reader.array("key")?)?;
        let generation = reader.u64("generation")?;
        let count = reader.u64("count")?;
        let wall = super::read_clock(&mut reader)?;
        let synchronised = reader.bool("synchronised")?;
        let mut addresses = Vec::new();
        for _ in 0..reader.count(ADDRESSES_MAX, "addresses")? {
            addresses.push(reader.text(ADDRESS_BYTES_MAX, "address")?.to_owned());
        }
        let fetching = if reader.bool("fetching")? {
            let index = Digest(reader.array("index digest")?);
            Some(Fetching { index, verified_bytes: reader.u64("verified bytes")? })
        } else {
            None
        };
        reader.end()?;
        Ok(Self { fleet, key, generation, count, wall, synchronised, addresses, fetching })
    }
}
