//! Getting the index of an image, from whoever has it first.

use std::sync::Arc;
use std::time::Duration;

use daymark_core::fetch::FetchSource;
use daymark_protocol::image::Index;
use tokio::time::{Instant, sleep, timeout};

use super::peer::{PeerStreams, peer_index};
use super::progress::Tally;
use super::stage::{StageRequest, StageSources};
use crate::causes::with_causes;
use crate::slots::Slots;

/// How long a peer may take to send an index.
const PEER_TIMEOUT: Duration = Duration::from_secs(10);
/// Pause before all are asked again.
const ROUND_PAUSE: Duration = Duration::from_millis(500);

/// The index that the profile signs for: from the own slots, from peers, and after `origin_after`
/// from the release sources. Sources that send another one are added to `blamed`. Asks on until
/// someone has it.
pub(super) async fn fetch_index<P: PeerStreams>(
    slots: &Slots,
    request: &StageRequest,
    sources: &StageSources<P>,
    origin_after: Instant,
    tally: &mut Tally,
    blamed: &mut Vec<FetchSource>,
) -> Arc<Index> {
    if let Some(image) = slots.image(&request.image.index) {
        return Arc::clone(image.index());
    }
    loop {
        for peer in sources.peers.peers() {
            let source = FetchSource::Peer(peer);
            if blamed.contains(&source) {
                continue;
            }
            // A peer without the image, or without time, is asked again in the next round.
            let asked = timeout(PEER_TIMEOUT, from_peer(request, sources, peer)).await;
            let Ok(Ok(bytes)) = asked else { continue };
            match Index::open(&bytes, &request.image.index) {
                Ok(index) => {
                    tally.arrived(source, bytes.len() as u64);
                    return Arc::new(index);
                }
                Err(wrong) => {
                    tally.refused(source);
                    tally.trouble(format!("peer {}: {wrong}", peer.short()));
                    blamed.push(source);
                }
            }
        }
        if Instant::now() >= origin_after
            && let Some(index) = from_origins(request, sources, tally).await
        {
            return index;
        }
        sleep(ROUND_PAUSE).await;
    }
}

async fn from_peer<P: PeerStreams>(
    request: &StageRequest,
    sources: &StageSources<P>,
    peer: daymark_protocol::id::KeyId,
) -> std::io::Result<Vec<u8>> {
    let stream = sources.peers.open(peer).await?;
    let bytes_max = usize::try_from(request.index_bytes).unwrap_or(usize::MAX);
    peer_index(stream, request.image.index, bytes_max).await
}

async fn from_origins<P: PeerStreams>(
    request: &StageRequest,
    sources: &StageSources<P>,
    tally: &mut Tally,
) -> Option<Arc<Index>> {
    for (place, origin) in (0..).zip(&sources.origins) {
        let bytes = match origin.index(&request.image.index, request.index_bytes).await {
            Ok(bytes) => bytes,
            Err(error) => {
                tally.trouble(with_causes(&error));
                continue;
            }
        };
        match Index::open(&bytes, &request.image.index) {
            Ok(index) => {
                tally.arrived(FetchSource::Origin(place), bytes.len() as u64);
                return Some(Arc::new(index));
            }
            Err(wrong) => {
                tally.refused(FetchSource::Origin(place));
                tally.trouble(format!("{origin}: {wrong}"));
            }
        }
    }
    None
}
