//! The roots in a form that many statements are held against, one at a time (RULES C1, R5, R6).

use std::collections::{BTreeMap, BTreeSet};

use crate::id::{Digest, FleetId, KeyId, ResourceId};
use crate::rules::{Rule, holds};
use crate::trust::speakers::{Claim, Speakers, Voice};
use crate::trust::tokens::{self, Grant};
use crate::trust::{
    DigestList, Held, KeyEnd, Loss, Pending, PublicKey, Root, RootChain, RootState, Signature,
    Stance, Validity, Verified,
};

/// The lists that roots name and that are held.
pub type HeldLists = BTreeMap<Digest, DigestList>;

/// What the lists of some keys name.
#[derive(Clone, Debug, Default)]
struct Listed {
    statements: BTreeSet<Digest>,
    /// Whether one of the lists is not held: then what it could name is unknown.
    missing: bool,
}

impl Listed {
    fn add(&mut self, named: &BTreeSet<Digest>, lists: &HeldLists) {
        for digest in named {
            match lists.get(digest) {
                Some(list) => self.statements.extend(list.digests()),
                None => self.missing = true,
            }
        }
    }
}

/// How a statement stands, and what its versions are told by.
#[derive(Clone, Debug)]
pub(super) struct Stood {
    pub(super) stance: Stance,
    /// Who made it count, and how far their word goes; `None` if it does not count.
    pub(super) voice: Option<Voice>,
    /// Why it fell, if it did.
    pub(super) loss: Option<Loss>,
}

impl Stood {
    fn apart(stance: Stance) -> Self {
        Self { stance, voice: None, loss: None }
    }
}

/// An id of which versions are void, and what follows (RULES R6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Voided {
    /// Versions below this never count again.
    pub(super) counts_from: u64,
    /// The root that says so.
    pub(super) root: u64,
}

/// Who may speak under each held root, and what the roots end, keep and take back.
#[derive(Clone, Debug)]
pub(super) struct Bench {
    state: RootState,
    now: Speakers,
    before: Vec<Speakers>,
    /// Of every root of the chain.
    revoked: BTreeMap<KeyId, Listed>,
    /// Of the newest root.
    kept: Listed,
    void: BTreeMap<Digest, u64>,
    void_ids: BTreeMap<(String, ResourceId), Voided>,
    grants: Vec<Grant>,
}

impl Bench {
    /// `None` while nothing can be judged under the chain.
    pub(super) fn new(chain: &RootChain, lists: &HeldLists) -> Option<Self> {
        let newest = chain.newest()?;
        let state = RootState {
            fleet: chain.fleet()?,
            version: newest.version,
            digest: newest.digest,
            issued: newest.issued,
            expires: newest.expires,
            freshness: newest.freshness,
        };
        let mut bench = Self {
            state,
            now: Speakers::of(newest),
            before: chain.earlier().map(Speakers::of).collect(),
            revoked: BTreeMap::new(),
            kept: Listed { statements: newest.kept.clone(), missing: false },
            void: BTreeMap::new(),
            void_ids: BTreeMap::new(),
            grants: Vec::new(),
        };
        for ended in newest.lists.values().filter(|ended| ended.end == KeyEnd::Retired) {
            bench.kept.add(&ended.digests, lists);
        }
        for root in chain.held() {
            bench.take_back(root, lists);
        }
        Some(bench)
    }

    fn take_back(&mut self, root: &Root, lists: &HeldLists) {
        for (key, ended) in root.lists.iter().filter(|(_, ended)| ended.end == KeyEnd::Revoked) {
            self.revoked.entry(*key).or_default().add(&ended.digests, lists);
        }
        for void in &root.void {
            self.void.entry(void.statement).or_insert(root.version);
            for id in &void.ids {
                let said = Voided { counts_from: id.counts_from, root: root.version };
                let of_id = self.void_ids.entry((id.kind.clone(), id.id.clone())).or_insert(said);
                if of_id.counts_from < id.counts_from {
                    *of_id = said;
                }
            }
        }
    }

    pub(super) fn state(&self) -> &RootState {
        &self.state
    }

    /// What roots took back of an id.
    pub(super) fn voided(&self, kind: &str, id: &ResourceId) -> Option<Voided> {
        if self.void_ids.is_empty() {
            return None;
        }
        self.void_ids.get(&(kind.to_owned(), id.clone())).copied()
    }

    /// All ids of which roots took something back.
    pub(super) fn void_ids(&self) -> impl Iterator<Item = &(String, ResourceId)> {
        self.void_ids.keys()
    }

    fn fleet(&self) -> FleetId {
        self.state.fleet
    }

    /// How a statement stands.
    pub(super) fn stand(&self, held: &Held, chain: &RootChain, verified: &mut Verified) -> Stood {
        let never = |why: String| Stood::apart(Stance::Never(why));
        if held.statement.payload().fleet != self.fleet() {
            return never("it is for another fleet".into());
        }
        let digest = held.statement.digest();
        if let Some(root) = self.void.get(&digest).filter(|_| holds(Rule::R6Void)) {
            return never(format!("root {root} took it back"));
        }
        let claim = match Claim::of(&held.statement) {
            Ok(claim) => claim,
            Err(mixed) => return never(mixed.to_string()),
        };
        let signers = self.weigh(&digest, self.signers(held, chain, verified));
        let valid = Stance::Counts(Validity::Valid);
        if let Some(voice) = self.now.voice(claim, &signers.now) {
            return Stood { stance: valid, voice: Some(voice), loss: None };
        }
        let once = |signers: &BTreeSet<KeyId>| {
            self.before.iter().find_map(|before| before.voice(claim, signers))
        };
        let fallen = |voice: Voice, loss: Loss| Stood {
            stance: Stance::Counts(Validity::Fallen),
            voice: Some(Voice { until: None, ..voice }),
            loss: Some(loss),
        };
        let met_once = once(&signers.once);
        if let Some(voice) = met_once
            .clone()
            .filter(|_| holds(Rule::R5Kept) && self.kept.statements.contains(&digest))
        {
            // The root itself keeps it, so no delegation's end matters any more.
            let voice = Some(Voice { until: None, ..voice });
            return Stood { stance: valid, voice, loss: None };
        }
        let by_token = tokens::let_in(&self.grants, &held.statement, &signers.now);
        if let Some((_, voice)) = by_token.clone().filter(|(grant, _)| grant.is_valid) {
            // Whoever countersigned it may be gone: then it is what it was before, not less.
            return Stood { stance: valid, voice: Some(voice), loss: None };
        }
        if let Some(voice) = met_once {
            let loss = self.loss_of(&voice);
            return fallen(voice, loss);
        }
        if let Some(voice) = once(&signers.perhaps) {
            return fallen(voice, Loss::MaybeListed);
        }
        if let Some((_, voice)) = by_token {
            return fallen(voice, Loss::Signatures);
        }
        let (quorum, may_sign) = self.now.lacking(claim, &signers.now);
        Stood::apart(Stance::Pending(Pending { role: claim.role, quorum, may_sign }))
    }

    fn loss_of(&self, voice: &Voice) -> Loss {
        let revoked = voice.quorum.have.iter().any(|key| self.revoked.contains_key(key));
        match (revoked, self.kept.missing) {
            (true, _) => Loss::Revoked,
            (false, true) => Loss::MaybeKept,
            (false, false) => Loss::Signatures,
        }
    }

    /// What a statement lacks under the newest root, whether or not it counts.
    pub(super) fn lacks(
        &self,
        held: &Held,
        chain: &RootChain,
        verified: &mut Verified,
    ) -> Option<Pending> {
        let claim = Claim::of(&held.statement).ok()?;
        let signers = self.weigh(&held.statement.digest(), self.signers(held, chain, verified));
        let (quorum, may_sign) = self.now.lacking(claim, &signers.now);
        Some(Pending { role: claim.role, quorum, may_sign })
    }

    /// The tokens that let hosts in. Says whether they are others than before.
    pub(super) fn set_grants(&mut self, grants: Vec<Grant>) -> bool {
        let changed = self.grants != grants;
        self.grants = grants;
        changed
    }

    pub(super) fn grants(&self) -> &[Grant] {
        &self.grants
    }

    /// The key of a token that counts or once did.
    pub(super) fn token_key(&self, id: &KeyId) -> Option<&PublicKey> {
        self.grants.iter().find(|grant| grant.key == *id).map(|grant| &grant.public)
    }

    /// The keys whose signatures verify: those that any root names, tokens' and the host's own.
    fn signers(&self, held: &Held, chain: &RootChain, verified: &mut Verified) -> BTreeSet<KeyId> {
        let verifies = |(id, signature): &(&KeyId, &Signature)| {
            let known = chain.key(id).or_else(|| self.token_key(id)).cloned();
            let key = known.or_else(|| tokens::own_key(&held.statement, id));
            key.is_some_and(|key| verified.check(**id, &key, &held.statement, signature))
        };
        held.signatures.iter().filter(verifies).map(|(id, _)| *id).collect()
    }

    /// What the signatures of each key are worth: one of a revoked key counts only for what its
    /// list names, and only under the roots before (RULES R5).
    fn weigh(&self, statement: &Digest, signers: BTreeSet<KeyId>) -> Signers {
        let mut weighed = Signers::default();
        for key in signers {
            match self.revoked.get(&key).filter(|_| holds(Rule::R5Revoked)) {
                None => {
                    weighed.now.insert(key);
                    weighed.once.insert(key);
                    weighed.perhaps.insert(key);
                }
                Some(listed) if listed.statements.contains(statement) => {
                    weighed.once.insert(key);
                    weighed.perhaps.insert(key);
                }
                Some(listed) if listed.missing => {
                    weighed.perhaps.insert(key);
                }
                Some(_) => {}
            }
        }
        weighed
    }
}

/// Signers by what their signatures of one statement may count for.
#[derive(Clone, Debug, Default)]
struct Signers {
    /// Under the newest root.
    now: BTreeSet<KeyId>,
    /// Under an earlier root.
    once: BTreeSet<KeyId>,
    /// Under an earlier root, if a list that is not held names the statement.
    perhaps: BTreeSet<KeyId>,
}
