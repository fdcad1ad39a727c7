//! `daymark-node adopt` and `daymark-node pin`: what only a person at this machine may change of
//! the fleet that it took. Both work on the data folder of an agent that is stopped.

use std::fmt::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use anyhow::Context;
use daymark_core::durable::{Adoption, DurableState};
use daymark_protocol::control::{Item, Refusal};
use daymark_protocol::limits;
use daymark_protocol::trust::{Pin, RootChain};

use super::{Usage, confirmed, print};
use crate::clock::wall;
use crate::control::ClientError;
use crate::durable::{Adopting, DataFolder, NewFleet, read_bounded};
use crate::folder::{ItemName, ReplicaFolder};
use crate::settings::Settings;

/// Reads a fingerprint.
pub(super) fn fingerprint(text: &str) -> Result<Pin, Usage> {
    text.parse().map_err(|error: daymark_protocol::id::InvalidId| {
        Usage(format!("{error}; `daymarkctl fleet info` prints it"))
    })
}

/// A refusal by a rule, with its exit status.
pub(super) fn refused(message: impl Into<String>) -> anyhow::Error {
    ClientError::Refused(Refusal { code: "refused".to_owned(), message: message.into() }).into()
}

/// The chain of roots that a machine holds; `None` before it took a fleet.
pub(super) fn held_chain(
    data: &DataFolder,
    state: &DurableState,
) -> anyhow::Result<Option<RootChain>> {
    let Some(pin) = state.pin else { return Ok(None) };
    let mut chain = RootChain::new(pin);
    chain.raise_floor(state.root_floor);
    chain.accept_all(data.read_roots()?.iter().map(Vec::as_slice));
    Ok(Some(chain))
}

/// Only the superuser and whom the folder belongs to.
fn check_owner(settings: &Settings) -> anyhow::Result<()> {
    let found = std::fs::metadata(&settings.data_dir)
        .with_context(|| format!("cannot look at {}", settings.data_dir.display()))?;
    let own = rustix::process::geteuid().as_raw();
    if own == 0 || own == found.uid() {
        return Ok(());
    }
    Err(refused("only root or the agent's own user may change which fleet this machine trusts"))
}

/// Takes another fleet: the last resort when the root's threshold of the own one is lost.
pub(super) fn adopt(
    settings: &Settings,
    brought: &Path,
    fleet: &str,
    yes: bool,
) -> anyhow::Result<()> {
    let pin = fingerprint(fleet)?;
    check_owner(settings)?;
    let new = chain_of(brought, pin)?;
    let data = DataFolder::open(&settings.data_dir)?;
    let state = data.read_state()?;
    let Some(old) = held_chain(&data, &state)? else {
        return Err(refused("this machine has no fleet yet; run `daymark-node join`"));
    };
    let from = old.fleet();
    let Some(from) = from.filter(|from| new.fleet() != Some(*from)) else {
        return Err(match from {
            Some(_) => refused(format!(
                "fingerprint {pin} names a root of the fleet that this machine has; to vouch for a \
                 newer one, `daymark-node pin`"
            )),
            None => refused("the first root of this machine's own fleet is not held"),
        });
    };
    print(&preview(&old, &new, &state))?;
    if !yes && !confirmed("Leave the old fleet for good, and take the new one?")? {
        return print("nothing was changed");
    }
    let adoption = Adoption { from, at: wall() };
    let told = adoption.to_string();
    let roots = new.files().collect();
    let adopting = Adopting::new(&settings.data_dir, NewFleet { pin, roots }, adoption)?;
    data.adopt(&adopting)?;
    print(&format!(
        "{told}\nnext    daymark-node init --request FILE, and have the new fleet enrol this machine\n\
         next    start the agent: `systemctl start daymark`"
    ))
}

/// The chain of what was brought, a root's file or a folder, if it is what the fingerprint names.
fn chain_of(brought: &Path, pin: Pin) -> anyhow::Result<RootChain> {
    let mut roots: Vec<Vec<u8>> = Vec::new();
    if brought.is_dir() {
        let folder = ReplicaFolder::open(brought)?;
        for name in folder.names()? {
            if let (ItemName::Root(_), Some(Item::Root { bytes, .. })) =
                (&name, folder.read(&name)?)
            {
                roots.push(bytes.0);
            }
        }
    } else {
        let bytes = read_bounded(brought, limits::ENVELOPE_BYTES_MAX as u64)
            .with_context(|| format!("cannot read {}", brought.display()))?;
        roots.extend(bytes);
    }
    let mut chain = RootChain::new(pin);
    chain.accept_all(roots.iter().map(Vec::as_slice));
    if !chain.holds(pin.version, &pin.digest) {
        return Err(refused(format!(
            "{} holds no valid root that fingerprint {pin} names; compare it with what \
             `daymarkctl fleet info` prints",
            brought.display()
        )));
    }
    match chain.wait() {
        None => Ok(chain),
        Some(wait) => Err(refused(format!(
            "{} does not do: {wait}; bring a folder that `daymarkctl sync` wrote",
            brought.display()
        ))),
    }
}

fn preview(old: &RootChain, new: &RootChain, state: &DurableState) -> String {
    let told = |chain: &RootChain| {
        let id = chain.fleet().map_or_else(|| "?".to_owned(), |fleet| fleet.short());
        match chain.held().last() {
            Some(root) => format!(
                "{} ({id}), root {}, which expires {}",
                root.fleet_name, root.version, root.expires
            ),
            None => id,
        }
    };
    let mut text = format!("from    {}\nto      {}\n", told(old), told(new));
    let _ = write!(
        text,
        "ends    its membership, policies, schedules, halts and floors: what the old fleet signed no \
         longer counts here\nkept    its key, its slots, {} runs, {} images that failed here, and, \
         in former/, all that the old fleet said\nshown   by every tool, and in its reports",
        state.finished.len(),
        state.quarantine.len()
    );
    text
}

/// Shows which root this machine trusts by a person's word or, with a fingerprint, moves that
/// forward.
pub(super) fn pin(settings: &Settings, to: Option<&str>, yes: bool) -> anyhow::Result<()> {
    let to = to.map(fingerprint).transpose()?;
    check_owner(settings)?;
    let data = DataFolder::open(&settings.data_dir)?;
    let mut state = data.read_state()?;
    let Some(chain) = held_chain(&data, &state)? else {
        return Err(refused("this machine has no fleet yet; run `daymark-node join`"));
    };
    print(&shown(&chain))?;
    let Some(to) = to.filter(|to| *to != chain.pin()) else { return Ok(()) };
    let moved = chain.moved_to(to).map_err(|error| refused(error.to_string()))?;
    let left: Vec<String> = chain
        .held()
        .filter(|root| !moved.holds(root.version, &root.digest))
        .map(|root| format!("root {} ({})", root.version, root.digest.short()))
        .collect();
    let left = if left.is_empty() { "none".to_owned() } else { left.join(", ") };
    print(&format!("to      {to}\nleft    {left}: these count no longer, on this machine"))?;
    if !yes && !confirmed("Trust this root from now on?")? {
        return print("nothing was changed");
    }
    state.pin = Some(to);
    // A person's word takes the place of what was seen before: rivals may have gone higher.
    state.root_floor = moved.newest_version();
    data.move_pin(&state, moved.files())?;
    print("moved; start the agent: `systemctl start daymark`")
}

fn shown(chain: &RootChain) -> String {
    let newest = chain.newest_pin().map_or_else(
        || chain.wait().map_or_else(|| "none".to_owned(), ToString::to_string),
        |pin| pin.to_string(),
    );
    format!("pinned  {}\nnewest  {newest}", chain.pin())
}
