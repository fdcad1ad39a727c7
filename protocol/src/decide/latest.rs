//! LATEST: the highest version of the host's own profile that was promoted, or with automatic
//! promotion has been signed for long enough. The highest that may be meant decides: one that
//! cannot be judged makes the host wait rather than take the next lower one (I6).

use super::because::Because;
use super::image::{Image, ImageStanding};
use super::line::{InForce, Span};
use super::reach::{Promotion, Reach};
use super::resolve::{Resolution, Unresolved, image};
use crate::id::Digest;
use crate::resource::{OsType, OsUpdatePolicySpec, PromotionMode};
use crate::time::{Now, WallTime};
use crate::trust::Seen;
use crate::version::{Version, VersionRange};

/// A version that LATEST may mean.
struct Candidate<'a> {
    version: &'a Version,
    digest: Digest,
    image: Result<&'a Image, Because>,
    /// What the signers of its promotion saw and is missing here.
    missing: &'a [Seen],
    until: Option<WallTime>,
}

pub(super) fn latest<'a>(
    reach: &'a Reach,
    spec: &OsUpdatePolicySpec,
    profile: &str,
    now: &Now,
) -> Resolution<'a> {
    let lost = match spec.promotion {
        PromotionMode::Manual => reach.lost_promotion.as_ref(),
        PromotionMode::Automatic => reach.images.lost(),
    };
    if let Some(lost) = lost {
        let message = format!("what {profile} may be is not all held: {lost}");
        return Resolution::Wait(Because::new("promotion-unknown", message));
    }
    let range = spec.versions.as_deref().map(VersionRange::new);
    let wanted = |version: &Version, digest: &Digest| {
        range.as_ref().is_none_or(|range| range.admits(version)) && !spec.avoid.contains(digest)
    };
    let (candidates, soaked_at) = match (spec.promotion, spec.soak_seconds, &range) {
        (PromotionMode::Manual, ..) => (promoted(reach, profile, now, wanted), None),
        (PromotionMode::Automatic, Some(seconds), Some(_)) => {
            let soak_ms = i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1000);
            soaked(reach, profile, now, soak_ms, wanted)
        }
        (PromotionMode::Automatic, ..) => {
            return Resolution::Wait(Because::new(
                "automatic-unbounded",
                "automatic promotion needs a range of versions and a soak time",
            ));
        }
    };
    highest(candidates, profile, soaked_at, now)
}

fn highest<'a>(
    candidates: Vec<Candidate<'a>>,
    profile: &str,
    soaked_at: Option<WallTime>,
    now: &Now,
) -> Resolution<'a> {
    let Some(top) = candidates.iter().map(|candidate| candidate.version).max() else {
        let message = format!("no version of {profile} is promoted for this host");
        let because = Because::new("nothing-promoted", message).changes_at(now, soaked_at);
        return Resolution::Nothing(because);
    };
    let group = || candidates.iter().filter(|candidate| candidate.version == top);
    let certain = group().find_map(|candidate| Some((candidate, *candidate.image.as_ref().ok()?)));
    // A second promotion of the same image adds nothing, whatever is not known of it.
    let other = group()
        .find(|candidate| certain.is_none_or(|(certain, _)| certain.digest != candidate.digest));
    let because = match (certain, other.map(|other| (other.digest, &other.image))) {
        (_, Some((_, Err(because)))) => because.clone(),
        (Some((candidate, image)), None) => {
            let message = format!("the latest promoted version of {profile} is {top}");
            let because = Because::new("latest", message)
                .fact("osprofile", format!("{} {}", image.id, image.digest.short()))
                .changes_at(now, soaked_at);
            let because = group().fold(because, |because, one| because.changes_at(now, one.until));
            return Resolution::Image(image, candidate.missing, because);
        }
        (certain, Some((digest, Ok(_)))) => {
            let named = certain.map(|(certain, _)| certain.digest).unwrap_or(digest);
            let message = format!("two different images are both {profile} {top}");
            Because::new("version-conflict", message)
                .fact("osprofile", named.short())
                .fact("osprofile", digest.short())
        }
        (None, None) => Because::new("nothing-promoted", "nothing is promoted"),
    };
    Resolution::Wait(because.changes_at(now, soaked_at))
}

fn promoted<'a>(
    reach: &'a Reach,
    profile: &str,
    now: &Now,
    wanted: impl Fn(&Version, &Digest) -> bool,
) -> Vec<Candidate<'a>> {
    let of_profile = reach.promotions.iter().filter(|promotion| {
        let only = promotion.source.profile.as_deref();
        promotion.os.profile == profile && only.is_none_or(|only| only == profile)
    });
    of_profile
        .filter_map(|promotion| {
            let version = promotion.parsed.as_ref()?;
            if !wanted(version, &promotion.os.digest) {
                return None;
            }
            let image = promoted_image(reach, promotion, now)?;
            let profile_until = image.as_ref().ok().and_then(|image| image.span.ends());
            let until = [promotion.source.span.ends(), profile_until].into_iter().flatten().min();
            let (digest, missing) = (promotion.os.digest, promotion.source.missing.as_slice());
            Some(Candidate { version, digest, image, missing, until })
        })
        .collect()
}

/// `None` if the promotion or its profile has ended or was removed, or is not of images.
fn promoted_image<'a>(
    reach: &'a Reach,
    promotion: &Promotion,
    now: &Now,
) -> Option<Result<&'a Image, Because>> {
    let named = format!("{} {}", promotion.os.profile, promotion.os.version);
    if let Some(why) = &promotion.unknown {
        let message = format!("whether {named} is promoted is unknown: {why}");
        return Some(Err(Because::new("promotion-unknown", message)));
    }
    match promotion.source.span.in_force(now) {
        InForce::Ended => return None,
        InForce::Lapsed => {
            let message = format!("the delegation of those who promoted {named} is over");
            return Some(Err(Because::new("promotion-lapsed", message)));
        }
        InForce::Unsure(at) => {
            let message = format!("the promotion of {named} changes at {at}");
            return Some(Err(Because::new("promotion-unsure", message).changes_at(now, at)));
        }
        InForce::Yes => {}
    }
    match image(reach, &promotion.os, now) {
        Ok(image) => (image.os_type == OsType::Immutable).then_some(Ok(image)),
        Err(Unresolved::Withdrawn(_)) => None,
        Err(Unresolved::Unsure(because)) => Some(Err(because)),
    }
}

/// Automatic promotion: what has been signed for the soak time. Also the next moment at which
/// another version will have been.
fn soaked<'a>(
    reach: &'a Reach,
    profile: &str,
    now: &Now,
    soak_ms: i64,
    wanted: impl Fn(&Version, &Digest) -> bool,
) -> (Vec<Candidate<'a>>, Option<WallTime>) {
    let mut candidates = Vec::new();
    let mut next: Option<WallTime> = None;
    for image in reach.images.of_profile(profile) {
        let Some(version) = &image.version else { continue };
        if image.os_type != OsType::Immutable || !wanted(version, &image.digest) {
            continue;
        }
        let soaked_at = image.issued.plus_ms(soak_ms);
        let span = Span { from: soaked_at, ..image.span };
        let judged = match (&image.standing, span.in_force(now)) {
            (ImageStanding::Superseded | ImageStanding::Gone, _) | (_, InForce::Ended) => continue,
            (ImageStanding::Unknown(why), _) => {
                let message = format!("OS profile {profile} {version} is unknown: {why}");
                Err(Because::new("target-unknown", message))
            }
            (ImageStanding::Counts, InForce::Lapsed) => {
                let message =
                    format!("the delegation of those who signed {profile} {version} is over");
                Err(Because::new("target-lapsed", message))
            }
            (ImageStanding::Counts, InForce::Unsure(at)) if now.latest < soaked_at => {
                next = Some(next.map_or(at, |next| next.min(at)));
                continue;
            }
            (ImageStanding::Counts, InForce::Unsure(at)) => {
                let message = format!("{profile} {version} becomes or ceases to be LATEST at {at}");
                Err(Because::new("promotion-unsure", message).changes_at(now, at))
            }
            (ImageStanding::Counts, InForce::Yes) => Ok(image),
        };
        let (digest, until) = (image.digest, image.span.ends());
        candidates.push(Candidate { version, digest, image: judged, missing: &[], until });
    }
    (candidates, next)
}
