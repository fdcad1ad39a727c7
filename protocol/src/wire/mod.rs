//! Messages between peers, in the strict binary form of [`crate::codec`].
//!
//! Each starts with a format version and a type byte and is at most
//! [`limits::MESSAGE_BYTES_MAX`] long; every count in it is bounded before anything is allocated.
//! What a message carries (roots, entries, reports, blobs) is not judged here: it is bytes, whose
//! worth their own signatures and hashes show. All messages are one-way; an answer is a message of
//! its own, and losing any of them delays, but never harms.

mod gossip;
mod join;
mod liveness;
mod session;
mod sync;
#[cfg(test)]
mod tests;

pub use self::gossip::GossipMessage;
pub use self::join::{Challenge, JoinMessage};
pub use self::liveness::{ADDRESS_BYTES_MAX, ADDRESSES_MAX, Fetching, Liveness, RefusedLiveness};
pub use self::session::{Head, Mark, Nonce, Session, SessionKey, Tag};
pub use self::sync::{
    BUCKET_BITS_MAX, Bucket, BucketOf, HEARTBEATS_PER_MESSAGE_MAX, Hello, MARKS_MAX, ShortHead,
    SyncMessage, WantedReports,
};

use crate::codec::{DecodeError, Reader, Writer};
use crate::limits;
use crate::time::WallTime;

/// The version of all messages. A peer of another version is not understood, and says so.
const FORMAT: u8 = 1;
/// Most byte strings in one message: bounds the work of one message beside its size.
pub const ITEMS_PER_MESSAGE_MAX: usize = 1_024;
/// Room that a message of items leaves for its frame and its other fields.
const FRAME_BYTES: usize = 128;

fn begin(kind: u8) -> Writer {
    let mut writer = Writer::new();
    writer.u8(FORMAT).u8(kind);
    writer
}

/// Checks size and format version and returns the type byte.
fn open<'a>(bytes: &'a [u8]) -> Result<(u8, Reader<'a>), DecodeError> {
    if bytes.len() > limits::MESSAGE_BYTES_MAX {
        let given = bytes.len();
        return Err(DecodeError::TooLong {
            what: "message",
            given,
            limit: limits::MESSAGE_BYTES_MAX,
        });
    }
    let mut reader = Reader::new(bytes);
    if reader.u8("message format")? != FORMAT {
        return Err(DecodeError::Invalid("message format"));
    }
    Ok((reader.u8("message type")?, reader))
}

/// A clock reading of the representable range: another would stand for the range's end a second
/// time.
fn read_clock(reader: &mut Reader<'_>) -> Result<WallTime, DecodeError> {
    let unix_ms = reader.i64("clock reading")?;
    let wall = WallTime::from_ms(unix_ms);
    if wall.as_ms() == unix_ms { Ok(wall) } else { Err(DecodeError::Invalid("clock reading")) }
}

fn write_items(writer: &mut Writer, items: &[Vec<u8>]) {
    writer.count(items.len());
    for item in items {
        writer.bytes(item);
    }
}

fn read_items(
    reader: &mut Reader<'_>,
    limit: usize,
    what: &'static str,
) -> Result<Vec<Vec<u8>>, DecodeError> {
    let count = reader.count(limit, what)?;
    let mut items = Vec::with_capacity(count);
    for _ in 0..count {
        items.push(reader.bytes(limits::MESSAGE_BYTES_MAX, what)?.to_vec());
    }
    Ok(items)
}

/// Splits items into messages' worth: each part fits one message with at most `limit` items.
/// An item that fits no message is left out.
pub fn in_parts(items: Vec<Vec<u8>>, limit: usize) -> Vec<Vec<Vec<u8>>> {
    let room = limits::MESSAGE_BYTES_MAX - FRAME_BYTES;
    let mut parts: Vec<Vec<Vec<u8>>> = Vec::new();
    let mut used = usize::MAX;
    for item in items {
        let takes = item.len() + 4;
        if takes > room {
            continue;
        }
        let full = parts.last().is_none_or(|part| part.len() >= limit);
        if full || used + takes > room {
            parts.push(Vec::new());
            used = 0;
        }
        used += takes;
        if let Some(part) = parts.last_mut() {
            part.push(item);
        }
    }
    parts
}
