//! Peers in the same process, honest and not, over in-memory streams.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};

use daymark_protocol::id::KeyId;
use daymark_protocol::image::ChunkSet;
use tokio::io::{AsyncWriteExt, DuplexStream};

use super::super::frame::{Frame, read_frame, write_frame};
use super::super::{ChunkServer, PeerStreams};
use super::{ME, key, old_image};
use crate::slots::testing::TestImage;

/// A peer in this process.
#[derive(Clone, Debug)]
pub(super) enum Peer {
    /// Runs the real server.
    Honest(Arc<ChunkServer>),
    /// Answers every `Get` by these rules.
    Hostile(Arc<TestImage>, Lie),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Lie {
    /// One byte of every chunk is wrong.
    FlippedByte,
    /// A chunk that nobody asked for.
    Unasked,
    /// A zstd frame that unpacks to far more than the chunk.
    Bomb,
    /// A frame longer than any may be.
    Oversize,
    /// A bitmap of another image's size.
    OtherBitmap,
    /// Another image's index.
    OtherIndex,
    /// No answer at all.
    Silence,
    /// The same chunks told over and over, a few bytes for many.
    ToldAgain,
    /// A second bitmap.
    SecondBitmap,
}

/// The peers of one node.
#[derive(Debug, Default)]
pub(super) struct Hub(pub(super) Mutex<BTreeMap<KeyId, Peer>>);

impl Hub {
    pub(super) fn of(peers: impl IntoIterator<Item = (u8, Peer)>) -> Arc<Self> {
        let peers = peers.into_iter().map(|(n, peer)| (key(n), peer)).collect();
        Arc::new(Self(Mutex::new(peers)))
    }
}

impl PeerStreams for Hub {
    type Stream = DuplexStream;

    fn peers(&self) -> Vec<KeyId> {
        self.0.lock().unwrap().keys().copied().collect()
    }

    async fn open(&self, peer: KeyId) -> io::Result<DuplexStream> {
        let (near, far) = tokio::io::duplex(256 * 1024);
        match self.0.lock().unwrap().get(&peer).cloned() {
            Some(Peer::Honest(server)) => {
                tokio::spawn(async move { drop(server.serve(far, ME).await) });
            }
            Some(Peer::Hostile(image, lie)) => {
                tokio::spawn(async move { drop(lie_over(far, &image, lie).await) });
            }
            None => return Err(io::ErrorKind::NotConnected.into()),
        }
        Ok(near)
    }
}

async fn lie_over(mut stream: DuplexStream, image: &TestImage, lie: Lie) -> io::Result<()> {
    while let Some(frame) = read_frame(&mut stream, 0).await? {
        match frame {
            Frame::Hello(_) => {
                let chunks =
                    image.index.chunk_count() + if lie == Lie::OtherBitmap { 9 } else { 0 };
                let all = ChunkSet::full(chunks).as_bytes().to_vec();
                if lie == Lie::SecondBitmap {
                    write_frame(&mut stream, &Frame::Have(Some(all.clone()))).await?;
                }
                write_frame(&mut stream, &Frame::Have(Some(all))).await?;
                if lie == Lie::ToldAgain {
                    loop {
                        write_frame(&mut stream, &Frame::HaveMore(vec![(0, chunks)])).await?;
                    }
                }
            }
            Frame::GetIndex if lie == Lie::OtherIndex => {
                let other = old_image().index.encode();
                write_frame(&mut stream, &Frame::IndexBytes(other)).await?;
            }
            Frame::GetIndex => {
                write_frame(&mut stream, &Frame::IndexBytes(image.index.encode())).await?;
            }
            Frame::Get(chunks) => {
                for number in chunks {
                    answer_with(&mut stream, image, lie, number).await?;
                }
            }
            Frame::Have(_)
            | Frame::HaveMore(_)
            | Frame::IndexBytes(_)
            | Frame::Chunk(..)
            | Frame::Busy(_)
            | Frame::Gone(_) => return Ok(()),
        }
        stream.flush().await?;
    }
    Ok(())
}

async fn answer_with(
    stream: &mut DuplexStream,
    image: &TestImage,
    lie: Lie,
    number: u32,
) -> io::Result<()> {
    let mut bytes = image.bytes(number);
    match lie {
        Lie::FlippedByte => bytes[7] ^= 1,
        Lie::Bomb => bytes = zstd::bulk::compress(&vec![0; 50_000_000], 1)?,
        Lie::Oversize => return stream.write_all(&[7, 0x7f, 0xff, 0xff, 0xff]).await,
        Lie::Unasked => {
            let other = if number == 0 { image.index.chunk_count() - 1 } else { 0 };
            return write_frame(stream, &Frame::Chunk(other, image.bytes(other))).await;
        }
        Lie::Silence => return Ok(()),
        Lie::OtherBitmap | Lie::OtherIndex | Lie::ToldAgain | Lie::SecondBitmap => {}
    }
    write_frame(stream, &Frame::Chunk(number, bytes)).await
}
