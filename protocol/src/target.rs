//! Whom a resource reaches, and which of several policies is nearer to a host (RULES S4, Q10).
//!
//! Knows nothing of what a resource does: it only places it against one host.

use std::collections::BTreeMap;

use crate::id::{KeyId, ResourceId};
use crate::limits::REGION_DEPTH_MAX;
use crate::resource::{Scope, Target};
use crate::rules::{Rule, holds};
use crate::trust::{self, SignerScope};

/// The site that hosts without a site form (DESIGN section 4).
pub const NO_SITE: &str = "none";

/// Where a host stands, as far as targets can ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPlace {
    /// The host.
    pub key: KeyId,
    /// Its site; `None` stands for the site `none`.
    pub site: Option<ResourceId>,
    /// The regions around it, nearest first, as [`ancestry`] gives them.
    pub regions: Vec<ResourceId>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Profile of the installed OS; `None` if nobody knows.
    pub profile: Option<String>,
}

/// The regions from `nearest` upwards, at most five (EIM) and each once; where the walk fails, those
/// that were found so far, and why: a loop of parents, a sixth level, or what `parent_of` says.
pub fn ancestry(
    nearest: Option<ResourceId>,
    mut parent_of: impl FnMut(&ResourceId) -> Result<Option<ResourceId>, String>,
) -> (Vec<ResourceId>, Result<(), String>) {
    let mut regions: Vec<ResourceId> = Vec::new();
    let mut next = nearest;
    while let Some(region) = next {
        if regions.contains(&region) {
            return (regions, Err(format!("region {region} lies within itself")));
        }
        if regions.len() == REGION_DEPTH_MAX {
            let why = format!("region {region} makes more than {REGION_DEPTH_MAX} levels");
            return (regions, Err(why));
        }
        let parent = parent_of(&region);
        regions.push(region);
        match parent {
            Ok(parent) => next = parent,
            Err(why) => return (regions, Err(why)),
        }
    }
    (regions, Ok(()))
}

/// How near a policy is to a host: the lower one goes first (DESIGN section 6). Regions carry
/// their distance, 0 being the host's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// It names the host.
    Hosts,
    /// Its site and labels.
    SiteAndLabels,
    /// Its site.
    Site,
    /// A region around it, and labels.
    RegionAndLabels(usize),
    /// A region around it.
    Region(usize),
    /// Labels only.
    Labels,
    /// Everyone, or everyone with an OS profile: the profile filters and does not rank.
    All,
}

/// Whether a condition on the installed OS holds where nobody knows what is installed. What opens
/// must not, what closes must (I6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnknownProfile {
    /// An unknown profile is none: for what opens.
    Differs,
    /// An unknown profile may be any: for what closes.
    Matches,
}

impl Target {
    /// Whether the target alone reaches the host. A target without any condition reaches nobody.
    pub fn reaches(&self, place: &HostPlace, unknown: UnknownProfile) -> bool {
        let asks = self.all
            || !self.hosts.is_empty()
            || self.site.is_some()
            || self.region.is_some()
            || !self.labels.is_empty()
            || self.os_profile.is_some();
        asks && (self.hosts.is_empty() || self.hosts.contains(&place.key))
            && self.site.as_ref().is_none_or(|site| place.is_in_site(site))
            && self.region.as_ref().is_none_or(|region| place.regions.contains(region))
            && self.labels.iter().all(|(name, value)| place.labels.get(name) == Some(value))
            && self.os_profile.as_ref().is_none_or(|wanted| match &place.profile {
                Some(profile) => profile == wanted,
                None => unknown == UnknownProfile::Matches,
            })
    }

    /// How near the target, narrowed by the scope of its statement, is to a host that it reaches.
    pub fn rank(&self, scope: &Scope, place: &HostPlace) -> Rank {
        let site = self.site.is_some() || matches!(scope, Scope::Site(_));
        let scoped = match scope {
            Scope::Region(region) => Some(region),
            Scope::Fleet | Scope::Site(_) => None,
        };
        let distance = [self.region.as_ref(), scoped]
            .into_iter()
            .flatten()
            .filter_map(|region| place.regions.iter().position(|around| around == region))
            .min();
        match (site, distance, self.labels.is_empty()) {
            _ if !self.hosts.is_empty() => Rank::Hosts,
            (true, _, false) => Rank::SiteAndLabels,
            (true, _, true) => Rank::Site,
            (false, Some(distance), false) => Rank::RegionAndLabels(distance),
            (false, Some(distance), true) => Rank::Region(distance),
            (false, None, false) => Rank::Labels,
            (false, None, true) => Rank::All,
        }
    }
}

impl Scope {
    /// Whether the host lies in the scope.
    pub fn holds(&self, place: &HostPlace) -> bool {
        match self {
            Self::Fleet => true,
            Self::Region(region) => place.regions.contains(region),
            Self::Site(site) => place.is_in_site(site),
        }
    }
}

impl HostPlace {
    fn is_in_site(&self, site: &ResourceId) -> bool {
        self.site.as_ref().map_or(NO_SITE, ResourceId::as_str) == site.as_str()
    }
}

impl trust::Version {
    /// Whether this version reaches the host: its target, its scope and its signers' scope all do
    /// (RULES S4).
    pub fn reaches(&self, place: &HostPlace, unknown: UnknownProfile) -> bool {
        let signers = match &self.signer_scope {
            SignerScope::Fleet => true,
            SignerScope::Only(scope) => scope.holds(place),
        };
        let target = self.target.as_ref();
        signers
            && (self.scope.holds(place) || !holds(Rule::S4Scope))
            && target.is_some_and(|target| target.reaches(place, unknown))
    }

    /// How near this version is to a host that it reaches (RULES Q10).
    pub fn rank(&self, place: &HostPlace) -> Rank {
        self.target.as_ref().map_or(Rank::All, |target| target.rank(&self.scope, place))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> ResourceId {
        text.parse().unwrap()
    }

    fn place() -> HostPlace {
        HostPlace {
            key: KeyId([7; 32]),
            site: Some(id("site-a")),
            regions: vec![id("region-near"), id("region-far")],
            labels: BTreeMap::from([("line".into(), "3".into()), ("env".into(), "prod".into())]),
            profile: None,
        }
    }

    fn parse(json: &str) -> Target {
        serde_json::from_str(json).unwrap()
    }

    fn reaches(json: &str) -> bool {
        parse(json).reaches(&place(), UnknownProfile::Differs)
    }

    #[test]
    fn s4_a_target_is_a_conjunction_and_without_conditions_reaches_nobody() {
        assert!(!reaches("{}"));
        assert!(reaches(r#"{"all":true}"#));
        assert!(reaches(r#"{"site":"site-a","labels":{"line":"3"}}"#));
        assert!(!reaches(r#"{"site":"site-a","labels":{"line":"4"}}"#));
        assert!(!reaches(r#"{"all":true,"site":"site-b"}"#));
        assert!(reaches(r#"{"region":"region-far"}"#));
        assert!(!reaches(r#"{"region":"region-below"}"#));
        assert!(!reaches(&format!(r#"{{"hosts":["{}"]}}"#, KeyId([8; 32]))));
    }

    #[test]
    fn i6_an_unknown_profile_is_reached_by_what_closes_only() {
        let target = parse(r#"{"osProfile":"microvisor"}"#);
        assert!(!target.reaches(&place(), UnknownProfile::Differs));
        assert!(target.reaches(&place(), UnknownProfile::Matches));
        let other = HostPlace { profile: Some("ubuntu".into()), ..place() };
        assert!(!target.reaches(&other, UnknownProfile::Matches));
    }

    #[test]
    fn s4_scopes_narrow_and_hosts_without_a_site_form_the_site_none() {
        assert!(Scope::Region(id("region-far")).holds(&place()));
        assert!(!Scope::Site(id("site-b")).holds(&place()));
        let homeless = HostPlace { site: None, regions: Vec::new(), ..place() };
        assert!(Scope::Site(id(NO_SITE)).holds(&homeless));
        assert!(!Scope::Site(id(NO_SITE)).holds(&place()));
    }

    #[test]
    fn q10_order_of_policies() {
        let place = place();
        let in_order = [
            (format!(r#"{{"hosts":["{}"]}}"#, place.key), Scope::Fleet),
            (r#"{"site":"site-a","labels":{"line":"3"}}"#.into(), Scope::Fleet),
            (r#"{"site":"site-a"}"#.into(), Scope::Fleet),
            (r#"{"region":"region-near","labels":{"line":"3"}}"#.into(), Scope::Fleet),
            (r#"{"region":"region-far","labels":{"line":"3"}}"#.into(), Scope::Fleet),
            (r#"{"region":"region-near"}"#.into(), Scope::Fleet),
            (r#"{"region":"region-far"}"#.into(), Scope::Fleet),
            (r#"{"labels":{"line":"3"}}"#.into(), Scope::Fleet),
            (r#"{"all":true}"#.into(), Scope::Fleet),
        ];
        let ranks: Vec<Rank> =
            in_order.iter().map(|(json, scope)| parse(json).rank(scope, &place)).collect();
        assert!(ranks.is_sorted_by(|a, b| a < b), "{ranks:?}");
        let filtered = parse(r#"{"osProfile":"microvisor"}"#).rank(&Scope::Fleet, &place);
        assert_eq!(filtered, Rank::All);
    }

    #[test]
    fn q10_the_scope_of_a_statement_narrows_its_rank() {
        let everyone = parse(r#"{"all":true}"#);
        assert_eq!(everyone.rank(&Scope::Site(id("site-a")), &place()), Rank::Site);
        assert_eq!(everyone.rank(&Scope::Region(id("region-far")), &place()), Rank::Region(1));
    }

    #[test]
    fn eim_ancestry_ends_at_five_levels_and_in_loops() {
        let line = |top: u32| {
            move |region: &ResourceId| {
                let depth: u32 = region.as_str()[2..].parse().unwrap();
                Ok((depth < top).then(|| id(&format!("r-{}", depth + 1))))
            }
        };
        let (five, whole) = ancestry(Some(id("r-0")), line(4));
        assert!(five.len() == 5 && whole.is_ok());
        let (six, why) = ancestry(Some(id("r-0")), line(5));
        assert!(six == five && why.unwrap_err().contains("r-5 makes more than 5"));
        let pair =
            |region: &ResourceId| Ok(Some(id(if region.as_str() == "a" { "b" } else { "a" })));
        let (regions, why) = ancestry(Some(id("a")), pair);
        assert_eq!(
            (regions, why),
            (vec![id("a"), id("b")], Err("region a lies within itself".into()))
        );
        assert_eq!(ancestry(None, pair), (vec![], Ok(())));
        let lost = |_: &ResourceId| Err("it is not held".to_owned());
        assert_eq!(ancestry(Some(id("a")), lost), (vec![id("a")], Err("it is not held".into())));
    }
}
