//! From versions to lines: which version of each id counts, and which ids are unknown (RULES C1,
//! C2, S3), and the floors that rise by it (C6).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::document::home_of;
use crate::id::{Digest, KeyId, ResourceId};
use crate::resource::{Kind, Target};
use crate::rules::{Rule, holds};
use crate::trust::bench::Voided;
use crate::trust::{
    Floor, FloorRecord, Floors, Grounds, Line, Loss, Resource, State, UnknownKindLine, Validity,
    Version, overreach,
};

/// What versions are versions of: a kind, known to this agent or not, and an id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum LineId {
    Known(Kind, ResourceId),
    Unknown(String, ResourceId),
}

impl LineId {
    pub(super) fn new(kind: &str, id: &ResourceId) -> Self {
        match kind.parse() {
            Ok(kind) => Self::Known(kind, id.clone()),
            Err(_) => Self::Unknown(kind.to_owned(), id.clone()),
        }
    }

    pub(super) fn of(resource: &Resource) -> Self {
        Self::new(&resource.kind, &resource.id)
    }

    pub(super) fn of_host(host: KeyId) -> Self {
        Self::Known(Kind::Host, host.into())
    }

    fn kind(&self) -> Option<Kind> {
        match self {
            Self::Known(kind, _) => Some(*kind),
            Self::Unknown(..) => None,
        }
    }

    fn parts(&self) -> (&str, &ResourceId) {
        match self {
            Self::Known(kind, id) => (kind.name(), id),
            Self::Unknown(kind, id) => (kind, id),
        }
    }

    /// Kind as written, and id.
    pub(super) fn as_written(&self) -> (String, ResourceId) {
        let (kind, id) = self.parts();
        (kind.to_owned(), id.clone())
    }
}

/// A version, and for an unknown kind whether it says that it closes.
#[derive(Clone, Debug)]
struct Said {
    version: Arc<Version>,
    closes: bool,
}

/// All valid and fallen versions, of each id in the order of their statements' digests.
#[derive(Clone, Debug, Default)]
pub(super) struct Lines(BTreeMap<LineId, Vec<Said>>);

impl Lines {
    pub(super) fn add(&mut self, id: LineId, version: Arc<Version>, closes: bool) {
        let of_id = self.0.entry(id).or_default();
        let at = of_id.partition_point(|said| said.version.statement < version.statement);
        of_id.insert(at, Said { version, closes });
    }

    pub(super) fn remove(&mut self, id: &LineId, statement: &Digest) {
        let Some(of_id) = self.0.get_mut(id) else { return };
        of_id.retain(|said| said.version.statement != *statement);
        if of_id.is_empty() {
            self.0.remove(id);
        }
    }

    fn of(&self, id: &LineId) -> &[Said] {
        self.0.get(id).map_or(&[], Vec::as_slice)
    }

    /// The versions of an id that have an effect, and apart from them those that roots took back
    /// with all below (RULES R6).
    fn effective(
        &self,
        line: &LineId,
        voided: Option<Voided>,
    ) -> (Vec<Arc<Version>>, Vec<Arc<Version>>) {
        let versions = self.of(line).iter().map(|said| Arc::clone(&said.version)).collect();
        let from = voided.filter(|_| holds(Rule::R6NothingReturns));
        let from = from.map_or(0, |voided| voided.counts_from);
        let versions = overreach::within(line.kind(), versions).into_iter();
        versions.partition(|version| version.version >= from)
    }

    /// All versions of a known kind, by id.
    pub(super) fn of_kind(&self, kind: Kind) -> impl Iterator<Item = (&ResourceId, &Arc<Version>)> {
        let from = LineId::Known(kind, ResourceId::lowest());
        let of_kind = self.0.range(from..).map_while(move |(line, said)| match line {
            LineId::Known(other, id) if *other == kind => Some((id, said)),
            LineId::Known(..) | LineId::Unknown(..) => None,
        });
        of_kind.flat_map(|(id, said)| said.iter().map(move |said| (id, &said.version)))
    }

    /// The highest version of an id.
    pub(super) fn highest(&self, id: &LineId) -> Option<u64> {
        self.of(id).iter().map(|said| said.version.version).max()
    }

    /// Floors that the highest versions of an id raise. Of unknown kinds only those that close, and
    /// what ends them: losing any other opens nothing, and a floor that everything waits for must
    /// not be cheap to set.
    ///
    /// Nor does one that may never have counted raise any (RULES R5), nor what a token let in, which
    /// `enroll` outranks under the same number (S9).
    pub(super) fn raised(
        &self,
        line: &LineId,
        voided: Option<Voided>,
        floors: &Floors,
    ) -> Vec<FloorRecord> {
        let (kind, id) = line.parts();
        let closing: BTreeSet<Digest> = self.closing(line);
        let closed = floors.get(kind, id).is_some() || !closing.is_empty();
        let counts = |version: &&Arc<Version>| match line {
            LineId::Known(..) => true,
            LineId::Unknown(..) => closing.contains(&version.digest) || (version.gone && closed),
        };
        let certain = |version: &&Arc<Version>| {
            version.loss != Some(Loss::MaybeListed) && version.token.is_none()
        };
        let (effective, _) = self.effective(line, voided);
        let versions: Vec<&Version> =
            effective.iter().filter(counts).filter(certain).map(|version| &**version).collect();
        let top = versions.iter().map(|version| version.version).max();
        let mut said: BTreeMap<Digest, &Version> = BTreeMap::new();
        for version in versions.into_iter().filter(|version| Some(version.version) == top) {
            said.entry(version.digest).or_insert(version);
        }
        let rising = said
            .into_iter()
            .filter(|(digest, top)| floors.would_rise(kind, id, top.version, digest));
        let record = |(digest, top): (Digest, &Version)| FloorRecord::Version {
            kind: kind.to_owned(),
            id: id.clone(),
            version: top.version,
            digest,
            document: home_of(kind, &top.scope, top.site.as_ref()),
            gone: top.gone,
        };
        rising.map(record).collect()
    }

    /// What an id of a known kind comes to, if anything is held of it or missed.
    pub(super) fn settled(
        &self,
        line: &LineId,
        voided: Option<Voided>,
        grounds: &Grounds<'_>,
    ) -> Option<Line> {
        let LineId::Known(kind, id) = line else { return None };
        let (mut versions, below) = self.effective(line, voided);
        let floor = floor_of(grounds.floors.get(kind.name(), id), voided);
        if let Some(floor) = floor.filter(|floor| floor.gone && *kind == Kind::Host)
            && !versions.is_empty()
            && is_lost(&versions, floor)
        {
            // Whoever is shown an older statement of a removed machine knows better (RULES A2).
            versions.push(Arc::new(Version { gone: true, ..lost_version(floor) }));
        }
        if let (true, Some(voided)) = (versions.is_empty() && !below.is_empty(), voided) {
            let versions = merge_equal(below, kind.closes());
            return Some(Line { state: State::Unknown(took_back(voided)), versions });
        }
        let nothing = versions.is_empty() && !floor.is_some_and(|floor| is_missed(floor, grounds));
        let mut settled = settle(*kind, versions, floor);
        let finds_room = floor.is_some() || grounds.floors.has_room(kind.name());
        if !finds_room && settled.state == State::Counts {
            settled.state = State::Unknown(format!("there is no room for one more {kind}"));
        }
        (!nothing).then_some(settled)
    }

    /// The digests of versions of an unknown kind that say that they close.
    fn closing(&self, line: &LineId) -> BTreeSet<Digest> {
        let closing = self.of(line).iter().filter(|said| said.closes);
        closing.map(|said| said.version.digest).collect()
    }

    /// What an id of an unknown kind comes to.
    pub(super) fn settled_unknown_kind(
        &self,
        line: &LineId,
        voided: Option<Voided>,
        grounds: &Grounds<'_>,
    ) -> Vec<UnknownKindLine> {
        let (kind, id) = line.parts();
        let (versions, below) = self.effective(line, voided);
        let floor = floor_of(grounds.floors.get(kind, id), voided);
        let void = versions.is_empty() && !below.is_empty();
        let versions = if void { below } else { versions };
        if versions.is_empty() && !floor.is_some_and(|floor| is_missed(floor, grounds)) {
            return Vec::new();
        }
        settle_unknown_kind((kind, id), versions, &self.closing(line), floor, void)
    }
}

/// Whether an id is a line even if only its floor still names it: not if it lives in a document
/// that is not kept here, nor if all that was said of it is that it is gone. The rooms of
/// tombstones overflow in the course of years, and nobody is to wait for one.
fn is_missed(floor: &Floor, grounds: &Grounds<'_>) -> bool {
    !floor.gone && (grounds.keeps)(&floor.document)
}

/// A floor below what roots took back is settled by them: nothing below returns.
fn floor_of(floor: Option<&Floor>, voided: Option<Voided>) -> Option<&Floor> {
    floor.filter(|floor| voided.is_none_or(|voided| voided.counts_from <= floor.version))
}

fn took_back(voided: Voided) -> String {
    let Voided { root, counts_from } = voided;
    format!("root {root} took back what it said; it counts again from version {counts_from}")
}

fn settle(kind: Kind, versions: Vec<Arc<Version>>, floor: Option<&Floor>) -> Line {
    let versions = merge_equal(versions, kind.closes());
    let one_scope = kind == Kind::Host || share_scope(&versions);
    let state = if !one_scope {
        State::Unknown("its versions are of different scopes".into())
    } else if let Some(why) = doubt(&versions, floor) {
        State::Unknown(why)
    } else if let Some(Err(why)) = versions.first().map(|top| &top.spec) {
        State::Unknown(why.clone())
    } else {
        State::Counts
    };
    Line { state, versions }
}

/// An unknown kind whose highest version is not in doubt is what that version says. In doubt, all
/// that close do.
fn settle_unknown_kind(
    (kind, id): (&str, &ResourceId),
    versions: Vec<Arc<Version>>,
    closing: &BTreeSet<Digest>,
    floor: Option<&Floor>,
    void: bool,
) -> Vec<UnknownKindLine> {
    let versions = merge_equal(versions, true);
    let line = |version: Arc<Version>| UnknownKindLine {
        kind: kind.to_owned(),
        id: id.clone(),
        closes: closing.contains(&version.digest),
        version,
    };
    let lost = floor.filter(|floor| !floor.gone && is_lost(&versions, floor));
    let lost = lost.map(|floor| UnknownKindLine {
        kind: kind.to_owned(),
        id: id.clone(),
        closes: true,
        version: Arc::new(lost_version(floor)),
    });
    if void || doubt(&versions, floor).is_some() || !share_scope(&versions) {
        return lost.into_iter().chain(versions.into_iter().map(line)).collect();
    }
    versions.into_iter().take(1).filter(|top| !top.gone).map(line).collect()
}

/// What stands for a version that closed, that a floor names, and of which nothing else is left:
/// it reaches everyone, since nobody can tell any more whom it reached.
fn lost_version(floor: &Floor) -> Version {
    let digest = floor.digests.first().copied().unwrap_or(Digest([0; 32]));
    Version {
        statement: Digest([0; 32]),
        validity: Validity::Fallen,
        gone: false,
        target: Some(Target { all: true, ..Target::default() }),
        spec: Err("it counted here and is not held any more".into()),
        ..Version::saying(floor.version, digest, None)
    }
}

/// Why the highest version cannot be told, if so (RULES C2).
fn doubt(versions: &[Arc<Version>], floor: Option<&Floor>) -> Option<String> {
    if let Some(floor) = floor.filter(|floor| is_lost(versions, floor) && holds(Rule::C2Lost)) {
        return Some(format!("version {} counted here and is not held any more", floor.version));
    }
    let top = versions.first()?;
    if top_digests(versions).len() > 1 && holds(Rule::C2Conflict) {
        return Some(format!("two different statements share version {}", top.version));
    }
    match top.validity {
        Validity::Valid => None,
        Validity::Fallen if !holds(Rule::C1Fallen) => None,
        Validity::Fallen => {
            let loss = top.loss.unwrap_or(Loss::Signatures);
            Some(format!("version {} {loss}", top.version))
        }
    }
}

fn is_lost(versions: &[Arc<Version>], floor: &Floor) -> bool {
    let top = versions.iter().map(|version| version.version).max().unwrap_or(0);
    let said = top_digests(versions);
    top < floor.version
        || (top == floor.version && !floor.digests.iter().all(|digest| said.contains(digest)))
}

fn top_digests(versions: &[Arc<Version>]) -> BTreeSet<Digest> {
    let top = versions.iter().map(|v| v.version).max();
    versions.iter().filter(|v| Some(v.version) == top).map(|v| v.digest).collect()
}

/// Scope belongs to the identity of all but hosts (RULES S4).
fn share_scope(versions: &[Arc<Version>]) -> bool {
    versions.windows(2).all(|pair| pair[0].scope == pair[1].scope)
}

/// Makes one of those that say the same, and sorts: highest first.
fn merge_equal(mut versions: Vec<Arc<Version>>, closes: bool) -> Vec<Arc<Version>> {
    // The one that speaks for its equals comes first: valid and readable, if any is.
    versions.sort_by(|a, b| {
        let fallen = |v: &Version| v.validity == Validity::Fallen;
        let key = |v: &Version| (v.digest, fallen(v), v.spec.is_err(), v.statement);
        b.version.cmp(&a.version).then_with(|| key(a).cmp(&key(b)))
    });
    let mut merged: Vec<Arc<Version>> = Vec::with_capacity(versions.len());
    for version in versions {
        match merged.last_mut() {
            Some(first) if (first.version, first.digest) == (version.version, version.digest) => {
                absorb(Arc::make_mut(first), &version, closes);
            }
            Some(_) | None => merged.push(version),
        }
    }
    merged
}

/// Adds to `first` what an equal says besides: the earlier end counts (RULES C2), and what either
/// saw must be there. A fallen copy may end what opens, but not what closes, or old signers could
/// lift a closing.
fn absorb(first: &mut Version, other: &Version, closes: bool) {
    let other_ends = match other.validity {
        Validity::Valid => true,
        Validity::Fallen => !closes || first.validity == Validity::Fallen,
    };
    if other_ends {
        first.until = [first.until, other.until].into_iter().flatten().min();
    }
    if other.validity == first.validity {
        first.issued = first.issued.min(other.issued);
    }
    if first.scope != other.scope {
        first.spec = Err("it is said in two scopes".into());
    }
    let sees: BTreeSet<_> = first.sees.drain(..).chain(other.sees.iter().cloned()).collect();
    first.sees = sees.into_iter().collect();
}
