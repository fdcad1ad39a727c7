//! `enroll`: makes machines members of the fleet, one or many, and countersigns those that a token
//! let in.

mod many;
mod pending;
pub(crate) mod request;

use std::path::Path;

use daymark_protocol::id::{KeyId, ResourceId};
use daymark_protocol::resource::{Baseline, HostSpec, Kind, Scope, Spec};
use daymark_protocol::target::NO_SITE;
use daymark_protocol::trust::{Replaced, Standing};

use crate::change::{self, Change, ChangeEffect};
use crate::cli::EnrollArgs;
use crate::commands::submit;
use crate::exit::{Failure, Outcome};
use crate::session::Session;
use crate::{names, output, targets};

pub(crate) use self::pending::provisional;
use self::request::Request;

/// Runs `enroll`.
pub(crate) async fn run(mut session: Session, args: EnrollArgs) -> Outcome {
    if args.pending {
        return pending::run(session, args.request.as_deref(), &args.hosts).await;
    }
    let path = args.request.as_deref().ok_or_else(|| {
        Failure::usage("no request is named")
            .next("`daymark-node init --request FILE` writes one on the machine; or say --pending")
    })?;
    if path.is_dir() {
        return many::run(session, path, args.csv.as_deref()).await;
    }
    let standing = session.standing();
    let member = Member {
        name: args.name,
        site: site_of_flags(&session)?,
        labels: session.global.labels.clone(),
        baseline: args.baseline.as_deref().map(baseline).transpose()?,
    };
    let request = request::read(path)?;
    let change = match &args.replace {
        Some(old) => replacing(standing, &request, old, member)?,
        None => {
            offer_replacement(standing, &request);
            change_of(standing, &request, member)?
        }
    };
    submit::run(&mut session, vec![change]).await
}

/// What whoever enrols a machine says of it.
#[derive(Debug, Default)]
struct Member {
    /// Its name; the request's otherwise.
    name: Option<String>,
    site: Option<ResourceId>,
    /// `K=V`.
    labels: Vec<String>,
    baseline: Option<Baseline>,
}

/// The change that enrols the machine of a request under a name of its choice.
pub(crate) fn change(
    standing: &Standing,
    request: &Path,
    name: Option<&str>,
    site: Option<ResourceId>,
    labels: &[String],
    baseline: Option<Baseline>,
) -> Outcome<Change> {
    let member =
        Member { name: name.map(ToOwned::to_owned), site, labels: labels.to_vec(), baseline };
    change_of(standing, &request::read(request)?, member)
}

fn site_of_flags(session: &Session) -> Outcome<Option<ResourceId>> {
    let site = session.global.site.as_deref();
    site.map(|site| names::find_site(session.standing(), site)).transpose()
}

/// The change that enrols the machine of a request.
fn change_of(standing: &Standing, request: &Request, member: Member) -> Outcome<Change> {
    refuse_enrolled(standing, request)?;
    let name = member.name.unwrap_or_else(|| request.said.name.clone());
    if let Some((other, _, _)) =
        names::hosts(standing).into_iter().find(|(_, _, spec)| spec.name == name)
    {
        return Err(Failure::refused(format!("host {} is named {name} already", other.short()))
            .next(format!(
                "choose another name with --name, or --replace {name} if this machine takes its place"
            )));
    }
    let labels = targets::labels(&member.labels)?;
    let spec = HostSpec { name, labels, baseline: member.baseline, ..of_request(request) };
    host(standing, request, spec, member.site, None)
}

/// The change by which a machine takes the place of another: its name, labels and site stay, its
/// key ends by the same statement (RULES S2, D6).
fn replacing(standing: &Standing, request: &Request, old: &str, member: Member) -> Outcome<Change> {
    refuse_enrolled(standing, request)?;
    let key = names::find_host(standing, old)?;
    let (held, before) = names::host_spec(standing, &key)
        .ok_or_else(|| Failure::usage(format!("{old:?} is not enrolled")))?;
    let replaced = Replaced {
        host: key,
        version: change::next_version(standing, Kind::Host, &key.into())?,
        site: held.site.clone(),
    };
    let mut labels = before.labels.clone();
    labels.extend(targets::labels(&member.labels)?);
    let spec = HostSpec {
        name: member.name.unwrap_or_else(|| before.name.clone()),
        labels,
        baseline: member.baseline.or_else(|| before.baseline.clone()),
        ..of_request(request)
    };
    host(standing, request, spec, member.site.or_else(|| held.site.clone()), Some(replaced))
}

fn refuse_enrolled(standing: &Standing, request: &Request) -> Outcome<()> {
    match names::host_spec(standing, &request.host) {
        None => Ok(()),
        Some((version, held)) => {
            let step = match version.token {
                Some(_) => "a token let it in: `daymarkctl enroll --pending` countersigns it",
                None => "`daymarkctl describe host` shows it",
            };
            let why = format!("this machine is enrolled already, as {}", held.name);
            Err(Failure::refused(why).next(step))
        }
    }
}

/// Says if the machine, by its serial number or UUID, is in the fleet under another key.
fn offer_replacement(standing: &Standing, request: &Request) {
    if let Some(held) = same_machine(standing, request) {
        let name = names::host_name(standing, &held);
        output::note(&format!(
            "{name} has the same serial number or UUID: --replace {name} keeps its name and history"
        ));
    }
}

fn same_machine(standing: &Standing, request: &Request) -> Option<KeyId> {
    let same =
        |ours: &str, theirs: &Option<String>| !ours.is_empty() && theirs.as_deref() == Some(ours);
    let hosts = names::hosts(standing).into_iter();
    let mut fits = hosts.filter(|(_, _, spec)| {
        same(&request.said.serial, &spec.serial) || same(&request.said.uuid, &spec.uuid)
    });
    fits.next().map(|(key, _, _)| key)
}

/// What a request itself says of the host.
fn of_request(request: &Request) -> HostSpec {
    let filled = |text: &String| (!text.is_empty()).then(|| text.clone());
    HostSpec {
        public_key: request.said.public_key.clone(),
        uuid: filled(&request.said.uuid),
        serial: filled(&request.said.serial),
        ..HostSpec::default()
    }
}

fn host(
    standing: &Standing,
    request: &Request,
    spec: HostSpec,
    site: Option<ResourceId>,
    replaces: Option<Replaced>,
) -> Outcome<Change> {
    let name = spec.name.clone();
    let spec = Spec::Host(spec);
    spec.validate().map_err(|error| Failure::usage(format!("host {name:?}: {error}")))?;
    let id = ResourceId::from(request.host);
    let home = match &site {
        Some(site) => site.clone(),
        None => NO_SITE.parse().map_err(Failure::usage)?,
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
        replaces,
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
