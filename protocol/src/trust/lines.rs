//! From versions to lines: which version of each id counts, and which ids are unknown (RULES C1,
//! C2, S3), and the floors that rise by it (C6).

use std::collections::{BTreeMap, BTreeSet};

use crate::document::{DocumentId, home_of};
use crate::id::{Digest, ResourceId};
use crate::resource::{Kind, Scope, Target};
use crate::time::WallTime;
use crate::trust::{
    Floor, FloorRecord, Floors, Line, Resource, SignerScope, State, UnknownKindLine, Validity,
    Version,
};

/// All valid and fallen versions, but of halts and resumes.
#[derive(Default)]
pub(super) struct Lines {
    known: BTreeMap<(Kind, ResourceId), Vec<Version>>,
    unknown: BTreeMap<(String, ResourceId), Vec<(Version, bool)>>,
}

impl Lines {
    pub(super) fn add(&mut self, resource: &Resource, version: Version) {
        let id = resource.id.clone();
        match resource.known_kind() {
            Some(kind) => self.known.entry((kind, id)).or_default().push(version),
            None => {
                let of_id = self.unknown.entry((resource.kind.clone(), id)).or_default();
                of_id.push((version, resource.closes && !resource.gone));
            }
        }
    }

    /// Floors that the highest versions raise. Of unknown kinds only those that close, and what
    /// ends them: losing any other opens nothing, and a floor that everything waits for must not be
    /// cheap to set.
    pub(super) fn raised(&self, floors: &Floors) -> Vec<FloorRecord> {
        let mut raised = Vec::new();
        let mut raise = |kind: &str, id: &ResourceId, versions: &[&Version]| {
            let top = versions.iter().map(|v| v.version).max();
            let mut said: BTreeMap<Digest, &Version> = BTreeMap::new();
            for version in versions.iter().filter(|v| Some(v.version) == top) {
                said.entry(version.digest).or_insert(version);
            }
            for (digest, top) in said {
                if floors.would_rise(kind, id, top.version, &digest) {
                    raised.push(FloorRecord::Version {
                        kind: kind.to_owned(),
                        id: id.clone(),
                        version: top.version,
                        digest,
                        document: home_of(kind, &top.scope, top.site.as_ref()),
                        gone: top.gone,
                    });
                }
            }
        };
        for ((kind, id), versions) in &self.known {
            raise(kind.name(), id, &versions.iter().collect::<Vec<_>>());
        }
        for ((kind, id), versions) in &self.unknown {
            let ended = floors.get(kind, id).is_some();
            let closing = versions.iter().filter(|(v, closes)| *closes || (v.gone && ended));
            raise(kind, id, &closing.map(|(v, _)| v).collect::<Vec<_>>());
        }
        raised
    }

    /// What each id comes to.
    ///
    /// What only a floor still names is a line too, but not if it lives in a document that is not
    /// kept here, nor if all that was said of it is that it is gone: the rooms of tombstones
    /// overflow in the course of years, and nobody is to wait for one.
    pub(super) fn settle(
        self,
        floors: &Floors,
        keeps: &dyn Fn(&DocumentId) -> bool,
    ) -> (BTreeMap<(Kind, ResourceId), Line>, Vec<UnknownKindLine>) {
        let Self { mut known, mut unknown } = self;
        let missed =
            floors.versions().filter(|(_, _, floor)| !floor.gone && keeps(&floor.document));
        for (kind, id, _) in missed {
            match kind.parse() {
                Ok(kind) => drop(known.entry((kind, id.clone())).or_default()),
                Err(_) => drop(unknown.entry((kind.to_owned(), id.clone())).or_default()),
            }
        }
        let settle_known = |((kind, id), versions): ((Kind, ResourceId), Vec<Version>)| {
            let line = settle(kind, versions, floors.get(kind.name(), &id));
            ((kind, id), line)
        };
        let lines = known.into_iter().map(settle_known).collect();
        let settle_kind = |((kind, id), versions): ((String, ResourceId), Vec<(Version, bool)>)| {
            let floor = floors.get(&kind, &id);
            settle_unknown_kind(&kind, &id, versions, floor)
        };
        (lines, unknown.into_iter().flat_map(settle_kind).collect())
    }
}

fn settle(kind: Kind, versions: Vec<Version>, floor: Option<&Floor>) -> Line {
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
    versions: Vec<(Version, bool)>,
    floor: Option<&Floor>,
) -> Vec<UnknownKindLine> {
    let closing: BTreeSet<Digest> =
        versions.iter().filter(|(_, closes)| *closes).map(|(v, _)| v.digest).collect();
    let versions = merge_equal(versions.into_iter().map(|(v, _)| v).collect(), true);
    let line = |version: Version| UnknownKindLine {
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
        version: lost_version(floor),
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
fn doubt(versions: &[Version], floor: Option<&Floor>) -> Option<String> {
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

fn is_lost(versions: &[Version], floor: &Floor) -> bool {
    let top = versions.first().map_or(0, |top| top.version);
    top < floor.version
        || (top == floor.version && !floor.digests.is_subset(&top_digests(versions)))
}

fn top_digests<'a>(versions: impl IntoIterator<Item = &'a Version> + Clone) -> BTreeSet<Digest> {
    let top = versions.clone().into_iter().map(|v| v.version).max();
    versions.into_iter().filter(|v| Some(v.version) == top).map(|v| v.digest).collect()
}

/// Scope belongs to the identity of all but hosts (RULES S4).
fn share_scope(versions: &[Version]) -> bool {
    versions.windows(2).all(|pair| pair[0].scope == pair[1].scope)
}

/// Makes one of those that say the same, and sorts: highest first.
fn merge_equal(mut versions: Vec<Version>, closes: bool) -> Vec<Version> {
    // The one that speaks for its equals comes first: valid and readable, if any is.
    versions.sort_by(|a, b| {
        let fallen = |v: &Version| v.validity == Validity::Fallen;
        let key = |v: &Version| (v.digest, fallen(v), v.spec.is_err(), v.statement);
        b.version.cmp(&a.version).then_with(|| key(a).cmp(&key(b)))
    });
    let mut merged: Vec<Version> = Vec::with_capacity(versions.len());
    for version in versions {
        match merged.last_mut() {
            Some(first) if (first.version, first.digest) == (version.version, version.digest) => {
                absorb(first, version, closes);
            }
            Some(_) | None => merged.push(version),
        }
    }
    merged
}

/// Adds to `first` what an equal says besides: the earlier end counts (RULES C2), and what either
/// saw must be there. A fallen copy may end what opens, but not what closes, or old signers could
/// lift a closing.
fn absorb(first: &mut Version, other: Version, closes: bool) {
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
    let sees: BTreeSet<_> = first.sees.drain(..).chain(other.sees).collect();
    first.sees = sees.into_iter().collect();
}
