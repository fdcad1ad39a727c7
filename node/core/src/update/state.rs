//! What others ask of the durable state of an update.

use daymark_protocol::decide::StagedImage;

use super::attempt;
use crate::durable::{Attempt, UpdateState};

/// What is staged, as the decision sees it: also while the switch is under way.
pub(crate) fn staged_image(state: &UpdateState) -> Option<StagedImage> {
    match state {
        UpdateState::Staged(attempt) | UpdateState::Activating(attempt) => Some(StagedImage {
            profile: attempt.target.digest,
            index_digest: attempt::image_of(&attempt.target),
        }),
        UpdateState::Idle
        | UpdateState::Staging(_)
        | UpdateState::Rebooting(_)
        | UpdateState::Confirming(_)
        | UpdateState::FallingBack(_) => None,
    }
}

/// The attempt under way, if one is.
pub(crate) fn attempt_of(state: &UpdateState) -> Option<&Attempt> {
    match state {
        UpdateState::Idle => None,
        UpdateState::Staging(attempt)
        | UpdateState::Staged(attempt)
        | UpdateState::Activating(attempt)
        | UpdateState::Rebooting(attempt)
        | UpdateState::Confirming(attempt)
        | UpdateState::FallingBack(attempt) => Some(attempt),
    }
}
