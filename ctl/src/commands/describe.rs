//! `describe KIND NAME`, `delete KIND NAME` and `status`.

use daymark_protocol::resource::{Kind, Spec};
use daymark_protocol::trust::{State, Version};
use serde::Serialize;
use serde_json::{Value, json};

use crate::change::Change;
use crate::cli::NamedArgs;
use crate::commands::{emergency, enroll, get, heartbeat, stop, submit};
use crate::exit::{Exit, Failure, Outcome};
use crate::session::Session;
use crate::{names, output, rotation, scopes, targets};

/// Runs `describe`.
pub(crate) fn describe(session: &Session, args: &NamedArgs) -> Outcome {
    if matches!(args.kind.to_ascii_lowercase().as_str(), "run" | "runs") {
        return describe_run(session, &args.name);
    }
    let standing = session.standing();
    let kinds = get::listed_kinds(&args.kind)?;
    let (kind, id) = session.find(&kinds, &args.name)?;
    let line = standing
        .lines
        .get(&(kind, id.clone()))
        .ok_or_else(|| Failure::usage(format!("there is no {kind} {:?}", args.name)))?;
    let state = match &line.state {
        State::Counts => "counts".to_owned(),
        State::Unknown(why) => format!("unknown: {why}"),
    };
    let versions: Vec<Value> = line.versions.iter().map(|v| version(session, v)).collect();
    let host = id.as_host().filter(|_| kind == Kind::Host);
    let reported = host.and_then(|host| session.host(&host)).map(|host| {
        json!({
            "machine": host.machine,
            "facts": host.facts,
            "decision": host.decision,
            "runs": host.runs,
            "history": host.adopted,
            "configuration": host.configuration_problem,
        })
    });
    let value = json!({
        "kind": kind, "id": id, "name": names::name_of(standing, kind, &id), "state": state,
        "versions": versions, "reported": reported, "asOf": session.as_of(),
    });
    show(session, &value)
}

/// One update run, by its name.
fn describe_run(session: &Session, name: &str) -> Outcome {
    let run = get::runs(session, None)?.into_iter().find(|row| row.run.name == name);
    let run = run.ok_or_else(|| {
        Failure::usage(format!("there is no update run {name:?}")).next("`daymarkctl get runs`")
    })?;
    let blamed: Vec<Value> = run
        .run
        .blamed
        .iter()
        .map(|(peer, chunks)| {
            let name = names::host_name(session.standing(), peer);
            json!({ "peer": name, "key": peer, "wrongChunks": chunks })
        })
        .collect();
    let value = json!({
        "kind": "OsUpdateRun", "host": run.host, "run": run.run, "blamed": blamed,
        "asOf": session.as_of(),
    });
    show(session, &value)
}

fn show(session: &Session, value: &Value) -> Outcome {
    output::value(session.global.output, value, || {
        serde_saphyr::to_string(value).unwrap_or_else(|_| value.to_string()).trim_end().to_owned()
    })?;
    Ok(Exit::Done)
}

fn version(session: &Session, version: &Version) -> Value {
    let root = session.root().ok();
    let signers: Vec<String> = version
        .signers
        .iter()
        .map(|id| {
            root.and_then(|root| root.keys.get(id))
                .map_or_else(|| id.short(), |key| key.holder.clone())
        })
        .collect();
    let spec = match &version.spec {
        Ok(spec) => serde_json::to_value(spec).unwrap_or(Value::Null),
        Err(why) => Value::String(format!("cannot be read: {why}")),
    };
    json!({
        "version": version.version,
        "scope": scopes::show(session.standing(), &version.scope),
        "for": targets::show(session.standing(), version.target.as_ref()),
        "issued": version.issued,
        "until": version.until,
        "signedBy": signers,
        "reason": version.reason,
        "gone": version.gone,
        "digest": version.digest,
        "statement": version.statement,
        "content": spec.get("spec").unwrap_or(&spec),
    })
}

/// Runs `delete`.
pub(crate) async fn delete(mut session: Session, args: NamedArgs) -> Outcome {
    let standing = session.standing();
    let kinds = get::listed_kinds(&args.kind)?;
    let (kind, id) = session.find(&kinds, &args.name)?;
    if kind == Kind::Site || kind == Kind::Region {
        refuse_if_used(&session, kind, &id)?;
    }
    let change = Change::delete(standing, kind, &id)?;
    submit::run(&mut session, vec![change]).await
}

/// A site with hosts, or a region with sites or regions, is still in use (EIM).
fn refuse_if_used(
    session: &Session,
    kind: Kind,
    id: &daymark_protocol::id::ResourceId,
) -> Outcome<()> {
    let user = session.standing().lines.iter().find_map(|((other, other_id), line)| {
        let version = names::living(line)?;
        let uses = match &version.spec {
            Ok(Some(Spec::Host(_))) => kind == Kind::Site && version.site.as_ref() == Some(id),
            Ok(Some(Spec::Site(site))) => kind == Kind::Region && site.region.as_ref() == Some(id),
            Ok(Some(Spec::Region(region))) => {
                kind == Kind::Region && region.parent.as_ref() == Some(id)
            }
            _ => false,
        };
        uses.then(|| format!("{other} {}", names::version_name(version, other_id)))
    });
    match user {
        Some(user) => Err(Failure::refused(format!("{kind} {id} is still used by {user}"))
            .next("move or delete that first")),
        None => Ok(()),
    }
}

/// What `status` counts.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct FleetStatus {
    fleet: String,
    hosts: usize,
    reporting: usize,
    updating: usize,
    failed: usize,
    waiting_for_signatures: usize,
    unknown: usize,
    provisional: usize,
    halts: Vec<String>,
    emergencies: Vec<String>,
    freshness: String,
    falls_on: Vec<String>,
    as_of: String,
}

/// Runs `status`.
pub(crate) fn status(session: &Session) -> Outcome {
    let standing = session.standing();
    let hosts = names::hosts(standing);
    let summaries: Vec<_> = hosts.iter().filter_map(|(key, _, _)| session.host(key)).collect();
    let indicator = |wanted: &str| {
        summaries
            .iter()
            .filter(|host| host.update.as_ref().is_some_and(|update| update.indicator == wanted))
            .count()
    };
    let status = FleetStatus {
        fleet: session.name.clone(),
        hosts: hosts.len(),
        reporting: summaries.len(),
        updating: indicator("IN_PROGRESS"),
        failed: indicator("ERROR"),
        waiting_for_signatures: session.replica().judgement().pending().count(),
        unknown: standing.lines.values().filter(|line| line.state != State::Counts).count(),
        provisional: enroll::provisional(standing).len(),
        halts: standing.halts.iter().map(stop::halt_name).collect(),
        emergencies: emergency::in_force(standing),
        freshness: heartbeat::age(session),
        falls_on: rotation::falls_on(session),
        as_of: session.as_of(),
    };
    output::value(session.global.output, &status, || {
        let mut lines = vec![
            format!("Fleet {}", status.fleet),
            format!("  hosts       {} enrolled, {} have reported", status.hosts, status.reporting),
            format!("  updates     {} under way, {} failed", status.updating, status.failed),
            format!("  signatures  {} statements wait for more", status.waiting_for_signatures),
            format!("  unknown     {} ids (`daymarkctl get conflicts`)", status.unknown),
        ];
        if status.provisional > 0 {
            lines.push(format!(
                "  provisional {} hosts (`daymarkctl enroll --pending`)",
                status.provisional
            ));
        }
        lines.push(format!("  newest word {}", status.freshness));
        if !status.emergencies.is_empty() {
            lines.push(format!("  EMERGENCY   {}", status.emergencies.join("; ")));
        }
        if !status.halts.is_empty() {
            lines.push(format!("  HALTED      {}", status.halts.join(", ")));
        }
        lines.push(status.as_of.clone());
        output::joined(lines)
    })?;
    session.root()?;
    Ok(Exit::Done)
}
