//! Keys that an ssh-agent holds: two messages of its protocol (draft-ietf-sshm-ssh-agent, sections
//! 3.5 and 3.6). A key of type ssh-ed25519 signs what it is given as plain Ed25519, so its signature
//! is like any other.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use daymark_protocol::trust::{Context, PublicKey, Signature, pae};

use crate::exit::{Exit, Failure, Outcome};

/// Where the agent listens.
const SOCKET: &str = "SSH_AUTH_SOCK";
/// OpenSSH's own limit on a message.
const MESSAGE_BYTES_MAX: usize = 256 * 1024;
/// Most keys that are looked at.
const KEYS_MAX: u32 = 1024;
/// How long a person may take to confirm a signature on a token or in a dialogue.
const TIMEOUT: Duration = Duration::from_secs(120);
const KEY_TYPE: &[u8] = b"ssh-ed25519";

const REQUEST_IDENTITIES: u8 = 11;
const IDENTITIES_ANSWER: u8 = 12;
const SIGN_REQUEST: u8 = 13;
const SIGN_RESPONSE: u8 = 14;

/// The Ed25519 keys that the agent holds, with their comments.
pub(crate) fn keys() -> Outcome<Vec<(PublicKey, String)>> {
    let answer = ask(REQUEST_IDENTITIES, &[], IDENTITIES_ANSWER)?;
    let mut rest = answer.as_slice();
    let count = number(&mut rest).ok_or_else(garbled)?.min(KEYS_MAX);
    let mut keys = Vec::new();
    for _ in 0..count {
        let blob = string(&mut rest).ok_or_else(garbled)?;
        let comment = string(&mut rest).ok_or_else(garbled)?;
        if let Some(key) = key_of(blob) {
            keys.push((key, String::from_utf8_lossy(comment).into_owned()));
        }
    }
    Ok(keys)
}

/// Lets the agent sign `message` as a thing of kind `context`.
pub(crate) fn sign(key: &PublicKey, context: Context, message: &[u8]) -> Outcome<Signature> {
    let mut request = Vec::new();
    put(&mut request, &blob_of(key));
    put(&mut request, &pae(context, message));
    request.extend(0_u32.to_be_bytes());
    let answer = ask(SIGN_REQUEST, &request, SIGN_RESPONSE)?;
    let mut rest = answer.as_slice();
    let mut signature = string(&mut rest).ok_or_else(garbled)?;
    let kind = string(&mut signature).ok_or_else(garbled)?;
    let raw = string(&mut signature).and_then(|raw| <[u8; 64]>::try_from(raw).ok());
    let signature = raw.filter(|_| kind == KEY_TYPE).map(Signature).ok_or_else(garbled)?;
    match key.verify(context, message, &signature) {
        true => Ok(signature),
        false => Err(Failure::new(Exit::Failed, "the ssh-agent's signature does not verify")),
    }
}

fn garbled() -> Failure {
    Failure::new(Exit::Failed, "the ssh-agent's answer is not of the protocol")
}

/// Sends a message and reads the answer, which must be of the kind `expected`.
fn ask(kind: u8, body: &[u8], expected: u8) -> Outcome<Vec<u8>> {
    let socket = std::env::var_os(SOCKET).map(PathBuf::from).ok_or_else(|| {
        Failure::new(Exit::Unreachable, "no ssh-agent is named")
            .next(format!("start one, or set {SOCKET}; `ssh-add -l` shows its keys"))
    })?;
    let failed = |error: std::io::Error| {
        Failure::new(Exit::Unreachable, format!("the ssh-agent at {}: {error}", socket.display()))
            .next("`ssh-add -l` shows whether it answers")
    };
    let mut stream = UnixStream::connect(&socket).map_err(failed)?;
    stream.set_read_timeout(Some(TIMEOUT)).map_err(failed)?;
    let mut message = Vec::new();
    let mut framed = vec![kind];
    framed.extend_from_slice(body);
    put(&mut message, &framed);
    stream.write_all(&message).map_err(failed)?;
    let mut length = [0_u8; 4];
    stream.read_exact(&mut length).map_err(failed)?;
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if length == 0 || length > MESSAGE_BYTES_MAX {
        return Err(garbled());
    }
    let mut answer = vec![0_u8; length];
    stream.read_exact(&mut answer).map_err(failed)?;
    if answer.first() != Some(&expected) {
        return Err(Failure::refused("the ssh-agent refused")
            .next("`ssh-add -l` shows whether it holds the key, or is locked"));
    }
    Ok(answer.split_off(1))
}

/// The blob by which the agent knows a key.
fn blob_of(key: &PublicKey) -> Vec<u8> {
    let mut blob = Vec::new();
    put(&mut blob, KEY_TYPE);
    put(&mut blob, key.as_bytes());
    blob
}

fn key_of(mut blob: &[u8]) -> Option<PublicKey> {
    let kind = string(&mut blob)?;
    let raw: [u8; 32] = string(&mut blob)?.try_into().ok()?;
    PublicKey::from_bytes(raw).ok().filter(|_| kind == KEY_TYPE)
}

fn put(message: &mut Vec<u8>, bytes: &[u8]) {
    let length = u32::try_from(bytes.len()).expect("statements are far below 4 GiB");
    message.extend(length.to_be_bytes());
    message.extend_from_slice(bytes);
}

fn number(rest: &mut &[u8]) -> Option<u32> {
    let (head, tail) = rest.split_first_chunk::<4>()?;
    *rest = tail;
    Some(u32::from_be_bytes(*head))
}

fn string<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(number(rest)?).ok()?;
    let (head, tail) = rest.split_at_checked(length)?;
    *rest = tail;
    Some(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_that_is_longer_than_what_is_there_is_none() {
        assert_eq!(string(&mut &[0, 0, 0, 1, 7][..]), Some(&[7][..]));
        for bad in [&[][..], &[0, 0, 0], &[0, 0, 0, 2, 7], &[0xff; 8]] {
            assert_eq!(string(&mut &*bad), None, "{bad:?}");
        }
    }
}
