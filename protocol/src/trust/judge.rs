//! Judging: which statements count under the held roots, and what follows for every id (RULES C).
//!
//! The result is a pure function of what is held; time plays no part (ends are judged when
//! deciding), and neither does the order in which anything arrived. No earlier result enters but
//! the floors. [`Judge`] keeps the result and, when single statements come, change or go, redoes
//! what they touch; [`judge`] gives it everything at once.

use std::collections::{BTreeMap, BTreeSet};

use crate::document::DocumentId;
use crate::id::{Digest, KeyId};
use crate::resource::{Kind, Scope};
use crate::trust::bench::{Bench, HeldLists, Stood, Voided};
use crate::trust::lines::{LineId, Lines};
use crate::trust::speakers::Voice;
use crate::trust::{
    FloorRecord, Floors, Grounds, Heartbeat, Held, Judgement, Loss, Pending, PublicKey, Replaced,
    Resource, RootChain, Stance, Statement, UnknownKindLine, Validity, Verified, Version, halts,
    tokens,
};

/// Judges all held statements. `keeps` tells of which documents everything is meant to be here: a
/// floor in any other misses nothing.
pub fn judge(
    chain: &RootChain,
    lists: &HeldLists,
    held: &BTreeMap<Digest, Held>,
    floors: &Floors,
    keeps: &dyn Fn(&DocumentId) -> bool,
    verified: &mut Verified,
) -> Judgement {
    let mut judge = Judge::default();
    judge.anew(&Grounds { chain, lists, held, floors, keeps }, verified);
    verified.retain(held);
    let raised = judge.take_raised();
    Judgement { raised, ..judge.judgement }
}

/// A judgement that is kept up to date.
#[derive(Clone, Debug, Default)]
pub struct Judge {
    bench: Option<Bench>,
    /// The statements that count, to take back what they said.
    counting: BTreeMap<Digest, Statement>,
    lines: Lines,
    unknown_kinds: BTreeMap<LineId, Vec<UnknownKindLine>>,
    raised: BTreeMap<LineId, Vec<FloorRecord>>,
    judgement: Judgement,
}

/// What was judged again beside the statements that came, changed or went.
#[derive(Clone, Debug, Default)]
pub struct Redone {
    /// Whether halts or resumes are among those.
    pub stops: bool,
    /// Host statements that tokens let in now, or no longer.
    pub hosts: Vec<Digest>,
}

impl Judge {
    /// The judgement, without the floors that rise.
    pub fn judgement(&self) -> &Judgement {
        &self.judgement
    }

    /// Floors that rise and were not taken yet.
    pub fn take_raised(&mut self) -> Vec<FloorRecord> {
        std::mem::take(&mut self.raised).into_values().flatten().collect()
    }

    /// Resumes that meet their threshold now.
    pub fn valid_resumes(&self) -> impl Iterator<Item = &Version> {
        let resumes = self.lines.of_kind(Kind::Resume).map(|(_, version)| version.as_ref());
        resumes.filter(|resume| resume.validity == Validity::Valid && !resume.gone)
    }

    /// Sets the newest heartbeats, which are judged apart.
    pub(crate) fn set_heartbeats(&mut self, heartbeats: BTreeMap<Scope, Heartbeat>) {
        self.judgement.standing.heartbeats = heartbeats;
    }

    /// Judges everything: after a change of the roots, or of what documents are kept.
    pub fn anew(&mut self, grounds: &Grounds<'_>, verified: &mut Verified) {
        *self = Self { bench: Bench::new(grounds.chain, grounds.lists), ..Self::default() };
        let Some(bench) = &self.bench else {
            self.judgement.standing.wait = grounds.chain.wait().cloned();
            return;
        };
        self.judgement.standing.root = Some(bench.state().clone());
        let mut moved: BTreeSet<LineId> =
            grounds.floors.versions().map(|(kind, id, _)| LineId::new(kind, id)).collect();
        moved.extend(bench.void_ids().map(|(kind, id)| LineId::new(kind, id)));
        for (digest, held) in grounds.held {
            self.hear(*digest, held, grounds.chain, verified, &mut moved);
        }
        self.settle(moved, grounds);
        self.let_in(grounds, verified);
    }

    /// Judges those hosts again that tokens let in, or no longer, after tokens changed. Returns them.
    fn let_in(&mut self, grounds: &Grounds<'_>, verified: &mut Verified) -> Vec<Digest> {
        let Some(bench) = &mut self.bench else { return Vec::new() };
        let before: BTreeSet<KeyId> = bench.grants().iter().map(|grant| grant.key).collect();
        if !bench.set_grants(tokens::grants(&self.judgement.standing)) {
            return Vec::new();
        }
        let keys: BTreeSet<KeyId> =
            bench.grants().iter().map(|grant| grant.key).chain(before).collect();
        let signed = |(_, held): &(&Digest, &Held)| {
            let resources = &held.statement.payload().resources;
            resources.iter().any(|resource| resource.known_kind() == Some(Kind::Host))
                && held.signatures.keys().any(|key| keys.contains(key))
        };
        let hosts: Vec<Digest> =
            grounds.held.iter().filter(signed).map(|(digest, _)| *digest).collect();
        self.redo(&hosts, grounds, verified);
        hosts
    }

    /// Judges again what follows from statements that came, changed or went, under the same roots
    /// and with the same documents kept.
    pub fn again<'d>(
        &mut self,
        touched: impl IntoIterator<Item = &'d Digest>,
        grounds: &Grounds<'_>,
        verified: &mut Verified,
    ) -> Redone {
        let stops = self.redo(touched, grounds, verified);
        Redone { stops, hosts: self.let_in(grounds, verified) }
    }

    fn redo<'d>(
        &mut self,
        touched: impl IntoIterator<Item = &'d Digest>,
        grounds: &Grounds<'_>,
        verified: &mut Verified,
    ) -> bool {
        let mut moved = BTreeSet::new();
        for digest in touched {
            let held = grounds.held.get(digest);
            self.unhear(digest, &mut moved);
            verified.forget(digest, held);
            if let Some(held) = held {
                self.hear(*digest, held, grounds.chain, verified, &mut moved);
            }
        }
        self.settle(moved, grounds)
    }

    /// Takes in how a statement stands, and what it says if it counts.
    fn hear(
        &mut self,
        digest: Digest,
        held: &Held,
        chain: &RootChain,
        verified: &mut Verified,
        moved: &mut BTreeSet<LineId>,
    ) {
        let Some(bench) = &self.bench else { return };
        let Stood { stance, voice, loss } = bench.stand(held, chain, verified);
        if let (Stance::Counts(validity), Some(voice)) = (&stance, &voice) {
            for resource in &held.statement.payload().resources {
                let version = version_of(&held.statement, resource, (*validity, loss), voice);
                if let Some(replaced) = &resource.replaces {
                    let id = LineId::of_host(replaced.host);
                    self.lines.add(
                        id.clone(),
                        verified.shared().version(ended(&version, replaced)),
                        false,
                    );
                    moved.insert(id);
                }
                let id = LineId::of(resource);
                let closes = resource.closes && !resource.gone;
                self.lines.add(id.clone(), verified.shared().version(version), closes);
                moved.insert(id);
            }
            self.counting.insert(digest, held.statement.clone());
        }
        self.judgement.stances.insert(digest, stance);
    }

    /// Takes back what a statement said.
    fn unhear(&mut self, digest: &Digest, moved: &mut BTreeSet<LineId>) {
        self.judgement.stances.remove(digest);
        let Some(statement) = self.counting.remove(digest) else { return };
        for resource in &statement.payload().resources {
            let id = LineId::of(resource);
            self.lines.remove(&id, digest);
            moved.insert(id);
            if let Some(replaced) = &resource.replaces {
                let id = LineId::of_host(replaced.host);
                self.lines.remove(&id, digest);
                moved.insert(id);
            }
        }
    }

    /// The key of a token that counts or once did: it may sign Hosts.
    pub fn token_key(&self, id: &KeyId) -> Option<&PublicKey> {
        self.bench.as_ref()?.token_key(id)
    }

    /// What a statement lacks to count under the newest root alone.
    pub fn lacks(
        &self,
        held: &Held,
        chain: &RootChain,
        verified: &mut Verified,
    ) -> Option<Pending> {
        self.bench.as_ref()?.lacks(held, chain, verified)
    }

    /// Brings about what follows for the ids of which versions came or went.
    fn settle(&mut self, moved: BTreeSet<LineId>, grounds: &Grounds<'_>) -> bool {
        let (mut stops, mut unknown_kinds) = (false, false);
        for line in moved {
            let voided = self.voided(&line);
            self.note_seen(&line, grounds);
            match &line {
                LineId::Known(Kind::Halt | Kind::Resume, _) => stops = true,
                LineId::Known(kind, id) => {
                    let key = (*kind, id.clone());
                    let lines = &mut self.judgement.standing.lines;
                    match self.lines.settled(&line, voided, grounds) {
                        Some(settled) => drop(lines.insert(key, settled)),
                        None => drop(lines.remove(&key)),
                    }
                    self.raise(line, grounds.floors);
                }
                LineId::Unknown(..) => {
                    unknown_kinds = true;
                    let settled = self.lines.settled_unknown_kind(&line, voided, grounds);
                    self.unknown_kinds.insert(line.clone(), settled);
                    self.raise(line, grounds.floors);
                }
            }
        }
        if unknown_kinds {
            self.unknown_kinds.retain(|_, lines| !lines.is_empty());
            let lines = self.unknown_kinds.values().flatten();
            self.judgement.standing.unknown_kinds = lines.cloned().collect();
        }
        if stops {
            let settled = halts::settle(&self.lines);
            (self.judgement.standing.halts, self.judgement.whole) = settled;
        }
        stops
    }

    fn voided(&self, line: &LineId) -> Option<Voided> {
        let (kind, id) = line.as_written();
        self.bench.as_ref()?.voided(&kind, &id)
    }

    fn raise(&mut self, line: LineId, floors: &Floors) {
        let raised = self.lines.raised(&line, self.voided(&line), floors);
        if raised.is_empty() {
            self.raised.remove(&line);
        } else {
            self.raised.insert(line, raised);
        }
    }

    /// What `sees` may name and has counted (RULES S5). A draft that lacks signatures does not
    /// satisfy it, or one stolen key could stand in for a blackout that is missing here. What only
    /// a floor still names was held: the rooms of tombstones overflow in the course of years, and
    /// anything else that is lost closes by itself.
    fn note_seen(&mut self, line: &LineId, grounds: &Grounds<'_>) {
        let named = match line {
            LineId::Known(kind, _) => kind.closes() || *kind == Kind::OsUpdatePolicy,
            LineId::Unknown(..) => true,
        };
        if named {
            let written = line.as_written();
            let floor = grounds.floors.get(&written.0, &written.1);
            let floor = floor.filter(|floor| (grounds.keeps)(&floor.document));
            let floor = floor.map(|floor| floor.version);
            let void = self.voided(line).map(|voided| voided.counts_from.saturating_sub(1));
            let held = &mut self.judgement.standing.held;
            match self.lines.highest(line).max(floor).max(void) {
                Some(version) => drop(held.insert(written, version)),
                None => drop(held.remove(&written)),
            }
        }
    }
}

/// What a Host that takes the place of another says of that one: it is gone.
fn ended(version: &Version, replaced: &Replaced) -> Version {
    Version {
        version: replaced.version,
        gone: true,
        target: None,
        site: replaced.site.clone(),
        replaces: None,
        spec: Ok(None),
        ..version.clone()
    }
}

fn version_of(
    statement: &Statement,
    resource: &Resource,
    (validity, loss): (Validity, Option<Loss>),
    voice: &Voice,
) -> Version {
    let payload = statement.payload();
    Version {
        version: resource.version,
        digest: resource.digest(),
        statement: statement.digest(),
        signers: voice.quorum.have.iter().copied().collect(),
        validity,
        loss,
        signer_scope: voice.scope.clone(),
        signers_until: voice.until,
        token: voice.token.clone(),
        replaces: resource.replaces.as_ref().map(|replaced| replaced.host),
        scope: payload.scope.clone(),
        issued: payload.issued,
        until: payload.until,
        sees: payload.sees.clone(),
        gone: resource.gone,
        target: resource.target.clone(),
        site: resource.site.clone(),
        spec: resource.spec().map(|spec| spec.cloned()).map_err(ToOwned::to_owned),
        reason: payload.reason.clone(),
    }
}
