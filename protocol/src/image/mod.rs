//! Images: what an image consists of, chunk by chunk, and where its chunks lie in a pack.
//!
//! The *index* is authority: a profile's signature covers its digest, and every chunk is checked
//! against it before it is written or passed on. The *pack map* is a hint (RULES Q16): whoever
//! believes a wrong one only fetches bytes that fail that check. Nothing here does I/O: the caller
//! brings bytes and takes them away.

mod chunk_set;
pub mod chunker;
mod index;
mod lookup;
mod pack_map;
mod reader;

pub use self::chunk_set::{BadChunkSet, ChunkSet};
pub use self::index::{BadIndex, Chunk, Index, IndexBuilder, IndexPart, is_part_name};
pub use self::lookup::ChunkLookup;
pub use self::pack_map::{BadPackMap, PackMap, PackSpan};
