//! Fetching an image into the inactive slot, chunk by chunk: from the machine's own slots, from
//! peers of its site, from the release service. The daemon's transfer is modelled here, not run;
//! its tests are its own.

use std::collections::BTreeSet;

use daymark_core::Event;
use daymark_core::effect::OpId;
use daymark_core::event::{OpOutput, StageProgress};

use super::queue::Came;
use super::release::Mood;
use super::{Next, World};
use crate::facts::Deed;
use crate::faults::Fault;
use crate::host::{CHUNKS, ImageId, Staging};
use crate::network::End;
use crate::scenario::HostileAct;

/// Bytes that pass in a second: from a slot, from a peer, from the release service.
const SLOT_RATE: u64 = 500_000_000;
const PEER_RATE: u64 = 50_000_000;
const ORIGIN_RATE: u64 = 5_000_000;
/// How much slower a slow release service is.
const SLOWNESS: u64 = 100;
/// Equal chunks of two images, in ten: most of an image stays as it is.
const EQUAL_CHUNKS: u32 = 9;
/// Pause before a chunk that nobody gave is asked for again, ms.
const AGAIN_MS: u64 = 5_000;
/// How often a machine waits for another one of its site to fetch a chunk.
const PATIENCE: u32 = 4;
/// How often a chunk is asked for before the platform says that staging failed.
const FAILURES_MAX: u32 = 24;

/// Who gives a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Giver {
    Own,
    Peer(usize),
    Origin,
    Nobody,
}

impl World {
    pub(super) fn begin_staging(&mut self, host: usize, op: OpId, image: Option<ImageId>) {
        let life = self.hosts[host].life;
        let Some(image) = image else {
            // Nobody published it: the platform finds no source.
            self.hosts[host].staging = Some(Staging::new(op, None));
            return self.later(AGAIN_MS, Next::Chunk { host, life, came: Came::Nothing });
        };
        let slot = 1 - self.hosts[host].machine.booted();
        self.record(host, Deed::SlotWritten { slot, image });
        self.hosts[host].machine.begin_stage(image);
        let mut staging = Staging::new(op, Some(image));
        staging.progress.total_bytes = self.image_bytes(image);
        self.hosts[host].staging = Some(staging);
        // The first chunk is asked for in an event of its own, like all others.
        self.later(1, Next::Chunk { host, life, came: Came::Nothing });
    }

    fn image_bytes(&self, image: ImageId) -> u64 {
        u64::from(self.images.of(image).megabytes) * 1_000_000
    }

    /// Asks for the next chunk, or reports that all are there.
    fn next_chunk(&mut self, host: usize) {
        let Some(staging) = &self.hosts[host].staging else { return };
        let (Some(image), life) = (staging.image, self.hosts[host].life) else {
            return self.end_staging(host, Some("no source knows this image"));
        };
        let done = self.hosts[host].machine.begin_stage(image);
        if done >= CHUNKS {
            return self.end_staging(host, None);
        }
        let bytes = self.image_bytes(image) / u64::from(CHUNKS);
        let (after_ms, came) = match self.giver(host, image, done) {
            Giver::Own => {
                self.note_bytes(host, |progress| progress.own_bytes += bytes);
                (bytes * 1_000 / SLOT_RATE, Came::Chunk)
            }
            Giver::Peer(peer) => {
                let id = self.hosts[peer].id;
                let adversary = self.hosts[peer].adversary.as_ref();
                let lies = adversary.is_some_and(|thief| thief.does(HostileAct::Chunks));
                if lies {
                    self.counts.happened(Fault::WrongChunks);
                } else {
                    self.recorder.tally.peer_bytes += bytes;
                    self.note_bytes(host, |it| *it.peer_bytes.entry(id).or_default() += bytes);
                }
                let came = if lies { Came::WrongFrom(peer) } else { Came::Chunk };
                (bytes * 1_000 / PEER_RATE, came)
            }
            Giver::Origin => match self.release.mood(self.now_ms) {
                Mood::Good => {
                    self.recorder.tally.origin_bytes += bytes;
                    self.note_bytes(host, |progress| progress.origin_bytes += bytes);
                    (bytes * 1_000 / ORIGIN_RATE, Came::Chunk)
                }
                Mood::Slow => {
                    self.counts.happened(Fault::ReleaseSlow);
                    self.counts.bit(Fault::ReleaseSlow);
                    self.note_bytes(host, |progress| progress.origin_bytes += bytes);
                    (bytes * 1_000 / ORIGIN_RATE * SLOWNESS, Came::Chunk)
                }
                Mood::Absent => {
                    self.counts.happened(Fault::ReleaseAbsent);
                    self.counts.bit(Fault::ReleaseAbsent);
                    return self.nothing_came(host);
                }
                Mood::Lying => {
                    self.counts.happened(Fault::ReleaseLies);
                    (bytes * 1_000 / ORIGIN_RATE, Came::WrongFromOrigin)
                }
            },
            Giver::Nobody => return self.nothing_came(host),
        };
        self.later(after_ms.max(1), Next::Chunk { host, life, came });
    }

    fn note_bytes(&mut self, host: usize, add: impl FnOnce(&mut StageProgress)) {
        if let Some(staging) = &mut self.hosts[host].staging {
            add(&mut staging.progress);
        }
    }

    /// Who gives a chunk: the own slots, a connected peer of the site, or the release service. Of
    /// those of a site who fetch an image, one asks the release service first.
    fn giver(&self, host: usize, image: ImageId, chunk: u32) -> Giver {
        let of = &self.hosts[host];
        let running = of.machine.runs();
        let equal = running.is_some_and(|running| equal_chunk(running, image, chunk));
        if equal {
            return Giver::Own;
        }
        let Some(staging) = &of.staging else { return Giver::Nobody };
        let peers: Vec<usize> = of
            .connections
            .keys()
            .copied()
            .filter(|peer| {
                let other = &self.hosts[*peer];
                let (there, here) = (self.end_of(*peer), self.end_of(host));
                let near = there.site == here.site && other.node.is_some();
                let open = self.network.cut_between(there, here).is_none();
                near && open && !staging.blamed.contains(peer)
            })
            .collect();
        let serves = |peer: &&usize| {
            let other = &self.hosts[**peer];
            let lies = other.adversary.as_ref().is_some_and(|it| it.does(HostileAct::Chunks));
            lies || other.machine.chunks_of(image) > chunk
        };
        let serving: Vec<usize> = peers.iter().filter(serves).copied().collect();
        if !serving.is_empty() {
            let place = (host + usize::try_from(chunk).unwrap_or(0)) % serving.len();
            return Giver::Peer(serving[place]);
        }
        let fetching = |peer: &usize| {
            let other = self.hosts[*peer].staging.as_ref();
            other.is_some_and(|other| other.image == Some(image))
        };
        let rank = |number: usize| rank(self.end_of(number), image, chunk);
        let first = !peers.iter().any(|peer| fetching(peer) && rank(*peer) < rank(host));
        if first || staging.failures >= PATIENCE { Giver::Origin } else { Giver::Nobody }
    }

    fn nothing_came(&mut self, host: usize) {
        let life = self.hosts[host].life;
        let Some(staging) = &mut self.hosts[host].staging else { return };
        staging.failures += 1;
        if staging.failures > FAILURES_MAX {
            return self.end_staging(host, Some("no source gives the next chunk"));
        }
        self.later(AGAIN_MS, Next::Chunk { host, life, came: Came::Nothing });
    }

    /// A chunk came, a wrong one, or a pause ended.
    pub(super) fn chunk_came(&mut self, host: usize, came: Came) {
        let Some(staging) = &mut self.hosts[host].staging else { return };
        if staging.cancelled {
            return self.end_staging(host, Some("cancelled"));
        }
        match (came, staging.image) {
            (Came::Chunk, Some(image)) => {
                staging.failures = 0;
                let chunks = self.hosts[host].machine.write_chunk(image);
                self.recorder.tally.chunks += 1;
                self.note(11, host, u64::from(chunks));
                let share = self.image_bytes(image) / u64::from(CHUNKS);
                let verified = share * u64::from(chunks);
                self.note_bytes(host, |progress| progress.verified_bytes = verified);
                let staging = self.hosts[host].staging.as_ref();
                let told = staging.map(|staging| (staging.op, staging.progress.clone()));
                if let Some((op, progress)) = told.filter(|_| chunks.is_multiple_of(4)) {
                    self.step(host, Event::Progress { op, progress });
                }
            }
            (Came::WrongFromOrigin, _) => {
                staging.failures += 1;
                staging.progress.refused_from_origin += 1;
                self.counts.bit(Fault::ReleaseLies);
                if staging.failures > FAILURES_MAX {
                    return self.end_staging(host, Some("the release service serves other bytes"));
                }
            }
            (Came::Nothing, _) | (Came::Chunk, None) => {}
            (Came::WrongFrom(peer), _) => {
                staging.blamed.insert(peer);
                self.counts.bit(Fault::WrongChunks);
                let id = self.hosts[peer].id;
                self.note_bytes(host, |it| *it.refused.entry(id).or_default() += 1);
            }
        }
        if self.hosts[host].node.is_some() {
            self.next_chunk(host);
        }
    }

    fn end_staging(&mut self, host: usize, failure: Option<&str>) {
        let Some(staging) = self.hosts[host].staging.take() else { return };
        let result = match failure {
            None => Ok(OpOutput::Staged(staging.progress)),
            Some(why) => Err(why.to_owned()),
        };
        self.inspect(host);
        self.note(12, host, staging.op.0);
        self.step(host, Event::OpDone { op: staging.op, result });
    }
}

impl Staging {
    fn new(op: OpId, image: Option<ImageId>) -> Self {
        Self {
            op,
            image,
            progress: StageProgress::default(),
            cancelled: false,
            failures: 0,
            blamed: BTreeSet::new(),
        }
    }
}

/// Whether two images have a chunk in common.
fn equal_chunk(one: ImageId, other: ImageId, chunk: u32) -> bool {
    one == other
        || crate::random::Dice::numbered(one.0 as u64, other.0 as u64, u64::from(chunk)).below(10)
            < u64::from(EQUAL_CHUNKS)
}

/// Rendezvous hashing: who of those who fetch asks the release service first.
fn rank(end: End, image: ImageId, chunk: u32) -> u64 {
    let salt = image.0 as u64 * u64::from(CHUNKS) + u64::from(chunk);
    crate::random::Dice::numbered(salt, 1, end.host as u64).draw()
}
