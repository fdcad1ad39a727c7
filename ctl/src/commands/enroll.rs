//! `enroll REQUEST`: makes a machine a member of the fleet.

use std::path::Path;

use data_encoding::HEXLOWER;
use daymark_protocol::control::EnrolmentRequest;
use daymark_protocol::id::ResourceId;
use daymark_protocol::resource::{Baseline, HostSpec, Kind, Scope, Spec};
use daymark_protocol::trust::{Context, Envelope, PublicKey, Standing};

use crate::change::{self, Change, ChangeEffect};
use crate::cli::EnrollArgs;
use crate::commands::submit;
use crate::exit::{Failure, Outcome};
use crate::session::Session;
use crate::{names, targets};

/// Largest request that is read.
const REQUEST_BYTES_MAX: u64 = 64 * 1024;

/// Runs `enroll`.
pub(crate) async fn run(mut session: Session, args: EnrollArgs) -> Outcome {
    let standing = session.standing();
    let site =
        session.global.site.as_deref().map(|site| names::find_site(standing, site)).transpose()?;
    let baseline = args.baseline.as_deref().map(baseline).transpose()?;
    let name = args.name.as_deref();
    let change = change(standing, &args.request, name, site, &session.global.labels, baseline)?;
    submit::run(&mut session, vec![change]).await
}

/// The change that enrols the machine of a request.
pub(crate) fn change(
    standing: &Standing,
    request: &Path,
    name: Option<&str>,
    site: Option<ResourceId>,
    labels: &[String],
    baseline: Option<Baseline>,
) -> Outcome<Change> {
    let (request, key) = read(request)?;
    let host = key.id();
    if let Some((_, held)) = names::host_spec(standing, &host) {
        return Err(Failure::refused(format!(
            "this machine is enrolled already, as {}",
            held.name
        ))
        .next("`daymarkctl describe host` shows it"));
    }
    let name = name.unwrap_or(&request.name).to_owned();
    if let Some((other, _, _)) =
        names::hosts(standing).into_iter().find(|(_, _, spec)| spec.name == name)
    {
        return Err(Failure::refused(format!("host {} is named {name} already", other.short()))
            .next("choose another name with --name"));
    }
    let filled = |text: &String| (!text.is_empty()).then(|| text.clone());
    let spec = Spec::Host(HostSpec {
        name: name.clone(),
        public_key: request.public_key.clone(),
        uuid: filled(&request.uuid),
        serial: filled(&request.serial),
        labels: targets::labels(labels)?,
        baseline,
    });
    spec.validate().map_err(|error| Failure::usage(format!("host {name:?}: {error}")))?;
    let id = ResourceId::from(host);
    let home = match &site {
        Some(site) => site.clone(),
        None => "none".parse().map_err(Failure::usage)?,
    };
    Ok(Change {
        kind: Kind::Host,
        version: change::next_version(standing, Kind::Host, &id)?,
        id,
        name,
        scope: Scope::Site(home),
        target: None,
        site,
        moved_from: None,
        until: None,
        spec: Some(spec),
        effect: ChangeEffect::Create,
    })
}

fn baseline(text: &str) -> Outcome<Baseline> {
    text.split_once('@')
        .filter(|(profile, version)| !profile.is_empty() && !version.is_empty())
        .map(|(profile, version)| Baseline { profile: profile.into(), version: version.into() })
        .ok_or_else(|| {
            Failure::usage(format!("{text:?} is not a baseline")).next("write PROFILE@VERSION")
        })
}

/// Reads a request and checks that its maker has the key that it names.
fn read(path: &Path) -> Outcome<(EnrolmentRequest, PublicKey)> {
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
    let request: EnrolmentRequest =
        serde_json::from_slice(&envelope.payload).map_err(|error| bad(&error.to_string()))?;
    let key = hex::<32>(&request.public_key)
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
    Ok((request, key))
}

fn hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    HEXLOWER.decode(text.as_bytes()).ok()?.try_into().ok()
}
