//! Halts: a set in which each stands until it is lifted by name (RULES C4).

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::id::{Digest, KeyId, ResourceId};
use crate::limits;
use crate::resource::{Kind, Scope, Spec};
use crate::rules::{Rule, holds};
use crate::time::WallTime;
use crate::trust::lines::Lines;
use crate::trust::{HaltLine, Validity, Version};

/// The halts that stand, and the statements that must not be lost: of all halts and resumes that
/// are valid or fallen. A tombstone of a halt is nothing: halts are not versions of each other, and
/// one key must not lift what it may set. Nor is one of a resume: resumes are never taken back.
pub(super) fn settle(lines: &Lines) -> (Vec<HaltLine>, BTreeSet<Digest>) {
    let of_kind = |kind| {
        let said = lines.of_kind(kind).filter(|(_, version)| !version.gone);
        said.map(|(id, version)| (version.statement, (id, Arc::clone(version))))
    };
    let mut halts: BTreeMap<Digest, (&ResourceId, Arc<Version>)> = of_kind(Kind::Halt).collect();
    let resumes: BTreeMap<Digest, (&ResourceId, Arc<Version>)> = of_kind(Kind::Resume).collect();
    let mut lapsing: BTreeMap<Digest, HaltLine> = BTreeMap::new();
    for (_, resume) in resumes.values() {
        for digest in named_by(resume) {
            let Some((id, halt)) = halts.get(digest) else { continue };
            if !covers(resume, &halt.scope) {
                continue;
            }
            if let Some(until) = resume.signers_until {
                let (id, version) = ((*id).clone(), Arc::clone(halt));
                let line = HaltLine { id, version, flood: None, lifted_until: None };
                let line = lapsing.entry(*digest).or_insert(line);
                line.lifted_until = line.lifted_until.max(Some(until));
            } else {
                halts.remove(digest);
            }
        }
    }
    lapsing.retain(|digest, _| halts.remove(digest).is_some());
    let mut of_key: BTreeMap<KeyId, BTreeSet<HaltPlace>> = BTreeMap::new();
    for (_, halt) in halts.values() {
        for key in &halt.signers {
            of_key.entry(*key).or_default().insert(HaltPlace::of(halt.until, halt.statement));
        }
    }
    let mut kept: BTreeSet<Digest> = BTreeSet::new();
    let mut floods: BTreeMap<KeyId, WallTime> = BTreeMap::new();
    for (key, places) in of_key {
        let room: Vec<HaltPlace> = places.into_iter().take(limits::HALTS_PER_KEY_MAX).collect();
        if let (Some(last), limits::HALTS_PER_KEY_MAX) = (room.last(), room.len()) {
            floods.insert(key, last.until.0);
        }
        kept.extend(room.iter().map(|place| place.statement));
    }
    let flood = |signers: &[KeyId]| signers.iter().filter_map(|key| floods.get(key)).max().copied();
    let lines =
        halts.into_iter().filter(|(digest, _)| kept.contains(digest)).map(|(_, (id, version))| {
            let flood = flood(&version.signers);
            HaltLine { id: id.clone(), version, flood, lifted_until: None }
        });
    let whole = kept.iter().copied().chain(lapsing.keys().copied()).chain(resumes.into_keys());
    let whole = whole.collect();
    (lines.chain(lapsing.into_values()).collect(), whole)
}

/// Where a halt stands in the room of a key that signed it: those that end last come first, so
/// that what has ended, or soon will, crowds out nothing that stands longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct HaltPlace {
    until: Reverse<WallTime>,
    pub(crate) statement: Digest,
}

impl HaltPlace {
    pub(crate) fn of(until: Option<WallTime>, statement: Digest) -> Self {
        Self { until: Reverse(until.unwrap_or(WallTime::MAX)), statement }
    }
}

/// What a resume lifts. One that lost its signatures lifts nothing: it would open.
fn named_by(resume: &Version) -> &[Digest] {
    match (resume.validity, &resume.spec) {
        (Validity::Valid, Ok(Some(Spec::Resume(spec)))) => &spec.halts,
        (Validity::Valid | Validity::Fallen, _) => &[],
    }
}

/// Whether a resume lifts a halt of this scope, for a time at least.
pub(crate) fn lifts(resume: &Version, halt: &Digest, halt_scope: &Scope) -> bool {
    named_by(resume).contains(halt) && covers(resume, halt_scope)
}

/// A resume reaches no further than its scope and its signers' scope (RULES S4).
fn covers(resume: &Version, halt_scope: &Scope) -> bool {
    if !holds(Rule::C4Resume) {
        return true;
    }
    resume.signer_scope.covers(halt_scope)
        && (resume.scope == Scope::Fleet || resume.scope == *halt_scope)
}
