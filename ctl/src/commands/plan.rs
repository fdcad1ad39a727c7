//! `plan`: who would update when, and why not; with files, what they would change of it. It reads
//! the replica as it is, and signs, keeps and sends nothing.

use std::collections::BTreeSet;

use daymark_protocol::id::KeyId;
use daymark_protocol::trust::Standing;
use serde::Serialize;

use crate::cli::{Format, PlanArgs};
use crate::commands::{apply, signed};
use crate::exit::{Exit, Outcome};
use crate::plan::{self, ASSUMED, Difference, PlannedHost, Stretch, Summary, show};
use crate::session::Session;
use crate::{files, names, output, preview, times};

/// A plan, for programs.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Plan<'a> {
    #[serde(flatten)]
    stretch: Stretch,
    assumed: &'static str,
    as_of: String,
    summary: Summary,
    hosts: &'a [PlannedHost],
}

/// What files would change of it, for programs.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Changes<'a> {
    #[serde(flatten)]
    stretch: Stretch,
    assumed: &'static str,
    as_of: String,
    now: Summary,
    then: Summary,
    unchanged: usize,
    differences: &'a [Difference],
}

/// What is said of files.
const AS_IF_SIGNED: &str = "The files are taken as if all signatures were there at this moment; \
     nothing is signed or kept.";

/// Runs `plan`.
pub(crate) fn run(session: &Session, args: &PlanArgs) -> Outcome {
    session.root()?;
    let from = times::now();
    let stretch = Stretch { from, to: from.plus_ms(i64::from(args.days) * 86_400_000) };
    let hosts = chosen(session, args)?;
    let now = plan::plan(session, session.standing(), &hosts, stretch);
    if args.files.is_empty() {
        return as_it_is(session, &now, stretch);
    }
    let after = with_files(session, args)?;
    let then = plan::plan(session, &after, &hosts, stretch);
    compared(session, now, then, stretch)
}

/// The hosts to look at, by name.
fn chosen(session: &Session, args: &PlanArgs) -> Outcome<Vec<KeyId>> {
    let standing = session.standing();
    let named = args.target.hosts.iter().map(|host| names::find_host(standing, host));
    let named: BTreeSet<KeyId> = named.collect::<Outcome<_>>()?;
    let selected = session.selected()?;
    let hosts = names::hosts(standing).into_iter().map(|(host, _, _)| host);
    let hosts = hosts.filter(|host| named.is_empty() || named.contains(host));
    let is_selected = |host: &KeyId| selected.as_ref().is_none_or(|chosen| chosen.contains(host));
    Ok(hosts.filter(is_selected).collect())
}

/// What would count if the files were signed.
fn with_files(session: &Session, args: &PlanArgs) -> Outcome<Standing> {
    let (signed, written) = signed::split(&args.files)?;
    let mut standing = signed::standing(session, &signed)?;
    if !written.is_empty() {
        let resources = files::read(&written)?;
        for change in apply::changes(session, &standing, &resources, &args.target, None)? {
            preview::insert(&mut standing, &change);
        }
    }
    Ok(standing)
}

fn as_it_is(session: &Session, hosts: &[PlannedHost], stretch: Stretch) -> Outcome {
    let format = session.global.output;
    let summary = Summary::of(hosts);
    match format {
        Format::Table | Format::Wide => {
            output::lines(show::summary(&summary, stretch));
            output::text("");
            let below = output::joined(show::assumed(hosts, &session.as_of()));
            output::rows(format, &show::rows(hosts), &below)?;
        }
        Format::Csv | Format::Name => output::rows(format, &show::rows(hosts), "")?,
        Format::Json | Format::Yaml => {
            let as_of = session.as_of();
            let plan = Plan { stretch, assumed: ASSUMED, as_of, summary, hosts };
            output::value(format, &plan, String::new)?;
        }
    }
    Ok(Exit::Done)
}

fn compared(
    session: &Session,
    now: Vec<PlannedHost>,
    then: Vec<PlannedHost>,
    stretch: Stretch,
) -> Outcome {
    let (before, after) = (Summary::of(&now), Summary::of(&then));
    let below = show::assumed(&then, &session.as_of());
    let differences = Difference::between(now, then);
    let unchanged = after.hosts - differences.len();
    let changes = Changes {
        stretch,
        assumed: ASSUMED,
        as_of: session.as_of(),
        now: before,
        then: after,
        unchanged,
        differences: &differences,
    };
    output::value(session.global.output, &changes, || {
        let mut lines = vec![AS_IF_SIGNED.to_owned()];
        lines.extend(show::summary(&changes.then, stretch));
        lines.push(String::new());
        lines.extend(show::differences(&differences, unchanged));
        lines.extend([String::new()].into_iter().chain(below));
        output::joined(lines)
    })?;
    Ok(Exit::Done)
}
