//! `halt`, `resume`, `hold`, `unhold`, `retry`: what stops hosts, and what lets them go on.

use daymark_protocol::limits;
use daymark_protocol::resource::{
    HaltSpec, HoldSpec, Kind, ResumeSpec, RetrySpec, Role, Scope, Spec, Target,
};
use daymark_protocol::trust::HaltLine;

use crate::change::Change;
use crate::cli::{HaltArgs, HoldArgs, HostArgs, ResumeArgs, SelectArgs};
use crate::commands::submit;
use crate::exit::{Exit, Failure, Outcome};
use crate::session::Session;
use crate::{authority, names, output, spread, targets, times};

/// Runs `halt`: everyone, or the target of `--site` and `--label`, or one policy's hosts.
pub(crate) async fn halt(mut session: Session, args: HaltArgs) -> Outcome {
    let standing = session.standing();
    let now = times::now();
    let policy = args
        .policy
        .as_deref()
        .map(|policy| session.find(&[Kind::OsUpdatePolicy], policy))
        .transpose()?;
    let target =
        targets::from_flags(standing, &crate::cli::TargetArgs::default(), &session.global)?
            .unwrap_or_else(targets::everyone);
    let until = args.length.as_deref().map(times::length_ms).transpose()?.map(|ms| now.plus_ms(ms));
    let what = args.policy.as_deref().unwrap_or("halt");
    let spec = Spec::Halt(HaltSpec {
        name: format!("{what}-{}", now.as_ms()),
        policy: policy.map(|(_, id)| id),
    });
    let (fleet, scope) = (session.fleet()?, session.scope()?);
    let change = Change::put(standing, &fleet, scope.clone(), spec, Some(target.clone()), until)?;
    warn_flood(&session)?;
    let exit = submit::run(&mut session, vec![change]).await?;
    say_spread(&mut session, exit, &scope, &target).await?;
    Ok(exit)
}

/// Says who holds what was just signed; the rest goes on by itself.
async fn say_spread(
    session: &mut Session,
    exit: Exit,
    scope: &Scope,
    target: &Target,
) -> Outcome<()> {
    if exit != Exit::Pending && !session.global.dry_run {
        let line = spread::follow(session, scope, Some(target)).await?;
        output::text(&format!("{}{}.", line[..1].to_uppercase(), &line[1..]));
    }
    Ok(())
}

/// A key with more than 64 standing halts halts all that it may (RULES C4), which is more than
/// this command says.
fn warn_flood(session: &Session) -> Outcome<()> {
    let may = authority::all_who_may(session.root()?, Role::Halt, Some(&session.scope()?));
    let Some((name, key)) = session.own_keys(Role::Halt, &may)?.into_iter().next() else {
        return Ok(());
    };
    let halts = session.standing().halts.iter();
    let standing = halts.filter(|halt| halt.version.signers.contains(&key)).count();
    if standing + 1 >= limits::HALTS_PER_KEY_MAX {
        output::note(&format!(
            "warning: key {name} has {standing} halts standing; with one more it stops everyone, \
             until some are resumed"
        ));
    }
    Ok(())
}

/// The name of a halt.
pub(crate) fn halt_name(halt: &HaltLine) -> String {
    match &halt.version.spec {
        Ok(Some(Spec::Halt(spec))) => spec.name.clone(),
        _ => halt.version.statement.short(),
    }
}

/// Runs `resume`: lifts the named halts, or all.
pub(crate) async fn resume(mut session: Session, args: ResumeArgs) -> Outcome {
    let standing = session.standing();
    let scope = session.scope()?;
    let halts: Vec<&HaltLine> = standing
        .halts
        .iter()
        .filter(|halt| scope == Scope::Fleet || halt.version.scope == scope)
        .collect();
    let mut lifted = Vec::new();
    for name in &args.halts {
        let fits: Vec<&&HaltLine> = halts
            .iter()
            .filter(|halt| {
                halt_name(halt) == *name || halt.version.statement.to_string().starts_with(name)
            })
            .collect();
        match fits.as_slice() {
            [one] => lifted.push(one.version.statement),
            [] => {
                return Err(Failure::usage(format!("no halt {name:?} stands"))
                    .next("`daymarkctl get halts` lists them"));
            }
            _ => return Err(Failure::usage(format!("{name:?} fits several halts"))),
        }
    }
    if args.halts.is_empty() {
        lifted = halts.iter().map(|halt| halt.version.statement).collect();
    }
    if lifted.is_empty() {
        output::text("No halt stands; there is nothing to resume.");
        return Ok(Exit::Done);
    }
    lifted.sort();
    let now = times::now().as_ms();
    let fleet = session.fleet()?;
    let changes = lifted
        .chunks(limits::HALTS_PER_KEY_MAX)
        .enumerate()
        .map(|(part, halts)| {
            let name = format!("resume-{now}-{part}");
            let spec = Spec::Resume(ResumeSpec { name, halts: halts.to_vec() });
            let everyone = Some(targets::everyone());
            Change::put(standing, &fleet, scope.clone(), spec, everyone, None)
        })
        .collect::<Outcome<Vec<_>>>()?;
    let exit = submit::run(&mut session, changes).await?;
    say_spread(&mut session, exit, &scope, &targets::everyone()).await?;
    Ok(exit)
}

/// Runs `hold`: pins hosts to what they run.
pub(crate) async fn hold(mut session: Session, args: HoldArgs) -> Outcome {
    let standing = session.standing();
    let now = times::now();
    let hosts = targets::select(standing, &args.hosts, &session.global)?;
    let until =
        args.until.as_deref().map(|at| times::point(at, &times::local_zone(), now)).transpose()?;
    let name = match hosts.as_slice() {
        [one] => format!("hold-{}", names::host_name(standing, one)),
        _ => format!("hold-{}", now.as_ms()),
    };
    let (fleet, scope) = (session.fleet()?, session.scope()?);
    let target = Target { hosts, ..Target::default() };
    let spec = Spec::Hold(HoldSpec { name });
    let change = Change::put(standing, &fleet, scope, spec, Some(target), until)?;
    submit::run(&mut session, vec![change]).await
}

/// Runs `unhold`: takes hosts out of every hold that names them.
pub(crate) async fn unhold(mut session: Session, args: SelectArgs) -> Outcome {
    let standing = session.standing();
    let hosts = targets::select(standing, &args.hosts, &session.global)?;
    let fleet = session.fleet()?;
    let mut changes = Vec::new();
    for ((kind, id), line) in &standing.lines {
        let Some(version) = names::living(line).filter(|_| *kind == Kind::Hold) else { continue };
        let Some(target) = &version.target else { continue };
        if !target.hosts.iter().any(|host| hosts.contains(host)) {
            continue;
        }
        let rest: Vec<_> = target.hosts.iter().filter(|h| !hosts.contains(h)).copied().collect();
        match (&version.spec, rest.is_empty()) {
            (Ok(Some(spec)), false) => {
                let target = Some(Target { hosts: rest, ..target.clone() });
                let (scope, until) = (version.scope.clone(), version.until);
                changes.push(Change::put(standing, &fleet, scope, spec.clone(), target, until)?);
            }
            _ => changes.push(Change::delete(standing, *kind, id)?),
        }
    }
    if changes.is_empty() {
        output::text("No hold names these hosts.");
        return Ok(Exit::Done);
    }
    submit::run(&mut session, changes).await
}

/// Runs `retry`: lifts the quarantine of every image that failed on a host.
pub(crate) async fn retry(mut session: Session, args: HostArgs) -> Outcome {
    let standing = session.standing();
    let host = names::find_host(standing, &args.host)?;
    let (fleet, scope) = (session.fleet()?, session.scope()?);
    let quarantine = session.host(&host).map(|host| host.machine.quarantine).unwrap_or_default();
    if quarantine.is_empty() {
        output::text(&format!("No image is quarantined on {}.", args.host));
        return Ok(Exit::Done);
    }
    let target = Target { hosts: vec![host], ..Target::default() };
    let changes = quarantine
        .iter()
        .map(|image| {
            let spec = Spec::Retry(RetrySpec {
                name: format!(
                    "retry-{}-{}",
                    names::host_name(standing, &host),
                    image.profile.short()
                ),
                profile: image.profile,
                attempt: image.attempt,
            });
            Change::put(standing, &fleet, scope.clone(), spec, Some(target.clone()), None)
        })
        .collect::<Outcome<Vec<_>>>()?;
    submit::run(&mut session, changes).await
}
