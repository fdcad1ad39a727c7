//! What a next root says otherwise than the one before.

use std::collections::BTreeSet;

use daymark_protocol::id::{Digest, KeyId};
use daymark_protocol::resource::{Role, Scope};
use daymark_protocol::trust::{Delegation, Freshness, Resource, RoleKeys};

use crate::cli::RoleArg;
use crate::exit::{Failure, Outcome};
use crate::session::Session;
use crate::{authority, public_keys, rotation, scopes, times};

use super::draft::NextRoot;

/// Lets another key speak.
pub(super) fn add_key<'a>(
    mut next: NextRoot<'a>,
    text: &str,
    roles: &[RoleArg],
) -> Outcome<NextRoot<'a>> {
    let id = define(&mut next, text)?;
    for role in roles {
        let keys = next.draft.roles.entry((*role).into());
        let keys = keys.or_insert_with(|| RoleKeys { threshold: 1, keys: BTreeSet::new() });
        keys.keys.insert(id);
    }
    Ok(next)
}

/// Names a key, if it is not named yet.
fn define(next: &mut NextRoot<'_>, text: &str) -> Outcome<KeyId> {
    let person = public_keys::read(text)?;
    let id = person.key.id();
    if next.before.lists.contains_key(&id) {
        return Err(Failure::refused(format!("the key of {} was ended by a root", person.name))
            .next("make a new one: `daymarkctl key new`"));
    }
    if !next.draft.keys.contains_key(&id) {
        next.draft = next.draft.clone().key(person.key, &person.name);
    }
    Ok(id)
}

/// The key of the newest root that a holder's name or the start of an id means.
fn find(next: &NextRoot<'_>, text: &str) -> Outcome<KeyId> {
    let fits: Vec<KeyId> = next
        .draft
        .keys
        .iter()
        .filter(|(id, key)| {
            key.holder == text || (text.len() >= 6 && id.to_string().starts_with(text))
        })
        .map(|(id, _)| *id)
        .collect();
    match fits.as_slice() {
        [one] => Ok(*one),
        [] => Err(Failure::usage(format!("the root names no key {text:?}"))
            .next("`daymarkctl root show` lists them")),
        several => {
            let ids: Vec<String> = several.iter().map(KeyId::to_string).collect();
            Err(Failure::usage(format!("{text:?} holds several keys: {}", ids.join(", ")))
                .next("name one by the start of its id"))
        }
    }
}

/// Gives the roles of a key to another one as well.
fn succeed(next: &mut NextRoot<'_>, key: KeyId, successor: Option<&str>) -> Outcome<()> {
    let Some(successor) = successor else { return Ok(()) };
    let id = define(next, successor)?;
    let delegates = next.draft.delegations.values_mut().map(|given| &mut given.speakers);
    for speakers in next.draft.roles.values_mut().chain(delegates) {
        if speakers.keys.contains(&key) {
            speakers.keys.insert(id);
        }
    }
    Ok(())
}

/// Ends the key of someone who leaves.
pub(super) fn retire<'a>(
    mut next: NextRoot<'a>,
    text: &str,
    successor: Option<&str>,
) -> Outcome<NextRoot<'a>> {
    let key = find(&next, text)?;
    succeed(&mut next, key, successor)?;
    let mut next = retire_key(next, key);
    if end_delegations_without_keys(&mut next) { keep_what_falls(next) } else { Ok(next) }
}

/// A delegation ends with its last key. Says whether any did.
fn end_delegations_without_keys(next: &mut NextRoot<'_>) -> bool {
    let before = next.draft.delegations.len();
    next.draft.delegations.retain(|_, given| !given.speakers.keys.is_empty());
    next.draft.delegations.len() < before
}

/// Keeps all that would lose its signers.
fn keep_what_falls(mut next: NextRoot<'_>) -> Outcome<NextRoot<'_>> {
    let (_, root) = next.draft.finish()?;
    let falls = rotation::batch(next.session, &root, &next.lists);
    next.draft = next.draft.keep(falls);
    Ok(next)
}

fn retire_key(mut next: NextRoot<'_>, key: KeyId) -> NextRoot<'_> {
    let lists = next.session.replica().lists_of(&key);
    next.draft = next.draft.retire(key, &lists);
    next.lists.extend(lists);
    next
}

/// Ends a key that was stolen or lost.
pub(super) fn revoke<'a>(
    mut next: NextRoot<'a>,
    text: &str,
    successor: Option<&str>,
) -> Outcome<NextRoot<'a>> {
    let key = find(&next, text)?;
    succeed(&mut next, key, successor)?;
    let lists = next.session.replica().lists_of(&key);
    next.draft = next.draft.revoke(key, &lists);
    end_delegations_without_keys(&mut next);
    next.lists.extend(lists);
    Ok(next)
}

/// Keeps single statements valid.
pub(super) fn keep<'a>(mut next: NextRoot<'a>, texts: &[String]) -> Outcome<NextRoot<'a>> {
    let digests = texts.iter().map(|text| statement(next.session, text));
    let digests: Vec<Digest> = digests.collect::<Outcome<_>>()?;
    next.draft = next.draft.keep(digests);
    Ok(next)
}

/// Takes statements back for good. Each of their ids counts again from the highest version that
/// other statements give it.
pub(super) fn void<'a>(mut next: NextRoot<'a>, texts: &[String]) -> Outcome<NextRoot<'a>> {
    let digests = texts.iter().map(|text| statement(next.session, text));
    let digests: BTreeSet<Digest> = digests.collect::<Outcome<_>>()?;
    let standing = next.session.standing();
    let counts_from = |resource: &Resource| {
        let kind = resource.known_kind();
        let line = kind.and_then(|kind| standing.lines.get(&(kind, resource.id.clone())));
        let others = line.into_iter().flat_map(|line| &line.versions);
        let others = others.filter(|version| !digests.contains(&version.statement));
        others.map(|version| version.version).max().unwrap_or(1)
    };
    for digest in &digests {
        let void = next.session.replica().void_of(digest, counts_from);
        let void = void.ok_or_else(|| not_held(&digest.to_string()))?;
        next.draft = next.draft.void(void);
    }
    Ok(next)
}

fn not_held(text: &str) -> Failure {
    Failure::usage(format!("no statement {text:?} is held"))
        .next("`daymarkctl audit` and `daymarkctl describe KIND NAME` show statements")
}

/// The held statement that the start of a digest means.
pub(crate) fn statement(session: &Session, start: &str) -> Outcome<Digest> {
    let fits: Vec<Digest> = session
        .replica()
        .statements()
        .map(|(digest, _)| *digest)
        .filter(|digest| start.len() >= 6 && digest.to_string().starts_with(start))
        .collect();
    match fits.as_slice() {
        [one] => Ok(*one),
        [] => Err(not_held(start)),
        _ => {
            Err(Failure::usage(format!("{start:?} fits several statements"))
                .next("type more of it"))
        }
    }
}

/// Lets keys speak for a part of the fleet until a date.
pub(super) fn delegate<'a>(
    mut next: NextRoot<'a>,
    keys: &[String],
    role: Role,
    (until, threshold): (&str, u32),
    name: Option<String>,
) -> Outcome<NextRoot<'a>> {
    let scope = scope_of_part(next.session, role)?;
    let until = times::point(until, &times::local_zone(), times::now())?;
    if until <= times::now() {
        return Err(Failure::usage(format!(
            "the delegation would end in the past, {}",
            times::show(until)
        )));
    }
    let mut speakers = RoleKeys { threshold, keys: BTreeSet::new() };
    for text in keys {
        let known = next.draft.keys.values().any(|key| key.holder == *text);
        let id = if known { find(&next, text)? } else { define(&mut next, text)? };
        speakers.keys.insert(id);
    }
    if threshold == 0 || threshold as usize > speakers.keys.len() {
        return Err(Failure::usage(format!(
            "{} keys cannot meet a threshold of {threshold}",
            speakers.keys.len()
        )));
    }
    let name = name.unwrap_or_else(|| {
        format!(
            "{role}-{}",
            scopes::show(next.session.standing(), &scope)
                .replace("site ", "")
                .replace("region ", "")
        )
    });
    next.draft = next.draft.delegate(&name, Delegation { role, speakers, scope, until });
    Ok(next)
}

fn scope_of_part(session: &Session, role: Role) -> Outcome<Scope> {
    if !Delegation::ROLES.contains(&role) {
        let roles: Vec<&str> = Delegation::ROLES.iter().map(|role| role.name()).collect();
        return Err(Failure::refused(format!("the role {role} cannot be delegated (RULES R7)"))
            .next(format!("roles for a part of the fleet are {}", roles.join(", "))));
    }
    if session.global.scope.is_none() {
        return Err(Failure::usage("the delegation names no part of the fleet")
            .next("add --scope site=SITE, --scope region=REGION, or --scope fleet"));
    }
    let scope = session.scope()?;
    if role == Role::Enroll && matches!(scope, Scope::Region(_)) {
        return Err(Failure::refused(
            "hosts are enrolled for a site or the whole fleet (RULES R7)",
        )
        .next("whether a site lies in a region is itself a statement: delegate each site"));
    }
    Ok(scope)
}

/// Ends a delegation. Its keys go too, if they speak nowhere else; what was signed stays valid.
pub(super) fn undelegate<'a>(mut next: NextRoot<'a>, name: &str) -> Outcome<NextRoot<'a>> {
    let Some(given) = next.draft.delegations.get(name).cloned() else {
        let names: Vec<String> = next.draft.delegations.keys().cloned().collect();
        return Err(Failure::usage(format!("there is no delegation {name:?}"))
            .next(format!("there are: {}", authority::any_of(&names))));
    };
    next.draft = next.draft.undelegate(name);
    let elsewhere: BTreeSet<KeyId> = {
        let delegates = next.draft.delegations.values().map(|given| &given.speakers);
        next.draft.roles.values().chain(delegates).flat_map(|keys| &keys.keys).copied().collect()
    };
    for key in given.speakers.keys.difference(&elsewhere) {
        next = retire_key(next, *key);
    }
    keep_what_falls(next)
}

/// Sets how old the newest heartbeat may be.
pub(super) fn freshness<'a>(
    mut next: NextRoot<'a>,
    alarm: Option<&str>,
    stop: Option<&str>,
) -> Outcome<NextRoot<'a>> {
    if alarm.is_none() && stop.is_none() {
        return Err(Failure::usage("neither --alarm nor --stop is given")
            .next("write --alarm 7d --stop 30d, or off"));
    }
    let before = next.draft.freshness;
    let set = |text: Option<&str>, before: Option<u32>| match text {
        None => Ok(before),
        Some("off") => Ok(None),
        Some(text) => u32::try_from(times::length_ms(text)? / 1000)
            .map(Some)
            .map_err(|_| Failure::usage(format!("{text} is longer than anyone waits"))),
    };
    let freshness = Freshness {
        alarm_seconds: set(alarm, before.alarm_seconds)?,
        stop_seconds: set(stop, before.stop_seconds)?,
    };
    if let (Some(alarm), Some(stop)) = (freshness.alarm_seconds, freshness.stop_seconds)
        && alarm > stop
    {
        return Err(Failure::usage("the alarm would come after the stop"));
    }
    next.draft = next.draft.freshness(freshness);
    Ok(next)
}
