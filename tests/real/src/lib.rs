//! Real Daymark processes under test: a fleet of machines on loopback, each with a boot program,
//! two slots and an agent out of a slot's bytes; administrators who sign; a release service.
//!
//! Everything lies in a temporary folder and dies with [`Fleet`]. Waiting means asking a control
//! socket until a deadline. It judges nothing: the tests do.

mod administrators;
mod fleet;
mod image;
mod machine;
mod origin;
mod said;
mod view;
mod wait;

pub use self::administrators::{ADMIN, Administrators, OFFICE, POLICY, RELEASE, STOP};
pub use self::fleet::{Fleet, Plan};
pub use self::image::{Agent, Image, PROFILE, Published};
pub use self::machine::{Machine, PORT, Place};
pub use self::origin::Origin;
pub use self::said::{Say, everyone, only, wanting};
pub use self::view::{Held, held_by};
pub use self::wait::{WITHIN, until};
