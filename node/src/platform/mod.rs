//! The machine: what is installed and booted, what speaks against changing it, and the backends
//! that change it (DESIGN section 8). Reports what is; decides nothing.

pub mod binding;
pub mod facts;
pub mod health;
pub mod inhibitors;
mod machine;
mod os_release;
mod program;
pub mod systemd;
pub mod updaters;

pub(crate) use self::machine::NO_BACKEND;
pub use self::machine::{Backend, Machine, Rebooting, boot_id};
pub use self::os_release::OsRelease;
pub use self::program::{Inspected, Order, OrderedPart, Program};
