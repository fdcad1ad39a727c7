//! When a host starts within a window, and from when on it stages for one (RULES Q7, Q8).

use super::image::Image;
use super::model::{Machine, Window};
use super::reach::Policy;
use crate::id::{Digest, KeyId};
use crate::resource::OsUpdatePolicySpec;
use crate::time::WallTime;

/// Activation time assumed until a host has measured its own (RULES Q8).
pub(super) const NEEDED_MS_DEFAULT: u64 = 5 * 60_000;
/// Seconds over which hosts spread their start, unless the policy says otherwise (RULES Q7).
const SPREAD_S_DEFAULT: u32 = 15 * 60;
/// How long before a window staging may start, unless the policy says otherwise: it destroys the
/// local way back (DESIGN section 7).
const STAGE_AHEAD_S_DEFAULT: u32 = 6 * 3600;

/// How much of a window must be left: as measured here, else as the profile says.
pub(super) fn needed_ms(machine: &Machine, image: Option<&Image>) -> u64 {
    let said = || image.and_then(|image| image.activation_ms);
    machine.activation_ms.or_else(said).unwrap_or(NEEDED_MS_DEFAULT)
}

/// When the host starts within a usable piece: at an offset that its id and the policy's give, so
/// that a site never reboots in one second. A policy issued in mid-window spreads from then on.
pub(super) fn start_at(
    piece: &Window,
    policy: &Policy,
    spec: &OsUpdatePolicySpec,
    host: KeyId,
    needed_ms: u64,
) -> WallTime {
    let begin = piece.start.max(policy.issued);
    let spread_ms = u64::from(spec.spread_seconds.unwrap_or(SPREAD_S_DEFAULT)) * 1000;
    let usable_ms = piece.end.map_or(u64::MAX, |end| {
        u64::try_from(end.since_ms(begin)).unwrap_or(0).saturating_sub(needed_ms)
    });
    match spread_ms.min(usable_ms) {
        0 => begin,
        width_ms => {
            let offset_ms = draw(policy, host) % width_ms;
            begin.plus_ms(i64::try_from(offset_ms).unwrap_or(i64::MAX))
        }
    }
}

fn draw(policy: &Policy, host: KeyId) -> u64 {
    let digest = Digest::of_parts(&[policy.source.id.as_str().as_bytes(), host.as_bytes()]);
    digest.0.iter().take(8).fold(0, |drawn, byte| drawn << 8 | u64::from(*byte))
}

/// From when on the host may stage for a usable piece; `None` if the policy ends before it.
pub(super) fn stage_from(
    piece: &Window,
    policy: &Policy,
    spec: &OsUpdatePolicySpec,
) -> Option<WallTime> {
    if policy.source.span.ends().is_some_and(|until| until <= piece.start) {
        return None;
    }
    let ahead_s = spec.stage_ahead_seconds.unwrap_or(STAGE_AHEAD_S_DEFAULT);
    Some(piece.start.plus_ms(-i64::from(ahead_s) * 1000))
}
