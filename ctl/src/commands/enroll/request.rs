//! Enrolment requests: read, and checked that their maker has the key that they name.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use daymark_node::folder::{REQUEST_BYTES_MAX, ReplicaFolder};
use daymark_protocol::control::EnrolmentRequest;
use daymark_protocol::id::KeyId;
use daymark_protocol::trust::{Context, Envelope, PublicKey};

use crate::exit::{Failure, Outcome};

/// A request that is signed by the key that it names.
#[derive(Debug)]
pub(crate) struct Request {
    /// The machine's key id.
    pub host: KeyId,
    /// What it says.
    pub said: EnrolmentRequest,
    /// Its file.
    pub path: PathBuf,
}

/// Reads the request that is named.
pub(super) fn read(path: &Path) -> Outcome<Request> {
    let mut bytes = Vec::new();
    let opened = std::fs::File::open(path);
    opened.and_then(|file| file.take(REQUEST_BYTES_MAX + 1).read_to_end(&mut bytes)).map_err(
        |error| {
            Failure::usage(format!("cannot read {}: {error}", path.display()))
                .next("`daymark-node init --request FILE` writes a request on the machine")
        },
    )?;
    parse(path, &bytes)
}

/// Reads what lies in a file as a request.
pub(crate) fn parse(path: &Path, bytes: &[u8]) -> Outcome<Request> {
    let bad = |why: &str| {
        Failure::usage(format!("{} is not an enrolment request: {why}", path.display()))
            .next("`daymark-node init --request FILE` writes one on the machine")
    };
    if bytes.len() as u64 > REQUEST_BYTES_MAX {
        return Err(bad("it is too large"));
    }
    let envelope = Envelope::parse(bytes).map_err(|error| bad(&error.to_string()))?;
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

/// Reads all requests in a folder, or in the `requests/` of a stick; with what is wrong with the
/// others. Anyone may have written them.
pub(super) fn read_folder(folder: &Path) -> Outcome<(Vec<Request>, Vec<String>)> {
    let (mut requests, mut wrong) = (Vec::new(), Vec::new());
    for (path, bytes) in ReplicaFolder::open_or_begin(folder)?.requests()? {
        let request = bytes.map_err(Failure::from).and_then(|bytes| parse(&path, &bytes));
        match request {
            Ok(request) => requests.push(request),
            Err(failure) => wrong.push(format!("{:#}", failure.error)),
        }
    }
    if requests.is_empty() && wrong.is_empty() {
        return Err(Failure::usage(format!("{} holds no requests", folder.display()))
            .next("`daymark-node init --request FOLDER` writes one on each machine"));
    }
    Ok((requests, wrong))
}

fn hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    HEXLOWER.decode(text.as_bytes()).ok()?.try_into().ok()
}
