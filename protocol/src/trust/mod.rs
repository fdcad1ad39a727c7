//! Who may say what: keys, roots, statements and what counts (RULES R, S, C).

mod author;
mod bench;
mod chain;
mod envelope;
mod fields;
mod floor;
mod halts;
mod judge;
mod judgement;
mod keys;
mod lines;
mod pin;
mod quorum;
mod reading;
mod resource;
mod root;
mod standing;
mod statement;
mod strict_json;
mod verified;

pub use self::author::{Draft, ResourceDraft, named_id};
pub use self::chain::{Accepted, ChainWait, RootChain, RootError};
pub use self::envelope::{Envelope, EnvelopeError};
pub use self::fields::FieldError;
pub use self::floor::{BadLine, Floor, FloorRecord, Floors, ReadJournal};
pub(crate) use self::halts::HaltPlace;
pub use self::judge::{Judge, judge};
pub use self::judgement::{Grounds, Held, Judgement, Pending, Stance};
pub use self::keys::{Context, PublicKey, Signature, SigningKey, WeakKey, pae};
pub use self::pin::Pin;
pub use self::quorum::{Quorum, RoleKeys};
pub use self::resource::Resource;
pub use self::root::{
    Delegation, DigestList, EndedKey, Freshness, KeyEnd, LIST_BYTES_MAX, RefusedList, RefusedRoot,
    Root, RootDraft, RootKey, Void, VoidId,
};
pub use self::standing::{
    HaltLine, Line, RootState, SignerScope, Standing, State, UnknownKindLine, Validity, Version,
};
pub use self::statement::{MixedRoles, Payload, RefusedStatement, Seen, Statement};
pub use self::verified::Verified;
