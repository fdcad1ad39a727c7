//! What is pushed at once to a whole group (DESIGN section 5).

use super::{ITEMS_PER_MESSAGE_MAX, begin, open, read_items, write_items};
use crate::codec::DecodeError;
use crate::limits;

/// A gossip message: at most [`limits::MESSAGE_BYTES_MAX`] bytes, since gossip copies it about six
/// times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GossipMessage {
    /// New entries of a document. Split them with [`super::in_parts`].
    Entries(Vec<Vec<u8>>),
    /// New reports. Split them with [`super::in_parts`].
    Reports(Vec<Vec<u8>>),
    /// Where a host is and what it fetches: a [`super::Liveness`], signed.
    Liveness(Vec<u8>),
}

impl GossipMessage {
    /// The message's bytes.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Entries(entries) => {
                let mut writer = begin(1);
                write_items(&mut writer, entries);
                writer.finish()
            }
            Self::Reports(reports) => {
                let mut writer = begin(2);
                write_items(&mut writer, reports);
                writer.finish()
            }
            Self::Liveness(liveness) => {
                let mut writer = begin(3);
                writer.bytes(liveness);
                writer.finish()
            }
        }
    }

    /// Reads a message.
    ///
    /// # Errors
    /// If the bytes are not exactly one message within bounds.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let (kind, mut reader) = open(bytes)?;
        let message = match kind {
            1 => Self::Entries(read_items(&mut reader, ITEMS_PER_MESSAGE_MAX, "entries")?),
            2 => Self::Reports(read_items(&mut reader, ITEMS_PER_MESSAGE_MAX, "reports")?),
            3 => Self::Liveness(reader.bytes(limits::MESSAGE_BYTES_MAX, "liveness")?.to_vec()),
            0 | 4.. => return Err(DecodeError::Invalid("gossip message type")),
        };
        reader.end()?;
        Ok(message)
    }
}
