//! What a next root says and what it would do, before anyone signs it: the author and every
//! co-signer see the same (RULES R5, R6). The judging is [`daymark_protocol`]'s.

use std::collections::BTreeSet;

use daymark_protocol::id::{Digest, KeyId, ResourceId};
use daymark_protocol::resource::{Kind, Role};
use daymark_protocol::trust::{DigestList, EndedKey, FallsOn, KeyEnd, Preview, Root, RootKey};
use serde::Serialize;

use crate::session::Session;
use crate::{authority, names, review, scopes, times};

/// Rows of one kind that a preview lists before it only counts.
const SHOWN_MAX: usize = 20;

/// What a root would change, with names for people.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RootPreview {
    /// Its version.
    version: u64,
    /// When it expires.
    expires: String,
    /// What it says otherwise than the root before.
    says: Vec<String>,
    /// Statements that lose their signatures: the batch to sign anew.
    falls: Vec<Falls>,
    /// Statements that would not count at all any more.
    ends: Vec<Named>,
    /// Ids that would be unknown.
    unknown: Vec<Named>,
    /// Ids that are unknown now and would count.
    cured: Vec<String>,
    /// Halts that would be lifted.
    lifted: Vec<String>,
    /// Halts that would stand again.
    halted: Vec<String>,
    /// Hosts that would wait.
    waits: Vec<Waits>,
    /// Hosts that would be members by their token alone.
    provisional: Vec<String>,
}

/// A statement that falls.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Falls {
    statement: Digest,
    what: String,
    lacks: String,
}

/// Something, and why.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Named {
    what: String,
    why: String,
}

/// A host that waits.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Waits {
    host: String,
    /// Whether its own membership falls.
    orphaned: bool,
    waits_for: Vec<String>,
}

/// What a root with its lists would do.
pub(crate) fn preview(session: &Session, root: &Root, lists: &[DigestList]) -> RootPreview {
    let preview = session.replica().preview_root(root.clone(), lists);
    let standing = session.standing();
    let thing =
        |(kind, id): &(Kind, ResourceId)| format!("{kind} {}", names::name_of(standing, *kind, id));
    let statement = |digest: &Digest| {
        let held = session.replica().statement(digest);
        held.map_or_else(|| digest.short(), |held| review::headline(&held.statement))
    };
    let falls = preview.falls.iter().map(|(digest, lacks)| Falls {
        statement: *digest,
        what: statement(digest),
        lacks: match session.replica().statement(digest) {
            Some(held) => authority::statement_lacks(root, &held.statement, &lacks.quorum.have),
            None => String::new(),
        },
    });
    let waits = preview.waits.iter().map(|(host, things)| Waits {
        host: names::host_name(standing, host),
        orphaned: things.contains(&own(host)),
        waits_for: things.iter().filter(|one| **one != own(host)).map(thing).collect(),
    });
    RootPreview {
        version: root.version,
        expires: root.expires.to_string(),
        says: says(session, root, lists),
        falls: falls.collect(),
        ends: preview
            .ends
            .iter()
            .map(|digest| Named { what: statement(digest), why: ended(root, digest) })
            .collect(),
        unknown: preview
            .unknown
            .iter()
            .map(|(id, why)| Named { what: thing(id), why: why.clone() })
            .collect(),
        cured: preview.cured.iter().map(thing).collect(),
        lifted: preview.lifted.iter().map(statement).collect(),
        halted: preview.halted.iter().map(statement).collect(),
        waits: waits.collect(),
        provisional: hosts(session, &preview),
    }
}

fn own(host: &KeyId) -> (Kind, ResourceId) {
    (Kind::Host, ResourceId::from(*host))
}

fn hosts(session: &Session, preview: &Preview) -> Vec<String> {
    preview.provisional.iter().map(|host| names::host_name(session.standing(), host)).collect()
}

fn ended(root: &Root, statement: &Digest) -> String {
    match root.void.iter().any(|void| void.statement == *statement) {
        true => "taken back".into(),
        false => "signed with a revoked key, and no list names it".into(),
    }
}

/// What a root says otherwise than the one before it.
fn says(session: &Session, root: &Root, lists: &[DigestList]) -> Vec<String> {
    let chain = session.replica().chain();
    let before = chain.held().find(|held| root.previous.contains(&held.digest));
    let Some(before) = before else { return review::root(root) };
    let mut lines = Vec::new();
    if root.previous.len() > 1 {
        lines.push(format!(
            "settles {} rival roots of version {}",
            root.previous.len(),
            before.version
        ));
    }
    if before.expires != root.expires {
        lines.push(format!(
            "expires {} -> {}",
            times::show(before.expires),
            times::show(root.expires)
        ));
    }
    lines.extend(keys(before, root));
    lines.extend(roles(before, root));
    lines.extend(ends(before, root, lists));
    lines.extend(delegations(session, before, root));
    let kept = root.kept.difference(&before.kept).count();
    if kept > 0 {
        lines.push(format!("keeps {kept} statements that lose their signers"));
    }
    for void in &root.void {
        let held = session.replica().statement(&void.statement);
        let what =
            held.map_or_else(|| void.statement.short(), |held| review::headline(&held.statement));
        let from: Vec<String> = void
            .ids
            .iter()
            .map(|id| format!("{} counts from version {}", id.kind, id.counts_from))
            .collect();
        lines.push(format!("takes back {what} ({})", from.join(", ")));
    }
    if before.freshness != root.freshness {
        lines.push(format!("freshness {} -> {}", freshness(before), freshness(root)));
    }
    lines
}

fn keys(before: &Root, root: &Root) -> Vec<String> {
    let name = |key: &RootKey| format!("{} ({})", key.holder, key.public.id().short());
    let new = root.keys.iter().filter(|(id, _)| !before.keys.contains_key(id));
    let gone = before.keys.iter().filter(|(id, _)| !root.keys.contains_key(id));
    let new = new.map(|(_, key)| format!("+ key {}", name(key)));
    new.chain(gone.map(|(_, key)| format!("- key {}", name(key)))).collect()
}

fn roles(before: &Root, root: &Root) -> Vec<String> {
    let told = |of: &Root, role: Role| match of.role(role) {
        None => "nobody".to_owned(),
        Some(keys) => {
            format!("{} of {}", keys.threshold, authority::holders(of, &keys.keys).join(", "))
        }
    };
    let changed = Role::ALL.into_iter().filter(|role| before.role(*role) != root.role(*role));
    changed.map(|role| format!("{role}: {} -> {}", told(before, role), told(root, role))).collect()
}

fn ends(before: &Root, root: &Root, lists: &[DigestList]) -> Vec<String> {
    let new = root.lists.iter().filter(|(id, ended)| before.lists.get(id) != Some(ended));
    new.map(|(id, EndedKey { end, digests })| {
        let listed: usize = lists
            .iter()
            .filter(|list| digests.contains(&list.digest()))
            .map(|list| list.digests().count())
            .sum();
        let holder = authority::holder(before, id);
        match end {
            KeyEnd::Retired => {
                format!("retires the key of {holder}: {listed} statements that it signed are kept")
            }
            KeyEnd::Revoked => format!(
                "revokes the key of {holder}: {listed} statements lose its signature, and anything \
                 else by it never counts"
            ),
        }
    })
    .collect()
}

fn delegations(session: &Session, before: &Root, root: &Root) -> Vec<String> {
    let told = |of: &Root, name: &String| {
        of.delegations.get(name).map(|given| {
            format!(
                "{name}: {} of {} speak under {} for {} until {}",
                given.speakers.threshold,
                authority::holders(of, &given.speakers.keys).join(", "),
                given.role,
                scopes::show(session.standing(), &given.scope),
                times::show(given.until)
            )
        })
    };
    let names: BTreeSet<&String> =
        before.delegations.keys().chain(root.delegations.keys()).collect();
    let changed = names
        .into_iter()
        .filter(|name| before.delegations.get(*name) != root.delegations.get(*name));
    changed
        .map(|name| match told(root, name) {
            Some(told) => format!("+ delegation {told}"),
            None => format!("- delegation {name}"),
        })
        .collect()
}

/// How old the newest word may be, for people.
pub(crate) fn freshness(root: &Root) -> String {
    let length = |seconds: Option<u32>| {
        seconds.map_or_else(
            || "never".to_owned(),
            |seconds| format!("after {}", times::length(i64::from(seconds) * 1000)),
        )
    };
    let limits = root.freshness;
    match (limits.alarm_seconds, limits.stop_seconds) {
        (None, None) => "off".into(),
        (alarm, stop) => format!("alarm {}, stop {}", length(alarm), length(stop)),
    }
}

/// Lines for people.
pub(crate) fn lines(preview: &RootPreview) -> Vec<String> {
    let mut lines = vec![format!("Root {}, expires {}", preview.version, preview.expires)];
    lines.extend(preview.says.iter().map(|line| format!("  {line}")));
    let mut part = |head: &str, rows: Vec<String>| {
        if rows.is_empty() {
            return;
        }
        lines.push(format!("{head} ({}):", rows.len()));
        let more = rows.len().saturating_sub(SHOWN_MAX);
        lines.extend(rows.into_iter().take(SHOWN_MAX).map(|row| format!("  {row}")));
        if more > 0 {
            lines.push(format!("  and {more} more; `-o json` lists all"));
        }
    };
    let falls = preview.falls.iter();
    part(
        "These lose their signatures",
        falls.map(|one| format!("{} {}: {}", one.statement.short(), one.what, one.lacks)).collect(),
    );
    let named =
        |rows: &[Named]| rows.iter().map(|one| format!("{}: {}", one.what, one.why)).collect();
    part("These no longer count at all", named(&preview.ends));
    part(
        "These become unknown: they open nothing and keep closed what they closed",
        named(&preview.unknown),
    );
    part("These count again", preview.cured.clone());
    part("These halts are LIFTED", preview.lifted.clone());
    part("These halts stand again", preview.halted.clone());
    let waits = |orphaned: bool| {
        let of = preview.waits.iter().filter(move |one| one.orphaned == orphaned);
        of.map(|one| match orphaned {
            true => one.host.clone(),
            false => format!("{}: {}", one.host, one.waits_for.join(", ")),
        })
        .collect()
    };
    part("These hosts are orphaned: they wait until an enroll key signs them anew", waits(true));
    part("These hosts wait", waits(false));
    part(
        "These hosts become provisional: `daymarkctl enroll --pending` countersigns them",
        preview.provisional.clone(),
    );
    if preview.falls.is_empty() && preview.ends.is_empty() && preview.unknown.is_empty() {
        lines.push("Nothing falls, and no host waits.".into());
    } else if !preview.falls.is_empty() {
        lines.push(
            "To keep them, sign them anew before or after this root: `daymarkctl sign --fallen`."
                .into(),
        );
    }
    lines
}

/// The statements that a root would let fall and that can be signed anew.
pub(crate) fn batch(session: &Session, root: &Root, lists: &[DigestList]) -> BTreeSet<Digest> {
    session.replica().preview_root(root.clone(), lists).falls.into_keys().collect()
}

/// What runs out soon, a line each.
pub(crate) fn falls_on(session: &Session) -> Vec<String> {
    let Some(root) = session.replica().chain().newest() else { return Vec::new() };
    let now = times::now();
    let told = |FallsOn { what, at, within_days }: FallsOn| match within_days {
        0 => format!("{what} has EXPIRED, {}: `daymarkctl root extend`", times::relative(at, now)),
        _ => format!(
            "{what} falls on {}, {}: `daymarkctl root extend`",
            times::show(at),
            times::relative(at, now)
        ),
    };
    root.falls_on(now).into_iter().map(told).collect()
}
