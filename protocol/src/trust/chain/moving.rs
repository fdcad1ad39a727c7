//! Moving the pin: a person vouches for a newer root of the same fleet (RULES R3).

use super::RootChain;
use crate::trust::Pin;

/// Why a pin cannot be moved.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MoveError {
    /// It would let roots count again that the pin in force rules out.
    #[error("the pin is at root {pinned}, and moves forward only: {asked} is earlier")]
    Backward {
        /// The version that is pinned.
        pinned: u64,
        /// The version that was asked for.
        asked: u64,
    },
    /// That root is not here.
    #[error("root {0} with that fingerprint is not held here; bring it first, and then pin it")]
    NotHeld(u64),
    /// The roots that are held do not lead from it to the pinned one.
    #[error(
        "root {asked} with that fingerprint does not follow from root {pinned}, which is pinned"
    )]
    NotInChain {
        /// The version that is pinned.
        pinned: u64,
        /// The version that was asked for.
        asked: u64,
    },
}

impl RootChain {
    /// This chain as it is for somebody whom a person told that `pin` is a root of the fleet: what
    /// contradicts that root, or follows from a rival of it, is no longer in it. Its own newest
    /// version is its floor.
    ///
    /// # Errors
    /// [`MoveError`], if that root is not held or does not descend from the pinned one.
    pub fn moved_to(&self, pin: Pin) -> Result<Self, MoveError> {
        let (pinned, asked) = (self.pin.version, pin.version);
        if asked < pinned {
            return Err(MoveError::Backward { pinned, asked });
        }
        if !self.holds(asked, &pin.digest) {
            return Err(MoveError::NotHeld(asked));
        }
        let mut moved = Self::new(pin);
        moved.accept_all(self.roots().map(|(_, bytes)| bytes));
        if !moved.holds(pinned, &self.pin.digest) {
            return Err(MoveError::NotInChain { pinned, asked });
        }
        Ok(moved)
    }
}
