//! Messages on a stream: four bytes of length, most significant first, then the message.

use std::io;

use daymark_protocol::limits::MESSAGE_BYTES_MAX;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// Why no message could be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FrameError {
    /// The message is longer than [`MESSAGE_BYTES_MAX`]; nothing was allocated for it.
    #[error("a message of {bytes} bytes is longer than the {MESSAGE_BYTES_MAX} allowed")]
    Oversize {
        /// The length it claims.
        bytes: u32,
    },
    /// The stream failed.
    #[error("the stream failed")]
    Stream(#[from] io::Error),
}

/// Reads a message; `None` at the end of the stream.
pub(crate) async fn read<R: AsyncRead + Unpin>(
    stream: &mut R,
) -> Result<Option<Vec<u8>>, FrameError> {
    let bytes = match stream.read_u32().await {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let length = usize::try_from(bytes).unwrap_or(usize::MAX);
    if length > MESSAGE_BYTES_MAX {
        return Err(FrameError::Oversize { bytes });
    }
    let mut message = vec![0; length];
    stream.read_exact(&mut message).await?;
    Ok(Some(message))
}

/// Writes a message of at most [`MESSAGE_BYTES_MAX`] bytes and flushes it.
pub(crate) async fn write<W: AsyncWrite + Unpin>(stream: &mut W, message: &[u8]) -> io::Result<()> {
    let length = u32::try_from(message.len())
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "message too long"))?;
    stream.write_u32(length).await?;
    stream.write_all(message).await?;
    stream.flush().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn messages_arrive_whole_and_in_order() {
        let (mut near, mut far) = tokio::io::duplex(1 << 18);
        let messages = [vec![], vec![7; 1], vec![9; MESSAGE_BYTES_MAX]];
        for message in &messages {
            write(&mut near, message).await.unwrap();
        }
        drop(near);
        for message in messages {
            assert_eq!(read(&mut far).await.unwrap(), Some(message));
        }
        assert_eq!(read(&mut far).await.unwrap(), None);
    }

    #[tokio::test]
    async fn an_oversize_length_is_refused_before_the_message_is_read() {
        let claimed = u32::try_from(MESSAGE_BYTES_MAX).unwrap() + 1;
        let mut stream = &claimed.to_be_bytes()[..];
        let refused = read(&mut stream).await;
        assert!(matches!(refused, Err(FrameError::Oversize { bytes }) if bytes == claimed));
    }

    #[tokio::test]
    async fn a_message_cut_short_is_an_error() {
        let mut stream = &[0, 0, 0, 9, 1, 2][..];
        assert!(matches!(read(&mut stream).await, Err(FrameError::Stream(_))));
    }
}
