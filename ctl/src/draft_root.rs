//! The root that a context is pinned to, while it still lacks signatures: it cannot be judged
//! yet, but its co-signers pass it to and fro.

use std::collections::BTreeMap;

use daymark_protocol::id::KeyId;
use daymark_protocol::resource::Role;
use daymark_protocol::trust::{Context, Envelope, Pin, Root, Signature};

use crate::exit::{Failure, Outcome};

/// A root with the signatures gathered for it so far.
#[derive(Clone, Debug)]
pub(crate) struct DraftRoot {
    /// What it says.
    pub(crate) root: Root,
    payload: Vec<u8>,
    signatures: BTreeMap<KeyId, Signature>,
}

impl DraftRoot {
    /// Reads an envelope; signatures that are not by the root's own keys are left out.
    ///
    /// # Errors
    /// With the usage code, if it is not a root or not the one that `pin` names.
    pub(crate) fn read(pin: &Pin, bytes: &[u8]) -> Outcome<Self> {
        let envelope = Envelope::parse(bytes).map_err(Failure::usage)?;
        if envelope.context != Context::Root {
            return Err(Failure::usage("it is signed as something else than a root"));
        }
        let root = Root::parse(&envelope.payload).map_err(Failure::usage)?;
        if root.digest != pin.digest {
            return Err(Failure::refused(format!(
                "it is a root of another fleet, {}",
                root.fleet_name
            ))
            .next("`daymarkctl context list` shows the fleets; choose one with --context"));
        }
        let mut draft = Self { root, payload: envelope.payload, signatures: BTreeMap::new() };
        for (id, signature) in envelope.signatures {
            draft.add(id, signature);
        }
        Ok(draft)
    }

    /// Adds a signature if it verifies and its key has none; whether it did.
    pub(crate) fn add(&mut self, id: KeyId, signature: Signature) -> bool {
        let key = self.root.keys.get(&id);
        let verifies =
            key.is_some_and(|key| key.public.verify(Context::Root, &self.payload, &signature));
        verifies && self.signatures.insert(id, signature).is_none()
    }

    /// Adds the signatures of another copy; whether any was new.
    pub(crate) fn merge(&mut self, other: &Self) -> bool {
        let added = other.signatures.iter().filter(|(id, signature)| self.add(**id, **signature));
        added.count() > 0
    }

    /// The bytes that its keys sign.
    pub(crate) fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// Whether a key has signed it.
    pub(crate) fn is_signed_by(&self, id: &KeyId) -> bool {
        self.signatures.contains_key(id)
    }

    /// Signatures of the role root that it has, and needs.
    pub(crate) fn progress(&self) -> (usize, usize) {
        let Some(role) = self.root.role(Role::Root) else { return (0, 1) };
        let have = self.signatures.keys().filter(|id| role.keys.contains(id)).count();
        (have, role.threshold as usize)
    }

    /// As it is stored and passed on.
    pub(crate) fn to_json(&self) -> Vec<u8> {
        let signatures = self.signatures.iter().map(|(id, signature)| (*id, *signature)).collect();
        Envelope { context: Context::Root, payload: self.payload.clone(), signatures }.to_json()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Exit;
    use daymark_protocol::time::WallTime;
    use daymark_protocol::trust::{RootDraft, SigningKey};

    /// A root of two keys with a threshold of two, signed by the keys whose numbers are given.
    fn envelope(fleet: &str, by: &[u8]) -> (Pin, Vec<u8>) {
        let keys = [1, 2].map(|seed| SigningKey::from_seed([seed; 32]));
        let mut draft = RootDraft::first(fleet, WallTime::EPOCH, WallTime::from_seconds(1_000));
        for (key, holder) in keys.iter().zip(["alice", "bob"]) {
            draft = draft.key(key.public(), holder);
        }
        for role in Role::ALL {
            draft = draft.role(role, 2, keys.iter().map(|key| key.public().id()));
        }
        let (payload, root) = draft.finish().unwrap();
        let mut envelope = Envelope::signed(Context::Root, payload, []);
        for seed in by {
            envelope.add_signature(&SigningKey::from_seed([*seed; 32]));
        }
        (Pin { version: 1, digest: root.digest }, envelope.to_json())
    }

    #[test]
    fn copies_with_different_signatures_become_one_with_all() {
        let (pin, by_alice) = envelope("plant", &[1]);
        let (_, by_bob) = envelope("plant", &[2]);
        let mut draft = DraftRoot::read(&pin, &by_alice).unwrap();
        assert_eq!(draft.progress(), (1, 2));
        let other = DraftRoot::read(&pin, &by_bob).unwrap();
        assert!(draft.merge(&other));
        assert!(!draft.merge(&other));
        assert_eq!(draft.progress(), (2, 2));
        assert_eq!(draft.to_json(), envelope("plant", &[1, 2]).1);
    }

    #[test]
    fn strangers_signatures_and_other_roots_are_left_out() {
        let (pin, by_strangers) = envelope("plant", &[7, 8]);
        assert_eq!(DraftRoot::read(&pin, &by_strangers).unwrap().progress(), (0, 2));
        let (_, other) = envelope("another", &[1, 2]);
        assert_eq!(DraftRoot::read(&pin, &other).err().unwrap().exit, Exit::Refused);
        assert_eq!(DraftRoot::read(&pin, b"{}").err().unwrap().exit, Exit::Usage);
    }
}
