//! The mesh: libp2p connections with the fleet's other nodes.
//!
//! It carries messages, gossip and chunk streams, finds and redials peers, and enforces who may
//! take part in what; it decides none of it. Admissions come from the core, which judges
//! statements; a peer that nobody admitted is a stranger and reaches identify and the join
//! exchange alone (RULES A1, A2).
//!
//! - [`start`] runs the mesh; a [`MeshHandle`] commands it; it reports [`MeshEvent`]s.
//! - `gate` gives unadmitted connections no handler; `guard` refuses connections altogether.
//! - `streams`, `frame`, `lane` and `pace` carry messages; `gossip` sets gossipsub up.
//! - `dialer`, `resolve`, `discovery` and `rules` say whom to connect with, and over what.
//! - [`Laptop`] is the other end of a visit: one connection with one node, and no part in the mesh.
//! - `driver` (with `dialling` and `traffic`) runs one swarm, `supervisor` one after another.

mod admissions;
mod config;
mod connections;
mod counting;
mod dialer;
mod dialling;
mod discovery;
mod driver;
mod event;
pub(crate) mod frame;
mod gate;
mod gossip;
mod guard;
mod handle;
mod identity;
mod lane;
mod laptop;
mod listen;
mod pace;
mod resolve;
mod rules;
mod state;
mod streams;
mod supervisor;
mod swarm;
mod traffic;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::mpsc;

pub use config::{DEFAULT_PORT, MeshConfig, MeshError};
pub use event::{MeshEvent, PeerStream};
pub use gossip::{Gossip, ShortTopics, behaviour as gossip_behaviour};
pub use handle::{MeshHandle, MeshStats, PeerStatus};
pub use laptop::{Laptop, LaptopError, Met};
pub use rules::NetworkRules;
pub use streams::OpenError;
#[cfg(feature = "fuzzing")]
pub(crate) use {config::parse as parse_address, discovery::endpoint};

use counting::Counters;
use dialer::Dialer;
use driver::{Driver, Fixed};
use state::State;

/// Commands that wait for the mesh: more than one step of the core gives.
const COMMANDS_MAX: usize = 1024;

/// Starts the mesh; call it within a Tokio runtime. `seed` is the node's Ed25519 seed. Events go
/// to `events`: while they are not taken, peers have to wait.
///
/// # Errors
/// If an address does not parse, is not covered by the rules, or cannot be listened on.
pub fn start(
    config: MeshConfig,
    seed: [u8; 32],
    events: mpsc::Sender<MeshEvent>,
) -> Result<MeshHandle, MeshError> {
    let keypair = identity::keypair(seed);
    let peer = keypair.public().to_peer_id();
    let key = identity::key_id(&peer).expect("the key pair is Ed25519");
    let listen = config::listen_addresses(&config.listen)?;
    let peers = config::peer_addresses(&config.peers)?;
    let counters = Arc::new(Counters::default());
    let state =
        State::new(Dialer::new(peers, config.redial_pause, key.as_bytes()[0], Instant::now()));
    let rules = Arc::new(config.rules.clone());
    let fixed = Arc::new(Fixed { config, listen, rules, keypair, counters: Arc::clone(&counters) });
    let driver = Driver::start(&fixed, state).map_err(|failed| failed.0)?;
    let (sender, commands) = mpsc::channel(COMMANDS_MAX);
    tokio::spawn(supervisor::supervise(fixed, driver, commands, events));
    Ok(MeshHandle::new(sender, counters, (peer, key)))
}
