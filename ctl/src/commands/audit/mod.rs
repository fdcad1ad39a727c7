//! `audit`: who signed what and when, what each machine held, decided, ran and booted, from the
//! evidence itself; and `verify`, which checks that evidence where no fleet is known.

mod history;
mod rows;
mod verify;

use std::fs;
use std::path::Path;

use anyhow::Context as _;
use daymark_node::folder::ReplicaFolder;

use crate::cli::AuditArgs;
use crate::commands::sync;
use crate::exit::{Exit, Outcome};
use crate::session::{ARCHIVE, Session};
use crate::{names, output, times};

use self::rows::{AuditRow, Evidence};
pub(crate) use self::verify::run as verify;

/// The audit's table in an exported folder.
const TABLE: &str = "audit.csv";
/// The fingerprint in an exported folder.
const FINGERPRINT: &str = "FINGERPRINT";

/// Runs `audit`.
pub(crate) fn run(session: &Session, args: &AuditArgs) -> Outcome {
    let now = times::now();
    let since = args.since.as_deref();
    let since = since.map(|at| times::past(at, &times::local_zone(), now)).transpose()?;
    let host = args.host.as_deref();
    let host = host.map(|host| names::find_ever(session.standing(), host)).transpose()?;
    let evidence = Evidence {
        replica: session.replica(),
        archive: session.folder.join(ARCHIVE),
        arrivals: Some(&session.folder),
    };
    let mut rows = rows::all(&evidence)?;
    rows.retain(|row| {
        host.as_ref().is_none_or(|host| row.host.as_ref() == Some(host))
            && since.is_none_or(|since| row.at.is_none_or(|at| at >= since))
    });
    match &args.export {
        Some(folder) => export(session, folder, &rows),
        None => {
            output::rows(session.global.output, &rows, &session.as_of())?;
            Ok(Exit::Done)
        }
    }
}

/// Writes the table, and all that it was made of, so that anybody can check it.
fn export(session: &Session, folder: &Path, rows: &[AuditRow]) -> Outcome {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let store = ReplicaFolder::open_or_begin(folder)?;
    let mut items = 0;
    for name in session.held() {
        if let Some(item) = session.item(name)? {
            store.write(&item)?;
            items += 1;
        }
    }
    let (from, to) = (session.folder.join(ARCHIVE), folder.join(ARCHIVE));
    for (name, bytes) in history::archived(&from)? {
        fs::create_dir_all(&to)?;
        fs::write(to.join(name), bytes)?;
    }
    let mut table = csv::Writer::from_path(folder.join(TABLE))?;
    table.write_record(rows::HEADS)?;
    for row in rows {
        table.write_record(row.record())?;
    }
    table.flush()?;
    let pin = session.context.pin;
    fs::write(folder.join(FINGERPRINT), format!("{pin}\n"))?;
    output::text(&format!(
        "Wrote {} rows and {items} pieces of evidence to {}.\nOn any machine: `daymarkctl verify {} \
         --fleet {pin}`; get the fingerprint from somebody you trust, not from the folder.",
        rows.len(),
        folder.display(),
        folder.display()
    ));
    Ok(Exit::Done)
}

/// Runs `audit` after fetching what is new.
pub(crate) async fn fresh(session: Session, args: AuditArgs) -> Outcome {
    run(&sync::fresh(session).await?, &args)
}
