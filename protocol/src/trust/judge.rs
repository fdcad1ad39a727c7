//! Judging: which statements count under the held roots, and what follows for every id (RULES C).
//!
//! A pure function of what is held; time plays no part (ends are judged when deciding), and
//! neither does the order in which anything arrived. No earlier result enters but the floors.

use std::collections::{BTreeMap, BTreeSet};

use crate::document::DocumentId;
use crate::id::{Digest, KeyId};
use crate::resource::{Kind, Role};
use crate::trust::lines::Lines;
use crate::trust::{
    ChainWait, FloorRecord, Floors, Quorum, Resource, RoleKeys, Root, RootChain, RootState,
    Signature, SignerScope, Standing, Statement, Validity, Verified, Version, halts,
};

/// A statement with the signatures that came for it, at most one by each key, verified or not.
#[derive(Clone, Debug)]
pub struct Held {
    /// The statement.
    pub statement: Statement,
    /// Its signatures.
    pub signatures: BTreeMap<KeyId, Signature>,
}

/// How a statement stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stance {
    /// It met its threshold, under the newest root or an earlier one.
    Counts(Validity),
    /// Signatures are missing under every held root.
    Pending(Pending),
    /// It can never count; why, for people.
    Never(String),
}

/// What a statement lacks under the newest root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// The role that speaks for it.
    pub role: Role,
    /// Who signed, and how many must.
    pub quorum: Quorum,
    /// Who else may sign. With fewer of them than signatures are missing, it can never be met.
    pub may_sign: BTreeSet<KeyId>,
}

/// The result of judging.
#[derive(Clone, Debug, Default)]
pub struct Judgement {
    /// What counts.
    pub standing: Standing,
    /// Why nothing was judged, if so: the standing is empty then, and no statement has a stance.
    pub wait: Option<ChainWait>,
    /// Floors that rise. They go to the journal before anything relies on the standing (RULES C6);
    /// judging the same again raises nothing once they are in the [`Floors`].
    pub raised: Vec<FloorRecord>,
    /// Halts and resumes whose entries the journal must hold whole (RULES C6).
    pub whole: BTreeSet<Digest>,
    /// How each held statement stands.
    pub stances: BTreeMap<Digest, Stance>,
}

impl Judgement {
    /// The statements that wait for signatures: what `get approvals` shows.
    pub fn pending(&self) -> impl Iterator<Item = (&Digest, &Pending)> {
        self.stances.iter().filter_map(|(digest, stance)| match stance {
            Stance::Pending(pending) => Some((digest, pending)),
            Stance::Counts(_) | Stance::Never(_) => None,
        })
    }
}

/// Judges all held statements. `keeps` tells of which documents everything is meant to be here: a
/// floor in any other misses nothing.
pub fn judge(
    chain: &RootChain,
    held: &BTreeMap<Digest, Held>,
    floors: &Floors,
    keeps: &dyn Fn(&DocumentId) -> bool,
    verified: &mut Verified,
) -> Judgement {
    let Some(bench) = Bench::new(chain) else {
        return Judgement { wait: chain.wait().cloned(), ..Judgement::default() };
    };
    let mut judgement = Judgement::default();
    let mut lines = Lines::default();
    let mut stops = halts::Stops::default();
    for (digest, held) in held {
        let (stance, signers) = bench.stand(held, verified);
        if let Stance::Counts(validity) = stance {
            for resource in &held.statement.payload().resources {
                let version = version_of(&held.statement, resource, validity, &signers);
                note_seen(&mut judgement.standing, resource);
                match resource.known_kind() {
                    Some(Kind::Halt) => stops.add_halt(version),
                    Some(Kind::Resume) => stops.add_resume(version),
                    Some(_) | None => lines.add(resource, version),
                }
            }
        }
        judgement.stances.insert(*digest, stance);
    }
    verified.retain(held);
    judgement.raised = lines.raised(floors);
    (judgement.standing.lines, judgement.standing.unknown_kinds) = lines.settle(floors, keeps);
    (judgement.standing.halts, judgement.whole) = stops.settle();
    judgement.standing.root = Some(bench.root_state());
    judgement
}

/// What `sees` may name and has counted (RULES S5). A draft that lacks signatures does not satisfy
/// it, or one stolen key could stand in for a blackout that is missing here.
fn note_seen(standing: &mut Standing, resource: &Resource) {
    let named = resource.known_kind().is_none_or(|k| k.closes() || k == Kind::OsUpdatePolicy);
    if named {
        let key = (resource.kind.clone(), resource.id.clone());
        let highest = standing.held.entry(key).or_insert(resource.version);
        *highest = resource.version.max(*highest);
    }
}

fn version_of(
    statement: &Statement,
    resource: &Resource,
    validity: Validity,
    signers: &BTreeSet<KeyId>,
) -> Version {
    let payload = statement.payload();
    Version {
        version: resource.version,
        digest: resource.digest(),
        statement: statement.digest(),
        signers: signers.iter().copied().collect(),
        validity,
        signer_scope: SignerScope::Fleet,
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

/// The roots in a form that many statements are held against.
struct Bench<'a> {
    chain: &'a RootChain,
    newest: &'a Root,
    now: BTreeMap<Role, RoleKeys>,
    before: Vec<BTreeMap<Role, RoleKeys>>,
}

impl<'a> Bench<'a> {
    fn new(chain: &'a RootChain) -> Option<Self> {
        let newest = chain.newest()?;
        let before = chain.earlier().map(speakers).collect();
        Some(Self { chain, newest, now: speakers(newest), before })
    }

    fn root_state(&self) -> RootState {
        RootState {
            fleet: self.chain.fleet().expect("a whole chain holds its first root"),
            version: self.newest.version,
            digest: self.newest.digest,
            expires: self.newest.expires,
        }
    }

    /// How a statement stands, with the keys that make it count.
    fn stand(&self, held: &Held, verified: &mut Verified) -> (Stance, BTreeSet<KeyId>) {
        let never = |why: String| (Stance::Never(why), BTreeSet::new());
        if Some(held.statement.payload().fleet) != self.chain.fleet() {
            return never("it is for another fleet".into());
        }
        let role = match held.statement.role() {
            Ok(role) => role,
            Err(mixed) => return never(mixed.to_string()),
        };
        let signers = self.signers(held, verified);
        let count = |roles: &BTreeMap<Role, RoleKeys>| roles.get(&role).map(|r| r.count(&signers));
        let now = count(&self.now);
        if let Some(quorum) = now.as_ref().filter(|quorum| quorum.is_met()) {
            return (Stance::Counts(Validity::Valid), quorum.have.clone());
        }
        if let Some(quorum) = self.before.iter().filter_map(count).find(Quorum::is_met) {
            return (Stance::Counts(Validity::Fallen), quorum.have);
        }
        let may = self.now.get(&role).map(|role| &role.keys - &signers).unwrap_or_default();
        let quorum = now.unwrap_or_else(|| Quorum { have: BTreeSet::new(), need: 1 });
        (Stance::Pending(Pending { role, quorum, may_sign: may }), BTreeSet::new())
    }

    /// The keys that any root names and whose signatures verify.
    fn signers(&self, held: &Held, verified: &mut Verified) -> BTreeSet<KeyId> {
        let verifies = |(id, signature): &(&KeyId, &Signature)| {
            let key = self.chain.key(id);
            key.is_some_and(|key| verified.check(key, &held.statement, signature))
        };
        held.signatures.iter().filter(verifies).map(|(id, _)| *id).collect()
    }
}

/// Who may speak under a root. A halt takes any one key of `halt` or of `policy` (I11).
fn speakers(root: &Root) -> BTreeMap<Role, RoleKeys> {
    let mut roles = root.roles.clone();
    let halting = [Role::Halt, Role::Policy].iter().filter_map(|role| root.role(*role));
    let keys: BTreeSet<KeyId> = halting.flat_map(|role| &role.keys).copied().collect();
    roles.insert(Role::Halt, RoleKeys { threshold: 1, keys });
    roles
}
