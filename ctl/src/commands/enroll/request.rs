//! Enrolment requests: read, and checked that their maker has the key that they name.

use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use daymark_protocol::control::EnrolmentRequest;
use daymark_protocol::id::KeyId;
use daymark_protocol::trust::{Context, Envelope, PublicKey};

use crate::exit::{Failure, Outcome};

/// Largest request that is read.
const REQUEST_BYTES_MAX: u64 = 64 * 1024;
/// Most requests in one folder: more machines than a site has.
const REQUESTS_MAX: usize = 16_384;

/// A request that is signed by the key that it names.
#[derive(Debug)]
pub(super) struct Request {
    /// The machine's key id.
    pub host: KeyId,
    /// What it says.
    pub said: EnrolmentRequest,
    /// Its file.
    pub path: PathBuf,
}

/// Reads a request.
pub(super) fn read(path: &Path) -> Outcome<Request> {
    let bad = |why: &str| {
        Failure::usage(format!("{} is not an enrolment request: {why}", path.display()))
            .next("`daymark-node init --request FILE` writes one on the machine")
    };
    let size = std::fs::metadata(path)
        .map_err(|error| {
            Failure::usage(format!("cannot read {}: {error}", path.display()))
                .next("`daymark-node init --request FILE` writes a request on the machine")
        })?
        .len();
    if size > REQUEST_BYTES_MAX {
        return Err(bad("it is too large"));
    }
    let envelope =
        Envelope::parse(&std::fs::read(path)?).map_err(|error| bad(&error.to_string()))?;
    if envelope.context != Context::Enrolment {
        return Err(bad("it is signed as something else"));
    }
    let said: EnrolmentRequest =
        serde_json::from_slice(&envelope.payload).map_err(|error| bad(&error.to_string()))?;
    let key = hex::<32>(&said.public_key)
        .and_then(|raw| PublicKey::from_bytes(raw).ok())
        .ok_or_else(|| bad("its public key is not usable"))?;
    let signed = envelope.signatures.iter().any(|(id, signature)| {
        *id == key.id() && key.verify(Context::Enrolment, &envelope.payload, signature)
    });
    if !signed {
        return Err(Failure::refused(format!(
            "the signature of {} is not by the key that it names",
            path.display()
        ))
        .next("it was changed on its way; write it again on the machine"));
    }
    Ok(Request { host: key.id(), said, path: path.to_owned() })
}

/// Reads all requests in a folder, or in the `requests/` of a stick.
pub(super) fn read_folder(folder: &Path) -> Outcome<Vec<Request>> {
    let stick = folder.join("requests");
    let folder = if stick.is_dir() { &stick } else { folder };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder)?.take(REQUESTS_MAX) {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "json") {
            paths.push(path);
        }
    }
    paths.sort();
    if paths.is_empty() {
        return Err(Failure::usage(format!("{} holds no requests", folder.display()))
            .next("`daymark-node init --request FOLDER` writes one on each machine"));
    }
    paths.iter().map(|path| read(path)).collect()
}

fn hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    HEXLOWER.decode(text.as_bytes()).ok()?.try_into().ok()
}
