//! Where a host is: its site, the regions around it, its labels, as Host, Site and Region
//! statements say. A site or region that is missing, unknown or in a loop makes the place unknown.

use super::line::{Says, Span, says};
use super::reach::missing;
use crate::id::{KeyId, ResourceId};
use crate::resource::{Baseline, HostSpec, Kind, Spec};
use crate::target::{HostPlace, ancestry};
use crate::trust::{Seen, Standing, Version};

/// Where a host is, and whether it belongs to the fleet.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// As targets ask for it; without a profile, which only the machine knows.
    pub(super) host: HostPlace,
    pub(super) enrolment: Enrolment,
    /// Display name.
    pub(super) name: String,
    /// IANA zone of the site.
    pub(super) zone: Option<String>,
    /// What the signers say was installed at delivery.
    pub(super) baseline: Option<Baseline>,
    /// The statements that the place rests on.
    pub(super) spans: Vec<(String, Span)>,
    /// What the signers of the Host statement saw and is missing here.
    pub(super) missing: Vec<Seen>,
}

/// Whether the host belongs to the fleet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Enrolment {
    /// There is no Host statement for it.
    Never,
    /// Its Host statement was ended by a tombstone.
    Revoked,
    /// Its Host statement is unknown (RULES C2).
    Unknown(String),
    /// It is enrolled, and where it is cannot be told.
    Displaced(String),
    /// It is enrolled, and its place is known.
    Counts,
}

impl Place {
    pub(super) fn of(standing: &Standing, key: KeyId) -> Self {
        let mut place = Self::nowhere(key);
        let mut sees = Vec::new();
        let Some(line) = standing.lines.get(&(Kind::Host, ResourceId::from(key))) else {
            return place;
        };
        match says(line) {
            Says::This(version, Spec::Host(spec)) => {
                place.enrolment = Enrolment::Counts;
                place.take_host(version, spec);
                sees.clone_from(&version.sees);
            }
            Says::This(..) => place.enrolment = Enrolment::Unknown("it is no Host".into()),
            Says::Gone(_) => place.enrolment = Enrolment::Revoked,
            Says::Unknown(why) => {
                place.enrolment = Enrolment::Unknown(why);
                // What closes still reaches it where it last was.
                let read = line.versions.iter().find_map(|version| match &version.spec {
                    Ok(Some(Spec::Host(spec))) => Some((version, spec)),
                    _ => None,
                });
                if let Some((version, spec)) = read {
                    place.take_host(version, spec);
                }
            }
        }
        if let Err(why) = place.find_regions(standing)
            && place.enrolment == Enrolment::Counts
        {
            place.enrolment = Enrolment::Displaced(why);
        }
        place.missing = missing(standing, &place, &sees);
        place
    }

    fn nowhere(key: KeyId) -> Self {
        Self {
            host: HostPlace {
                key,
                site: None,
                regions: Vec::new(),
                labels: std::collections::BTreeMap::new(),
                profile: None,
            },
            enrolment: Enrolment::Never,
            name: String::new(),
            zone: None,
            baseline: None,
            spans: Vec::new(),
            missing: Vec::new(),
        }
    }

    fn take_host(&mut self, version: &Version, spec: &HostSpec) {
        self.host.site.clone_from(&version.site);
        self.host.labels.clone_from(&spec.labels);
        self.name.clone_from(&spec.name);
        self.baseline.clone_from(&spec.baseline);
        self.spans.push((format!("host {}", spec.name), Span::of(version)));
    }

    /// Walks from the site upwards; leaves the regions found so far where it fails.
    fn find_regions(&mut self, standing: &Standing) -> Result<(), String> {
        let Some(site) = &self.host.site else { return Ok(()) };
        let (version, spec) = read(standing, Kind::Site, site)?;
        let Spec::Site(spec) = spec else { return Err(format!("{site} is no site")) };
        self.spans.push((format!("site {site}"), Span::of(version)));
        self.zone.clone_from(&spec.zone);
        let (regions, whole) = ancestry(spec.region.clone(), |region| {
            let (version, spec) = read(standing, Kind::Region, region)?;
            let Spec::Region(spec) = spec else { return Err(format!("{region} is no region")) };
            self.spans.push((format!("region {region}"), Span::of(version)));
            Ok(spec.parent.clone())
        });
        self.host.regions = regions;
        whole
    }
}

fn read<'a>(
    standing: &'a Standing,
    kind: Kind,
    id: &ResourceId,
) -> Result<(&'a Version, &'a Spec), String> {
    let Some(line) = standing.lines.get(&(kind, id.clone())) else {
        return Err(format!("{kind} {id} is not held"));
    };
    match says(line) {
        Says::This(version, spec) => Ok((version, spec)),
        Says::Gone(_) => Err(format!("{kind} {id} was removed")),
        Says::Unknown(why) => Err(format!("{kind} {id} is unknown: {why}")),
    }
}
