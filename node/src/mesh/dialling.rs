//! The driver's part that dials: what the dialer says is due, as far as the rules allow.

use std::time::{Duration, Instant};

use daymark_core::effect::Admission;
use daymark_protocol::id::KeyId;
use libp2p::Multiaddr;
use libp2p::swarm::dial_opts::DialOpts;

use super::dialer::{Attempt, Source};
use super::discovery::Found;
use super::driver::Driver;
use super::identity;
use super::resolve;
use super::rules::{ip_of, local_addresses};

/// Dials under way at once.
pub(super) const DIALS_MAX: usize = 8;
/// Of two peers that find each other, one dials at once and the other after so long, so that they
/// do not end up with two connections.
const SECOND_DIALS_AFTER: Duration = Duration::from_secs(5);

impl Driver {
    fn dials(&self) -> usize {
        self.dialling.len() + self.resolving
    }

    /// When there is something to dial and room to do it.
    pub(super) fn next_dial(&self) -> Option<Instant> {
        (self.dials() < DIALS_MAX).then(|| self.state.dialer.next_due()).flatten()
    }

    /// Dials what is due.
    pub(super) fn dial_due(&mut self) {
        let room = DIALS_MAX.saturating_sub(self.dials());
        if room == 0 {
            return;
        }
        // A flood of strangers must not keep this node from finding the fleet, nor may a new
        // machine knock at every door of a large site.
        let config = &self.fixed.config;
        let strangers = self.connections.strangers();
        let admitted_wanted = self.connections.len() - strangers < config.connections_wanted;
        let strangers_wanted = strangers < config.strangers_max.div_ceil(2);
        let state = &mut self.state;
        let admissions = &state.admissions;
        let useful = |key: &KeyId| match admissions.of(key) {
            Admission::Stranger | Admission::Visitor => strangers_wanted,
            Admission::Authority | Admission::Member => admitted_wanted,
        };
        for attempt in state.dialer.due(Instant::now(), &state.connected, useful, room) {
            if resolve::is_named(&attempt.address) {
                self.resolving += 1;
                let resolved = self.resolved.0.clone();
                tokio::spawn(async move {
                    let addresses = resolve::resolve(&attempt.address).await;
                    if let Err(error) = &addresses {
                        tracing::debug!(address = %attempt.address, %error, "cannot resolve");
                    }
                    // An error means that the mesh has ended.
                    let _ = resolved.send((attempt, addresses.unwrap_or_default())).await;
                });
            } else {
                let address = attempt.address.clone();
                self.dial(&attempt, vec![address]);
            }
        }
    }

    /// A name was resolved, or could not be: no addresses.
    pub(super) fn on_resolved(&mut self, attempt: &Attempt, addresses: Vec<Multiaddr>) {
        self.resolving = self.resolving.saturating_sub(1);
        self.dial(attempt, addresses);
    }

    fn dial(&mut self, attempt: &Attempt, addresses: Vec<Multiaddr>) {
        let locals = local_addresses().unwrap_or_default();
        let allowed = addresses.into_iter().find(|address| {
            let allowed =
                ip_of(address).is_some_and(|ip| self.fixed.rules.allows_dial(ip, &locals));
            if !allowed {
                tracing::debug!(%address, "not dialled: the network rules do not cover it");
            }
            allowed
        });
        let Some(address) = allowed else {
            self.state.dialer.failed(attempt.target, Instant::now());
            return;
        };
        // A port of its own for each dial: with the listening port, two peers that dial each other
        // at once would meet in one connection that has two clients and no server.
        let options = match attempt.peer {
            Some(peer) => {
                DialOpts::peer_id(peer).addresses(vec![address]).allocate_new_port().build()
            }
            None => DialOpts::unknown_peer_id().address(address).allocate_new_port().build(),
        };
        let connection = options.connection_id();
        match self.swarm.dial(options) {
            Ok(()) => {
                self.dialling.insert(connection, attempt.target);
            }
            Err(error) => {
                tracing::debug!(address = %attempt.address, %error, "cannot dial");
                self.state.dialer.failed(attempt.target, Instant::now());
            }
        }
    }

    /// A peer announced itself.
    pub(super) fn on_found(&mut self, found: Found) {
        let Some(key) = identity::key_id(&found.peer) else { return };
        let now = Instant::now();
        let first = *self.swarm.local_peer_id() < found.peer;
        let when = if first { now } else { now + SECOND_DIALS_AFTER };
        self.state.dialer.offer(key, found.addresses, Source::Found, when);
    }
}
