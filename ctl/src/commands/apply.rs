//! `apply -f` and `diff -f`: files to one change set.

use daymark_node::causes::with_causes;
use daymark_protocol::id::ResourceId;
use daymark_protocol::resource::{Kind, Role, Scope, Spec, Target};
use daymark_protocol::time::WallTime;
use daymark_protocol::trust::Standing;
use serde_json::{Map, Value};

use crate::change::{Change, ChangeEffect};
use crate::cli::{ApplyArgs, DiffArgs, TargetArgs};
use crate::commands::{emergency, signed, submit, update};
use crate::exit::{Exit, Failure, Outcome};
use crate::files::{self, FileResource};
use crate::preview;
use crate::session::Session;
use crate::{names, output, scopes, targets, times};

/// Schema of the specs that are written.
const SCHEMA: u32 = 1;

/// Runs `apply`. All files are read and checked before any of them changes something.
pub(crate) async fn apply(mut session: Session, args: ApplyArgs) -> Outcome {
    let (signed, written) = signed::split(&args.files)?;
    let changes = match written.is_empty() {
        true => None,
        false => {
            let resources = files::read(&written)?;
            let standing = signed::standing(&session, &signed)?;
            let until = args.until.as_deref();
            Some(changes(&session, &standing, &resources, &args.target, until)?)
        }
    };
    let mut exit = Exit::Done;
    if !signed.is_empty() {
        exit = signed::apply(&mut session, &signed).await?;
    }
    let Some(changes) = changes else { return Ok(exit) };
    let applied = match args.emergency.emergency {
        true => {
            let until = args.until.as_deref();
            emergency::apply(&mut session, changes, &args.emergency, until).await?
        }
        false => submit::run(&mut session, changes).await?,
    };
    Ok(if exit == Exit::Done { applied } else { exit })
}

/// Runs `diff`.
pub(crate) fn diff(session: &Session, args: &DiffArgs) -> Outcome {
    let resources = files::read(&args.files)?;
    let changes = changes(session, session.standing(), &resources, &args.target, None)?;
    let differs = changes.iter().any(|change| change.effect != ChangeEffect::Unchanged);
    output::lines(preview::changes(session.standing(), &changes));
    Ok(if differs { Exit::Failed } else { Exit::Done })
}

/// The changes of a set of files to a standing. Resources of one set may name each other, so those
/// that others refer to are taken first.
pub(crate) fn changes(
    session: &Session,
    standing: &Standing,
    resources: &[FileResource],
    args: &TargetArgs,
    until: Option<&str>,
) -> Outcome<Vec<Change>> {
    let mut ordered: Vec<&FileResource> = resources.iter().collect();
    ordered.sort_by_key(|resource| reference_order(resource.kind));
    let flags = targets::from_flags(standing, args, &session.global)?;
    let mut standing = standing.clone();
    let mut changes: Vec<Change> = Vec::new();
    for resource in ordered {
        let change = one(session, &standing, resource, flags.as_ref(), until)?;
        if changes.iter().any(|other| other.kind == change.kind && other.id == change.id) {
            return Err(Failure::usage(format!(
                "{}: {} {:?} stands in the files twice",
                resource.place, change.kind, change.name
            )));
        }
        preview::insert(&mut standing, &change);
        changes.push(change);
    }
    Ok(changes)
}

fn reference_order(kind: Kind) -> u8 {
    match kind {
        Kind::Region => 0,
        Kind::Site => 1,
        Kind::SingleSchedule | Kind::RepeatedSchedule | Kind::Blackout => 2,
        Kind::Host
        | Kind::OsProfile
        | Kind::OsUpdatePolicy
        | Kind::Promotion
        | Kind::CustomConfig
        | Kind::Hold
        | Kind::Retry
        | Kind::Halt
        | Kind::Resume
        | Kind::Emergency
        | Kind::Token => 3,
    }
}

fn one(
    session: &Session,
    standing: &Standing,
    resource: &FileResource,
    flags: Option<&Target>,
    until: Option<&str>,
) -> Outcome<Change> {
    let place = &resource.place;
    if resource.kind == Kind::OsProfile {
        return Err(Failure::usage(format!("{place}: an OS profile is signed with its image"))
            .next("`daymarkctl release add IMAGE --profile FILE --to FOLDER`"));
    }
    if resource.kind.role() != Role::Policy {
        return Err(Failure::usage(format!(
            "{place}: a {} is not applied from a file",
            resource.kind
        ))
        .next("see `daymarkctl help` for its own command"));
    }
    let name = resource.name()?.to_owned();
    let scope = match &resource.scope {
        Some(scope) => scopes::from_file(standing, place, scope)?,
        None => session.scope()?,
    };
    let target = match (&resource.target, &scope) {
        (Some(fields), _) => Some(targets::from_file(standing, place, fields)?),
        (None, Scope::Site(_)) => Some(flags.cloned().unwrap_or_else(targets::everyone)),
        (None, Scope::Fleet | Scope::Region(_)) => flags.cloned(),
    };
    let needs_target = !matches!(resource.kind, Kind::Region | Kind::Site);
    if needs_target && target.is_none() {
        return Err(Failure::usage(format!("{place}: {} {name:?} names no target", resource.kind))
            .next("add `target:` to the file, or --all, --site, --region, --host or --label"));
    }
    let mut fields = resource.spec.clone();
    names_to_ids(standing, place, resource.kind, &scope, &mut fields)?;
    let json = serde_json::to_string(&fields)?;
    let spec = Spec::parse(resource.kind, SCHEMA, &json)
        .map_err(|error| Failure::usage(format!("{place}: {}", with_causes(&error))))?;
    for warning in warnings(&spec) {
        output::note(&format!("warning: {place}: {warning}"));
    }
    let now = times::now();
    let until = match resource.until.as_deref().or(until) {
        Some(text) => Some(times::point(text, &times::local_zone(), now)?),
        None => held_until(standing, &spec, &scope).or_else(|| default_until(&spec, now)),
    };
    let fleet = session.fleet()?;
    let target = target.filter(|_| needs_target);
    Change::put(standing, &fleet, scope, spec, target, until).map_err(|failure| at(failure, place))
}

fn warnings(spec: &Spec) -> Vec<String> {
    let Spec::OsUpdatePolicy(policy) = spec else { return Vec::new() };
    policy.warnings().iter().map(ToString::to_string).collect()
}

/// Applying the same file again keeps the end that its first application got.
fn held_until(standing: &Standing, spec: &Spec, scope: &Scope) -> Option<WallTime> {
    let name = names::spec_name(spec);
    let (kind, id) = names::find_in(standing, &[spec.kind()], &name, Some(scope)).ok()?;
    let held = names::living(standing.lines.get(&(kind, id))?)?;
    (held.spec.as_ref().ok()?.as_ref()? == spec).then_some(held.until).flatten()
}

/// TARGET policies end after 90 days unless they say otherwise (RULES S6).
fn default_until(spec: &Spec, now: WallTime) -> Option<WallTime> {
    let Spec::OsUpdatePolicy(policy) = spec else { return None };
    policy.target_os.as_ref().map(|_| now.plus_ms(update::TARGET_UNTIL_MS))
}

/// Fields that hold names in a file and ids on the wire.
fn names_to_ids(
    standing: &Standing,
    place: &str,
    kind: Kind,
    scope: &Scope,
    fields: &mut Map<String, Value>,
) -> Outcome<()> {
    let mut replace = |field: &str, kinds: &[Kind]| -> Outcome<()> {
        if let Some(Value::String(name)) = fields.get(field) {
            let (_, id) =
                names::find(standing, kinds, name).map_err(|failure| at(failure, place))?;
            fields.insert(field.to_owned(), Value::String(id.to_string()));
        }
        Ok(())
    };
    match kind {
        Kind::Region => replace("parent", &[Kind::Region]),
        Kind::Site => replace("region", &[Kind::Region]),
        Kind::OsUpdatePolicy => policy_names(standing, place, scope, fields),
        Kind::Host
        | Kind::OsProfile
        | Kind::SingleSchedule
        | Kind::RepeatedSchedule
        | Kind::Blackout
        | Kind::Promotion
        | Kind::CustomConfig
        | Kind::Hold
        | Kind::Retry
        | Kind::Halt
        | Kind::Resume
        | Kind::Emergency
        | Kind::Token => Ok(()),
    }
}

fn at(failure: Failure, place: &str) -> Failure {
    Failure { error: anyhow::anyhow!("{place}: {}", failure.error), ..failure }
}

fn policy_names(
    standing: &Standing,
    place: &str,
    scope: &Scope,
    fields: &mut Map<String, Value>,
) -> Outcome<()> {
    if let Some(Value::String(text)) = fields.get("targetOs") {
        let os = os_named(standing, text).map_err(|failure| at(failure, place))?;
        fields.insert("targetOs".into(), serde_json::to_value(os)?);
    }
    if let Some(Value::Array(schedules)) = fields.get_mut("schedules") {
        for schedule in schedules {
            let name = schedule.as_str().ok_or_else(|| {
                Failure::usage(format!("{place}: schedules must be a list of names"))
            })?;
            let id = schedule_named(standing, scope, name).map_err(|failure| at(failure, place))?;
            *schedule = Value::String(id.to_string());
        }
    }
    Ok(())
}

/// The schedule that a policy may use: its own scope's, or the fleet's. Machines elsewhere would
/// never hold another site's, and so never have a window.
fn schedule_named(standing: &Standing, scope: &Scope, name: &str) -> Outcome<ResourceId> {
    let kinds = [Kind::RepeatedSchedule, Kind::SingleSchedule];
    let find = |scope| names::find_in(standing, &kinds, name, Some(scope)).map(|(_, id)| id);
    find(scope).or_else(|_| find(&Scope::Fleet)).map_err(|missing| {
        let Ok((kind, id)) = names::find(standing, &kinds, name) else { return missing };
        let line = standing.lines.get(&(kind, id));
        let other = line.and_then(names::living).map_or(&Scope::Fleet, |held| &held.scope);
        Failure::usage(format!(
            "schedule {name:?} is of the scope {}, and the policy of {}",
            scopes::show(standing, other),
            scopes::show(standing, scope)
        ))
        .next("use a schedule of the fleet or of the policy's own scope")
    })
}

/// `PROFILE@VERSION`, EIM's resource name of the OS, or its id.
fn os_named(standing: &Standing, text: &str) -> Outcome<daymark_protocol::resource::TargetOs> {
    if let Some((profile, version)) = text.split_once('@') {
        return update::target_os(standing, profile, version);
    }
    let by_name: Vec<_> = standing
        .lines
        .iter()
        .filter(|((kind, _), _)| *kind == Kind::OsProfile)
        .filter_map(|((_, id), line)| {
            let version = names::living(line)?;
            match &version.spec {
                Ok(Some(Spec::OsProfile(spec))) if spec.name == text || id.as_str() == text => {
                    Some((id.to_string(), spec))
                }
                _ => None,
            }
        })
        .collect();
    match by_name.as_slice() {
        [(_, spec)] => update::target_os(standing, &spec.profile_name, &spec.os_image_version),
        [] => Err(Failure::usage(format!("there is no OS profile {text:?}"))
            .next("name it like microvisor-nonrt@3.0.20260602.2200")),
        several => {
            let ids: Vec<String> = several.iter().map(|(id, _)| id.clone()).collect();
            Err(files::ambiguous("OS profile", text, &ids))
        }
    }
}
