//! What is inside a pack: items, each once, and zeros that hide how many bytes they are.

use super::{Opened, SealError};
use crate::codec::{DecodeError, Reader, Writer};
use crate::control::{Bytes, Item};
use crate::document::DocumentId;
use crate::id::{Digest, KeyId};
use crate::limits;

/// Largest item: an image index.
pub const PACK_ITEM_BYTES_MAX: usize = limits::INDEX_BYTES_MAX;
/// Bytes of items at which a pack is full: what a stick's writer holds in memory.
const FULL_BYTES: usize = 6 * 1024 * 1024;
/// Most items of a pack.
const ITEMS_MAX: usize = 65_536;
/// Longest name of a document.
const DOCUMENT_BYTES_MAX: usize = 128;
/// Bytes that an item needs besides its own.
const ITEM_HEAD_BYTES: usize = 192;
/// Largest body: one item that fills it alone, with its filling of at most an eighth.
pub(super) const BODY_BYTES_MAX: usize = PACK_ITEM_BYTES_MAX + PACK_ITEM_BYTES_MAX / 4;
/// Bodies are filled up to a multiple of at least this.
const FILL_BYTES_MIN: usize = 4096;
const FORM: u8 = 1;

/// Spreads items over packs, in their order, so that each holds what it may and no more than one
/// pack's items are in memory.
#[derive(Debug, Default)]
pub struct Packing {
    items: Vec<Item>,
    bytes: usize,
}

impl Packing {
    /// Adds an item; the items of a pack that is full without it.
    pub fn add(&mut self, item: Item) -> Option<Vec<Item>> {
        let size = item.bytes().len() + ITEM_HEAD_BYTES;
        let fits = self.bytes + size <= FULL_BYTES && self.items.len() < ITEMS_MAX;
        let full = if fits { None } else { std::mem::take(self).finish() };
        self.bytes += size;
        self.items.push(item);
        full
    }

    /// The items of the last pack, if there are any.
    pub fn finish(self) -> Option<Vec<Item>> {
        (!self.items.is_empty()).then_some(self.items)
    }
}

pub(super) fn encode(sealed_to: Digest, items: &[Item]) -> Result<Vec<u8>, SealError> {
    let too_much = |what, given, limit| Err(SealError::TooMuch { what, given, limit });
    if items.len() > ITEMS_MAX {
        return too_much("items", items.len(), ITEMS_MAX);
    }
    let mut writer = Writer::new();
    writer.u8(FORM);
    writer.raw(&sealed_to.0);
    writer.u32(u32::try_from(items.len()).unwrap_or(u32::MAX));
    for item in items {
        match item {
            Item::Root { .. } => return Err(DecodeError::Invalid("an item's kind").into()),
            Item::Entry { document, bytes, .. } => {
                writer.u8(1);
                writer.bytes(document.to_string().as_bytes());
                writer.bytes(&bytes.0);
            }
            Item::Report { host, generation, count, bytes } => {
                writer.u8(2);
                writer.raw(&host.0);
                writer.u64(*generation);
                writer.u64(*count);
                writer.bytes(&bytes.0);
            }
            Item::Blob { bytes, .. } => {
                writer.u8(3);
                writer.bytes(&bytes.0);
            }
        }
    }
    let mut body = writer.finish();
    let unit = (body.len().next_power_of_two() / 16).max(FILL_BYTES_MIN);
    body.resize(body.len().next_multiple_of(unit), 0);
    if body.len() > BODY_BYTES_MAX {
        return too_much("body bytes", body.len(), BODY_BYTES_MAX);
    }
    Ok(body)
}

pub(super) fn decode(body: &[u8]) -> Result<Opened, SealError> {
    let mut reader = Reader::new(body);
    if reader.u8("the form")? != FORM {
        return Err(SealError::NotAPack);
    }
    let sealed_to = Digest(reader.array("the recipients")?);
    let count = reader.count(ITEMS_MAX, "items")?;
    let items = (0..count).map(|_| item(&mut reader)).collect::<Result<_, _>>()?;
    let filling = reader.take(reader.remaining(), "the filling")?;
    if filling.iter().any(|byte| *byte != 0) {
        return Err(DecodeError::Invalid("the filling").into());
    }
    Ok(Opened { sealed_to, items })
}

/// An item; its name follows from its bytes.
fn item(reader: &mut Reader<'_>) -> Result<Item, DecodeError> {
    let own = |reader: &mut Reader<'_>, most: usize| {
        reader.bytes(most, "an item").map(|bytes| Bytes(bytes.to_vec()))
    };
    match reader.u8("an item's kind")? {
        1 => {
            let document: DocumentId = reader
                .text(DOCUMENT_BYTES_MAX, "a document")?
                .parse()
                .map_err(|_| DecodeError::Invalid("a document"))?;
            let bytes = own(reader, limits::MESSAGE_BYTES_MAX)?;
            Ok(Item::Entry { document, hash: Digest::of(&bytes.0), bytes })
        }
        2 => {
            let host = KeyId(reader.array("a host")?);
            let (generation, count) = (reader.u64("a generation")?, reader.u64("a count")?);
            let bytes = own(reader, limits::MESSAGE_BYTES_MAX)?;
            Ok(Item::Report { host, generation, count, bytes })
        }
        3 => {
            let bytes = own(reader, PACK_ITEM_BYTES_MAX)?;
            Ok(Item::Blob { digest: Digest::of(&bytes.0), bytes })
        }
        0 | 4.. => Err(DecodeError::Invalid("an item's kind")),
    }
}
