//! What comes over the network before anything is known of who sent it.

use daymark_node::{fuzzing, transfer};
use daymark_protocol::limits::{CHUNK_BYTES_MAX, INDEX_BYTES_MAX, MESSAGE_BYTES_MAX};
use daymark_protocol::wire::{GossipMessage, JoinMessage, Liveness, SyncMessage};

use super::{BINARY, comes_back, refused, world};
use crate::target::{Allowance, Target, Told};

/// A message, and a little more.
const MESSAGE: usize = MESSAGE_BYTES_MAX + 64;

pub(super) const TARGETS: &[Target] = &[
    Target {
        name: "wire-join",
        about: "messages with strangers",
        input_bytes_max: MESSAGE,
        allowance: BINARY,
        words: &[],
        sources: &[
            "protocol/src/wire/join.rs",
            "protocol/src/wire/mod.rs",
            "protocol/src/codec.rs",
        ],
        run: |input| {
            let message = JoinMessage::decode(input).map_err(refused)?;
            comes_back(&variant(&message), &message.encode(), input)
        },
    },
    Target {
        name: "wire-sync",
        about: "messages between members",
        input_bytes_max: MESSAGE,
        allowance: BINARY,
        words: &["fleet", "site/site-1a2b3c4d", "host/"],
        sources: &["protocol/src/wire/sync.rs", "protocol/src/wire/session.rs"],
        run: |input| {
            let message = SyncMessage::decode(input).map_err(refused)?;
            comes_back(&variant(&message), &message.encode(), input)
        },
    },
    Target {
        name: "wire-gossip",
        about: "gossip",
        input_bytes_max: MESSAGE,
        allowance: BINARY,
        words: &[],
        sources: &["protocol/src/wire/gossip.rs"],
        run: |input| {
            let message = GossipMessage::decode(input).map_err(refused)?;
            comes_back(&variant(&message), &message.encode(), input)
        },
    },
    Target {
        name: "liveness",
        about: "signs of life, as they are and signed anew",
        input_bytes_max: 8 * 1024,
        allowance: BINARY,
        words: &["/ip4/10.1.2.3/tcp/7440", "/ip6/fe80::1/udp/7440/quic-v1"],
        sources: &["protocol/src/wire/liveness.rs"],
        run: liveness,
    },
    Target {
        name: "message-frames",
        about: "framed messages of a stream",
        input_bytes_max: MESSAGE,
        allowance: Allowance { base_bytes: 3 * MESSAGE_BYTES_MAX, per_byte: 24 },
        words: &[],
        sources: &["node/src/mesh/frame.rs"],
        run: |input| {
            let written = fuzzing::message_frames(input).map_err(refused)?;
            comes_back("frames", &written, &input[..written.len().min(input.len())])
        },
    },
    Target {
        name: "chunk-frames",
        about: "frames of a chunk stream",
        input_bytes_max: 2 * CHUNK_BYTES_MAX,
        allowance: Allowance { base_bytes: INDEX_BYTES_MAX + 64 * 1024, per_byte: 24 },
        words: &[],
        sources: &["node/src/transfer/frame.rs"],
        run: |input| {
            let written = fuzzing::chunk_frames(input).map_err(refused)?;
            comes_back("frames", &written, input)
        },
    },
    Target {
        name: "stored-chunk",
        about: "a chunk in its stored form, behind the length that is expected",
        input_bytes_max: CHUNK_BYTES_MAX + 4,
        allowance: Allowance { base_bytes: CHUNK_BYTES_MAX + 64 * 1024, per_byte: 2 },
        words: &[],
        sources: &["node/src/transfer/codec.rs"],
        run: |input| {
            let (length, stored) = input.split_first_chunk::<4>().ok_or("too short")?;
            let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
            let length = length.min(CHUNK_BYTES_MAX);
            let chunk = transfer::decompress_chunk(stored.to_vec(), length).map_err(refused)?;
            assert_eq!(chunk.len(), length, "another length than was asked for");
            Ok("chunk".to_owned())
        },
    },
    Target {
        name: "peer-address",
        about: "addresses that peers say and people configure",
        input_bytes_max: 4 * 1024,
        allowance: Allowance { base_bytes: 64 * 1024, per_byte: 64 },
        words: &["/ip4/", "/ip6/", "/tcp/", "/udp/", "/quic-v1", "/p2p/", "/dns4/", "/p2p-circuit"],
        sources: &[],
        run: |input| fuzzing::peer_address(super::text(input)?).ok_or_else(|| "none".to_owned()),
    },
];

fn variant(message: &impl std::fmt::Debug) -> String {
    let told = format!("{message:.0?}");
    told.split(|letter: char| !letter.is_alphanumeric()).next().unwrap_or_default().to_owned()
}

/// As received, and with this host's key and signature in it, so that what is behind them is
/// reached.
fn liveness(input: &[u8]) -> Told {
    let own = world::host();
    let as_is = Liveness::verify(input).map_err(refused);
    let mut body = input[..input.len().saturating_sub(64)].to_vec();
    if let Some(key) = body.get_mut(33..65) {
        key.copy_from_slice(own.public().as_bytes());
    }
    body.extend(own.sign(daymark_protocol::trust::Context::Liveness, &body).0);
    match Liveness::verify(&body) {
        Ok(liveness) => comes_back("liveness", &liveness.sign(&own), &body),
        Err(error) => as_is.map(|_| "as it is".to_owned()).map_err(|_| refused(error)),
    }
}
