//! Real Daymark processes under test: a fleet of machines on loopback, each with a boot program,
//! two slots and an agent out of a slot's bytes; administrators who sign; a release service.
//!
//! Everything lies in a temporary folder and dies with [`Fleet`]. Waiting means asking a control
//! socket until a deadline. It judges nothing: the tests do.

mod administrators;
mod bare_peer;
mod by_name;
mod converged;
mod fleet;
mod image;
mod laptop;
mod machine;
mod network;
mod nginx;
mod origin;
mod power_cut;
mod relay;
mod said;
mod small_disk;
mod tap;
mod view;
mod wait;
mod watch;

pub use self::administrators::{
    ADMIN, Administrators, OFFICE, Offices, POLICY, RELEASE, STOP, VIEW, now,
};
pub use self::bare_peer::{BarePeer, Seen};
pub use self::by_name::main_by_name;
pub use self::converged::{Everything, all_hold_the_same, everything};
pub use self::fleet::{Fleet, Plan};
pub use self::image::{Agent, Image, PROFILE, Published};
pub use self::laptop::{Ran, Workplace};
pub use self::machine::{Machine, PORT, Place};
pub use self::network::{Network, Shaped};
pub use self::nginx::{Logged, Nginx};
pub use self::origin::Origin;
pub use self::relay::{Relay, Relayed, Weather};
pub use self::said::{Say, everyone, only, wanting};
pub use self::small_disk::SmallDisk;
pub use self::tap::Tap;
pub use self::view::{Held, held_by};
pub use self::wait::{WITHIN, until};
pub use self::watch::Watch;
