//! Small images and slots for tests.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use daymark_protocol::id::{ChunkHash, Digest};
use daymark_protocol::image::{Index, IndexBuilder, chunker};
use daymark_protocol::limits::CHUNK_BYTES_MAX;
use daymark_protocol::resource::PartDigest;

use super::{BootState, ImageIdentity, SlotLayout, SlotWriter, Slots, VerifiedChunk};

/// An image with its content.
#[derive(Clone, Debug)]
pub(crate) struct TestImage {
    pub(crate) parts: BTreeMap<String, Vec<u8>>,
    pub(crate) index: Arc<Index>,
    pub(crate) identity: ImageIdentity,
}

impl TestImage {
    pub(crate) fn new(version: &str, parts: &[(&str, Vec<u8>)]) -> Self {
        let parts: BTreeMap<String, Vec<u8>> =
            parts.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.clone())).collect();
        let mut builder = IndexBuilder::default();
        for (name, bytes) in &parts {
            builder.begin_part(name).unwrap();
            let mut rest = bytes.as_slice();
            while !rest.is_empty() {
                let cut = chunker::next_cut(&rest[..rest.len().min(CHUNK_BYTES_MAX)]);
                let length = u32::try_from(cut).unwrap();
                builder.push_chunk(ChunkHash::of(&rest[..cut]), length).unwrap();
                rest = &rest[cut..];
            }
        }
        let index = builder.finish().unwrap();
        let signed =
            |bytes: &Vec<u8>| PartDigest { bytes: bytes.len() as u64, sha256: Digest::of(bytes) };
        let identity = ImageIdentity {
            profile: Digest::of(version.as_bytes()),
            profile_name: "edge".into(),
            version: version.into(),
            index: index.digest(),
            parts: parts.iter().map(|(name, bytes)| (name.clone(), signed(bytes))).collect(),
        };
        Self { parts, index: Arc::new(index), identity }
    }

    /// The bytes of a chunk.
    pub(crate) fn bytes(&self, number: u32) -> Vec<u8> {
        let chunk = self.index.chunk(number).unwrap();
        let part = &self.parts[&self.index.part_of(number).unwrap().name];
        let start = usize::try_from(chunk.offset).unwrap();
        part[start..start + chunk.bytes as usize].to_vec()
    }

    pub(crate) fn chunk(&self, number: u32) -> VerifiedChunk {
        VerifiedChunk::check(&self.index, number, self.bytes(number)).unwrap()
    }

    /// Writes the whole image into a slot and finishes it.
    pub(crate) fn install(&self, slots: &Slots, slot: &str) {
        let mut writer = self.begin(slots, slot);
        for number in 0..self.index.chunk_count() {
            writer.put(&self.chunk(number)).unwrap();
        }
        writer.finish(&mut |_| {}).unwrap();
    }

    pub(crate) fn begin(&self, slots: &Slots, slot: &str) -> SlotWriter {
        let boot = BootState::default();
        slots.begin(slot, &boot, &self.identity, Arc::clone(&self.index)).unwrap()
    }
}

/// Bytes without repetition, made from a name.
pub(crate) fn noise(seed: &str, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(seed.as_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

/// Slots `a` and `b` with the parts `rootfs` and `agent`, as files in `folder`.
pub(crate) fn two_slots(folder: &Path) -> Slots {
    let layout = |name: &str| SlotLayout {
        name: name.into(),
        parts: ["agent", "rootfs"]
            .map(|part| (part.to_owned(), folder.join(format!("{name}-{part}.img"))))
            .into(),
    };
    Slots::open(vec![layout("a"), layout("b")], folder.join("records")).unwrap()
}
