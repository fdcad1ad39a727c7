//! What is installed, as far as anybody knows: what the machine reports, and where it is silent
//! what its Host statement claims (DESIGN section 6, first contact).

use super::image::Image;
use super::model::{Installed, InstalledSource};
use crate::resource::Baseline;
use crate::version::Version;

/// What is installed, field by field.
#[derive(Clone, Copy, Debug)]
pub(super) struct Running<'a> {
    pub(super) profile: Option<&'a str>,
    pub(super) version: Option<&'a str>,
    installed: Option<&'a Installed>,
    source: Option<InstalledSource>,
}

impl<'a> Running<'a> {
    pub(super) fn of(installed: Option<&'a Installed>, baseline: Option<&'a Baseline>) -> Self {
        let reported = installed.and_then(|installed| installed.profile.as_deref());
        let version = installed.and_then(|installed| installed.version.as_deref());
        // A claim completes a report that it does not contradict.
        let claim = baseline.filter(|claim| {
            reported.is_none_or(|profile| profile == claim.profile)
                && version.is_none_or(|version| version == claim.version)
        });
        Self {
            profile: reported.or_else(|| claim.map(|claim| claim.profile.as_str())),
            version: version.or_else(|| claim.map(|claim| claim.version.as_str())),
            installed,
            source: installed
                .filter(|_| reported.is_some() || version.is_some())
                .map(|installed| installed.source)
                .or_else(|| claim.map(|_| InstalledSource::Baseline)),
        }
    }

    pub(super) fn parsed(&self) -> Option<Version> {
        self.version?.parse().ok()
    }

    /// Whether the very bytes of `image` run, as far as digests on both sides tell.
    pub(super) fn is_same_bytes(&self, image: &Image) -> Option<bool> {
        self.installed?.is_same_bytes(image.index_digest, image.sha256)
    }

    fn said_by(&self) -> &'static str {
        match self.source {
            Some(InstalledSource::Slot) => "its slot",
            Some(InstalledSource::Program) => "the operator's program",
            Some(InstalledSource::OsRelease) => "os-release",
            Some(InstalledSource::Baseline) | None => "its Host statement",
        }
    }

    /// For people.
    pub(super) fn told(&self) -> String {
        match (self.profile, self.version) {
            (None, None) => "unknown".into(),
            (profile, version) => format!(
                "{} {} (says {})",
                profile.unwrap_or("unknown"),
                version.unwrap_or("unknown"),
                self.said_by()
            ),
        }
    }
}
