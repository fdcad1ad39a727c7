//! `root show`: what the newest root says.

use std::collections::BTreeMap;

use daymark_protocol::id::KeyId;
use daymark_protocol::resource::Role;
use daymark_protocol::trust::{KeyEnd, Root};
use serde::Serialize;

use crate::exit::{Exit, Outcome};
use crate::session::Session;
use crate::{authority, drafts, output, rotation, scopes, times};

/// What `root show` shows.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    version: u64,
    fingerprint: String,
    issued: String,
    expires: String,
    keys: Vec<ShownKey>,
    thresholds: BTreeMap<&'static str, u32>,
    delegations: Vec<ShownDelegation>,
    ended: Vec<ShownEnd>,
    kept: usize,
    void: usize,
    freshness: String,
    falls_on: Vec<String>,
    draft: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ShownKey {
    holder: String,
    id: KeyId,
    public_key: String,
    roles: Vec<&'static str>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ShownDelegation {
    name: String,
    role: &'static str,
    threshold: u32,
    holders: Vec<String>,
    scope: String,
    until: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ShownEnd {
    holder: String,
    id: KeyId,
    end: &'static str,
    root: u64,
}

/// Runs `root show`.
pub(super) fn run(session: &Session) -> Outcome {
    let root = session.root()?;
    let chain = session.replica().chain();
    let draft = drafts::next_root(session)?;
    let shown = Shown {
        version: root.version,
        fingerprint: chain.newest_pin().map(|pin| pin.to_string()).unwrap_or_default(),
        issued: root.issued.to_string(),
        expires: root.expires.to_string(),
        keys: keys(root),
        thresholds: root.roles.iter().map(|(role, keys)| (role.name(), keys.threshold)).collect(),
        delegations: delegations(session, root),
        ended: ended(session),
        kept: root.kept.len(),
        void: chain.held().map(|root| root.void.len()).sum(),
        freshness: rotation::freshness(root),
        falls_on: rotation::falls_on(session),
        draft: draft.map(|draft| {
            format!(
                "{} {}",
                draft.title(),
                draft.lacks(chain).unwrap_or_else(|| "is complete".into())
            )
        }),
    };
    output::value(session.global.output, &shown, || output::joined(lines(&shown, root)))?;
    Ok(Exit::Done)
}

fn keys(root: &Root) -> Vec<ShownKey> {
    let roles = |id: &KeyId| {
        let has = |role: &Role| root.role(*role).is_some_and(|keys| keys.keys.contains(id));
        Role::ALL.into_iter().filter(has).map(Role::name).collect()
    };
    let shown = |(id, key): (&KeyId, &daymark_protocol::trust::RootKey)| ShownKey {
        holder: key.holder.clone(),
        id: *id,
        public_key: key.public.to_string(),
        roles: roles(id),
    };
    let mut keys: Vec<ShownKey> = root.keys.iter().map(shown).collect();
    keys.sort_by(|a, b| (&a.holder, a.id).cmp(&(&b.holder, b.id)));
    keys
}

fn delegations(session: &Session, root: &Root) -> Vec<ShownDelegation> {
    let given = root.delegations.iter().map(|(name, given)| ShownDelegation {
        name: name.clone(),
        role: given.role.name(),
        threshold: given.speakers.threshold,
        holders: authority::holders(root, &given.speakers.keys),
        scope: scopes::show(session.standing(), &given.scope),
        until: given.until.to_string(),
    });
    given.collect()
}

/// The keys that ended under any root, each with the first root that says so.
fn ended(session: &Session) -> Vec<ShownEnd> {
    let chain = session.replica().chain();
    let mut ended: BTreeMap<KeyId, ShownEnd> = BTreeMap::new();
    for root in chain.held() {
        for (id, of) in &root.lists {
            let end = match of.end {
                KeyEnd::Retired => "retired",
                KeyEnd::Revoked => "revoked",
            };
            let named = chain.held().find_map(|root| root.keys.get(id));
            let holder = named.map_or_else(|| id.short(), |key| key.holder.clone());
            let shown = ShownEnd { holder, id: *id, end, root: root.version };
            match ended.get_mut(id) {
                Some(before) => before.end = end,
                None => drop(ended.insert(*id, shown)),
            }
        }
    }
    ended.into_values().collect()
}

fn lines(shown: &Shown, root: &Root) -> Vec<String> {
    let now = times::now();
    let mut lines = vec![
        format!("Root         version {} of {}", shown.version, times::show(root.issued)),
        format!("Fingerprint  {}", shown.fingerprint),
        format!(
            "Expires      {} ({})",
            times::show(root.expires),
            times::relative(root.expires, now)
        ),
        format!("Freshness    {}", shown.freshness),
        "Keys".into(),
    ];
    for key in &shown.keys {
        lines.push(format!("  {:<16} {}  {}", key.holder, key.id.short(), key.roles.join(", ")));
    }
    lines.push("Thresholds".into());
    for role in Role::ALL {
        if let Some(keys) = root.role(role) {
            let of = authority::holders(root, &keys.keys).join(", ");
            lines.push(format!("  {:<16} {} of {of}", role.name(), keys.threshold));
        }
    }
    if !shown.delegations.is_empty() {
        lines.push("Delegations".into());
    }
    for given in &shown.delegations {
        lines.push(format!(
            "  {:<16} {} of {} under {} for {} until {}",
            given.name,
            given.threshold,
            given.holders.join(", "),
            given.role,
            given.scope,
            given.until
        ));
    }
    if !shown.ended.is_empty() {
        lines.push("Ended keys".into());
    }
    for ended in &shown.ended {
        lines.push(format!(
            "  {:<16} {}  {} by root {}",
            ended.holder,
            ended.id.short(),
            ended.end,
            ended.root
        ));
    }
    if shown.kept + shown.void > 0 {
        lines.push(format!("{} statements kept one by one, {} taken back", shown.kept, shown.void));
    }
    lines.extend(shown.draft.clone());
    lines
}
