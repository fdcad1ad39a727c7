//! Who may hear what (RULES A1, A2), read from the Host lines that count.

use daymark_protocol::document::{DocumentId, site_document};
use daymark_protocol::id::{KeyId, ResourceId};
use daymark_protocol::resource::{HostSpec, Kind, Spec};
use daymark_protocol::rules::{Rule, holds};
use daymark_protocol::time::{Now, WallTime};
use daymark_protocol::trust::{Line, Standing, State, Validity, Version};

use crate::effect::Admission;

fn line<'a>(standing: &'a Standing, host: &KeyId) -> Option<&'a Line> {
    standing.lines.get(&(Kind::Host, ResourceId::from(*host)))
}

/// The version of a host's line that counts now: valid, not a tombstone.
fn current(line: &Line) -> Option<&Version> {
    let first = line.versions.first()?;
    let counts = line.state == State::Counts && first.validity == Validity::Valid && !first.gone;
    counts.then_some(first)
}

/// What a host's line comes to at any time, while what counts stays as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Terms {
    /// What it lets through until it ends.
    admission: Admission,
    /// When it ends: then it was enrolled once.
    ends: Option<WallTime>,
    /// A token alone let it in.
    provisional: bool,
}

impl Terms {
    const STRANGER: Self = Self { admission: Admission::Stranger, ends: None, provisional: false };

    pub(crate) fn of(standing: &Standing, host: &KeyId) -> Self {
        let Some(line) = line(standing, host) else { return Self::STRANGER };
        let Some(first) = line.versions.first() else { return Self::STRANGER };
        // Two versions of one number share the top; a removal among them holds.
        let removed =
            line.versions.iter().any(|other| other.version == first.version && other.gone);
        if removed && holds(Rule::A1Removed) {
            return Self::STRANGER;
        }
        let Some(current) = current(line) else {
            return Self { admission: Admission::Authority, ..Self::STRANGER };
        };
        // Past the end of a delegation or a token, what its keys enrolled was enrolled once.
        let ends = [current.until, current.signers_until].into_iter().flatten().min();
        Self { admission: Admission::Member, ends, provisional: current.token.is_some() }
    }

    /// What a peer's connections let through. Being acted upon needs a statement that is valid now;
    /// being served authority data needs only to have been enrolled once and not to be removed, so
    /// that the cure always spreads.
    pub(crate) fn at(&self, now: Now) -> Admission {
        let ended = self.ends.is_some_and(|until| now.latest >= until);
        if ended { Admission::Authority } else { self.admission }
    }

    /// Whether a host counts for others: its clock, its outcomes, its being there. What a token let
    /// in does not before `enroll` countersigned it (RULES S9). Without a clock only what has ended
    /// for certain is over, or nobody whose enrolment ends some day could vouch for one (RULES K2).
    pub(crate) fn counts_for_others(&self, now: Now) -> bool {
        let provisional = self.provisional && holds(Rule::S9Provisional);
        self.at(now.certain()) == Admission::Member && !provisional
    }
}

/// Whether a host is enrolled now: what is held of it says so, and has not ended.
pub fn is_enrolled(standing: &Standing, host: &KeyId, now: Now) -> bool {
    Terms::of(standing, host).at(now) == Admission::Member
}

/// The document of a host's site; that of hosts without one if nothing is known of it.
pub(crate) fn site_of(standing: &Standing, host: &KeyId) -> DocumentId {
    let version = line(standing, host).and_then(|line| line.versions.first());
    site_document(version.and_then(|version| version.site.as_ref()))
}

/// How many enrolled hosts the site of a host has.
pub(crate) fn hosts_beside(standing: &Standing, host: &KeyId) -> usize {
    let site_of = |line: &Line| line.versions.first().and_then(|first| first.site.clone());
    let site = line(standing, host).and_then(site_of);
    let counts = |line: &&Line| {
        let first = line.versions.first();
        let valid = first.filter(|first| first.validity == Validity::Valid && !first.gone);
        line.state == State::Counts && valid.is_some_and(|first| first.site == site)
    };
    standing.of_kind(Kind::Host).map(|(_, line)| line).filter(counts).count()
}

/// What the host's statement says of it, if it counts and is understood.
pub(crate) fn host_spec<'a>(standing: &'a Standing, host: &KeyId) -> Option<&'a HostSpec> {
    match current(line(standing, host)?)?.spec.as_ref().ok()?.as_ref()? {
        Spec::Host(spec) => Some(spec),
        Spec::Region(_)
        | Spec::Site(_)
        | Spec::OsProfile(_)
        | Spec::SingleSchedule(_)
        | Spec::RepeatedSchedule(_)
        | Spec::Blackout(_)
        | Spec::OsUpdatePolicy(_)
        | Spec::Promotion(_)
        | Spec::CustomConfig(_)
        | Spec::Hold(_)
        | Spec::Retry(_)
        | Spec::Halt(_)
        | Spec::Resume(_)
        | Spec::Emergency(_)
        | Spec::Token(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use daymark_protocol::id::Digest;

    const HOST: KeyId = KeyId([7; 32]);

    fn version(number: u64) -> Version {
        Version {
            statement: Digest([2; 32]),
            gone: false,
            ..Version::saying(number, Digest([1; 32]), None)
        }
    }

    fn judged(state: State, versions: Vec<Version>) -> Admission {
        let mut standing = Standing::default();
        let versions = versions.into_iter().map(Arc::new).collect();
        standing.lines.insert((Kind::Host, HOST.into()), Line { state, versions });
        Terms::of(&standing, &HOST).at(Now::reading(WallTime::from_ms(1_000), 10))
    }

    #[test]
    fn a2_authority_data_needs_to_have_been_enrolled_once_all_else_to_be_enrolled_now() {
        let unknown = || State::Unknown(String::new());
        let fallen = Version { validity: Validity::Fallen, ..version(1) };
        let gone = Version { gone: true, ..version(2) };
        let ended = Version { until: Some(WallTime::from_ms(1_010)), ..version(1) };
        let lasting = Version { until: Some(WallTime::from_ms(1_011)), ..version(1) };
        let now = Now::reading(WallTime::EPOCH, 0);
        assert_eq!(Terms::of(&Standing::default(), &HOST).at(now), Admission::Stranger);
        assert_eq!(judged(unknown(), vec![]), Admission::Stranger, "only a floor");
        assert_eq!(judged(State::Counts, vec![version(1)]), Admission::Member);
        assert_eq!(judged(State::Counts, vec![lasting]), Admission::Member);
        assert_eq!(judged(State::Counts, vec![ended]), Admission::Authority);
        let lapsed = Version { signers_until: Some(WallTime::from_ms(1_010)), ..version(1) };
        assert_eq!(judged(State::Counts, vec![lapsed]), Admission::Authority);
        assert_eq!(judged(unknown(), vec![fallen]), Admission::Authority);
        assert_eq!(judged(State::Counts, vec![gone.clone(), version(1)]), Admission::Stranger);
        let double = Version { gone: false, ..gone.clone() };
        assert_eq!(judged(unknown(), vec![double, gone.clone()]), Admission::Stranger);
        assert_eq!(judged(State::Counts, vec![version(3), gone]), Admission::Member, "back again");
    }

    #[test]
    fn s9_a_host_that_a_token_let_in_is_a_member_and_counts_for_nobody() {
        let now = Now::reading(WallTime::from_ms(1_000), 10);
        let counted = |token: Option<ResourceId>| {
            let versions = vec![Arc::new(Version { token, ..version(1) })];
            let mut standing = Standing::default();
            let line = Line { state: State::Counts, versions };
            standing.lines.insert((Kind::Host, HOST.into()), line);
            assert_eq!(Terms::of(&standing, &HOST).at(now), Admission::Member);
            Terms::of(&standing, &HOST).counts_for_others(now)
        };
        assert!(counted(None) && !counted(Some("token-1".parse().unwrap())));
    }
}
