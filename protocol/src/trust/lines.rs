//! From versions to lines: which version of each id counts, and which ids are unknown (RULES C1,
//! C2, S3), and the floors that rise by it (C6).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::document::home_of;
use crate::id::{Digest, ResourceId};
use crate::resource::{Kind, Scope, Target};
use crate::time::WallTime;
use crate::trust::{
    Floor, FloorRecord, Floors, Grounds, Line, Resource, SignerScope, State, UnknownKindLine,
    Validity, Version,
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
    pub(super) fn add(&mut self, id: LineId, version: Arc<Version>, resource: &Resource) {
        let of_id = self.0.entry(id).or_default();
        let at = of_id.partition_point(|said| said.version.statement < version.statement);
        of_id.insert(at, Said { version, closes: resource.closes && !resource.gone });
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
    pub(super) fn raised(&self, line: &LineId, floors: &Floors) -> Vec<FloorRecord> {
        let (kind, id) = line.parts();
        let closed = floors.get(kind, id).is_some() || self.of(line).iter().any(|said| said.closes);
        let counts = |said: &&Said| match line {
            LineId::Known(..) => true,
            LineId::Unknown(..) => said.closes || (said.version.gone && closed),
        };
        let versions: Vec<&Version> =
            self.of(line).iter().filter(counts).map(|said| &*said.version).collect();
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
    pub(super) fn settled(&self, line: &LineId, grounds: &Grounds<'_>) -> Option<Line> {
        let LineId::Known(kind, id) = line else { return None };
        let versions: Vec<Arc<Version>> =
            self.of(line).iter().map(|said| Arc::clone(&said.version)).collect();
        let floor = grounds.floors.get(kind.name(), id);
        let nothing = versions.is_empty() && !floor.is_some_and(|floor| is_missed(floor, grounds));
        let mut settled = settle(*kind, versions, floor);
        let finds_room = floor.is_some() || grounds.floors.has_room(kind.name());
        if !finds_room && settled.state == State::Counts {
            settled.state = State::Unknown(format!("there is no room for one more {kind}"));
        }
        (!nothing).then_some(settled)
    }

    /// What an id of an unknown kind comes to.
    pub(super) fn settled_unknown_kind(
        &self,
        line: &LineId,
        grounds: &Grounds<'_>,
    ) -> Vec<UnknownKindLine> {
        let (kind, id) = line.parts();
        let versions = self.of(line);
        let floor = grounds.floors.get(kind, id);
        if versions.is_empty() && !floor.is_some_and(|floor| is_missed(floor, grounds)) {
            return Vec::new();
        }
        settle_unknown_kind(kind, id, versions, floor)
    }
}

/// Whether an id is a line even if only its floor still names it: not if it lives in a document
/// that is not kept here, nor if all that was said of it is that it is gone. The rooms of
/// tombstones overflow in the course of years, and nobody is to wait for one.
fn is_missed(floor: &Floor, grounds: &Grounds<'_>) -> bool {
    !floor.gone && (grounds.keeps)(&floor.document)
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
    kind: &str,
    id: &ResourceId,
    said: &[Said],
    floor: Option<&Floor>,
) -> Vec<UnknownKindLine> {
    let closing: BTreeSet<Digest> =
        said.iter().filter(|said| said.closes).map(|said| said.version.digest).collect();
    let versions = said.iter().map(|said| Arc::clone(&said.version)).collect();
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
    if doubt(&versions, floor).is_some() || !share_scope(&versions) {
        return lost.into_iter().chain(versions.into_iter().map(line)).collect();
    }
    versions.into_iter().take(1).filter(|top| !top.gone).map(line).collect()
}

/// What stands for a version that closed, that a floor names, and of which nothing else is left:
/// it reaches everyone, since nobody can tell any more whom it reached.
fn lost_version(floor: &Floor) -> Version {
    Version {
        version: floor.version,
        digest: floor.digests.first().copied().unwrap_or(Digest([0; 32])),
        statement: Digest([0; 32]),
        signers: Vec::new(),
        validity: Validity::Fallen,
        signer_scope: SignerScope::Fleet,
        scope: Scope::Fleet,
        issued: WallTime::EPOCH,
        until: None,
        sees: Vec::new(),
        gone: false,
        target: Some(Target { all: true, ..Target::default() }),
        site: None,
        spec: Err("it counted here and is not held any more".into()),
        reason: String::new(),
    }
}

/// Why the highest version cannot be told, if so (RULES C2).
fn doubt(versions: &[Arc<Version>], floor: Option<&Floor>) -> Option<String> {
    if let Some(floor) = floor.filter(|floor| is_lost(versions, floor)) {
        return Some(format!("version {} counted here and is not held any more", floor.version));
    }
    let top = versions.first()?;
    if top_digests(versions).len() > 1 {
        return Some(format!("two different statements share version {}", top.version));
    }
    let fallen = match top.validity {
        Validity::Valid => false,
        Validity::Fallen => true,
    };
    fallen.then(|| format!("version {} has lost its signatures to a newer root", top.version))
}

fn is_lost(versions: &[Arc<Version>], floor: &Floor) -> bool {
    let top = versions.first().map_or(0, |top| top.version);
    top < floor.version
        || (top == floor.version && !floor.digests.is_subset(&top_digests(versions)))
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
