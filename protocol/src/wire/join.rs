//! The join exchange: all that a stranger may say and hear (RULES A2). It goes both ways.

use super::{begin, in_parts, open, read_items, write_items};
use crate::codec::DecodeError;
use crate::limits;

/// Most entries in a join message: the asker's Host line has at most four versions kept, each with
/// its signatures.
const ENTRIES_MAX: usize = 64;

/// A message over the join channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JoinMessage {
    /// Asks for newer roots and the own Host statement, and shows the own.
    Ask {
        /// Version of the newest root held; 0 if none is.
        root_version: u64,
        /// Lowest and highest version of the roots it asks for.
        roots: (u64, u64),
        /// The asker's own Host statements with their signatures, as entries.
        entries: Vec<Vec<u8>>,
    },
    /// What the asked one has.
    Answer {
        /// Version of the newest root it holds; 0 if none is.
        root_version: u64,
        /// Root envelopes of the versions asked for (RULES R2), those first that the asker can
        /// place at once; at most [`limits::ROOTS_PER_MESSAGE_MAX`].
        roots: Vec<Vec<u8>>,
        /// The asker's Host statements that it holds, a tombstone included, and its own.
        entries: Vec<Vec<u8>>,
    },
}

impl JoinMessage {
    /// The message's bytes. What does not fit is left out, roots first kept.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Ask { root_version, roots, entries } => {
                let mut writer = begin(1);
                writer.u64(*root_version).u64(roots.0).u64(roots.1);
                write_items(&mut writer, &first_part(entries, ENTRIES_MAX));
                writer.finish()
            }
            Self::Answer { root_version, roots, entries } => {
                let mut writer = begin(2);
                writer.u64(*root_version);
                let roots = first_part(roots, limits::ROOTS_PER_MESSAGE_MAX);
                let taken: usize = roots.iter().map(|root| root.len() + 4).sum();
                write_items(&mut writer, &roots);
                let mut entries = first_part(entries, ENTRIES_MAX);
                let mut left = (limits::MESSAGE_BYTES_MAX - super::FRAME_BYTES) - taken;
                let fitting = entries.iter().take_while(|entry| {
                    let fits = entry.len() + 4 <= left;
                    left = left.saturating_sub(entry.len() + 4);
                    fits
                });
                let fitting = fitting.count();
                entries.truncate(fitting);
                write_items(&mut writer, &entries);
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
            1 => Self::Ask {
                root_version: reader.u64("root version")?,
                roots: (reader.u64("lowest root")?, reader.u64("highest root")?),
                entries: read_items(&mut reader, ENTRIES_MAX, "entries")?,
            },
            2 => Self::Answer {
                root_version: reader.u64("root version")?,
                roots: read_items(&mut reader, limits::ROOTS_PER_MESSAGE_MAX, "roots")?,
                entries: read_items(&mut reader, ENTRIES_MAX, "entries")?,
            },
            0 | 3.. => return Err(DecodeError::Invalid("join message type")),
        };
        reader.end()?;
        Ok(message)
    }
}

fn first_part(items: &[Vec<u8>], limit: usize) -> Vec<Vec<u8>> {
    in_parts(items.to_vec(), limit).into_iter().next().unwrap_or_default()
}
