//! The socket: bound safely, readable by its group, and who is at its other end.

use std::io::ErrorKind;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

use axum::extract::connect_info::Connected;
use axum::serve::IncomingStream;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, watch};

use super::Request;
use super::routes::{Replica, router};

/// Why the socket cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// Someone else serves it.
    #[error(
        "the control socket {} is served by another process; stop that one, or set control.socket",
        path.display()
    )]
    Occupied {
        /// The socket.
        path: PathBuf,
    },
    /// Something else has its name.
    #[error(
        "{} is not a socket and is left as it is; move it away, or set control.socket to another path",
        path.display()
    )]
    NotASocket {
        /// What is there.
        path: PathBuf,
    },
    /// It cannot be made.
    #[error("cannot make the control socket {}", path.display())]
    Bind {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// A bound socket that does not answer yet.
#[derive(Debug)]
pub struct ControlServer {
    listener: UnixListener,
    path: PathBuf,
}

/// Who is at the other end, as the kernel says.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Caller {
    pub(super) user: Option<u32>,
    pub(super) process: Option<i32>,
}

impl Caller {
    /// Whether it may bind this machine to a fleet: the superuser or the agent's own user.
    pub(super) fn is_owner(self) -> bool {
        let own = rustix::process::geteuid().as_raw();
        self.user.is_some_and(|user| user == 0 || user == own)
    }
}

impl Connected<IncomingStream<'_, UnixListener>> for Caller {
    fn connect_info(stream: IncomingStream<'_, UnixListener>) -> Self {
        // Without credentials the caller counts as nobody.
        stream.io().peer_cred().map_or_else(
            |_| Self::default(),
            |found| Self { user: Some(found.uid()), process: found.pid() },
        )
    }
}

/// Removes the socket that a dead process left, and nothing else.
async fn make_room(path: &Path) -> Result<(), ControlError> {
    let failed = |source| ControlError::Bind { path: path.to_owned(), source };
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
        Ok(found) if !found.file_type().is_socket() => {
            return Err(ControlError::NotASocket { path: path.to_owned() });
        }
        Ok(_) => {}
    }
    match UnixStream::connect(path).await {
        Ok(_) => Err(ControlError::Occupied { path: path.to_owned() }),
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path).map_err(failed)
        }
        Err(error) => Err(failed(error)),
    }
}

impl ControlServer {
    /// Binds the socket with mode 0660. One that a dead process left is replaced.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn bind(path: &Path) -> Result<Self, ControlError> {
        let failed = |source| ControlError::Bind { path: path.to_owned(), source };
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(failed)?;
        }
        make_room(path).await?;
        let listener = UnixListener::bind(path).map_err(failed)?;
        let mode = std::fs::Permissions::from_mode(0o660);
        std::fs::set_permissions(path, mode).map_err(failed)?;
        Ok(Self { listener, path: path.to_owned() })
    }

    /// Answers until `stop` changes; then removes the socket.
    pub async fn serve(
        self,
        requests: mpsc::Sender<Request>,
        replica: Replica,
        mut stop: watch::Receiver<bool>,
    ) {
        let service = router(requests, replica).into_make_service_with_connect_info::<Caller>();
        let ended = axum::serve(self.listener, service)
            .with_graceful_shutdown(async move {
                let _ = stop.wait_for(|stop| *stop).await;
            })
            .await;
        if let Err(error) = ended {
            tracing::error!(%error, "the control socket failed");
        }
        let _ = std::fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_socket_of_a_dead_process_gives_way() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control.sock");
        std::fs::write(&path, "precious").unwrap();
        let refused = ControlServer::bind(&path).await.unwrap_err();
        assert!(matches!(refused, ControlError::NotASocket { .. }), "{refused}");
        assert_eq!(std::fs::read(&path).unwrap(), b"precious");
        let link = folder.path().join("link.sock");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let refused = ControlServer::bind(&link).await.unwrap_err();
        assert!(matches!(refused, ControlError::NotASocket { .. }), "{refused}");
        std::fs::remove_file(&path).unwrap();

        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let bound = ControlServer::bind(&path).await.unwrap();
        let refused = ControlServer::bind(&path).await.unwrap_err();
        assert!(matches!(refused, ControlError::Occupied { .. }), "{refused}");
        drop(bound);
    }
}
