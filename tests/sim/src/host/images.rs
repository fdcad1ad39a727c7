//! The images of a world: their sizes, and what is wrong with them.

use std::collections::BTreeMap;

use daymark_protocol::id::Digest;

use crate::scenario::{Failing, Image};

/// The version that all machines run at first.
pub const FIRST_VERSION: &str = "1.0.0";
/// Chunks of an image: enough that several sources share the work, few enough to simulate.
pub const CHUNKS: u32 = 16;

/// An image by its place in the world's list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ImageId(pub usize);

impl ImageId {
    /// What machines run at first.
    pub const FIRST: Self = Self(0);
}

/// All images.
#[derive(Debug)]
pub struct Images {
    list: Vec<Image>,
    by_index: BTreeMap<Digest, ImageId>,
}

impl Images {
    /// The first image and those of a scenario.
    pub(crate) fn new(others: &[Image]) -> Self {
        let first = Image {
            version: FIRST_VERSION.to_owned(),
            megabytes: 100,
            fails: Failing::Nothing,
            only_on_old: false,
            newer_agent: false,
        };
        let list: Vec<Image> = std::iter::once(first).chain(others.iter().cloned()).collect();
        let by_index =
            list.iter().enumerate().map(|(at, image)| (index_of(&image.version), ImageId(at)));
        let by_index = by_index.collect();
        Self { list, by_index }
    }

    /// An image's data.
    pub fn of(&self, image: ImageId) -> &Image {
        &self.list[image.0]
    }

    /// The image that an index digest names.
    pub fn by_index(&self, index: &Digest) -> Option<ImageId> {
        self.by_index.get(index).copied()
    }

    /// The image of a version.
    pub fn by_version(&self, version: &str) -> Option<ImageId> {
        self.list.iter().position(|image| image.version == version).map(ImageId)
    }

    /// What is wrong with an image on a machine of old or new hardware.
    pub fn failing(&self, image: ImageId, old_hardware: bool) -> Failing {
        let image = self.of(image);
        if image.only_on_old && !old_hardware { Failing::Nothing } else { image.fails }
    }
}

/// The index digest of an image.
pub fn index_of(version: &str) -> Digest {
    Digest::of_parts(&[b"image", version.as_bytes()])
}
