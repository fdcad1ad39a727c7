//! A small fleet whose keys are known, so that a target can sign what it decodes and reach what
//! only the signed reaches.

use daymark_protocol::id::{FleetId, KeyId};
use daymark_protocol::resource::Role;
use daymark_protocol::time::WallTime;
use daymark_protocol::trust::{Context, Envelope, Pin, Root, RootChain, RootDraft, SigningKey};

/// Keys that sign under every role.
const SPEAKERS: [u8; 3] = [1, 2, 3];

/// A key of the fleet.
pub(crate) fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed([seed; 32])
}

/// The host whose replica it is.
pub(crate) fn host() -> SigningKey {
    key(30)
}

/// Those who may sign anything, two of three.
pub(crate) fn speakers() -> Vec<SigningKey> {
    SPEAKERS.into_iter().map(key).collect()
}

/// The first root, and its envelope.
pub(crate) fn root() -> (Root, Vec<u8>) {
    let mut draft = RootDraft::first("acme", WallTime::EPOCH, WallTime::MAX);
    for key in speakers() {
        draft = draft.key(key.public(), "someone");
    }
    let ids: Vec<KeyId> = speakers().iter().map(|key| key.public().id()).collect();
    for role in [
        Role::Root,
        Role::Policy,
        Role::Release,
        Role::Enroll,
        Role::Halt,
        Role::Emergency,
        Role::Heartbeat,
    ] {
        draft = draft.role(role, 2, ids.clone());
    }
    let (payload, root) = draft.finish().expect("the draft is within every limit");
    (root, Envelope::signed(Context::Root, payload, &speakers()).to_json())
}

/// The fleet.
pub(crate) fn fleet() -> FleetId {
    FleetId(root().0.digest.0)
}

/// Its chain of one root.
pub(crate) fn chain() -> RootChain {
    let (root, envelope) = root();
    let mut chain = RootChain::new(Pin { version: 1, digest: root.digest });
    chain.accept(&envelope).expect("its keys signed it");
    chain
}
