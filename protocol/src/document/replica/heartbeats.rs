//! Heartbeats: the newest of each scope, beside the documents (RULES K1, D7). They are carried as
//! blobs are, by their digest.

use super::accept::with_sources;
use super::{Changes, Outcome, Replica};
use crate::document::DocumentId;
use crate::id::Digest;
use crate::limits;
use crate::resource::Scope;
use crate::trust::{RefusedHeartbeat, SignedHeartbeat};

impl Replica {
    /// Takes a heartbeat's envelope; `None` if the bytes are something else.
    pub(super) fn accept_heartbeat(&mut self, bytes: &[u8]) -> Option<(Outcome, Changes)> {
        let mut changes = Changes::default();
        let (Some(fleet), Some(newest)) = (self.chain.fleet(), self.chain.newest()) else {
            // Whether it is one cannot be told before the roots are held.
            return None;
        };
        let signed = match SignedHeartbeat::read(bytes, fleet) {
            Ok(signed) => signed,
            Err(RefusedHeartbeat::Envelope(_) | RefusedHeartbeat::NotAHeartbeat) => return None,
            Err(why) => return Some((Outcome::Refused(with_sources(&why)), changes)),
        };
        // Signatures come last: they cost the most, and most of what peers send is held already.
        if self.is_void(&signed.digest()) {
            return Some((Outcome::NotKept("a root took it back".into()), changes));
        }
        let scope = signed.heartbeat().scope.clone();
        if !self.heeds(&scope) {
            return Some((Outcome::NotKept("its scope is not kept here".into()), changes));
        }
        let held = self.heartbeats.get(&scope);
        if held.is_some_and(|held| held.digest() == signed.digest()) {
            return Some((Outcome::Known, changes));
        }
        if held.is_some_and(|held| !signed.replaces(held)) {
            return Some((Outcome::NotKept("a newer heartbeat is held".into()), changes));
        }
        if held.is_none() && self.heartbeats.len() >= limits::HEARTBEATS_MAX {
            return Some((Outcome::NotKept("there is no room for it".into()), changes));
        }
        match signed.check(newest) {
            Ok(()) => {}
            Err(why @ RefusedHeartbeat::TooFewSignatures(_)) => {
                return Some((Outcome::NotKept(with_sources(&why)), changes));
            }
            Err(why) => return Some((Outcome::Refused(with_sources(&why)), changes)),
        }
        changes.blobs.push((Digest::of(signed.bytes()), signed.bytes().to_vec()));
        let replaced = self.heartbeats.insert(scope, signed);
        changes.dropped_blobs.extend(replaced.map(|held| Digest::of(held.bytes())));
        changes.standing_changed = true;
        self.tell_heartbeats();
        Some((Outcome::New, changes))
    }

    /// The newest heartbeats held, by scope.
    pub fn heartbeats(&self) -> impl Iterator<Item = &SignedHeartbeat> {
        self.heartbeats.values()
    }

    /// Drops heartbeats that the newest root no longer lets speak, or that a root took back.
    pub(super) fn recheck_heartbeats(&mut self, changes: &mut Changes) {
        let Some(newest) = self.chain.newest().cloned() else { return };
        let void: Vec<Digest> = self.void_digests().collect();
        self.heartbeats.retain(|_, held| {
            let speaks = held.check(&newest).is_ok() && !void.contains(&held.digest());
            if !speaks {
                changes.dropped_blobs.push(Digest::of(held.bytes()));
            }
            speaks
        });
        self.tell_heartbeats();
    }

    /// Puts them into the standing, which says what counts.
    pub(super) fn tell_heartbeats(&mut self) {
        let beats = self.heartbeats.iter();
        let beats = beats.map(|(scope, held)| (scope.clone(), held.heartbeat().clone()));
        self.judge.set_heartbeats(beats.collect());
    }

    fn heeds(&self, scope: &Scope) -> bool {
        match scope {
            Scope::Fleet | Scope::Region(_) => true,
            Scope::Site(site) => self.interest.covers(&DocumentId::Site(site.clone())),
        }
    }

    fn is_void(&self, digest: &Digest) -> bool {
        self.void_digests().any(|void| void == *digest)
    }

    /// What roots took back, statements and heartbeats alike (RULES R6).
    pub fn void_digests(&self) -> impl Iterator<Item = Digest> {
        self.chain.held().flat_map(|root| &root.void).map(|void| void.statement)
    }
}
