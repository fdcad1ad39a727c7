//! A cable that is listened to: TCP connections that pass through it are recorded, each direction
//! by itself, as whoever taps the network would see them. It alters nothing.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What was heard: a stream of bytes for each connection and direction.
type Heard = Arc<Mutex<Vec<Vec<u8>>>>;

/// A running tap, ended when dropped.
#[derive(Debug)]
pub struct Tap {
    /// Who connects here is connected with whom it leads to.
    pub address: SocketAddr,
    heard: Heard,
    accepts: JoinHandle<()>,
}

impl Tap {
    /// A tap on loopback that leads to `to`.
    ///
    /// # Errors
    /// If it cannot listen.
    pub async fn start(to: SocketAddr) -> std::io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let heard = Heard::default();
        let all = Arc::clone(&heard);
        let accepts = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let Ok(far) = TcpStream::connect(to).await else { continue };
                let ((from_near, to_near), (from_far, to_far)) =
                    (near.into_split(), far.into_split());
                tokio::spawn(carry(from_near, to_far, Arc::clone(&all)));
                tokio::spawn(carry(from_far, to_near, Arc::clone(&all)));
            }
        });
        Ok(Self { address, heard, accepts })
    }

    /// What was heard so far.
    pub fn heard(&self) -> Vec<Vec<u8>> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.accepts.abort();
    }
}

/// Carries one direction of a connection to its end.
async fn carry(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, heard: Heard) {
    let number = {
        let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.push(Vec::new());
        heard.len() - 1
    };
    let mut buffer = vec![0; 64 << 10];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        let bytes = &buffer[..length];
        heard.lock().unwrap_or_else(PoisonError::into_inner)[number].extend_from_slice(bytes);
        if to.write_all(bytes).await.is_err() {
            break;
        }
    }
    // The other end may be gone already.
    let _ = to.shutdown().await;
}
