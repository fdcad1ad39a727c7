//! Publishing OS images: `release add`, and what it needs.
//!
//! [`add_image`] opens an image, cuts its parts into chunks, packs them into a folder that any
//! static web server can serve, and gives back the profile completed with what there is to sign.
//! It holds no keys and signs nothing.

mod add;
mod disk;
mod error;
mod pack;
pub(crate) mod profile_yaml;
mod published;
pub mod sample_disk;
#[cfg(test)]
mod tests;
mod unpack;
pub(crate) mod user_image;

pub use self::add::{AddProgress, AddStep, Added, add_image};
pub use self::error::ReleaseError;
pub use self::profile_yaml::{BadProfile, read_profile};
