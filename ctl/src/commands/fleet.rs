//! `fleet init|info`: the first root, and what the newest one says.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use daymark_node::folder::ReplicaFolder;
use daymark_protocol::control::{Bytes, Item};
use daymark_protocol::id::KeyId;
use daymark_protocol::resource::Role;
use daymark_protocol::trust::{Context, Envelope, Pin, PublicKey, RoleKeys, RootDraft};
use serde::Serialize;

use crate::cli::{FleetInitArgs, Global};
use crate::draft_root::DraftRoot;
use crate::exit::{Exit, Failure, Outcome};
use crate::home::{self, ContextFile, Home};
use crate::keys::KeyInfo;
use crate::session::Session;
use crate::{authority, output, passphrase, public_keys, rotation, times};

/// Everybody who will hold keys, by name.
type Members = BTreeMap<String, PublicKey>;

/// A founded fleet.
#[derive(Debug)]
pub(crate) struct Founded {
    /// What pins it.
    pub pin: Pin,
    /// Signatures that its root has and needs.
    pub signatures: (usize, usize),
}

/// Runs `fleet init`.
pub(crate) fn init(global: &Global, args: &FleetInitArgs) -> Outcome {
    let founded = found(global, args)?;
    output::text(&format!("Fleet {} is founded.\nFingerprint: {}", args.name, founded.pin));
    let (have, need) = founded.signatures;
    if have >= need {
        output::text(
            "Next: `daymarkctl create site NAME --zone ZONE`, then `daymark-node init` on a machine.",
        );
        return Ok(Exit::Done);
    }
    output::text(&format!(
        "Its root has {have} of {need} signatures. Next: `daymarkctl sync FOLDER`, and pass the \
         folder to other members. Each runs\n  \
         daymarkctl context add {} FOLDER --fleet {}\n  \
         daymarkctl sign --all\n  daymarkctl sync FOLDER\nand you run `daymarkctl sync FOLDER` \
         once more when it comes back.",
        args.name, founded.pin
    ));
    Ok(Exit::Pending)
}

/// Writes and signs the first root and makes the context.
pub(crate) fn found(global: &Global, args: &FleetInitArgs) -> Outcome<Founded> {
    let home = Home::open(global)?;
    let context = home.begin_context(&args.name)?;
    if args.evaluation {
        make_keys(&home, args)?;
    }
    let own = own_keys(&home, global, args.evaluation)?;
    let mut members = Members::new();
    for key in &own {
        members.insert(
            key.name.clone(),
            public_keys::read(&format!("{}={}", key.name, key.public_key))?.key,
        );
    }
    for member in args.members.iter().filter(|member| !is_name(member)) {
        let person = public_keys::read(member)?;
        let other = members.insert(person.name.clone(), person.key.clone());
        if other.is_some_and(|other| other != person.key) {
            return Err(Failure::usage(format!("two members are named {}", person.name))
                .next("names tell people apart: write NAME=KEY or NAME=FILE with another one"));
        }
    }
    let (payload, root) = root(args, &members)?.finish()?;
    let unsigned = Envelope { context: Context::Root, payload, signatures: Vec::new() };
    let mut envelope = unsigned.clone();
    for key in &own {
        let opened = passphrase::open(&home.keys(), &key.name)?;
        envelope.signatures.push((key.id, opened.sign(Context::Root, &unsigned.payload)?));
    }
    let pin = Pin { version: 1, digest: root.digest };
    let bytes = envelope.to_json();
    let draft = DraftRoot::read(&pin, &bytes)?;
    ReplicaFolder::open_or_begin(context.path())?
        .write(&Item::Root { version: pin.version, bytes: Bytes(bytes) })?;
    home::write_context(context.path(), &ContextFile { pin, node: None })?;
    context.finish()?;
    Ok(Founded { pin, signatures: draft.progress() })
}

/// Whether a member is only named: `--evaluation` makes its key.
fn is_name(member: &str) -> bool {
    !member.contains(['=', ' ']) && !Path::new(member).exists()
}

/// Makes the keys of members that are only named, without passphrases.
fn make_keys(home: &Home, args: &FleetInitArgs) -> Outcome<()> {
    let held = home.keys().list()?;
    for name in args.members.iter().filter(|member| is_name(member)) {
        if !held.iter().any(|key| key.name == *name) {
            home.keys().create(name, "")?;
        }
    }
    Ok(())
}

/// The keys of this machine that found the fleet. Those of several people are in several places,
/// or their thresholds protect from nothing.
fn own_keys(home: &Home, global: &Global, evaluation: bool) -> Outcome<Vec<KeyInfo>> {
    let mut keys = home.keys().list()?;
    if !global.keys.is_empty() {
        if let Some(missing) =
            global.keys.iter().find(|name| !keys.iter().any(|k| &k.name == *name))
        {
            return Err(Failure::usage(format!("there is no key named {missing:?}"))
                .next("`daymarkctl key list` shows the keys of this machine"));
        }
        keys.retain(|key| global.keys.contains(&key.name));
    }
    if keys.is_empty() {
        return Err(Failure::usage("this machine has no key")
            .next("make one with `daymarkctl key new --name NAME`"));
    }
    if keys.len() > 1 && !evaluation {
        let names: Vec<String> = keys.into_iter().map(|key| key.name).collect();
        return Err(Failure::refused(format!(
            "this machine has the keys {}: several people's keys on one machine protect as much as one",
            names.join(", ")
        ))
        .next(
            "name yours with --key; each member makes a key at home (docs/ceremony.md). To try \
             things, say --evaluation: every tool then shows what the fleet is",
        ));
    }
    Ok(keys)
}

fn root(args: &FleetInitArgs, members: &Members) -> Outcome<RootDraft> {
    let now = times::now();
    let root_role = role_keys(&args.root, members)?;
    let single = RoleKeys { threshold: 1, keys: root_role.keys.clone() };
    let given = |text: &Option<String>, otherwise: &RoleKeys| match text {
        Some(text) => role_keys(text, members),
        None => Ok(otherwise.clone()),
    };
    let roles = [
        (Role::Policy, given(&args.policy, &root_role)?),
        (Role::Halt, given(&args.halt, &single)?),
        (Role::Emergency, given(&args.emergency, &root_role)?),
        (Role::Release, given(&args.release, &root_role)?),
        (Role::Enroll, given(&args.enroll, &single)?),
        (Role::Heartbeat, single),
        (Role::Root, root_role),
    ];
    let expires = now.plus_ms(times::length_ms(&args.expires_in)?);
    let mut draft = RootDraft::first(&args.name, now, expires);
    draft.evaluation = args.evaluation;
    for (holder, public) in members {
        if roles.iter().any(|(_, role)| role.keys.contains(&public.id())) {
            draft = draft.key(public.clone(), holder);
        }
    }
    for (role, RoleKeys { threshold, keys }) in roles {
        draft = draft.role(role, threshold, keys);
    }
    Ok(draft)
}

/// `2-of-3`: all members, of whom there must be three; `2`: all members; `1-of-alice,bob`: these.
fn role_keys(text: &str, members: &Members) -> Outcome<RoleKeys> {
    let bad = |why: String| {
        Failure::usage(why).next("write 2-of-3, 2 (of all members), or 1-of-alice,bob")
    };
    let (threshold, of) = text.split_once("-of-").unwrap_or((text, ""));
    let threshold: u32 =
        threshold.parse().map_err(|_| bad(format!("{text:?} is not a threshold")))?;
    let keys = if text == threshold.to_string() {
        members.values().map(PublicKey::id).collect()
    } else {
        named_keys(of, members).map_err(|why| bad(format!("{text}: {why}")))?
    };
    if threshold == 0 || threshold as usize > keys.len() {
        return Err(bad(format!("{text}: {} keys cannot meet it", keys.len())));
    }
    Ok(RoleKeys { threshold, keys })
}

/// The keys after `-of-`: a number, which must be that of all members, or names.
fn named_keys(of: &str, members: &Members) -> Result<BTreeSet<KeyId>, String> {
    if let Ok(count) = of.parse::<usize>() {
        if count == members.len() {
            return Ok(members.values().map(PublicKey::id).collect());
        }
        let names: Vec<&str> = members.keys().map(String::as_str).collect();
        return Err(format!(
            "there are {} members, not {count}: {}",
            names.len(),
            names.join(", ")
        ));
    }
    let key = |name| members.get(name).map(PublicKey::id);
    of.split(',')
        .map(|name| key(name).ok_or_else(|| format!("there is no member {name:?}")))
        .collect()
}

/// What `fleet info` shows.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct FleetInfo {
    name: String,
    fleet: String,
    fingerprint: String,
    root_version: u64,
    expires: String,
    evaluation: bool,
    roles: BTreeMap<String, RoleInfo>,
    replica: String,
}

#[derive(Debug, Serialize)]
struct RoleInfo {
    threshold: u32,
    holders: Vec<String>,
}

/// Says on standard error what every command says: that the fleet is for evaluation, and what runs
/// out soon.
pub(crate) fn announce(session: &Session) {
    if session.replica().chain().newest().is_some_and(|root| root.evaluation) {
        output::note("EVALUATION fleet: one machine made the keys of several people.");
    }
    for line in rotation::falls_on(session) {
        output::note(&format!("warning: {line}"));
    }
}

/// Runs `fleet info`.
pub(crate) fn info(session: &Session) -> Outcome {
    let root = session.root()?;
    let pin = Pin { version: root.version, digest: root.digest };
    let roles = root
        .roles
        .iter()
        .map(|(role, keys)| {
            let holders = authority::holders(root, &keys.keys);
            (role.name().to_owned(), RoleInfo { threshold: keys.threshold, holders })
        })
        .collect();
    let info = FleetInfo {
        name: root.fleet_name.clone(),
        fleet: session.fleet()?.to_string(),
        fingerprint: pin.to_string(),
        root_version: root.version,
        expires: root.expires.to_string(),
        evaluation: root.evaluation,
        roles,
        replica: session.folder.display().to_string(),
    };
    let now = times::now();
    output::value(session.global.output, &info, || {
        let mut lines = vec![
            format!("Fleet        {}", info.name),
            format!("Fleet id     {}", info.fleet),
            format!("Root         version {}", info.root_version),
            format!("Fingerprint  {}", info.fingerprint),
            format!(
                "Expires      {} ({})",
                times::show(root.expires),
                times::relative(root.expires, now)
            ),
        ];
        if info.evaluation {
            lines.push("EVALUATION   one machine made the keys of several people".into());
        }
        for (role, keys) in &info.roles {
            let holders = keys.holders.join(", ");
            lines.push(format!("{role:<12} {} of {holders}", keys.threshold));
        }
        lines.push(format!("Replica      {}", info.replica));
        output::joined(lines)
    })?;
    Ok(Exit::Done)
}
