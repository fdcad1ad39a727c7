//! Who may say what: keys, roots, statements and what counts (RULES R, S, C).

mod floor;
mod pin;
mod standing;
mod statement;

pub use self::floor::FloorRecord;
pub use self::pin::Pin;
pub use self::standing::{
    HaltLine, Line, RootState, SignerScope, Standing, State, UnknownKindLine, Validity, Version,
};
pub use self::statement::{Payload, Resource, Seen};
