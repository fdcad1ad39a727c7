//! Moves images between this machine's slots, its peers and the release service.
//!
//! [`stage()`] fetches an image into a slot from whoever has parts of it; [`ChunkServer`] gives
//! peers what the slots hold. Nobody is believed: a chunk is checked against the signed index
//! before it is written, and again before it is served. Whether and when to stage is the core's to
//! decide, whom to ask for which chunk is [`daymark_core::fetch`]'s.
//!
//! Between peers, one stream per pair and image carries frames: the asker sends `Hello` with the
//! index digest; the server answers `Have` (a bitmap, or unknown) and later `HaveMore`; then
//! `GetIndex` → `IndexBytes` and `Get` → `Chunk`, `Busy` or `Gone` for each chunk asked for.

mod codec;
pub(crate) mod frame;
mod index_fetch;
mod origin;
mod peer;
mod progress;
mod server;
mod session;
mod sessions;
mod stage;
#[cfg(test)]
mod tests;
mod write;

pub use self::codec::{compress_chunk, decompress_chunk};
pub use self::origin::{InvalidSource, OriginError, ReleaseSource};
pub use self::peer::{NoPeers, PeerStreams};
pub use self::server::{ChunkServer, ServeError};
pub use self::stage::{StageError, StageRequest, StageSettings, StageSources, stage};
