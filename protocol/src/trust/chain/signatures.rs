//! Which signatures are kept on a root: they convince those who come by thresholds (RULES R1, R3).
//!
//! While the chain is filled downwards from the pin, the keys of the root before are not known, and
//! whoever passes a root on may add signatures under keys that do not exist. They are kept until
//! the keys are known, and those that verify always find room.

use std::collections::BTreeMap;

use super::{Accepted, HeldRoot, RootChain, RootError, version_of};
use crate::id::{Digest, KeyId};
use crate::limits;
use crate::trust::envelope::Envelope;
use crate::trust::root::Root;
use crate::trust::{Context, Signature};

/// How much a signature is worth keeping, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Worth {
    /// By a key of this root or of one before it, whose thresholds it has to meet.
    Signer,
    /// By a key of another root, such as a rival that it settles.
    Named,
    /// By a key that no held root names.
    Unknown,
}

impl RootChain {
    fn fits(&self, root: &Root, payload: &[u8], key: &KeyId, signature: &Signature) -> bool {
        match self.keys.get(key) {
            Some(key) => key.verify(Context::Root, payload, signature),
            None => root.version <= self.pin.version && !self.holds_all_before(root),
        }
    }

    /// Whether all roots are held that this one follows: then all keys are known that count for it.
    fn holds_all_before(&self, root: &Root) -> bool {
        root.previous.iter().all(|digest| self.holds(root.version - 1, digest))
    }

    pub(super) fn only_fitting_signatures(&self, root: &Root, mut envelope: Envelope) -> Envelope {
        let mut signatures = std::mem::take(&mut envelope.signatures);
        signatures.retain(|(key, sig)| self.fits(root, &envelope.payload, key, sig));
        signatures.sort_unstable();
        Envelope { signatures, ..envelope }
    }

    /// Keeps on the roots of a version only what fits, now that one before them came.
    pub(super) fn sift_signatures(&mut self, version: u64) {
        if version > self.pin.version {
            return;
        }
        let held = self.held.remove(&version).unwrap_or_default();
        let sifted = held.into_iter().map(|(digest, HeldRoot { root, envelope, .. })| {
            let envelope = self.only_fitting_signatures(&root, envelope);
            (digest, HeldRoot::new(root, envelope))
        });
        let sifted: BTreeMap<_, _> = sifted.collect();
        if !sifted.is_empty() {
            self.held.insert(version, sifted);
        }
    }

    /// Adds signatures that verify to a held root, so that what is passed on convinces those too
    /// who come by thresholds.
    pub(super) fn merge_signatures(
        &mut self,
        version: u64,
        digest: Digest,
        offered: &Envelope,
    ) -> Accepted {
        let Some(held) = self.held.get(&version).and_then(|held| held.get(&digest)) else {
            return Accepted::Known;
        };
        let verifies = |id: &KeyId, signature: &Signature| {
            let key = self.keys.get(id);
            key.is_some_and(|key| key.verify(Context::Root, &offered.payload, signature))
        };
        let mut merged: BTreeMap<_, _> = held.envelope.signatures.iter().copied().collect();
        for (id, signature) in &offered.signatures {
            let before = merged.get(id);
            if before != Some(signature)
                && verifies(id, signature)
                && !before.is_some_and(|before| verifies(id, before))
            {
                merged.insert(*id, *signature);
            }
        }
        let signatures = self.best_signatures(&held.root, merged);
        if signatures == held.envelope.signatures {
            return Accepted::Known;
        }
        let envelope = Envelope { signatures, ..held.envelope.clone() };
        let renewed = HeldRoot::new(held.root.clone(), envelope);
        self.held.entry(version).or_default().insert(digest, renewed);
        self.wait = self.find_wait();
        Accepted::Signatures { version, digest }
    }

    /// As many as an envelope holds, in order of key; those that are worth least go.
    fn best_signatures(
        &self,
        root: &Root,
        signatures: BTreeMap<KeyId, Signature>,
    ) -> Vec<(KeyId, Signature)> {
        let mut ranked: Vec<_> =
            signatures.into_iter().map(|pair| (self.worth(root, &pair.0), pair)).collect();
        ranked.sort_unstable();
        let best = ranked.into_iter().take(limits::SIGNATURES_MAX).map(|(_, pair)| pair);
        let mut best: Vec<_> = best.collect();
        best.sort_unstable();
        best
    }

    fn worth(&self, root: &Root, key: &KeyId) -> Worth {
        let before = self.held.get(&(root.version - 1));
        let mut before = before.into_iter().flat_map(BTreeMap::values);
        if root.keys.contains_key(key) || before.any(|held| held.root.keys.contains_key(key)) {
            Worth::Signer
        } else if self.keys.contains_key(key) {
            Worth::Named
        } else {
            Worth::Unknown
        }
    }

    /// Offers what was known already to its root again if the root before it came with it: only
    /// then are the keys known by which its signatures verify.
    pub(super) fn merge_again(
        &mut self,
        results: &mut [(usize, &[u8], Result<Accepted, RootError>)],
    ) {
        let came: Vec<u64> = results
            .iter()
            .filter_map(|(_, _, result)| match result {
                Ok(Accepted::New { version, .. }) if *version < self.pin.version => Some(*version),
                Ok(_) | Err(_) => None,
            })
            .collect();
        for (_, bytes, result) in results {
            if matches!(result, Ok(Accepted::Known))
                && came.contains(&version_of(bytes).saturating_sub(1))
            {
                *result = self.accept(bytes);
            }
        }
    }
}
