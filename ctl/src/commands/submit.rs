//! From changes to what the fleet holds: preview, let sign, keep, hand to a node.

use daymark_protocol::control::{Item, SubmitOutcome};
use daymark_protocol::document::Outcome as Taken;
use daymark_protocol::id::Digest;
use daymark_protocol::trust::Stance;

use crate::change::{self, Change};
use crate::commands::sync;
use crate::exit::{Exit, Failure, Outcome};
use crate::session::Session;
use crate::{authority, occurrences, output, preview, signing};

/// Signs changes and submits them, after the same preview that a co-signer sees.
pub(crate) async fn run(session: &mut Session, changes: Vec<Change>) -> Outcome {
    run_if(session, changes, confirm).await
}

/// Asks whether to sign.
pub(crate) fn confirm(session: &Session) -> Outcome<()> {
    if session.global.yes || output::confirm("Sign this?") {
        return Ok(());
    }
    Err(Failure::refused("nothing was signed").next("say --yes to sign without asking"))
}

/// As [`run`], with a question of its own before anything is signed.
pub(crate) async fn run_if(
    session: &mut Session,
    changes: Vec<Change>,
    ask: impl FnOnce(&Session) -> Outcome<()>,
) -> Outcome {
    output::lines(preview::changes(session.standing(), &changes));
    let plans = change::plan(session.standing(), changes.clone())?;
    if plans.is_empty() {
        output::text("Nothing changes.");
        return Ok(Exit::Done);
    }
    output::lines(occurrences::lines(session.standing(), &changes)?);
    output::lines(preview::hosts(session, &changes)?);
    if plans.len() > 1 {
        output::text(&format!("It becomes {} statements, closings first.", plans.len()));
    }
    if session.global.dry_run {
        output::text("Nothing was signed (--dry-run).");
        return Ok(Exit::Done);
    }
    ask(session)?;
    let signed = signing::sign(session, changes)?;
    submit(session, &signed.items, &signed.statements).await
}

/// Keeps items in the replica, hands them to the node at hand, and says how the statements stand.
pub(crate) async fn submit(
    session: &mut Session,
    items: &[Item],
    statements: &[Digest],
) -> Outcome {
    let outcomes = session.take(items)?;
    if let Some(reason) = outcomes.iter().find_map(refusal) {
        return Err(Failure::refused(format!("the replica refused it: {reason}")));
    }
    let exit = say_stances(session, statements);
    let delivered = deliver(session, items).await?;
    // That signatures are missing, or can never count, says more than that a node is away.
    Ok(if exit == Exit::Done { delivered } else { exit })
}

/// Hands items to the node at hand, if one is named. That it is not there is said and is its exit
/// code, and is no failure: the replica has them.
pub(crate) async fn deliver(session: &Session, items: &[Item]) -> Outcome {
    if session.node().is_none() {
        output::text("Kept in the replica. `daymarkctl sync NODE|FOLDER` takes it to the fleet.");
        return Ok(Exit::Done);
    }
    let handed_in = match session.client().await {
        Ok(client) => sync::hand_in(&client, items).await,
        Err(failure) => Err(failure),
    };
    match handed_in {
        Ok(answers) => {
            let refused = answers.iter().find_map(|answer| match answer {
                SubmitOutcome::Refused(reason) => Some(reason.clone()),
                SubmitOutcome::New
                | SubmitOutcome::Known
                | SubmitOutcome::Held(_)
                | SubmitOutcome::NotKept(_) => None,
            });
            match refused {
                Some(reason) => Err(Failure::refused(format!("the node refused it: {reason}"))),
                None => {
                    output::text(handed(&answers));
                    Ok(Exit::Done)
                }
            }
        }
        Err(failure) => {
            let exit = failure.exit;
            let what = if exit == Exit::Refused { "refused" } else { "could not be reached" };
            output::note(&format!("The node {what}: {:#}", failure.error));
            output::text("Kept in the replica; `daymarkctl sync` hands it over later.");
            Ok(exit)
        }
    }
}

/// Nodes keep the fleet's documents and their own site's.
fn handed(answers: &[SubmitOutcome]) -> &'static str {
    let unkept = |answer: &SubmitOutcome| matches!(answer, SubmitOutcome::NotKept(_));
    if answers.iter().any(unkept) {
        "The node does not keep all of it, being of another site. Kept in the replica; \
         `daymarkctl sync` with a node of that site, or a stick, takes it there."
    } else {
        "Handed to the node."
    }
}

/// Why an item was not taken, if so.
pub(crate) fn refusal(outcome: &Taken) -> Option<&str> {
    match outcome {
        Taken::Refused(why) | Taken::NotKept(why) => Some(why),
        Taken::New | Taken::Known | Taken::Held(_) => None,
    }
}

/// Says what each statement still needs; [`Exit::Pending`] if any does.
fn say_stances(session: &Session, statements: &[Digest]) -> Exit {
    let mut exit = Exit::Done;
    for digest in statements {
        match session.replica().judgement().stances.get(digest) {
            Some(Stance::Counts(_)) => {
                output::text(&format!("Signed: statement {}.", digest.short()))
            }
            Some(Stance::Pending(_)) => {
                exit = Exit::Pending;
                let (root, held) = (session.root().ok(), session.replica().statement(digest));
                let lacks = root.zip(held).map_or_else(String::new, |(root, held)| {
                    let signers = held.signatures.keys().copied().collect();
                    authority::statement_lacks(root, &held.statement, &signers)
                });
                output::text(&format!("Statement {} {lacks}.", digest.short()));
            }
            Some(Stance::Never(why)) => {
                exit = Exit::Refused;
                output::text(&format!("Statement {} can never count: {why}", digest.short()));
            }
            None => {
                exit = Exit::Pending;
                output::text(&format!("Statement {} cannot be judged yet.", digest.short()));
            }
        }
    }
    exit
}
