//! From changes to what the fleet holds: preview, sign, keep, hand to a node.

use std::collections::BTreeMap;

use daymark_protocol::control::{Bytes, Item, SubmitOutcome};
use daymark_protocol::document::{
    Entry, Outcome as Taken, documents_of, signature_entry, statement_entry,
};
use daymark_protocol::id::{Digest, FleetId, KeyId};
use daymark_protocol::resource::Role;
use daymark_protocol::trust::{
    Context, Draft, ResourceDraft, Root, Signature, SigningKey, Stance, Statement,
};

use crate::change::{self, Change, StatementPlan};
use crate::commands::sync;
use crate::exit::{Exit, Failure, Outcome};
use crate::session::Session;
use crate::{occurrences, output, passphrase, preview, times};

/// Signs changes and submits them, after the same preview that a co-signer sees.
pub(crate) async fn run(session: &mut Session, changes: Vec<Change>) -> Outcome {
    for line in preview::changes(session.standing(), &changes) {
        output::text(&line);
    }
    let plans = change::plan(session.standing(), changes.clone())?;
    if plans.is_empty() {
        output::text("Nothing changes.");
        return Ok(Exit::Done);
    }
    for line in occurrences::lines(session.standing(), &changes)? {
        output::text(&line);
    }
    for line in preview::hosts(session, &changes)? {
        output::text(&line);
    }
    if plans.len() > 1 {
        output::text(&format!("It becomes {} statements, closings first.", plans.len()));
    }
    if session.global.dry_run {
        output::text("Nothing was signed (--dry-run).");
        return Ok(Exit::Done);
    }
    if !session.global.yes && !output::confirm("Sign this?") {
        return Err(Failure::refused("nothing was signed").next("say --yes to sign without asking"));
    }
    let signed = sign(session, changes)?;
    submit(session, &signed.items, &signed.statements).await
}

/// Signed statements.
#[derive(Debug)]
pub(crate) struct Signed {
    /// Their entries.
    pub items: Vec<Item>,
    /// Their digests.
    pub statements: Vec<Digest>,
}

/// Writes the statements of changes and signs them with this machine's keys.
pub(crate) fn sign(session: &Session, changes: Vec<Change>) -> Outcome<Signed> {
    let fleet = session.fleet()?;
    let mut keys = Keys::default();
    let mut signed = Signed { items: Vec::new(), statements: Vec::new() };
    for plan in change::plan(session.standing(), changes)? {
        let statement = draft(session, fleet, &plan)?;
        signed.items.extend(sign_statement(session, &statement, plan.role, &mut keys)?);
        signed.statements.push(statement.digest());
    }
    Ok(signed)
}

/// The names of the people who hold keys of a root.
pub(crate) fn holders<'a>(root: &Root, keys: impl IntoIterator<Item = &'a KeyId>) -> Vec<String> {
    let name = |id: &KeyId| root.keys.get(id).map_or_else(|| id.short(), |key| key.holder.clone());
    keys.into_iter().map(name).collect()
}

/// Opened keys, so that each passphrase is asked once.
#[derive(Debug, Default)]
pub(crate) struct Keys(BTreeMap<String, SigningKey>);

impl Keys {
    fn sign(&mut self, session: &Session, name: &str, message: &[u8]) -> Outcome<Signature> {
        if !self.0.contains_key(name) {
            let key = passphrase::open(&session.home.keys(), name)?;
            self.0.insert(name.to_owned(), key);
        }
        self.0
            .get(name)
            .map(|key| key.sign(Context::Statement, message))
            .ok_or_else(|| Failure::usage(format!("there is no key named {name:?}")))
    }
}

fn draft(session: &Session, fleet: FleetId, plan: &StatementPlan) -> Outcome<Statement> {
    let mut draft =
        Draft::new(fleet, plan.scope.clone(), session.issued.unwrap_or_else(times::now))
            .reason(&session.global.reason)
            .ticket(&session.global.ticket)
            .sees(plan.sees.iter().cloned());
    if let Some(until) = plan.until {
        draft = draft.until(until);
    }
    for change in &plan.changes {
        let id = change.id.clone();
        let mut resource = match &change.spec {
            Some(spec) => ResourceDraft::new(id, change.version, spec),
            None => ResourceDraft::tombstone(change.kind, id, change.version),
        };
        if let Some(target) = &change.target {
            resource = resource.target(target.clone());
        }
        resource = resource.site(change.site.clone()).moved_from(change.moved_from.clone());
        draft = draft.resource(resource);
    }
    Ok(draft.finish()?)
}

/// The entries of a statement with the signatures of this machine's keys, as many as are needed.
pub(crate) fn sign_statement(
    session: &Session,
    statement: &Statement,
    role: Role,
    keys: &mut Keys,
) -> Outcome<Vec<Item>> {
    let held = session
        .replica()
        .statement(&statement.digest())
        .map(|held| held.signatures.keys().copied().collect::<Vec<KeyId>>())
        .unwrap_or_default();
    let mine: Vec<_> =
        session.keys_for(role)?.into_iter().filter(|(_, id)| !held.contains(id)).collect();
    if mine.is_empty() {
        return Err(Failure::refused("this machine's keys have signed it already")
            .next("another holder of the role must sign"));
    }
    let needed = if role == Role::Halt {
        1
    } else {
        session.root()?.role(role).map_or(1, |keys| keys.threshold as usize)
    };
    // Keys that are named are all used; otherwise as many as are still needed.
    let count = if session.global.keys.is_empty() {
        needed.saturating_sub(held.len()).max(1)
    } else {
        mine.len()
    };
    let mut entries = vec![statement_entry(statement.bytes())];
    for (name, id) in mine.into_iter().take(count) {
        let signature = keys.sign(session, &name, statement.bytes())?;
        entries.push(signature_entry(&statement.digest(), &id, &signature));
    }
    let documents = documents_of(statement);
    let mut items = Vec::new();
    for bytes in entries {
        let hash = Entry::decode(&bytes)?.hash();
        for document in &documents {
            items.push(Item::Entry {
                document: document.clone(),
                hash,
                bytes: Bytes(bytes.clone()),
            });
        }
    }
    Ok(items)
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
    if session.socket().is_none() {
        output::text("Kept in the replica. `daymarkctl sync NODE|FOLDER` takes it to the fleet.");
        return Ok(exit);
    }
    let client = session.client()?;
    match sync::hand_in(&client, items).await {
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
                    output::text("Handed to the node.");
                    Ok(exit)
                }
            }
        }
        Err(failure) => {
            let exit = failure.exit;
            output::note(&format!("The node could not be reached: {:#}", failure.error));
            output::text("Kept in the replica; `daymarkctl sync` hands it over later.");
            Ok(exit)
        }
    }
}

fn refusal(outcome: &Taken) -> Option<&str> {
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
            Some(Stance::Pending(pending)) => {
                exit = Exit::Pending;
                output::text(&format!(
                    "Statement {} has {} of {} signatures of the role {}. Next: another holder runs \
                     `daymarkctl sync` and `daymarkctl sign {}`.",
                    digest.short(),
                    pending.quorum.have.len(),
                    pending.quorum.need,
                    pending.role,
                    digest.short()
                ));
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
