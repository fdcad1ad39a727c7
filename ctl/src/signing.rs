//! From changes to signed statements. Knows the role keys; submits nothing.

use std::collections::BTreeSet;

use daymark_protocol::control::{Bytes, Item};
use daymark_protocol::document::retention::RoomOf;
use daymark_protocol::document::{
    DocumentId, Entry, Replica, documents_of, signature_entry, statement_entry,
};
use daymark_protocol::id::{Digest, FleetId, KeyId};
use daymark_protocol::resource::Kind;
use daymark_protocol::trust::{Context, Draft, MaySpeak, ResourceDraft, Signature, Statement};

use crate::change::{self, Change, StatementPlan};
use crate::exit::{Failure, Outcome};
use crate::session::Session;
use crate::{authority, names, times};

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
    let mut signer = Signer::new(session);
    let mut signed = Signed { items: Vec::new(), statements: Vec::new() };
    for plan in change::plan(session.standing(), changes)? {
        let statement = draft(session, fleet, &plan)?;
        signed.items.extend(signer.sign(&statement)?);
        signed.statements.push(statement.digest());
    }
    Ok(signed)
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
        if let Some(replaced) = &change.replaces {
            resource = resource.replaces(replaced.clone());
        }
        draft = draft.resource(resource);
    }
    Ok(draft.finish()?)
}

/// This machine's keys at work: each signature finds the room that those before it left.
#[derive(Debug)]
pub(crate) struct Signer<'a> {
    session: &'a Session,
    /// The replica with what was signed here, which is not stored yet.
    ahead: Option<Replica>,
}

impl<'a> Signer<'a> {
    /// A signer for the session's fleet.
    pub(crate) fn new(session: &'a Session) -> Self {
        Self { session, ahead: None }
    }

    /// The entries of a statement with the signatures of this machine's keys, as many as are
    /// needed. The keys of a role and those of a delegation count apart (RULES R7): what is signed
    /// for is whichever is closest to being enough.
    pub(crate) fn sign(&mut self, statement: &Statement) -> Outcome<Vec<Item>> {
        let session = self.session;
        let held: BTreeSet<KeyId> = session
            .replica()
            .statement(&statement.digest())
            .map(|held| held.signatures.keys().copied().collect())
            .unwrap_or_default();
        let voices = authority::speakers(session.root()?, statement, &held)?;
        let may = voices.iter().flat_map(|voice| &voice.speakers.keys).copied().collect();
        let role = statement.role()?;
        let mut mine = session.own_keys(role, &may)?;
        mine.retain(|(_, id)| !held.contains(id));
        let helps = |voice: &&MaySpeak| mine.iter().any(|(_, id)| voice.speakers.keys.contains(id));
        let Some(voice) = voices.iter().find(helps) else {
            let lacks = authority::statement_lacks(session.root()?, statement, &held);
            return Err(Failure::refused(format!(
                "this machine's keys have signed statement {} already: it {lacks}",
                statement.digest().short()
            )));
        };
        mine.retain(|(_, id)| voice.speakers.keys.contains(id));
        let needed = voice.speakers.threshold as usize;
        let have = voice.speakers.count(&held).have.len();
        // Keys that are named are all used; otherwise as many as are still needed.
        let count = if session.global.keys.is_empty() {
            needed.saturating_sub(have).clamp(1, mine.len())
        } else {
            mine.len()
        };
        let finishes = have + count >= needed;
        let mine = &mine[..count];
        self.check_room(statement, mine, finishes)?;
        let mut entries = vec![statement_entry(statement.bytes())];
        for (name, id) in mine {
            let signature = self.signature(name, statement.bytes())?;
            entries.push(signature_entry(&statement.digest(), id, &signature));
        }
        let ahead = self.ahead.get_or_insert_with(|| session.replica().clone());
        ahead.accept_entries(&entries.iter().map(Vec::as_slice).collect::<Vec<_>>());
        items(statement, entries)
    }

    fn signature(&self, name: &str, message: &[u8]) -> Outcome<Signature> {
        let key = self.session.open_key(name)?;
        key.sign(Context::Statement, message)
    }

    /// Refuses to sign where that would crowd out what a key signed before (RULES Q12).
    fn check_room(
        &self,
        statement: &Statement,
        keys: &[(String, KeyId)],
        finishes: bool,
    ) -> Outcome<()> {
        let replica = self.ahead.as_ref().unwrap_or_else(|| self.session.replica());
        keys.iter()
            .try_for_each(|(name, id)| room(self.session, replica, statement, name, id, finishes))
    }
}

/// The entries as items, one for each document that they belong to.
pub(crate) fn items(statement: &Statement, entries: Vec<Vec<u8>>) -> Outcome<Vec<Item>> {
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

fn room(
    session: &Session,
    replica: &Replica,
    statement: &Statement,
    name: &str,
    id: &KeyId,
    finishes: bool,
) -> Outcome<()> {
    let Some((document, room)) = replica.full_room(statement, id, finishes) else { return Ok(()) };
    let (what, step) = match room.of {
        RoomOf::Drafts => (
            "statements that wait for signatures".to_owned(),
            "let others sign what waits (`daymarkctl get approvals`), or sign with another key",
        ),
        RoomOf::Ids(kind) => (
            format!("resources of the kind {kind}"),
            "delete those that are over, or sign with another key of the role (--key)",
        ),
        RoomOf::Tombstones(kind) => (
            format!("deleted resources of the kind {kind}"),
            "sign with another key of the role (--key)",
        ),
        RoomOf::Resumes => ("resumes".to_owned(), "sign with another key of the role (--key)"),
    };
    let document = match document {
        DocumentId::Fleet | DocumentId::Host(_) => "the fleet's document".to_owned(),
        DocumentId::Site(site) => {
            let site = names::name_of(session.standing(), Kind::Site, &site);
            format!("the document of site {site}")
        }
    };
    Err(Failure::refused(format!(
        "key {name} has {} {what} in {document}, and there is no room for one more",
        room.limit
    ))
    .next(step))
}
