//! What many replicas in one process hold alike, held once, and pure checks of it made once: for
//! simulators. Nothing that a replica says or keeps depends on whether it shares.

mod chains;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use self::chains::Chains;
use crate::document::DocumentId;
use crate::document::chain::{ChainOutcome, HostChain};
use crate::document::report::{RefusedReport, SignedReport};
use crate::document::retention::Candidate;
use crate::id::{Digest, KeyId};
use crate::resource::NewerFields;
use crate::trust::{
    Accepted, Context, Pin, PublicKey, RefusedStatement, RootChain, RootError, Signature,
    Statement, Version,
};
use crate::wire::{Liveness, RefusedLiveness};

/// Things in a pool before what nobody else holds is first let go.
const FIRST_SWEEP: usize = 4_096;
/// Livenesses and reports that a pool remembers as read; each reaches everyone within seconds.
const MESSAGES_MAX: usize = 4_096;
/// States of root chains that a pool remembers: far more than roots and their rivals lead to.
const ROOT_CHAINS_MAX: usize = 4_096;

/// A pool, or none. Copies are of the same pool.
#[derive(Clone, Debug, Default)]
pub struct Shared {
    pool: Option<Arc<Mutex<Pool>>>,
    /// What whoever reads with it knows beyond this version.
    newer: Arc<NewerFields>,
}

#[derive(Debug, Default)]
struct Pool {
    statements: BTreeMap<Digest, Statement>,
    /// Signatures that verify; those that do not anybody can make any number of.
    verifying: BTreeSet<(Digest, KeyId, Signature)>,
    chains: Chains,
    livenesses: BTreeMap<Digest, Arc<Liveness>>,
    reports: BTreeMap<Digest, Arc<SignedReport>>,
    /// Root chains by pin, floor and what they hold.
    roots: BTreeMap<(Pin, u64, Digest), Arc<RootChain>>,
    rooted: BTreeMap<RootStep, (Arc<RootChain>, Vec<Accepted>)>,
    versions: Interned<Version>,
    signatures: Interned<BTreeMap<KeyId, Signature>>,
    candidates: Interned<Candidate>,
    documents: Interned<BTreeSet<DocumentId>>,
    hashes: Interned<BTreeMap<KeyId, Digest>>,
    /// Values in these.
    interned: usize,
    sweep_at: usize,
}

/// A root chain, a digest of the envelopes that it takes then, and how many they are.
type RootStep = (Pin, u64, Digest, Digest, usize);

impl Shared {
    /// An empty pool.
    pub fn pool() -> Self {
        Self { pool: Some(Arc::default()), ..Self::default() }
    }

    /// An empty pool, or none like this one, for readers of a later version, who know these fields.
    #[must_use]
    pub fn of_newer(&self, fields: NewerFields) -> Self {
        Self { pool: self.pool.as_ref().map(|_| Arc::default()), newer: Arc::new(fields) }
    }

    fn lock(&self) -> Option<MutexGuard<'_, Pool>> {
        // What a panic elsewhere left behind is whole: every change is one insertion.
        self.pool.as_ref().map(|pool| pool.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether there is a pool.
    pub(crate) fn is_pool(&self) -> bool {
        self.pool.is_some()
    }

    /// A root chain, as others hold it too.
    pub fn chain(&self, chain: RootChain) -> Arc<RootChain> {
        let Some(mut pool) = self.lock() else { return Arc::new(chain) };
        let (pin, floor, held) = chain.state();
        Arc::clone(pool.roots.entry((pin, floor, held)).or_insert_with(|| Arc::new(chain)))
    }

    /// What becomes of each of the roots that a chain takes. Refusals are worked out each time.
    ///
    /// # Errors
    /// Of each root, as for [`RootChain::accept`].
    pub fn rooted(
        &self,
        chain: &mut Arc<RootChain>,
        envelopes: &[&[u8]],
    ) -> Vec<Result<Accepted, RootError>> {
        let take =
            |chain: &mut Arc<RootChain>| Arc::make_mut(chain).accept_all(envelopes.iter().copied());
        let Some(mut pool) = self.lock() else { return take(chain) };
        let (pin, floor, held) = chain.state();
        let step = (pin, floor, held, Digest::of_parts(envelopes), envelopes.len());
        if let Some((after, accepted)) = pool.rooted.get(&step) {
            *chain = Arc::clone(after);
            return accepted.iter().map(|accepted| Ok(*accepted)).collect();
        }
        let results = take(chain);
        if pool.rooted.len() >= ROOT_CHAINS_MAX {
            pool.rooted.clear();
            pool.roots.clear();
        }
        let (pin, floor, held) = chain.state();
        let same = pool.roots.entry((pin, floor, held)).or_insert_with(|| Arc::clone(chain));
        *chain = Arc::clone(same);
        let accepted: Vec<Accepted> =
            results.iter().filter_map(|result| result.as_ref().ok().copied()).collect();
        if accepted.len() == results.len() {
            pool.rooted.insert(step, (Arc::clone(chain), accepted));
        }
        results
    }

    /// One version of a resource.
    pub(crate) fn version(&self, version: Version) -> Arc<Version> {
        let Some(mut pool) = self.lock() else { return Arc::new(version) };
        let only = pool.versions.only(version.statement, Arc::new(version));
        pool.count(only)
    }

    /// The signatures that are held of a statement.
    pub(crate) fn signatures(
        &self,
        statement: Digest,
        signatures: &mut Arc<BTreeMap<KeyId, Signature>>,
    ) {
        if let Some(mut pool) = self.lock() {
            let only = pool.signatures.only(statement, Arc::clone(signatures));
            *signatures = pool.count(only);
        }
    }

    /// What retention cares for of a statement.
    pub(crate) fn candidate(&self, statement: Digest, candidate: Candidate) -> Arc<Candidate> {
        let Some(mut pool) = self.lock() else { return Arc::new(candidate) };
        let only = pool.candidates.only(statement, Arc::new(candidate));
        pool.count(only)
    }

    /// The documents that a statement is kept in.
    pub(crate) fn documents(
        &self,
        statement: Digest,
        documents: BTreeSet<DocumentId>,
    ) -> Arc<BTreeSet<DocumentId>> {
        let Some(mut pool) = self.lock() else { return Arc::new(documents) };
        let only = pool.documents.only(statement, Arc::new(documents));
        pool.count(only)
    }

    /// The hashes of the entries of a statement's signatures.
    pub(crate) fn hashes(&self, statement: Digest, hashes: &mut Arc<BTreeMap<KeyId, Digest>>) {
        if let Some(mut pool) = self.lock() {
            let only = pool.hashes.only(statement, Arc::clone(hashes));
            *hashes = pool.count(only);
        }
    }

    /// Reads a report.
    pub(crate) fn report(&self, bytes: &[u8]) -> Result<Arc<SignedReport>, RefusedReport> {
        let Some(mut pool) = self.lock() else { return SignedReport::decode(bytes).map(Arc::new) };
        let digest = Digest::of(bytes);
        if let Some(report) = pool.reports.get(&digest) {
            return Ok(Arc::clone(report));
        }
        let report = Arc::new(SignedReport::decode(bytes)?);
        if pool.reports.len() >= MESSAGES_MAX {
            pool.reports.clear();
        }
        pool.reports.insert(digest, Arc::clone(&report));
        Ok(report)
    }

    /// Reads a statement's payload.
    pub(crate) fn statement(&self, payload: &[u8]) -> Result<Statement, RefusedStatement> {
        let Some(mut pool) = self.lock() else {
            return Statement::parse_as(payload, &self.newer);
        };
        let digest = Statement::digest_of(payload);
        if let Some(statement) = pool.statements.get(&digest) {
            return Ok(statement.clone());
        }
        let statement = Statement::parse_as(payload, &self.newer)?;
        pool.statements.insert(digest, statement.clone());
        pool.sweep();
        Ok(statement)
    }

    /// Reads and verifies a liveness.
    ///
    /// # Errors
    /// If it is malformed or not signed by the host it names.
    pub fn liveness(&self, bytes: &[u8]) -> Result<Arc<Liveness>, RefusedLiveness> {
        let Some(mut pool) = self.lock() else { return Liveness::verify(bytes).map(Arc::new) };
        let digest = Digest::of(bytes);
        if let Some(liveness) = pool.livenesses.get(&digest) {
            return Ok(Arc::clone(liveness));
        }
        let liveness = Arc::new(Liveness::verify(bytes)?);
        if pool.livenesses.len() >= MESSAGES_MAX {
            pool.livenesses.clear();
        }
        pool.livenesses.insert(digest, Arc::clone(&liveness));
        Ok(liveness)
    }

    /// Whether `key`, whose id is `id`, signed `statement`.
    pub(crate) fn verifies(
        &self,
        id: KeyId,
        key: &PublicKey,
        statement: &Statement,
        signature: &Signature,
    ) -> bool {
        let Some(mut pool) = self.lock() else {
            return key.verify(Context::Statement, statement.bytes(), signature);
        };
        let check = (statement.digest(), id, *signature);
        let verifies = pool.verifying.contains(&check)
            || key.verify(Context::Statement, statement.bytes(), signature);
        if verifies {
            pool.verifying.insert(check);
        }
        verifies
    }

    /// What a chain comes to, and what becomes of each report, when it takes `reports`.
    pub(crate) fn extended(
        &self,
        chain: &mut Arc<HostChain>,
        reports: Vec<Arc<SignedReport>>,
    ) -> Vec<ChainOutcome> {
        match self.lock() {
            Some(mut pool) => pool.chains.extended(chain, reports),
            None => chains::take(chain, reports),
        }
    }

    /// The chain of a host that is these reports, in order, and no other, if another replica took
    /// it: then they need not be read again.
    pub(crate) fn chain_of(&self, host: KeyId, reports: &[&[u8]]) -> Option<Arc<HostChain>> {
        self.lock()?.chains.of(host, reports)
    }
}

/// Values that are about one statement, equal ones once.
#[derive(Debug)]
struct Interned<V>(BTreeMap<Digest, Vec<Arc<V>>>);

impl<V> Default for Interned<V> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<V: PartialEq> Interned<V> {
    /// The one that equals `value`, and whether it is new.
    fn only(&mut self, statement: Digest, value: Arc<V>) -> (Arc<V>, bool) {
        let of_statement = self.0.entry(statement).or_default();
        match of_statement.iter().find(|held| **held == value) {
            Some(held) => (Arc::clone(held), false),
            None => {
                of_statement.push(Arc::clone(&value));
                (value, true)
            }
        }
    }

    /// Lets go of what nobody else holds; how many stay.
    fn sweep(&mut self) -> usize {
        for values in self.0.values_mut() {
            values.retain(|value| Arc::strong_count(value) > 1);
        }
        self.0.retain(|_, values| !values.is_empty());
        self.0.values().map(Vec::len).sum()
    }
}

impl Pool {
    /// Takes note of one more value.
    fn count<V>(&mut self, (value, new): (V, bool)) -> V {
        self.interned += usize::from(new);
        if new {
            self.sweep();
        }
        value
    }

    /// Lets go of what nobody else holds, whenever the pool has doubled.
    fn sweep(&mut self) {
        if self.len() < self.sweep_at.max(FIRST_SWEEP) {
            return;
        }
        self.interned = self.versions.sweep()
            + self.signatures.sweep()
            + self.candidates.sweep()
            + self.documents.sweep()
            + self.hashes.sweep();
        self.statements.retain(|_, statement| statement.is_shared());
        let Self { statements, verifying, .. } = self;
        verifying.retain(|(statement, _, _)| statements.contains_key(statement));
        self.sweep_at = 2 * self.len();
    }

    fn len(&self) -> usize {
        self.statements.len() + self.interned
    }
}
