//! Who may sign what, and what is still lacking, in the words that every command uses.

use std::collections::BTreeSet;

use daymark_protocol::id::KeyId;
use daymark_protocol::resource::{Role, Scope};
use daymark_protocol::trust::{MaySpeak, RoleKeys, Root, Statement, may_speak};

use crate::exit::Outcome;
use crate::times;

/// The names of the people who hold keys of a root.
pub(crate) fn holders<'a>(root: &Root, keys: impl IntoIterator<Item = &'a KeyId>) -> Vec<String> {
    let mut names: Vec<String> = keys.into_iter().map(|id| holder(root, id)).collect();
    names.sort();
    names
}

/// The name of the person who holds a key.
pub(crate) fn holder(root: &Root, id: &KeyId) -> String {
    root.keys.get(id).map_or_else(|| id.short(), |key| key.holder.clone())
}

/// `bob`, `bob or carol`, `bob, carol or dave`.
pub(crate) fn any_of(names: &[String]) -> String {
    match names {
        [] => "nobody".into(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} or {last}", most.join(", ")),
    }
}

/// What a set of keys still needs: `needs 2 of 3 policy keys, has 1: alice; ask bob or carol to run
/// …`. `what` names them: `policy keys`.
pub(crate) fn lacks(
    root: &Root,
    role: &RoleKeys,
    what: &str,
    signers: &BTreeSet<KeyId>,
    command: &str,
) -> String {
    lacks_of(root, role, what, signers, (command, &BTreeSet::new()))
}

/// As [`lacks`], without asking the holders of keys that end by what is to be signed.
pub(crate) fn lacks_of(
    root: &Root,
    role: &RoleKeys,
    what: &str,
    signers: &BTreeSet<KeyId>,
    (command, ending): (&str, &BTreeSet<KeyId>),
) -> String {
    let quorum = role.count(signers);
    let has = match quorum.have.len() {
        0 => "has none".to_owned(),
        count => format!("has {count}: {}", holders(root, &quorum.have).join(", ")),
    };
    let others = role.keys.difference(&quorum.have).filter(|id| !ending.contains(id));
    let others = holders(root, others);
    let missing = quorum.need as usize - quorum.have.len().min(quorum.need as usize);
    let step = match () {
        () if quorum.is_met() => String::new(),
        () if others.len() < missing => "; too few are left to sign it".to_owned(),
        () if missing == 1 => format!("; ask {} to run `{command}`", any_of(&others)),
        () => format!("; ask {missing} of {} to run `{command}`", others.join(", ")),
    };
    format!("needs {} of {} {what}, {has}{step}", quorum.need, role.keys.len())
}

/// Those who may speak for a statement, those closest to being enough first.
pub(crate) fn speakers(
    root: &Root,
    statement: &Statement,
    signers: &BTreeSet<KeyId>,
) -> Outcome<Vec<MaySpeak>> {
    let mut voices = may_speak(root, statement)?;
    let lacking = |voice: &MaySpeak| {
        let quorum = voice.speakers.count(signers);
        (quorum.have.is_empty(), quorum.need as usize - quorum.have.len().min(quorum.need as usize))
    };
    voices.sort_by_key(lacking);
    Ok(voices)
}

/// What a statement still needs, of those who are closest to being enough.
pub(crate) fn statement_lacks(
    root: &Root,
    statement: &Statement,
    signers: &BTreeSet<KeyId>,
) -> String {
    let command = format!("daymarkctl sign {}", statement.digest().short());
    match speakers(root, statement, signers) {
        Ok(voices) => match voices.first() {
            Some(voice) => lacks(root, &voice.speakers, &keys_of(voice), signers, &command),
            None => "nobody of the newest root may sign it".into(),
        },
        Err(failure) => format!("{:#}", failure.error),
    }
}

/// `policy keys`, or `policy keys of the delegation berlin`.
pub(crate) fn keys_of(voice: &MaySpeak) -> String {
    match &voice.delegation {
        None => format!("{} keys", voice.role),
        Some((name, until)) => {
            format!("{} keys of the delegation {name} (until {})", voice.role, times::show(*until))
        }
    }
}

/// Everyone of a root who may speak under a role: its own keys, those who may halt too, and the
/// delegations' for the scope if there is one.
pub(crate) fn all_who_may(root: &Root, role: Role, scope: Option<&Scope>) -> BTreeSet<KeyId> {
    let fits = |other: Role| other == role || (role == Role::Halt && other == Role::Policy);
    let own = root.roles.iter().filter(|(other, _)| fits(**other)).map(|(_, keys)| keys);
    let given = root
        .delegations
        .values()
        .filter(|given| fits(given.role) && scope.is_none_or(|scope| given.scope == *scope));
    let all = own.chain(given.map(|given| &given.speakers));
    all.flat_map(|keys| &keys.keys).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use daymark_protocol::time::WallTime;
    use daymark_protocol::trust::{RootDraft, SigningKey};

    #[test]
    fn what_is_lacking_names_the_remedy() {
        let key = |seed: u8| SigningKey::from_seed([seed; 32]).public();
        let mut draft = RootDraft::first("acme", WallTime::EPOCH, WallTime::from_seconds(1));
        for (seed, holder) in [(1, "alice"), (2, "bob"), (3, "carol")] {
            draft = draft.key(key(seed), holder);
        }
        let ids = [1, 2, 3].map(|seed| key(seed).id());
        let (_, root) = draft.role(Role::Root, 2, ids).finish().unwrap();
        let role = root.role(Role::Root).unwrap();
        let said = |have: &[u8]| {
            let have = have.iter().map(|seed| key(*seed).id()).collect();
            lacks(&root, role, "root keys", &have, "daymarkctl sign 12")
        };
        assert_eq!(
            said(&[1]),
            "needs 2 of 3 root keys, has 1: alice; ask bob or carol to run `daymarkctl sign 12`"
        );
        assert!(said(&[]).starts_with("needs 2 of 3 root keys, has none; ask 2 of "));
    }
}
