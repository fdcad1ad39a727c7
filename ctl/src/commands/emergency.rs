//! Emergencies: windows beside all schedules, with a reason and an end within seven days (DESIGN
//! section 3, RULES S6). Whoever opens one sees who acts by it, and types how many.

use daymark_protocol::decide::{Decision, Verdict};
use daymark_protocol::limits;
use daymark_protocol::resource::{EmergencySpec, Kind, Scope, Spec, Target};
use daymark_protocol::time::WallTime;
use daymark_protocol::trust::Standing;

use crate::change::Change;
use crate::cli::{CreateEmergencyArgs, EmergencyArgs};
use crate::commands::submit;
use crate::exit::{Failure, Outcome};
use crate::session::Session;
use crate::{output, preview, targets, times};

/// Hosts named before the rest is only counted.
const NAMED_MAX: usize = 50;

/// Runs `create emergency`.
pub(crate) async fn create(mut session: Session, args: CreateEmergencyArgs) -> Outcome {
    let scoped = session.scope()? != Scope::Fleet;
    let target = targets::from_flags(session.standing(), &args.target, &session.global)?;
    let target = target.or_else(|| scoped.then(targets::everyone)).ok_or_else(no_target)?;
    let change = change(&session, args.name, target, &args.until, args.through_blackouts)?;
    let acts = acts(&session, std::slice::from_ref(&change));
    say(&acts);
    submit::run_if(&mut session, vec![change], |_| confirm(&acts, args.acts_now)).await
}

/// Runs `apply --emergency`: the changes of the files, and an emergency for those whom they are for.
pub(crate) async fn apply(
    session: &mut Session,
    mut changes: Vec<Change>,
    args: &EmergencyArgs,
    until: Option<&str>,
) -> Outcome {
    let until = until.ok_or_else(|| {
        Failure::usage("an emergency needs its end").next("add --until, within 7 days")
    })?;
    let policies = changes.iter().filter(|change| change.kind == Kind::OsUpdatePolicy);
    let mut policies = policies.map(|change| (change.name.clone(), change.target.clone()));
    let (name, target) = policies.next().ok_or_else(|| {
        Failure::usage("no policy stands in the files, so nothing would be installed")
            .next("`daymarkctl create emergency NAME` opens a window alone")
    })?;
    if policies.any(|(_, other)| other != target) {
        return Err(Failure::usage("the policies in the files are not for the same hosts")
            .next("apply them one by one, or `daymarkctl create emergency NAME` with a target"));
    }
    let target = target.ok_or_else(no_target)?;
    let emergency = change(session, name, target, until, args.through_blackouts)?;
    changes.push(emergency);
    let acts = acts(session, &changes);
    say(&acts);
    submit::run_if(session, changes, |_| confirm(&acts, args.acts_now)).await
}

fn no_target() -> Failure {
    Failure::usage("the emergency has no target, so it would reach nobody")
        .next("add --all, --site, --region, --host or --label")
}

fn change(
    session: &Session,
    name: String,
    target: Target,
    until: &str,
    passes_blackouts: bool,
) -> Outcome<Change> {
    let now = times::now();
    if session.global.reason.is_empty() {
        return Err(Failure::usage("an emergency needs its reason (RULES S6)")
            .next("add --reason TEXT: it stands in the statement, for whoever asks later"));
    }
    let until = times::point(until, &times::local_zone(), now)?;
    if until <= now {
        return Err(Failure::usage("the emergency would end in the past"));
    }
    if until.since_ms(now) > limits::EMERGENCY_MS_MAX {
        return Err(Failure::refused("an emergency lasts at most 7 days (RULES S6)")
            .next("say an earlier --until; another one can follow"));
    }
    let spec = Spec::Emergency(EmergencySpec { name, passes_blackouts });
    let (fleet, scope) = (session.fleet()?, session.scope()?);
    Change::put(session.standing(), &fleet, scope, spec, Some(target), Some(until))
}

/// Who acts by a change set that has an emergency in it.
struct Acts {
    /// The hosts that stage or activate at once, or when their turn within it comes.
    now: Vec<String>,
    /// Hosts of whom nobody knows what they run.
    unseen: Vec<String>,
}

fn acts(session: &Session, changes: &[Change]) -> Acts {
    let until = changes.iter().filter(|change| change.kind == Kind::Emergency);
    let until = until.filter_map(|change| change.until).max().unwrap_or(WallTime::EPOCH);
    let mut acts = Acts { now: Vec::new(), unseen: Vec::new() };
    for (name, decision) in preview::outlooks(session, changes) {
        match decision {
            None => acts.unseen.push(name),
            Some(decision) if starts_by(&decision, until) => acts.now.push(name),
            Some(_) => {}
        }
    }
    acts
}

fn starts_by(decision: &Decision, until: WallTime) -> bool {
    match decision.verdict {
        Verdict::Stage | Verdict::Activate => true,
        Verdict::Wait => decision.start_at.is_some_and(|at| at <= until),
        Verdict::Nothing => false,
    }
}

/// Says who acts now.
fn say(acts: &Acts) {
    let count = acts.now.len();
    output::text(&format!("{count} hosts act now, outside all windows:"));
    acts.now.iter().take(NAMED_MAX).for_each(|name| output::text(&format!("  {name}")));
    if count > NAMED_MAX {
        output::text(&format!("  and {} more", count - NAMED_MAX));
    }
    if !acts.unseen.is_empty() {
        let named: Vec<&str> = acts.unseen.iter().take(NAMED_MAX).map(String::as_str).collect();
        output::text(&format!(
            "{} more have reported nothing and may act too: {}",
            acts.unseen.len(),
            named.join(", ")
        ));
    }
}

/// Asks for the number of those who act now: a `y` is typed too easily.
fn confirm(acts: &Acts, typed: Option<usize>) -> Outcome<()> {
    let count = acts.now.len();
    let typed = typed.or_else(|| output::number("Type how many hosts act now to sign this: "));
    match typed {
        Some(typed) if typed == count => Ok(()),
        Some(typed) => {
            Err(Failure::refused(format!("{count} hosts act now, not {typed}; nothing was signed"))
                .next("read the list again"))
        }
        None => Err(Failure::refused("nothing was signed")
            .next(format!("without a terminal say --acts-now {count}"))),
    }
}

/// What stands in a standing of emergencies, for `status`.
pub(crate) fn in_force(standing: &Standing) -> Vec<String> {
    let now = times::now();
    let lines = standing.of_kind(Kind::Emergency).filter_map(|(_, line)| {
        let version = crate::names::living(line)?;
        let until = version.until.filter(|until| *until > now)?;
        match &version.spec {
            Ok(Some(Spec::Emergency(spec))) => {
                Some(format!("{} until {}: {}", spec.name, times::show(until), version.reason))
            }
            Ok(_) | Err(_) => None,
        }
    });
    lines.collect()
}
