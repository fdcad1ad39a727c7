//! OS profiles as the decision sees them: which signed image a digest or a version stands for, and
//! below which version nobody goes (RULES S8, I4).

use std::collections::BTreeMap;

use super::line::{Says, Span, says};
use super::place::Place;
use super::reach::{lost, missing};
use crate::id::{Digest, ResourceId};
use crate::resource::{Kind, OsProfileSpec, OsType, PartDigest, PartName, Spec};
use crate::time::WallTime;
use crate::trust::{Line, Seen, Standing, Validity};
use crate::version::Version;

/// One held version of an OS profile.
#[derive(Clone, Debug)]
pub(super) struct Image {
    pub(super) id: ResourceId,
    /// Resource digest of the profile.
    pub(super) digest: Digest,
    pub(super) profile: String,
    /// Image version as written.
    pub(super) written: String,
    /// `None` if what is written is no version.
    pub(super) version: Option<Version>,
    pub(super) os_type: OsType,
    pub(super) architecture: String,
    pub(super) index_digest: Option<Digest>,
    pub(super) index_bytes: Option<u64>,
    pub(super) parts: BTreeMap<PartName, PartDigest>,
    pub(super) sha256: Option<Digest>,
    pub(super) activation_ms: Option<u64>,
    pub(super) span: Span,
    pub(super) issued: WallTime,
    pub(super) missing: Vec<Seen>,
    pub(super) standing: ImageStanding,
}

/// Whether a held version of an OS profile is what its id says now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ImageStanding {
    /// It counts.
    Counts,
    /// A newer version of the same id says something else.
    Superseded,
    /// The profile was removed.
    Gone,
    /// The id is unknown (RULES C2).
    Unknown(String),
}

/// All images, and the floor of each profile name.
#[derive(Clone, Debug, Default)]
pub(super) struct Images {
    all: Vec<Image>,
    floors: BTreeMap<String, Version>,
    lost: Option<String>,
    unread: Option<String>,
}

impl Images {
    pub(super) fn of(standing: &Standing, place: &Place) -> Self {
        let lost = lost(standing, Kind::OsProfile);
        let mut images = Self { lost, ..Self::default() };
        for (id, line) in standing.of_kind(Kind::OsProfile) {
            images.take(standing, place, id, line);
        }
        images
    }

    fn take(&mut self, standing: &Standing, place: &Place, id: &ResourceId, line: &Line) {
        let said = says(line);
        if let Says::Unknown(why) = &said
            && hides_its_minimum(line, place)
        {
            self.unread.get_or_insert_with(|| format!("{} {id}: {why}", Kind::OsProfile));
        }
        for (index, version) in line.versions.iter().enumerate() {
            let Ok(Some(Spec::OsProfile(spec))) = &version.spec else { continue };
            if !version.scope.holds(&place.host) {
                continue;
            }
            let standing_of = match &said {
                Says::Unknown(why) => ImageStanding::Unknown(why.clone()),
                Says::Gone(_) => ImageStanding::Gone,
                Says::This(..) if index > 0 => ImageStanding::Superseded,
                Says::This(..) => ImageStanding::Counts,
            };
            // A superseded floor was corrected on purpose; a removed or unknown one was not.
            if standing_of != ImageStanding::Superseded {
                self.raise_floor(spec);
            }
            self.all.push(Image {
                id: id.clone(),
                digest: version.digest,
                profile: spec.profile_name.clone(),
                written: spec.os_image_version.clone(),
                version: spec.os_image_version.parse().ok(),
                os_type: spec.os_type,
                architecture: spec.architecture.clone(),
                index_digest: spec.index_digest,
                index_bytes: spec.index_bytes,
                parts: spec.parts.clone(),
                sha256: spec.os_image_sha256,
                activation_ms: spec.activation_seconds.map(|seconds| u64::from(seconds) * 1000),
                span: Span::of(version),
                issued: version.issued,
                missing: missing(standing, place, &version.sees),
                standing: standing_of,
            });
        }
    }

    fn raise_floor(&mut self, spec: &OsProfileSpec) {
        let Some(minimum) = spec.minimum_version.as_ref().and_then(|text| text.parse().ok()) else {
            return;
        };
        let floor = self.floors.entry(spec.profile_name.clone());
        let floor = floor.or_insert_with(|| Version::clone(&minimum));
        if *floor < minimum {
            *floor = minimum;
        }
    }

    /// The image that a digest names, in whatever standing; one that counts first.
    pub(super) fn by_digest(&self, digest: &Digest) -> Option<&Image> {
        let named = || self.all.iter().filter(|image| image.digest == *digest);
        named().find(|image| image.standing == ImageStanding::Counts).or_else(|| named().next())
    }

    /// The image that a digest names, if it counts.
    pub(super) fn counting(&self, digest: &Digest) -> Option<&Image> {
        self.by_digest(digest).filter(|image| image.standing == ImageStanding::Counts)
    }

    /// All images of a profile name.
    pub(super) fn of_profile<'a, 'p>(
        &'a self,
        profile: &'p str,
    ) -> impl Iterator<Item = &'a Image> + use<'a, 'p> {
        self.all.iter().filter(move |image| image.profile == profile)
    }

    /// An OS profile of which only a floor is left: it may have been anything, and may have said
    /// below which version nobody goes (I4, I6).
    pub(super) fn lost(&self) -> Option<&String> {
        self.lost.as_ref()
    }

    /// An OS profile for this host whose newest version says below which version nobody goes, and
    /// cannot be read: while the agent is too old for it, only going back or over waits (I4, I6).
    pub(super) fn unread(&self) -> Option<&String> {
        self.unread.as_ref()
    }

    /// The version below which no host of a profile goes.
    pub(super) fn floor(&self, profile: &str) -> Option<&Version> {
        self.floors.get(profile)
    }
}

/// Whether of an unknown id the minimum is not known either: its newest version cannot be read, or
/// is not held. One that lost its signatures, or that another contradicts, still says its own.
fn hides_its_minimum(line: &Line, place: &Place) -> bool {
    let Some(newest) = line.versions.first() else { return false };
    let mut top = line.versions.iter().filter(|version| version.version == newest.version);
    let is_read =
        top.clone().all(|one| one.gone || matches!(one.spec, Ok(Some(Spec::OsProfile(_)))));
    let tells_why = top.clone().count() > 1 || newest.validity == Validity::Fallen;
    top.any(|version| version.scope.holds(&place.host)) && !(is_read && tells_why)
}
