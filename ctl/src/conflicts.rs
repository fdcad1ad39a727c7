//! Ids that are unknown because what is held of them contradicts itself (RULES C2): found before a
//! signature makes one, and said wherever one shows up.

use std::collections::BTreeSet;

use daymark_protocol::id::ResourceId;
use daymark_protocol::resource::Kind;
use daymark_protocol::trust::{Line, Standing, State, Statement};

use crate::exit::{Exit, Failure, Outcome};
use crate::names;

/// Ids of one kind each.
pub(crate) type Ids = BTreeSet<(Kind, ResourceId)>;

/// What is unknown.
pub(crate) fn unknown(standing: &Standing) -> Ids {
    let lines = standing.lines.iter().filter(|(_, line)| line.state != State::Counts);
    lines.map(|(key, _)| key.clone()).collect()
}

/// Fails with the code for conflicts if an id is unknown that was not among `before`.
pub(crate) fn refuse_new(standing: &Standing, before: &Ids) -> Outcome<()> {
    let now = unknown(standing);
    let mut new = now.difference(before);
    match new.next() {
        None => Ok(()),
        Some((kind, id)) => Err(failure(standing, *kind, id, new.count())),
    }
}

/// Fails with the code for conflicts if this id is unknown.
pub(crate) fn refuse(standing: &Standing, kind: Kind, id: &ResourceId) -> Outcome<()> {
    match standing.lines.get(&(kind, id.clone())) {
        Some(Line { state: State::Unknown(_), .. }) => Err(failure(standing, kind, id, 0)),
        Some(Line { state: State::Counts, .. }) | None => Ok(()),
    }
}

fn failure(standing: &Standing, kind: Kind, id: &ResourceId, others: usize) -> Failure {
    let why = match standing.lines.get(&(kind, id.clone())).map(|line| &line.state) {
        Some(State::Unknown(why)) => why.as_str(),
        Some(State::Counts) | None => "it is not held",
    };
    let others = match others {
        0 => String::new(),
        count => format!(" (and {count} more)"),
    };
    let name = names::name_of(standing, kind, id);
    Failure::new(Exit::Conflict, format!("{kind} {name} is unknown{others}: {why}"))
        .next("`daymarkctl get conflicts` lists them; apply what is right once more to settle it")
}

/// Refuses to sign a statement that would contradict one that counts: the id would be unknown to
/// every host (RULES C2).
pub(crate) fn refuse_contradiction(standing: &Standing, statement: &Statement) -> Outcome<()> {
    for resource in &statement.payload().resources {
        let Some(kind) = resource.known_kind() else { continue };
        let line = standing.lines.get(&(kind, resource.id.clone()));
        let rival = line
            .into_iter()
            .flat_map(|line| &line.versions)
            .find(|held| held.version == resource.version && held.digest != resource.digest());
        if let Some(rival) = rival {
            return Err(Failure::new(
                Exit::Conflict,
                format!(
                    "statement {} says version {} of {kind} {} otherwise than statement {}, which \
                     counts: signed too, no host would know which is right",
                    statement.digest().short(),
                    resource.version,
                    names::name_of(standing, kind, &resource.id),
                    rival.statement.short()
                ),
            )
            .next("sign nothing; its author syncs and applies it once more, as the next version"));
        }
    }
    Ok(())
}
