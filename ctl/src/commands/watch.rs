//! `watch` and `wait`: follows the fleet through a node or, without one, the replica.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use daymark_protocol::decide::Reach;
use daymark_protocol::id::KeyId;
use daymark_protocol::resource::{Kind, Spec};
use daymark_protocol::target::UnknownProfile;
use daymark_protocol::trust::Version;

use crate::cli::{WaitArgs, WatchArgs};
use crate::commands::{get, sync};
use crate::exit::{Exit, Failure, Outcome};
use crate::session::Session;
use crate::{conflicts, names, output, times};

/// How often the node is asked.
const EVERY: Duration = Duration::from_secs(1);

/// The node at hand, which may itself restart while it is followed.
#[derive(Debug, Default)]
struct Followed {
    /// Whether it has answered before.
    answered: bool,
    /// Whether it was away at the last question.
    away: bool,
    /// Whether it has refused since it answered last.
    refused: bool,
}

impl Followed {
    /// Fetches what is new. A node that has answered once may be away for a time, which is said once.
    /// After a restart it knows nothing of this visit, and refuses what comes over it: a new one is
    /// tried once.
    async fn refresh(&mut self, session: &mut Session) -> Outcome<()> {
        match refresh(session).await {
            Ok(()) => {
                *self = Self { answered: true, ..Self::default() };
                Ok(())
            }
            Err(failure) if self.answered && self.may_come_back(failure.exit) => {
                if !self.away {
                    output::note(&format!("{:#}; it is asked again", failure.error));
                }
                self.away = true;
                session.disconnect();
                Ok(())
            }
            Err(failure) => Err(failure),
        }
    }

    fn may_come_back(&mut self, exit: Exit) -> bool {
        match exit {
            Exit::Unreachable => true,
            Exit::Refused => !std::mem::replace(&mut self.refused, true),
            Exit::Done | Exit::Failed | Exit::Usage | Exit::Pending | Exit::Conflict => false,
        }
    }
}

async fn refresh(session: &mut Session) -> Outcome<()> {
    if session.node().is_none() {
        return Err(Failure::new(Exit::Unreachable, "following the fleet needs a node")
            .next("name it with --node: a control socket, a host or an address"));
    }
    let client = session.client().await?;
    sync::node(session, &client).await.map(drop)
}

/// Runs `watch`.
pub(crate) async fn watch(mut session: Session, args: WatchArgs) -> Outcome {
    let end = args
        .length
        .as_deref()
        .map(times::length_ms)
        .transpose()?
        .map(|ms| Instant::now() + Duration::from_millis(ms.unsigned_abs()));
    let mut shown: BTreeMap<KeyId, String> = BTreeMap::new();
    let mut node = Followed::default();
    loop {
        node.refresh(&mut session).await?;
        let selected = session.selected()?;
        for (key, _, spec) in names::hosts(session.standing()) {
            if selected.as_ref().is_some_and(|selected| !selected.contains(&key)) {
                continue;
            }
            let line = line(&session, &key);
            if shown.get(&key) != Some(&line) {
                output::text(&format!("{}  {:<16} {line}", times::show(times::now()), spec.name));
                shown.insert(key, line);
            }
        }
        if output::is_closed() || end.is_some_and(|end| Instant::now() >= end) {
            return Ok(Exit::Done);
        }
        tokio::time::sleep(EVERY).await;
    }
}

fn line(session: &Session, key: &KeyId) -> String {
    let Some(host) = session.host(key) else { return "not seen yet".into() };
    let status = host.update.as_ref().map_or("-", |update| update.status.as_str());
    let decision = host.decision.as_ref().map_or("-", |decision| decision.message.as_str());
    format!("{}  {status}  {decision}", host.installed())
}

/// What is waited for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Goal {
    Held,
    Done,
}

/// Runs `wait`.
pub(crate) async fn wait(mut session: Session, args: WaitArgs) -> Outcome {
    let (kind, name) = args.what.split_once('/').ok_or_else(|| {
        Failure::usage(format!("{:?} is not KIND/NAME", args.what))
            .next("write it like policy/edge-3.0 or blackout/xmas")
    })?;
    let kinds = get::listed_kinds(kind)?;
    let goal = match args.state.as_str() {
        "held" => Goal::Held,
        "done" if kinds.contains(&Kind::OsUpdatePolicy) => Goal::Done,
        "done" => return Err(Failure::usage("only policies are ever done").next("use --for held")),
        other => {
            return Err(Failure::usage(format!("cannot wait for {other:?}"))
                .next("use --for held or --for done"));
        }
    };
    let end =
        Instant::now() + Duration::from_millis(times::length_ms(&args.timeout)?.unsigned_abs());
    let mut node = Followed::default();
    loop {
        node.refresh(&mut session).await?;
        let (kind, id) = session.find(&kinds, name)?;
        conflicts::refuse(session.standing(), kind, &id)?;
        let line = session.standing().lines.get(&(kind, id));
        let version = line
            .and_then(names::living)
            .ok_or_else(|| Failure::usage(format!("there is no {kind} {name:?}")))?;
        let (there, missing) = progress(&session, version, goal);
        if there == 0 && missing.is_empty() {
            return Err(Failure::usage(format!("{} reaches no host that is enrolled", args.what))
                .next("`daymarkctl describe` shows whom it is for"));
        }
        if missing.is_empty() {
            output::text(&format!("{} is {} on {there} of {there} hosts.", args.what, args.state));
            return Ok(Exit::Done);
        }
        if Instant::now() >= end {
            return Err(Failure::new(
                Exit::Failed,
                format!(
                    "{} is not {} yet: {there} hosts are, these are not: {}",
                    args.what,
                    args.state,
                    missing.join(", ")
                ),
            )
            .next("`daymarkctl explain HOST` says why"));
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// How many of the hosts that a resource reaches are there, and the names of the others.
fn progress(session: &Session, version: &Version, goal: Goal) -> (usize, Vec<String>) {
    let standing = session.standing();
    let mut there = 0;
    let mut missing = Vec::new();
    for (key, _, spec) in names::hosts(standing) {
        if !version.reaches(Reach::new(standing, key).place(), UnknownProfile::Matches) {
            continue;
        }
        let reached = session.holds(&key, version)
            && match goal {
                Goal::Held => true,
                Goal::Done => session.host(&key).is_some_and(|host| runs_target(&host, version)),
            };
        if reached {
            there += 1;
        } else {
            missing.push(spec.name.clone());
        }
    }
    (there, missing)
}

/// Whether a host runs what a policy asks for: TARGET's version, or LATEST with nothing newer.
fn runs_target(host: &crate::hosts::HostSummary, version: &Version) -> bool {
    use daymark_protocol::decide::Verdict;
    let Ok(Some(Spec::OsUpdatePolicy(policy))) = &version.spec else { return false };
    match &policy.target_os {
        Some(os) => host.machine.installed.as_ref().is_some_and(|installed| {
            installed.profile.as_deref() == Some(&os.profile)
                && installed.version.as_deref() == Some(&os.version)
        }),
        None => host.decision.as_ref().is_some_and(|d| d.verdict == Verdict::Nothing),
    }
}
