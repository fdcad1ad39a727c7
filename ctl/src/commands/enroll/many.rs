//! `enroll DIR [--csv FILE]`: all machines whose requests lie in a folder, in one preview. Either all
//! of them fit, or what does not is listed and nothing is signed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use daymark_protocol::trust::Standing;
use serde::Deserialize;

use super::request::{self, Request};
use super::{Member, baseline, change_of, site_of_flags};
use crate::change::Change;
use crate::commands::submit;
use crate::exit::{Exit, Failure, Outcome};
use crate::session::Session;
use crate::{names, output, preview};

/// Largest list of machines that is read.
const CSV_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// A line of `machines.csv`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    #[serde(default)]
    serial: String,
    #[serde(default)]
    uuid: String,
    name: String,
    #[serde(default)]
    site: String,
    /// `line=3;cell=b`.
    #[serde(default)]
    labels: String,
    #[serde(default)]
    baseline: String,
}

/// Runs `enroll DIR`.
pub(super) async fn run(mut session: Session, folder: &Path, csv: Option<&Path>) -> Outcome {
    let (mut requests, mut wrong) = request::read_folder(folder)?;
    let standing = session.standing();
    let before = requests.len();
    requests.retain(|request| names::host_spec(standing, &request.host).is_none());
    let known = before - requests.len();
    if known > 0 {
        output::note(&format!("{known} of the machines are enrolled already"));
    }
    if requests.is_empty() && wrong.is_empty() {
        output::text("Nothing changes.");
        return Ok(Exit::Done);
    }
    let rows = csv.map(read_rows).transpose()?;
    let found = requests.len() + wrong.len();
    let mut changes: Vec<Change> = Vec::new();
    let mut after = standing.clone();
    for request in &requests {
        match one(&session, &after, request, rows.as_deref()) {
            Ok(change) => {
                preview::insert(&mut after, &change);
                changes.push(change);
            }
            Err(failure) => {
                wrong.push(format!("{}: {:#}", request.path.display(), failure.error));
            }
        }
    }
    unused(standing, rows.as_deref().unwrap_or_default(), &requests)
        .iter()
        .for_each(|line| output::note(line));
    if !wrong.is_empty() {
        wrong.iter().for_each(|line| output::note(line));
        return Err(Failure::usage(format!(
            "{} of {found} requests do not fit; nothing was signed",
            wrong.len()
        ))
        .next("mend the list, or take their requests out of the folder"));
    }
    submit::run(&mut session, changes).await
}

fn read_rows(path: &Path) -> Outcome<Vec<Row>> {
    let bad = |why: String| {
        Failure::usage(format!("{}: {why}", path.display())).next(
            "its first line names the columns: serial or uuid, name, site, labels (line=3;cell=b), \
             baseline",
        )
    };
    let size = std::fs::metadata(path).map_err(|error| bad(error.to_string()))?.len();
    if size > CSV_BYTES_MAX {
        return Err(bad("it is too large".into()));
    }
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_path(path)?;
    let rows: Vec<Row> =
        reader.deserialize().collect::<Result<_, _>>().map_err(|error| bad(error.to_string()))?;
    let mut machines = BTreeMap::new();
    for row in &rows {
        if row.serial.is_empty() && row.uuid.is_empty() {
            return Err(bad(format!("{} has neither serial nor uuid", row.name)));
        }
        let machine = (row.serial.to_lowercase(), row.uuid.to_lowercase());
        if let Some(other) = machines.insert(machine, &row.name) {
            return Err(bad(format!("{other} and {} are the same machine", row.name)));
        }
    }
    let names: BTreeSet<&String> = rows.iter().map(|row| &row.name).collect();
    if names.len() < rows.len() {
        return Err(bad("a name stands in it twice".into()));
    }
    Ok(rows)
}

impl Row {
    fn is_of(&self, request: &Request) -> bool {
        let same = |ours: &str, theirs: &str| !ours.is_empty() && ours.eq_ignore_ascii_case(theirs);
        let differs = |ours: &str, theirs: &str| {
            !ours.is_empty() && !theirs.is_empty() && !ours.eq_ignore_ascii_case(theirs)
        };
        let said = &request.said;
        (same(&self.serial, &said.serial) || same(&self.uuid, &said.uuid))
            && !differs(&self.serial, &said.serial)
            && !differs(&self.uuid, &said.uuid)
    }
}

fn one(
    session: &Session,
    standing: &Standing,
    request: &Request,
    rows: Option<&[Row]>,
) -> Outcome<Change> {
    let site = site_of_flags(session)?;
    let labels = session.global.labels.clone();
    let Some(rows) = rows else {
        return change_of(standing, request, Member { site, labels, ..Member::default() });
    };
    let said = &request.said;
    let mut fits = rows.iter().filter(|row| row.is_of(request));
    let row = fits.next().ok_or_else(|| {
        Failure::usage(format!(
            "no line has its serial number {:?} or UUID {:?} (it calls itself {})",
            said.serial, said.uuid, said.name
        ))
    })?;
    if let Some(other) = fits.next() {
        return Err(Failure::usage(format!(
            "the lines of {} and {} both fit",
            row.name, other.name
        )));
    }
    let of_row = row.labels.split(';').map(str::trim).filter(|label| !label.is_empty());
    let member = Member {
        name: Some(row.name.clone()),
        site: match row.site.as_str() {
            "" => site,
            named => Some(names::find_site(standing, named)?),
        },
        labels: labels.into_iter().chain(of_row.map(ToOwned::to_owned)).collect(),
        baseline: match row.baseline.as_str() {
            "" => None,
            named => Some(baseline(named)?),
        },
    };
    change_of(standing, request, member)
}

/// Lines that no request fits: machines that are yet to be set up.
fn unused(standing: &Standing, rows: &[Row], requests: &[Request]) -> Vec<String> {
    let enrolled: BTreeSet<&String> =
        names::hosts(standing).into_iter().map(|(_, _, spec)| &spec.name).collect();
    rows.iter()
        .filter(|row| !requests.iter().any(|request| row.is_of(request)))
        .filter(|row| !enrolled.contains(&row.name))
        .map(|row| format!("{} has no request yet", row.name))
        .collect()
}
