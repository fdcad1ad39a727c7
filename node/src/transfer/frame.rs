//! The frames of a chunk stream: a type (1 byte), a length (4, big-endian), and that many bytes.
//! Every length is bounded by its type before anything is allocated for it.

use std::io;

use daymark_protocol::id::Digest;
use daymark_protocol::limits::{CHUNK_BYTES_MAX, INDEX_BYTES_MAX};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The form of the frames.
const VERSION: u8 = 1;
/// The type of a frame that carries a chunk.
const CHUNK: u8 = 7;
/// Most chunks in one `Get`: 1 MiB of the smallest, and some shorter last ones of parts.
pub(super) const GET_CHUNKS_MAX: usize = 128;
/// Most runs in one `HaveMore`.
pub(super) const RUNS_MAX: usize = 1024;
/// A bitmap of the largest index, in bytes: an index entry has 36 bytes, a bitmap's 1 bit.
const BITMAP_BYTES_MAX: usize = INDEX_BYTES_MAX / 36 / 8 + 1;

/// A message of a chunk stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    /// Asker: this stream is about the image with that index.
    Hello(Digest),
    /// Server: which chunks it has, as a bitmap; `None` if it does not know the image.
    Have(Option<Vec<u8>>),
    /// Server: runs (first, count) of chunks that it has by now as well; ascending, apart from one
    /// another, and none empty.
    HaveMore(Vec<(u32, u32)>),
    /// Asker: send the index.
    GetIndex,
    /// Server: the index.
    IndexBytes(Vec<u8>),
    /// Asker: send these chunks.
    Get(Vec<u32>),
    /// Server: a chunk as stored by the codec.
    Chunk(u32, Vec<u8>),
    /// Server: not now.
    Busy(u32),
    /// Server: not here, or not any longer.
    Gone(u32),
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("a malformed frame: {what}"))
}

/// Reads a frame; `None` at the end of the stream. `index_bytes` bounds an index. Not to be
/// cancelled half-way.
pub(crate) async fn read_frame<R: AsyncRead + Unpin>(
    stream: &mut R,
    index_bytes: usize,
) -> io::Result<Option<Frame>> {
    let mut head = [0; 5];
    if stream.read(&mut head[..1]).await? == 0 {
        return Ok(None);
    }
    stream.read_exact(&mut head[1..]).await?;
    let [kind, length @ ..] = head;
    let length = u32::from_be_bytes(length) as usize;
    let bound = match kind {
        1 => 33,
        2 => 1 + BITMAP_BYTES_MAX,
        3 => RUNS_MAX * 8,
        4 => 0,
        5 => index_bytes.min(INDEX_BYTES_MAX),
        6 => GET_CHUNKS_MAX * 4,
        CHUNK => 4 + CHUNK_BYTES_MAX,
        8 | 9 => 4,
        _ => return Err(malformed("its type is unknown")),
    };
    if length > bound {
        return Err(malformed("it is too long for its type"));
    }
    if kind == CHUNK {
        return read_chunk(stream, length).await.map(Some);
    }
    let mut payload = vec![0; length];
    stream.read_exact(&mut payload).await?;
    parse(kind, payload).map(Some)
}

/// The rest of a chunk's frame, its bytes read to where they stay.
async fn read_chunk<R: AsyncRead + Unpin>(stream: &mut R, length: usize) -> io::Result<Frame> {
    let bytes = length.checked_sub(4).filter(|bytes| *bytes > 0);
    let bytes = bytes.ok_or_else(|| malformed("its length does not fit its type"))?;
    let number = stream.read_u32().await?;
    let mut stored = vec![0; bytes];
    stream.read_exact(&mut stored).await?;
    Ok(Frame::Chunk(number, stored))
}

fn parse(kind: u8, payload: Vec<u8>) -> io::Result<Frame> {
    let length = || malformed("its length does not fit its type");
    let number = |bytes: &[u8]| bytes.try_into().map(u32::from_be_bytes).map_err(|_| length());
    let words = |bytes: &[u8]| -> io::Result<Vec<u32>> {
        let (words, rest) = bytes.as_chunks::<4>();
        let whole = rest.is_empty().then_some(words).ok_or_else(length)?;
        Ok(whole.iter().map(|word| u32::from_be_bytes(*word)).collect())
    };
    match kind {
        1 => match payload.split_first() {
            Some((&VERSION, digest)) => {
                Ok(Frame::Hello(Digest(digest.try_into().map_err(|_| length())?)))
            }
            Some(_) | None => Err(malformed("its version is unknown")),
        },
        2 => match payload.split_first() {
            Some((1, bitmap)) => Ok(Frame::Have(Some(bitmap.to_vec()))),
            Some((0, [])) => Ok(Frame::Have(None)),
            Some(_) | None => Err(length()),
        },
        3 => {
            let words = words(&payload)?;
            let (runs, rest) = words.as_chunks::<2>();
            let whole = rest.is_empty().then_some(runs).ok_or_else(length)?;
            let runs: Vec<_> = whole.iter().map(|[first, count]| (*first, *count)).collect();
            #[cfg(feature = "planted-bugs")]
            let _bitmap: Vec<u8> = vec![0; runs.last().map_or(0, |(_, count)| *count as usize)];
            if are_apart(&runs) {
                Ok(Frame::HaveMore(runs))
            } else {
                Err(malformed("its runs are empty, overlap or go back"))
            }
        }
        4 => Ok(Frame::GetIndex),
        5 => Ok(Frame::IndexBytes(payload)),
        6 => Ok(Frame::Get(words(&payload)?)),
        8 => Ok(Frame::Busy(number(&payload)?)),
        9 => Ok(Frame::Gone(number(&payload)?)),
        _ => Err(length()),
    }
}

/// Whether runs ascend, apart from one another, and none is empty or ends beyond all numbers.
fn are_apart(runs: &[(u32, u32)]) -> bool {
    let mut free_from = 0;
    runs.iter().all(|(first, count)| match first.checked_add(*count) {
        Some(end) => *count > 0 && *first >= std::mem::replace(&mut free_from, end),
        None => false,
    })
}

/// Writes a frame, unflushed.
pub(crate) async fn write_frame<W: AsyncWrite + Unpin>(
    stream: &mut W,
    frame: &Frame,
) -> io::Result<()> {
    let (kind, payload) = match frame {
        Frame::Hello(image) => (1, [&[VERSION], image.as_bytes().as_slice()].concat()),
        Frame::Have(Some(bitmap)) => (2, [&[1], bitmap.as_slice()].concat()),
        Frame::Have(None) => (2, vec![0]),
        Frame::HaveMore(runs) => {
            let words = runs.iter().flat_map(|(first, count)| [*first, *count]);
            (3, words.flat_map(u32::to_be_bytes).collect())
        }
        Frame::GetIndex => (4, Vec::new()),
        Frame::IndexBytes(bytes) => return write_parts(stream, 5, &[bytes]).await,
        Frame::Get(chunks) => (6, chunks.iter().copied().flat_map(u32::to_be_bytes).collect()),
        Frame::Chunk(number, bytes) => {
            return write_parts(stream, CHUNK, &[&number.to_be_bytes(), bytes]).await;
        }
        Frame::Busy(number) => (8, number.to_be_bytes().to_vec()),
        Frame::Gone(number) => (9, number.to_be_bytes().to_vec()),
    };
    write_parts(stream, kind, &[&payload]).await
}

async fn write_parts<W: AsyncWrite + Unpin>(
    stream: &mut W,
    kind: u8,
    parts: &[&[u8]],
) -> io::Result<()> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let length = u32::try_from(length).map_err(|_| malformed("it is too long"))?;
    let [a, b, c, d] = length.to_be_bytes();
    stream.write_all(&[kind, a, b, c, d]).await?;
    for part in parts {
        stream.write_all(part).await?;
    }
    Ok(())
}

/// Ascending chunk numbers as runs.
pub(super) fn runs(chunks: impl Iterator<Item = u32>) -> Vec<(u32, u32)> {
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for chunk in chunks {
        match runs.last_mut() {
            Some((first, count)) if *first + *count == chunk => *count += 1,
            Some(_) | None => runs.push((chunk, 1)),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(bytes: &[u8]) -> io::Result<Option<Frame>> {
        read_frame(&mut &*bytes, 1000).await
    }

    #[tokio::test]
    async fn every_frame_comes_back_and_every_cut_is_noticed() {
        let frames = [
            Frame::Hello(Digest([3; 32])),
            Frame::Have(None),
            Frame::Have(Some(vec![1, 2, 3])),
            Frame::HaveMore(vec![(1, 2), (9, 1)]),
            Frame::GetIndex,
            Frame::IndexBytes(vec![5; 1000]),
            Frame::Get(vec![1, 2, 70_000]),
            Frame::Chunk(8, vec![9; CHUNK_BYTES_MAX]),
            Frame::Busy(1),
            Frame::Gone(u32::MAX),
        ];
        for frame in frames {
            let mut bytes = Vec::new();
            write_frame(&mut bytes, &frame).await.unwrap();
            assert_eq!(read(&bytes).await.unwrap(), Some(frame.clone()));
            for end in (1..bytes.len()).take(60) {
                assert!(read(&bytes[..end]).await.is_err(), "{frame:?} cut to {end}");
            }
        }
        assert_eq!(read(&[]).await.unwrap(), None);
    }

    /// I9: a length is judged before a byte is allocated for it.
    #[tokio::test]
    async fn i9_lengths_beyond_a_type_s_bound_are_refused_unread() {
        for (kind, length) in
            [(1, 34), (2, 70_000), (3, 8193), (4, 1), (5, 1001), (6, 513), (7, 262_149), (8, 5)]
        {
            let [a, b, c, d] = u32::to_be_bytes(length);
            let refused = read(&[kind, a, b, c, d]).await.unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::InvalidData, "type {kind}");
        }
        for runs in [[(1, 3), (3, 1)], [(9, 1), (1, 1)], [(1, 0), (5, 1)], [(1, 1), (2, u32::MAX)]]
        {
            let mut bytes = Vec::new();
            write_frame(&mut bytes, &Frame::HaveMore(runs.into())).await.unwrap();
            assert!(read(&bytes).await.is_err(), "{runs:?}");
        }
        assert!(read(&[77, 0, 0, 0, 0]).await.is_err());
        assert!(read(&[7, 0, 0, 0, 4, 0, 0, 0, 1]).await.is_err(), "a chunk without bytes");
        assert!(read(&[6, 0, 0, 0, 3, 0, 0, 0]).await.is_err(), "three quarters of a number");
    }
}
