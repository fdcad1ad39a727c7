//! What many replicas in one process hold alike, held once, and pure checks of it made once: for
//! simulators. Nothing that a replica says or keeps depends on whether it shares.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::document::chain::{ChainHead, ChainOutcome, HostChain};
use crate::document::report::SignedReport;
use crate::id::{Digest, KeyId};
use crate::trust::{Context, PublicKey, RefusedStatement, Signature, Statement};

/// Things in a pool before what nobody else holds is first let go.
const FIRST_SWEEP: usize = 4_096;

/// A pool, or none. Copies are of the same pool.
#[derive(Clone, Debug, Default)]
pub struct Shared(Option<Arc<Mutex<Pool>>>);

#[derive(Debug, Default)]
struct Pool {
    statements: BTreeMap<Digest, Statement>,
    /// Signatures that verify; those that do not anybody can make any number of.
    verifying: BTreeSet<(Digest, KeyId, Signature)>,
    chains: BTreeMap<Step, (Arc<HostChain>, Vec<ChainOutcome>)>,
    sweep_at: usize,
}

/// Where a host's chain stands, and a digest of the reports that it takes then. The hash of its
/// last report stands for all below it.
type Step = (KeyId, ChainHead, Digest);

impl Shared {
    /// An empty pool.
    pub fn pool() -> Self {
        Self(Some(Arc::default()))
    }

    fn lock(&self) -> Option<MutexGuard<'_, Pool>> {
        // What a panic elsewhere left behind is whole: every change is one insertion.
        self.0.as_ref().map(|pool| pool.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads a statement's payload.
    pub(crate) fn statement(&self, payload: &[u8]) -> Result<Statement, RefusedStatement> {
        let Some(mut pool) = self.lock() else { return Statement::parse(payload) };
        let digest = Statement::digest_of(payload);
        if let Some(statement) = pool.statements.get(&digest) {
            return Ok(statement.clone());
        }
        let statement = Statement::parse(payload)?;
        pool.statements.insert(digest, statement.clone());
        pool.sweep();
        Ok(statement)
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
        reports: Vec<SignedReport>,
    ) -> Vec<ChainOutcome> {
        // Reports that wait, and the sides of a fork, are not in the head.
        let Some(mut pool) = self.lock().filter(|_| chain.is_its_head()) else {
            return Arc::make_mut(chain).accept_all(reports);
        };
        let hashes: Vec<Digest> = reports.iter().map(|report| report.hash()).collect();
        let hashes: Vec<&[u8]> = hashes.iter().map(|hash| hash.as_bytes().as_slice()).collect();
        let step = (chain.view().host(), chain.head(), Digest::of_parts(&hashes));
        if let Some((after, outcomes)) = pool.chains.get(&step) {
            *chain = Arc::clone(after);
            return outcomes.clone();
        }
        let outcomes = Arc::make_mut(chain).accept_all(reports);
        pool.chains.insert(step, (Arc::clone(chain), outcomes.clone()));
        pool.sweep();
        outcomes
    }
}

impl Pool {
    /// Lets go of what nobody else holds, whenever the pool has doubled.
    fn sweep(&mut self) {
        if self.statements.len() + self.chains.len() < self.sweep_at.max(FIRST_SWEEP) {
            return;
        }
        self.statements.retain(|_, statement| statement.is_shared());
        self.chains.retain(|_, (chain, _)| Arc::strong_count(chain) > 1);
        let Self { statements, verifying, .. } = self;
        verifying.retain(|(statement, _, _)| statements.contains_key(statement));
        self.sweep_at = 2 * (self.statements.len() + self.chains.len());
    }
}
