//! The join exchange: all that a stranger may say and hear (RULES A2). It goes both ways. A person's
//! laptop, which no Host statement names, shows here a proof by a role key instead.

use super::{begin, in_parts, open, read_items, write_items};
use crate::codec::{DecodeError, Reader, Writer};
use crate::id::{FleetId, KeyId};
use crate::limits;
use crate::trust::Signature;

/// Most entries in a join message: the asker's Host line has at most four versions kept, each with
/// its signatures.
const ENTRIES_MAX: usize = 64;
/// Longest sentence that says why a laptop is turned away.
const TURNED_AWAY_BYTES_MAX: usize = 500;

/// 32 bytes that a node draws for one proof and takes once: a signature that was seen elsewhere, or
/// before, answers another challenge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Challenge(pub [u8; 32]);

impl Challenge {
    /// What a role key signs, as [`crate::trust::Context::Visit`]: in this fleet, the machine with
    /// the peer key `visitor` speaks to the node `host`, which drew this challenge.
    pub fn payload(&self, fleet: &FleetId, visitor: &KeyId, host: &KeyId) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.raw(&fleet.0).raw(&visitor.0).raw(&host.0).raw(&self.0);
        writer.finish()
    }
}

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
    /// A laptop asks whether it is let in; answered by [`Self::Challenge`] or [`Self::Welcome`].
    Visit,
    /// To be answered by [`Self::Proof`].
    Challenge(Challenge),
    /// A role key's signature of the last challenge's payload.
    Proof {
        /// The key, as the newest root names it.
        key: KeyId,
        /// Its signature.
        signature: Signature,
    },
    /// The laptop is let in: its next connection lets the control channel through.
    Welcome {
        /// Whether what it hands in is taken; else it may only read.
        may_submit: bool,
    },
    /// The laptop is not let in.
    TurnedAway {
        /// Why, for people.
        why: String,
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
            Self::Visit => begin(3).finish(),
            Self::Challenge(challenge) => {
                let mut writer = begin(4);
                writer.raw(&challenge.0);
                writer.finish()
            }
            Self::Proof { key, signature } => {
                let mut writer = begin(5);
                writer.raw(&key.0).raw(&signature.0);
                writer.finish()
            }
            Self::Welcome { may_submit } => {
                let mut writer = begin(6);
                writer.bool(*may_submit);
                writer.finish()
            }
            Self::TurnedAway { why } => {
                let mut writer = begin(7);
                writer.text(&why[..why.floor_char_boundary(TURNED_AWAY_BYTES_MAX)]);
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
            3 => Self::Visit,
            4 => Self::Challenge(Challenge(reader.array("challenge")?)),
            5 => Self::Proof {
                key: KeyId(reader.array("key")?),
                signature: Signature(reader.array("signature")?),
            },
            6 => Self::Welcome { may_submit: reader.bool("may submit")? },
            7 => Self::TurnedAway { why: turned_away(&mut reader)? },
            0 | 8.. => return Err(DecodeError::Invalid("join message type")),
        };
        reader.end()?;
        Ok(message)
    }
}

fn turned_away(reader: &mut Reader<'_>) -> Result<String, DecodeError> {
    Ok(reader.text(TURNED_AWAY_BYTES_MAX, "why turned away")?.to_owned())
}

fn first_part(items: &[Vec<u8>], limit: usize) -> Vec<Vec<u8>> {
    in_parts(items.to_vec(), limit).into_iter().next().unwrap_or_default()
}
