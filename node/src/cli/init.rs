//! `daymark-node init`: the machine's identity, and the request that enrols it.

use std::path::{Path, PathBuf};

use anyhow::Context;
use daymark_protocol::control::EnrolmentRequest;
use daymark_protocol::trust::{self, Envelope, SigningKey};

use super::print;
use crate::durable::{DataFolder, DurableError, HostKeyFile, write_atomic};
use crate::folder::ReplicaFolder;
use crate::platform::facts;
use crate::settings::Settings;

/// Draws the identity, unless there is one, and writes the request.
pub(super) fn init(
    settings: &Settings,
    request: Option<&Path>,
    name: Option<String>,
) -> anyhow::Result<()> {
    let root = Path::new("/");
    let hardware = facts::hardware(root, &settings.identity);
    let data = &settings.data_dir;
    let key = match HostKeyFile::read(data) {
        Ok(key) => key,
        Err(DurableError::NotInitialised { .. }) => {
            // Held while the key is drawn, so that no agent starts beside it.
            let folder = DataFolder::open(data)?;
            HostKeyFile::create(
                folder.path(),
                hardware.machine_id.clone(),
                hardware.serial.clone(),
            )?
        }
        Err(error) => return Err(error.into()),
    };
    let key = SigningKey::from_seed(key.seed);
    let host = key.public().id();
    let (hostname, ..) = facts::kernel();
    let enrolment = EnrolmentRequest {
        name: name.unwrap_or(hostname),
        public_key: key.public().to_string(),
        serial: hardware.serial.unwrap_or_default(),
        uuid: hardware.uuid.unwrap_or_default(),
        facts: facts::facts(root, &settings.identity).into_iter().collect(),
    };
    let payload = serde_json::to_vec_pretty(&enrolment).context("the request is plain JSON")?;
    let context = trust::Context::Enrolment;
    let signatures = vec![(host, key.sign(context, &payload))];
    let json = Envelope { context, payload, signatures }.to_json();
    let path = write_request(request, &host, &json)?;
    print(&format!(
        "host    {host}\nrequest {}\nnext    daymarkctl enroll {}",
        path.display(),
        path.display()
    ))
}

fn write_request(
    request: Option<&Path>,
    host: &daymark_protocol::id::KeyId,
    json: &[u8],
) -> anyhow::Result<PathBuf> {
    match request {
        Some(folder) if folder.is_dir() => {
            Ok(ReplicaFolder::open_or_begin(folder)?.write_request(host, json)?)
        }
        named => {
            let default = || PathBuf::from(format!("daymark-request-{}.json", host.short()));
            let path = named.map_or_else(default, Path::to_owned);
            write_atomic(&path, json, 0o644)
                .with_context(|| format!("cannot write the request {}", path.display()))?;
            Ok(path)
        }
    }
}
