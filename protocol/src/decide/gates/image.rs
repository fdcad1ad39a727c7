//! Whether the image fits, is wanted over what runs, and has not failed here.

use std::cmp::Ordering;

use crate::decide::because::Because;
use crate::decide::image::{Image, Images};
use crate::decide::line::InForce;
use crate::decide::model::{Gate, GateAnswer, Machine, PlatformKind, Quarantined};
use crate::decide::reach::Retry;
use crate::decide::running::Running;
use crate::resource::{OsType, OsUpdatePolicySpec};
use crate::rules::{Rule, holds};
use crate::time::Now;

/// A backend is there, and profile, kind and architecture fit.
pub(in crate::decide) fn compatible(
    image: Option<&Image>,
    spec: &OsUpdatePolicySpec,
    running: &Running<'_>,
    machine: &Machine,
) -> GateAnswer {
    let because = match image {
        None => no_backend(machine),
        Some(image) => unfit(image, spec, running, machine),
    };
    match (because, image) {
        (Some(because), _) => because.fact("installed", running.told()).fail(Gate::Compatible),
        (None, image) => Because::new("compatible", "the image fits this host")
            .fact("osprofile", image.map_or_else(String::new, |image| image.profile.clone()))
            .pass(Gate::Compatible),
    }
}

/// Packages and kernel arguments have no backend yet, nor has a machine without one.
fn no_backend(machine: &Machine) -> Option<Because> {
    let message = match machine.os_type {
        OsType::Mutable => "no apt backend",
        OsType::Immutable => "no backend for images on this machine",
    };
    Some(Because::new("no-backend", message))
}

fn unfit(
    image: &Image,
    spec: &OsUpdatePolicySpec,
    running: &Running<'_>,
    machine: &Machine,
) -> Option<Because> {
    match machine.platform {
        PlatformKind::None => return no_backend(machine),
        PlatformKind::Slots if image.index_digest.is_none() => {
            let message = format!("{} {} has no image of ours", image.profile, image.written);
            return Some(Because::new("no-image", message));
        }
        PlatformKind::Slots | PlatformKind::Command => {}
    }
    if image.os_type != machine.os_type {
        return Some(Because::new("policy-kind-mismatch", "the image is of another kind of OS"));
    }
    let (wanted, has) = (canonical(&image.architecture), canonical(&machine.architecture));
    if !wanted.is_empty() && wanted != has && holds(Rule::I4Architecture) {
        let message = format!("the image is for {wanted}, this machine is {has:?}");
        return Some(Because::new("architecture-mismatch", message));
    }
    match running.profile {
        Some(profile) if profile == image.profile => None,
        _ if spec.from_any => None,
        Some(profile) => Some(Because::new(
            "profile-mismatch",
            format!(
                "the image is {}, this host runs {profile}; `from: any` permits it",
                image.profile
            ),
        )),
        None => Some(Because::new(
            "installed-unknown",
            "nobody knows what is installed; `from: any` permits to replace it",
        )),
    }
}

/// `uname -m` and Debian's names for the same.
fn canonical(architecture: &str) -> &str {
    match architecture {
        "amd64" => "x86_64",
        "arm64" => "aarch64",
        other => other,
    }
}

/// Words of [`newer`] that mean that nothing is wanted at all.
const MOOT: [&str; 2] = ["already-there", "target-older"];

/// Whether an answer of [`newer`] means that nothing is wanted.
pub(in crate::decide) fn is_moot(answer: &GateAnswer) -> bool {
    !answer.pass && MOOT.contains(&answer.reason.as_ref())
}

/// It is newer, or going back or over is permitted, and not below the floor of its profile (I4).
pub(in crate::decide) fn newer(
    image: &Image,
    spec: &OsUpdatePolicySpec,
    running: &Running<'_>,
    machine: &Machine,
    images: &Images,
) -> GateAnswer {
    let told = format!("{} {}", image.profile, image.written);
    let answer = |pass: bool, reason: &'static str, message: String| {
        let because = Because::new(reason, message)
            .fact("installed", running.told())
            .fact("target", told.clone());
        if pass { because.pass(Gate::Newer) } else { because.fail(Gate::Newer) }
    };
    let same_profile = running.profile == Some(image.profile.as_str());
    let same_bytes = running.is_same_bytes(image);
    if same_bytes == Some(true) {
        return answer(false, "already-there", format!("{told} is what runs"));
    }
    let installed = running.parsed().filter(|_| same_profile);
    let order = image.version.as_ref().zip(installed.as_ref()).map(|(new, old)| new.cmp(old));
    if same_bytes.is_none() && same_profile && running.version == Some(image.written.as_str())
        || same_bytes.is_none() && order == Some(Ordering::Equal)
    {
        return answer(false, "already-there", format!("{told} is what runs"));
    }
    if let Some(floor) = images.floor(&image.profile)
        && image.version.as_ref().is_none_or(|version| version < floor)
        && holds(Rule::I4Minimum)
    {
        return answer(false, "below-minimum", format!("no host of it goes below {floor}"));
    }
    if let Some(lost) = images.lost() {
        let message = format!("what the minimum version is cannot be told: {lost}");
        return answer(false, "minimum-unknown", message);
    }
    let goes_back = order == Some(Ordering::Less) && spec.allow_downgrade;
    if let Some(unread) = images.unread()
        && (goes_back || (order.is_none() && spec.from_any))
    {
        let message = format!("what the minimum version is cannot be told: {unread}");
        return answer(false, "minimum-unknown", message);
    }
    match order {
        Some(Ordering::Greater) => answer(true, "newer", format!("{told} is newer")),
        Some(Ordering::Equal) => {
            answer(true, "republished", format!("{told} was published anew with other content"))
        }
        Some(Ordering::Less) if spec.allow_downgrade || !holds(Rule::I4Older) => {
            answer(true, "downgrade-permitted", format!("{told} is older, as is wanted"))
        }
        Some(Ordering::Less) => answer(false, "target-older", format!("{told} is older")),
        None if spec.from_any && !can_be_told(image, running, machine) => answer(
            false,
            "installed-unknown",
            format!(
                "what runs is called {} too, and the operator's program tells neither its profile \
                 nor its image: afterwards nobody could say whether {told} came up",
                image.written
            ),
        ),
        None if spec.from_any => answer(true, "from-any", "the policy takes any OS".into()),
        None => answer(
            false,
            "installed-unknown",
            format!("whether {told} is newer cannot be told: the versions do not compare"),
        ),
    }
}

/// A failure of the image on this host, and the retry that lifts it, if one does.
pub(in crate::decide) type Failure<'a> = (&'a Quarantined, Option<&'a Retry>);

/// The failures of the image on this host. Of several retries that lift one it is that of whose
/// signers' knowledge the least is missing here (RULES S5).
pub(in crate::decide) fn failures<'a>(
    image: &'a Image,
    machine: &'a Machine,
    retries: &'a [Retry],
    profile: Option<&'a str>,
    now: &'a Now,
) -> impl Iterator<Item = Failure<'a>> {
    let in_force = move |retry: &&Retry| {
        let only = retry.source.profile.as_deref();
        retry.source.span.in_force(now) == InForce::Yes && (only.is_none() || only == profile)
    };
    let ours = machine.quarantine.iter().filter(|failed| {
        failed.profile == image.digest || Some(failed.index_digest) == image.index_digest
    });
    ours.map(move |failed| {
        let names = |retry: &&Retry| {
            retry.profile == failed.profile && failed.attempt <= retry.attempt && in_force(retry)
        };
        let lifting = retries.iter().filter(names);
        (failed, lifting.min_by_key(|retry| retry.source.missing.len()))
    })
}

/// Whether the machine will be able to tell the image from what runs now (I12). Slots are told
/// apart by name; an operator's program tells bytes, profile or version.
fn can_be_told(image: &Image, running: &Running<'_>, machine: &Machine) -> bool {
    match machine.platform {
        PlatformKind::Slots | PlatformKind::None => true,
        PlatformKind::Command => {
            let installed = machine.installed.as_ref();
            let version = installed.and_then(|installed| installed.version.as_ref());
            let profile = installed.and_then(|installed| installed.profile.as_ref());
            running.is_same_bytes(image).is_some()
                || version != Some(&image.written)
                || profile.is_some_and(|profile| *profile != image.profile)
        }
    }
}

/// It has not failed here, or a retry lifts that (RULES Q3).
pub(in crate::decide) fn quarantine<'a>(
    failures: impl Iterator<Item = Failure<'a>>,
    now: &Now,
) -> GateAnswer {
    let mut lifted_until = None;
    for (failed, retry) in failures {
        let Some(retry) = retry else {
            return Because::new("quarantined", "this image failed here; `retry` lifts that")
                .fact("attempt", format!("{}: {}", failed.attempt, failed.reason))
                .fail(Gate::Quarantine);
        };
        lifted_until = [lifted_until, retry.source.span.ends()].into_iter().flatten().min();
    }
    Because::new("not-quarantined", "this image has not failed here")
        .changes_at(now, lifted_until)
        .pass(Gate::Quarantine)
}
