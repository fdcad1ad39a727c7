//! From a laptop on the site's network to a node (DESIGN section 3): a peer key made for this one
//! command, the node's proof that it is of the fleet, then a role key's proof to it. What is
//! read and handed in afterwards is the control API's, over the same connection.
//!
//! The laptop trusts the root chain of its own context. Until the node has shown that it is an
//! enrolled machine of that fleet it is told nothing but what any stranger may ask.

use std::time::Duration;

use daymark_node::control::Client;
use daymark_node::mesh::{Laptop, LaptopError, Met};
use daymark_protocol::document::Replica;
use daymark_protocol::id::KeyId;
use daymark_protocol::limits;
use daymark_protocol::resource::Role;
use daymark_protocol::time::Now;
use daymark_protocol::trust::{Context, Root};
use daymark_protocol::wire::JoinMessage;
use zeroize::Zeroizing;

use crate::exit::{Exit, Failure, Outcome};
use crate::keys::KeyInfo;
use crate::reach::NodeAt;
use crate::session::Session;
use crate::{names, output, times};

/// How long a host of that name is looked for by multicast DNS.
const FIND_WITHIN: Duration = Duration::from_secs(5);
/// How often the exchange is begun anew when the node broke it off: admission does so once.
const TRIES: u32 = 3;
/// Rounds of the join exchange: each brings 64 roots, and a chain has 1,024 at most.
const ROUNDS_MAX: usize = 32;
/// The port, for a name of the network's that comes without one.
const PORT: u16 = daymark_node::mesh::DEFAULT_PORT;

/// Lets this laptop in at a node; a client of it.
pub(crate) async fn visit(session: &Session, node: &NodeAt) -> Outcome<Client> {
    let mut seed = Zeroizing::new([0_u8; 32]);
    getrandom::fill(seed.as_mut())
        .map_err(|error| Failure::new(Exit::Failed, format!("cannot draw a key: {error}")))?;
    let laptop = Laptop::start(*seed).map_err(failed)?;
    let met = meet(session, node, &laptop).await?;
    let known = learn(session, &laptop).await.map_err(failed)?;
    check_member(session, &known, &met, node)?;
    show_key(session, &laptop, &known, &met).await?;
    Ok(Client::over(laptop, met.address))
}

/// Connects with the node that is meant.
async fn meet(session: &Session, node: &NodeAt, laptop: &Laptop) -> Outcome<Met> {
    let name = match node {
        NodeAt::Socket(socket) => {
            let socket = socket.display();
            return Err(Failure::usage(format!("{socket} is no place on the network")));
        }
        NodeAt::Address(address) => {
            return laptop.connect(std::slice::from_ref(address), None).await.map_err(failed);
        }
        NodeAt::Name(name) => name,
    };
    let host = match names::find_host(session.standing(), name) {
        Ok(host) => host,
        // No host is called so: the network may know the name.
        Err(_) if name.contains('.') => {
            return laptop.connect(&[format!("{name}:{PORT}")], None).await.map_err(failed);
        }
        Err(failure) => return Err(failure),
    };
    let reported = session.host(&host).map(|summary| summary.addresses()).unwrap_or_default();
    if !reported.is_empty()
        && let Ok(met) = laptop.connect(&reported, Some(host)).await
    {
        return Ok(met);
    }
    let found = laptop.find(&host, FIND_WITHIN).await.unwrap_or_default();
    if found.is_empty() {
        let why = match reported.as_slice() {
            [] => "it has reported no address".to_owned(),
            tried => format!("it does not answer at {}", tried.join(", ")),
        };
        return Err(Failure::new(
            Exit::Unreachable,
            format!("{name} was not found: {why}, and nobody of that key announces itself here"),
        )
        .next("give its address: --node HOST:PORT"));
    }
    laptop.connect(&found, Some(host)).await.map_err(failed)
}

/// What the fleet is, as this laptop holds it and as far as the node shows more of it: newer roots
/// (each signed for by the ones before), and the node's own Host statement. Nothing of it is
/// stored; `sync` takes it again.
async fn learn(session: &Session, laptop: &Laptop) -> Result<Replica, LaptopError> {
    let mut known = session.replica().clone();
    for _ in 0..ROUNDS_MAX {
        let version = known.chain().newest_version();
        let newer = (version.max(1), version + limits::ROOTS_PER_MESSAGE_MAX as u64 - 1);
        let missing = known.chain().missing().map(|range| (*range.start(), *range.end()));
        let ask = JoinMessage::Ask {
            root_version: version,
            roots: missing.unwrap_or(newer),
            entries: vec![],
        };
        laptop.say(&ask).await;
        let (theirs, roots, entries) = loop {
            if let JoinMessage::Answer { root_version, roots, entries } =
                hear(laptop, &known).await?
            {
                break (root_version, roots, entries);
            }
        };
        known.accept_roots(&roots.iter().map(Vec::as_slice).collect::<Vec<_>>());
        known.accept_entries(&entries.iter().map(Vec::as_slice).collect::<Vec<_>>());
        let now = known.chain().newest_version();
        if now > theirs {
            // Whose keys count is judged by the newest root there is.
            laptop.say(&roots_from(&known, theirs.max(1), u64::MAX)).await;
        }
        let still = known.chain().missing().map(|range| (*range.start(), *range.end()));
        if now == version && still == missing {
            break;
        }
    }
    Ok(known)
}

/// What the node says next. What it asks meanwhile, as of any machine, is answered.
async fn hear(laptop: &Laptop, known: &Replica) -> Result<JoinMessage, LaptopError> {
    loop {
        match laptop.hear().await? {
            JoinMessage::Ask { roots: (first, last), .. } => {
                laptop.say(&roots_from(known, first, last)).await;
            }
            message @ (JoinMessage::Answer { .. }
            | JoinMessage::Challenge(_)
            | JoinMessage::Welcome { .. }
            | JoinMessage::TurnedAway { .. }) => return Ok(message),
            JoinMessage::Visit | JoinMessage::Proof { .. } => {}
        }
    }
}

/// Held roots of these versions. They are no secret: any stranger is told them.
fn roots_from(known: &Replica, first: u64, last: u64) -> JoinMessage {
    let roots = known.chain().roots().filter(|(version, _)| (first..=last).contains(version));
    JoinMessage::Answer {
        root_version: known.chain().newest_version(),
        roots: roots.map(|(_, bytes)| bytes.to_vec()).collect(),
        entries: vec![],
    }
}

/// Refuses whoever answered unless it is an enrolled machine of this context's fleet.
fn check_member(session: &Session, known: &Replica, met: &Met, node: &NodeAt) -> Outcome<()> {
    let now = Now::reading(times::now(), 0);
    let name = names::host_name(known.standing(), &met.host);
    if !daymark_core::is_enrolled(known.standing(), &met.host, now) {
        return Err(Failure::refused(format!(
            "who answers at {} (host {}) is no enrolled machine of fleet {}: nothing was shown to it",
            met.address,
            met.host.short(),
            session.name
        ))
        .next("check the address; `daymarkctl get hosts` shows the machines of this fleet"));
    }
    if !matches!(node, NodeAt::Name(asked) if *asked == name) {
        output::note(&format!(
            "Talking with {name} (host {}, peer {}).",
            met.host.short(),
            met.peer_id
        ));
    }
    Ok(())
}

/// Shows that a role key of the newest root speaks through this laptop.
async fn show_key(session: &Session, laptop: &Laptop, known: &Replica, met: &Met) -> Outcome<()> {
    let chain = known.chain();
    let (Some(root), Some(fleet)) = (chain.newest(), chain.fleet()) else {
        return Err(Failure::new(
            Exit::Pending,
            "no whole chain of roots is known to show a key of",
        )
        .next("fetch the missing signatures or roots: `daymarkctl sync FOLDER`"));
    };
    let name = key_of(session, root)?;
    let key = session.open_key(&name)?;
    let id = key.public().id();
    let mut tries = TRIES;
    laptop.say(&JoinMessage::Visit).await;
    loop {
        match hear(laptop, known).await {
            Ok(JoinMessage::Challenge(challenge)) => {
                let payload = challenge.payload(&fleet, &laptop.key(), &met.host);
                let signature = key.sign(Context::Visit, &payload)?;
                laptop.say(&JoinMessage::Proof { key: id, signature }).await;
            }
            Ok(JoinMessage::Welcome { may_submit }) => {
                if !may_submit {
                    output::note(&format!("Key {name} has the role view: it reads only."));
                }
                return Ok(());
            }
            Ok(JoinMessage::TurnedAway { why }) => {
                return Err(Failure::refused(format!("the node turned key {name} away: {why}"))
                    .next("name another key with --key, or use the machine's control socket"));
            }
            Ok(_) => {}
            // The welcome may have been lost with the connection that it ended.
            Err(LaptopError::BrokenOff) if tries > 0 => {
                tries -= 1;
                laptop.reconnect().await.map_err(failed)?;
                laptop.say(&JoinMessage::Visit).await;
            }
            Err(error) => return Err(failed(error)),
        }
    }
}

/// The key to show: that of `--key`, or the first of this machine's that may hand something in, or
/// else one that may read.
fn key_of(session: &Session, root: &Root) -> Outcome<String> {
    let mut keys = session.home.keys().list()?;
    if !session.global.keys.is_empty() {
        keys.retain(|key| session.global.keys.contains(&key.name));
    }
    let rank = |key: &KeyInfo| rank(root, &key.id);
    keys.retain(|key| rank(key).is_some());
    keys.sort_by_key(|key| (rank(key), key.encrypted));
    keys.into_iter().next().map(|key| key.name).ok_or_else(|| {
        Failure::refused(format!(
            "no key of this machine that may be used has a role in root {}: a node lets a laptop \
             in by one",
            root.version
        ))
        .next("`daymarkctl key list` shows your keys, `daymarkctl root show` the roles")
    })
}

/// 0 for a key with a role that speaks, 1 for one that reads only.
fn rank(root: &Root, key: &KeyId) -> Option<u8> {
    let own = root.roles.iter().filter(|(_, held)| held.keys.contains(key)).map(|(role, _)| *role);
    let given = root.delegations.values();
    let given = given.filter(|given| given.speakers.keys.contains(key)).map(|given| given.role);
    own.chain(given).map(|role| u8::from(role == Role::View)).min()
}

fn failed(error: LaptopError) -> Failure {
    let exit = match &error {
        LaptopError::Address(_) => Exit::Usage,
        LaptopError::Another { .. } | LaptopError::NotLetIn(_) => Exit::Refused,
        LaptopError::Unreachable { .. } | LaptopError::BrokenOff | LaptopError::Garbled(_) => {
            Exit::Unreachable
        }
    };
    let failure = Failure { exit, error: error.into(), next_step: None };
    failure.next("is the node running, and may this laptop reach its port?")
}
