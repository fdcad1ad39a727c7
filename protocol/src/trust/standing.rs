//! What counts, as a value: the result of judging all held statements under the held root chain
//! (RULES C1 to C6). Time plays no part in it; ends are judged when deciding.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::id::{Digest, FleetId, KeyId, ResourceId};
use crate::resource::{Kind, Scope, Spec, Target};
use crate::time::WallTime;
use crate::trust::{ChainWait, Freshness, Heartbeat, Seen};

/// Everything that counts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Standing {
    /// The newest root, if the whole chain is held (RULES R2).
    pub root: Option<RootState>,
    /// Every id of a known kind except halts and resumes.
    pub lines: BTreeMap<(Kind, ResourceId), Line>,
    /// Halts that no resume and no root lifted (RULES C4).
    pub halts: Vec<HaltLine>,
    /// Resources of kinds this version does not know, met at the policy threshold (RULES S3).
    pub unknown_kinds: Vec<UnknownKindLine>,
    /// The highest version held of each (kind as written, id) that `sees` may name: closings,
    /// policies and unknown kinds. In whatever state but pending: fallen, lifted and voided ones
    /// too, what only a floor still names, and what a root's void names without its being held
    /// (RULES S5).
    pub held: BTreeMap<(String, ResourceId), u64>,
    /// The newest heartbeat of each scope, under the newest root (RULES K1, D7).
    pub heartbeats: BTreeMap<Scope, Heartbeat>,
    /// Why nothing was judged, if so: all else is empty then, and no statement has a stance.
    pub wait: Option<ChainWait>,
}

impl Standing {
    /// All lines of one kind, by id.
    pub fn of_kind(&self, kind: Kind) -> impl Iterator<Item = (&ResourceId, &Line)> {
        self.lines
            .range((kind, ResourceId::lowest())..)
            .take_while(move |((other, _), _)| *other == kind)
            .map(|((_, id), line)| (id, line))
    }

    /// Tokens by id, each with how many machines it is meant for and the hosts that joined by it and
    /// that nobody countersigned. More hosts than uses is an alarm (RULES S9).
    pub fn tokens(&self) -> BTreeMap<ResourceId, (u32, Vec<ResourceId>)> {
        let uses = self.of_kind(Kind::Token).filter_map(|(id, line)| {
            match line.versions.first().map(|top| &top.spec) {
                Some(Ok(Some(Spec::Token(token)))) => Some((id.clone(), (token.uses, Vec::new()))),
                Some(_) | None => None,
            }
        });
        let mut tokens: BTreeMap<_, (u32, Vec<ResourceId>)> = uses.collect();
        for (host, line) in self.of_kind(Kind::Host) {
            let token = line.versions.first().and_then(|top| top.token.as_ref());
            if let Some((_, hosts)) = token.and_then(|token| tokens.get_mut(token)) {
                hosts.push(host.clone());
            }
        }
        tokens
    }
}

/// What the decision needs of the newest root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootState {
    /// The fleet.
    pub fleet: FleetId,
    /// Version of the newest root.
    pub version: u64,
    /// Digest of its payload.
    pub digest: Digest,
    /// When its signers say that they wrote it.
    pub issued: WallTime,
    /// When it expires.
    pub expires: WallTime,
    /// How old the newest heartbeat may be.
    pub freshness: Freshness,
}

/// All held versions of one (kind, id).
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// Whether the highest version counts as said or the id is unknown (RULES C2).
    pub state: State,
    /// Held versions that are valid or fallen, highest first, those that say the same as one.
    /// Empty only where a floor names a version that is not held: whom that one reached nobody
    /// can tell, so what closes must be taken to reach everyone.
    pub versions: Vec<Arc<Version>>,
}

/// Whether an id's highest version counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// `versions[0]` counts.
    Counts,
    /// Opens nothing, and keeps closed what any held version closes; the reason is for people.
    Unknown(String),
}

/// How a statement stands under the held chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validity {
    /// Its threshold is met now, or the newest root keeps it.
    Valid,
    /// Was valid under an earlier root and is not kept.
    Fallen,
}

/// Why a version that counted once is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Loss {
    /// Its signers may no longer speak.
    #[error("has lost its signatures to a newer root")]
    Signatures,
    /// As before, and a list that may keep it is not held.
    #[error("has lost its signatures, unless a list of the newest root keeps it that is missing")]
    MaybeKept,
    /// A signer's key was revoked, and its list names the statement.
    #[error("is signed with a key that was revoked")]
    Revoked,
    /// A signer's key was revoked, and a list of what it signed is not held: it may never have
    /// counted.
    #[error("is signed with a revoked key, and a list of what that key signed is missing")]
    MaybeListed,
}

/// Scope of the signers that met the threshold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SignerScope {
    /// Keys of the role itself.
    #[default]
    Fleet,
    /// Keys of a delegation (RULES R7).
    Only(Scope),
}

impl SignerScope {
    /// That of a delegation.
    pub(super) fn of(delegated: &Scope) -> Self {
        match delegated {
            Scope::Fleet => Self::Fleet,
            Scope::Region(_) | Scope::Site(_) => Self::Only(delegated.clone()),
        }
    }

    /// Whether it covers all that a scope holds.
    pub(super) fn covers(&self, scope: &Scope) -> bool {
        match self {
            Self::Fleet => true,
            Self::Only(own) => own == scope,
        }
    }
}

/// One version of a resource.
#[derive(Clone, Debug, PartialEq)]
pub struct Version {
    /// The version.
    pub version: u64,
    /// Resource digest: (kind, id, version, target, schema, spec as received) (RULES Q5).
    pub digest: Digest,
    /// Digest of the statement that says it.
    pub statement: Digest,
    /// Keys that signed it and count.
    pub signers: Vec<KeyId>,
    /// How the statement stands.
    pub validity: Validity,
    /// Why it fell, if it did.
    pub loss: Option<Loss>,
    /// Scope of those signers.
    pub signer_scope: SignerScope,
    /// When their delegation or token ends: past it what they opened counts as unknown.
    pub signers_until: Option<WallTime>,
    /// Hosts: the token that let it in, until `enroll` countersigns. Such a host is served and
    /// updates itself, and is never counted for others (RULES S9).
    pub token: Option<ResourceId>,
    /// Hosts: the machine in whose place it came.
    pub replaces: Option<KeyId>,
    /// The statement's scope.
    pub scope: Scope,
    /// When it was issued.
    pub issued: WallTime,
    /// When it ends.
    pub until: Option<WallTime>,
    /// What its signers knew.
    pub sees: Vec<Seen>,
    /// A tombstone.
    pub gone: bool,
    /// Whom it is for.
    pub target: Option<Target>,
    /// Hosts: the site.
    pub site: Option<ResourceId>,
    /// The content; an error text if this version of the agent cannot read it.
    pub spec: Result<Option<Spec>, String>,
    /// Why, for people.
    pub reason: String,
}

impl Version {
    /// A version that is valid under the fleet's own keys, says no more than its content, and is
    /// for nobody yet: what previews and models start from.
    pub fn saying(version: u64, digest: Digest, spec: Option<Spec>) -> Self {
        Self {
            version,
            digest,
            statement: digest,
            signers: Vec::new(),
            validity: Validity::Valid,
            loss: None,
            signer_scope: SignerScope::Fleet,
            signers_until: None,
            token: None,
            replaces: None,
            scope: Scope::Fleet,
            issued: WallTime::EPOCH,
            until: None,
            sees: Vec::new(),
            gone: spec.is_none(),
            target: None,
            site: None,
            spec: Ok(spec),
            reason: String::new(),
        }
    }
}

/// A halt that stands.
#[derive(Clone, Debug, PartialEq)]
pub struct HaltLine {
    /// Its id, by which `sees` names it (RULES S5).
    pub id: ResourceId,
    /// What it says; its `statement` is what a resume names.
    pub version: Arc<Version>,
    /// Until when more than 64 halts of a key that signed it stand, if so: as long that key halts
    /// all that it may (C4). [`WallTime::MAX`] if none of them ends.
    pub flood: Option<WallTime>,
    /// Until when resumes lift it whose signers' delegation then ends; from there on it stands.
    pub lifted_until: Option<WallTime>,
}

/// A resource of a kind that this version does not know.
#[derive(Clone, Debug, PartialEq)]
pub struct UnknownKindLine {
    /// The kind as written.
    pub kind: String,
    /// Its id.
    pub id: ResourceId,
    /// Whether its targets wait.
    pub closes: bool,
    /// What is known of it; `spec` is `Err`.
    pub version: Arc<Version>,
}
