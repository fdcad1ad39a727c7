//! Who may say what: keys, roots, statements and what counts (RULES R, S, C).

mod author;
mod bench;
mod chain;
mod envelope;
mod fields;
mod floor;
mod halts;
mod heartbeat;
mod judge;
mod judgement;
mod keys;
mod lines;
mod overreach;
mod pin;
mod quorum;
mod reading;
mod resource;
mod root;
mod rotation;
mod speakers;
mod standing;
mod statement;
mod strict_json;
mod tokens;
mod verified;

pub use self::author::{Draft, ResourceDraft, join_by_token, named_id};
pub use self::bench::HeldLists;
pub use self::chain::{Accepted, ChainWait, MoveError, RootChain, RootError};
pub use self::envelope::{Envelope, EnvelopeError};
pub use self::fields::FieldError;
pub use self::floor::{BadLine, Floor, FloorRecord, Floors, ReadJournal};
pub(crate) use self::halts::{HaltPlace, lifts};
pub use self::heartbeat::{Heartbeat, RefusedHeartbeat, SignedHeartbeat};
pub use self::judge::{Judge, Redone, judge};
pub use self::judgement::{Grounds, Held, Judgement, Pending, Stance};
pub use self::keys::{Context, PublicKey, Signature, SigningKey, WeakKey, pae};
pub use self::pin::Pin;
pub use self::quorum::{Quorum, RoleKeys};
pub use self::resource::{Replaced, Resource};
pub use self::root::{
    ANNOUNCED_DAYS, Delegation, DigestList, EndedKey, FallsOn, Freshness, KeyEnd, LIST_BYTES_MAX,
    RefusedList, RefusedRoot, Root, RootDraft, RootKey, Void, VoidId, announced,
};
pub use self::rotation::{Preview, lists_of, preview};
pub use self::speakers::{MaySpeak, may_speak};
pub use self::standing::{
    HaltLine, Line, Loss, RootState, SignerScope, Standing, State, UnknownKindLine, Validity,
    Version,
};
pub use self::statement::{MixedRoles, Payload, RefusedStatement, Seen, Statement};
pub use self::verified::Verified;

pub(crate) use self::tokens::own_key;
