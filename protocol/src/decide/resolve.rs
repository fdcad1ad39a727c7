//! Which image a policy asks for: TARGET names a digest, LATEST takes the highest promoted version
//! of the host's own profile (RULES S8). Whether it may be installed is the gates' question.

use super::because::Because;
use super::image::{Image, ImageStanding};
use super::latest::latest;
use super::line::InForce;
use super::reach::Reach;
use crate::resource::{OsUpdatePolicySpec, TargetOs, UpdatePolicy};
use crate::rules::{Rule, holds};
use crate::time::Now;
use crate::trust::Seen;

/// What a policy resolves to.
pub(super) enum Resolution<'a> {
    /// This image; with what the signers of its promotion saw and is missing here.
    Image(&'a Image, &'a [Seen], Because),
    /// A change that is no image: packages or kernel arguments.
    Other(Because),
    /// Nothing is asked for at present.
    Nothing(Because),
    /// It cannot be told: wait.
    Wait(Because),
}

/// Resolves a policy for a host on `profile`.
pub(super) fn resolve<'a>(
    reach: &'a Reach,
    spec: &OsUpdatePolicySpec,
    profile: Option<&str>,
    now: &Now,
) -> Resolution<'a> {
    match spec.update_policy {
        UpdatePolicy::Latest => match profile {
            Some(profile) => latest(reach, spec, profile, now),
            None => Resolution::Wait(Because::new(
                "installed-unknown",
                "LATEST goes by the installed profile, and nobody knows what is installed: \
                 neither the machine nor its Host statement says",
            )),
        },
        UpdatePolicy::Target => target(reach, spec, now),
    }
}

fn target<'a>(reach: &'a Reach, spec: &OsUpdatePolicySpec, now: &Now) -> Resolution<'a> {
    let packages = !spec.update_packages.is_empty() || !spec.update_sources.is_empty();
    let kernel = !spec.update_kernel_command.is_empty();
    match &spec.target_os {
        Some(_) if packages || kernel => Resolution::Wait(Because::new(
            "ambiguous-policy",
            "the policy names an OS and also packages or kernel arguments",
        )),
        Some(os) if spec.avoid.contains(&os.digest) => Resolution::Wait(Because::new(
            "avoided",
            format!("the policy names {} {} and avoids it", os.profile, os.version),
        )),
        Some(os) => match image(reach, os, now) {
            Ok(image) => {
                let why =
                    Because::new("target", format!("TARGET is {} {}", os.profile, os.version))
                        .fact("osprofile", format!("{} {}", image.id, image.digest.short()))
                        .changes_at(now, image.span.ends());
                Resolution::Image(image, &[], why)
            }
            Err(Unresolved::Withdrawn(because) | Unresolved::Unsure(because)) => {
                Resolution::Wait(because)
            }
        },
        None if packages => {
            Resolution::Other(Because::new("target", "TARGET is a set of packages"))
        }
        None if kernel => {
            Resolution::Other(Because::new("target", "TARGET is a kernel command line"))
        }
        None => Resolution::Wait(Because::new("empty-policy", "the policy names no target")),
    }
}

/// Why a named image cannot be used.
pub(super) enum Unresolved {
    /// It was removed or has ended: nobody wants it any more.
    Withdrawn(Because),
    /// It is missing, unknown or not what was named.
    Unsure(Because),
}

/// The image that `os` names: the digest decides, and name and version must agree with it.
pub(super) fn image<'a>(
    reach: &'a Reach,
    os: &TargetOs,
    now: &Now,
) -> Result<&'a Image, Unresolved> {
    let named = format!("{} {}", os.profile, os.version);
    let unsure = |reason, message: String| {
        let because = Because::new(reason, message).fact("osprofile", os.digest.short());
        Err(Unresolved::Unsure(because))
    };
    let by_digest = reach.images.by_digest(&os.digest);
    let by_name = || reach.images.of_profile(&os.profile).find(|one| one.written == os.version);
    let Some(image) = (if holds(Rule::S8Digest) { by_digest } else { by_name() }) else {
        return unsure("target-missing", format!("OS profile {named} is not held"));
    };
    match &image.standing {
        ImageStanding::Counts => {}
        ImageStanding::Superseded => {
            return unsure(
                "target-superseded",
                format!("OS profile {named} says something else since it was named"),
            );
        }
        ImageStanding::Unknown(why) => {
            return unsure("target-unknown", format!("OS profile {named} is unknown: {why}"));
        }
        ImageStanding::Gone => {
            let because = Because::new("target-missing", format!("OS profile {named} was removed"));
            return Err(Unresolved::Withdrawn(because));
        }
    }
    if (&image.profile, &image.written) != (&os.profile, &os.version) {
        let is = format!("the digest named as {named} is {} {}", image.profile, image.written);
        return unsure("target-mismatch", is);
    }
    match image.span.in_force(now) {
        InForce::Yes => Ok(image),
        InForce::Ended => Err(Unresolved::Withdrawn(Because::new(
            "target-ended",
            format!("OS profile {named} has ended"),
        ))),
        InForce::Lapsed => {
            let message = format!("the delegation of those who signed OS profile {named} is over");
            Err(Unresolved::Unsure(Because::new("target-lapsed", message)))
        }
        InForce::Unsure(at) => Err(Unresolved::Unsure(
            Because::new("target-unsure", format!("OS profile {named} changes at {at}"))
                .changes_at(now, at),
        )),
    }
}
