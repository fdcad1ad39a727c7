//! The chain of roots that a replica holds (RULES R1 to R4).
//!
//! What is in the chain is a function of the roots offered and the pin, not of their order: roots
//! up to the pinned one are authenticated by the digests that later ones name, roots above it by
//! the thresholds of their own and of the roots that they name. Expiry plays no part here; whoever
//! decides compares [`Root::expires`] of the newest root with now.

mod moving;
mod outcome;
mod signatures;
mod whole;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use crate::id::{Digest, FleetId, KeyId};
use crate::limits;
use crate::resource::Role;
use crate::rules::{Rule, holds};
use crate::trust::envelope::Envelope;
use crate::trust::root::{RefusedRoot, Root};
use crate::trust::{Context, EndedKey, KeyEnd, Pin, PublicKey, Signature};

pub use self::moving::MoveError;
pub use self::outcome::{Accepted, ChainWait, RootError};

#[derive(Clone, Debug)]
struct HeldRoot {
    root: Root,
    envelope: Envelope,
    bytes: Vec<u8>,
}

impl HeldRoot {
    fn new(root: Root, envelope: Envelope) -> Self {
        let bytes = envelope.to_json();
        Self { root, envelope, bytes }
    }
}

/// The roots held, from the first to the newest, as far as they are authenticated by a pin.
#[derive(Clone, Debug)]
pub struct RootChain {
    pin: Pin,
    held: BTreeMap<u64, BTreeMap<Digest, HeldRoot>>,
    keys: BTreeMap<KeyId, PublicKey>,
    /// The newest version ever held here: a chain that ends below it has lost something.
    floor: u64,
    wait: Option<ChainWait>,
}

impl RootChain {
    /// An empty chain that will take what `pin` authenticates.
    pub fn new(pin: Pin) -> Self {
        let (held, keys) = (BTreeMap::new(), BTreeMap::new());
        let mut chain = Self { pin, held, keys, floor: pin.version, wait: None };
        chain.wait = chain.find_wait();
        chain
    }

    /// The pin that the chain hangs on.
    pub fn pin(&self) -> Pin {
        self.pin
    }

    /// The newest root's version is a floor (RULES R2): below `version` nothing is judged.
    pub fn raise_floor(&mut self, version: u64) {
        self.floor = self.floor.max(version);
        self.wait = self.find_wait();
    }

    /// Takes a root's envelope, if it fits what is held; or those of several rivals, one on each
    /// line, as [`Self::files`] gives them. Of several the best outcome is told.
    pub fn accept(&mut self, bytes: &[u8]) -> Result<Accepted, RootError> {
        let mut results = rivals_in(bytes).map(|envelope| self.accept_one(envelope));
        let mut best = results.next().unwrap_or(Err(RootError::NotARoot));
        for result in results {
            best = match (best, result) {
                (kept @ Ok(Accepted::New { .. }), _) => kept,
                (Err(_) | Ok(Accepted::Known), better @ Ok(_)) => better,
                (kept, _) => kept,
            };
        }
        best
    }

    fn accept_one(&mut self, envelope_bytes: &[u8]) -> Result<Accepted, RootError> {
        let envelope = Envelope::parse(envelope_bytes).map_err(RootError::Envelope)?;
        if envelope.context != Context::Root {
            return Err(RootError::NotARoot);
        }
        let root = Root::parse(&envelope.payload).map_err(RootError::Root)?;
        let (version, digest) = (root.version, root.digest);
        if self.held.get(&version).is_some_and(|held| held.contains_key(&digest)) {
            return Ok(self.merge_signatures(version, digest, &envelope));
        }
        if holds(Rule::R1OwnSigners) {
            check_threshold(&root, &envelope, &root)?;
        }
        if version <= self.pin.version {
            self.check_digest(&root)?;
        } else {
            self.check_parents(&root, &envelope)?;
        }
        let held = self.held.entry(version).or_default();
        if held.len() >= limits::RIVAL_ROOTS_MAX {
            return Err(RootError::TooManyRivals(version));
        }
        for (id, key) in &root.keys {
            self.keys.insert(*id, key.public.clone());
        }
        let envelope = self.only_fitting_signatures(&root, envelope);
        let held = self.held.entry(version).or_default();
        held.insert(digest, HeldRoot::new(root, envelope));
        self.sift_signatures(version + 1);
        self.wait = self.find_wait();
        Ok(Accepted::New { version, digest })
    }

    /// Takes many roots in whatever order they come: from the pinned one down, then up. The
    /// results stand in the order of the input.
    pub fn accept_all<'a>(
        &mut self,
        envelopes: impl IntoIterator<Item = &'a [u8]>,
    ) -> Vec<Result<Accepted, RootError>> {
        let pinned = self.pin.version;
        let place = |bytes: &[u8]| {
            let version = version_of(bytes);
            if version <= pinned { (false, pinned - version) } else { (true, version) }
        };
        let mut ordered: Vec<_> = envelopes
            .into_iter()
            .enumerate()
            .map(|(index, bytes)| (place(bytes), index, bytes))
            .collect();
        ordered.sort_unstable();
        let mut results: Vec<_> = ordered
            .into_iter()
            .map(|(_, index, bytes)| (index, bytes, self.accept(bytes)))
            .collect();
        self.merge_again(&mut results);
        results.sort_unstable_by_key(|(index, ..)| *index);
        results.into_iter().map(|(.., result)| result).collect()
    }

    /// What tells it from other chains: its pin, its floor, and a digest of all that it holds,
    /// signatures included.
    pub(crate) fn state(&self) -> (Pin, u64, Digest) {
        let held: Vec<&[u8]> = self.roots().map(|(_, bytes)| bytes).collect();
        (self.pin, self.floor, Digest::of_parts(&held))
    }

    /// Why nothing can be judged yet; `None` if statements can be.
    pub fn wait(&self) -> Option<&ChainWait> {
        self.wait.as_ref()
    }

    /// Whether all roots from the first to the pinned one are held (RULES R2). Rival or unread
    /// roots do not matter to this; they do to [`Self::newest`].
    pub fn is_whole(&self) -> bool {
        !matches!(self.wait, Some(ChainWait::Missing { .. }))
    }

    /// The versions to ask a peer for next, at most [`limits::ROOTS_PER_MESSAGE_MAX`], so that the
    /// chain becomes whole. Newer roots than the newest held are offered by peers' versions.
    pub fn missing(&self) -> Option<RangeInclusive<u64>> {
        match self.wait {
            Some(ChainWait::Missing { first, last }) => Some(first..=last),
            Some(ChainWait::Unread { .. } | ChainWait::Rivals { .. }) | None => None,
        }
    }

    /// The newest root, if statements can be judged under it.
    pub fn newest(&self) -> Option<&Root> {
        if self.wait.is_some() {
            return None;
        }
        self.held.last_key_value().and_then(|(_, held)| held.values().next()).map(|h| &h.root)
    }

    /// All held roots but the newest one: what was valid under one of these and is not under the
    /// newest has fallen (RULES C1). Settled rivals are among them.
    pub fn earlier(&self) -> impl Iterator<Item = &Root> {
        let newest = self.newest().map(|root| root.digest);
        self.held
            .values()
            .flat_map(BTreeMap::values)
            .map(|held| &held.root)
            .filter(move |root| Some(root.digest) != newest)
    }

    /// The fleet, once its first root is held.
    pub fn fleet(&self) -> Option<FleetId> {
        let first = self.held.get(&1)?.keys().next()?;
        Some(FleetId(first.0))
    }

    /// Highest version held; 0 if none is.
    pub fn newest_version(&self) -> u64 {
        self.held.last_key_value().map_or(0, |(version, _)| *version)
    }

    /// The pin of the newest root: what `fleet init` prints and `join --fleet` takes.
    pub fn newest_pin(&self) -> Option<Pin> {
        self.newest().map(|root| Pin { version: root.version, digest: root.digest })
    }

    /// Whether the root of this version and digest is held.
    pub fn holds(&self, version: u64, digest: &Digest) -> bool {
        self.held.get(&version).is_some_and(|rivals| rivals.contains_key(digest))
    }

    /// The key of this id, if any held root names it.
    pub fn key(&self, id: &KeyId) -> Option<&PublicKey> {
        self.keys.get(id)
    }

    /// Every held root as envelope bytes, lowest version first.
    pub fn roots(&self) -> impl Iterator<Item = (u64, &[u8])> {
        self.held.iter().flat_map(|(version, held)| {
            held.values().map(move |held| (*version, held.bytes.as_slice()))
        })
    }

    /// What is stored under each version: its root's envelope, or those of its rivals, one on each
    /// line, so that a power cut never leaves one without the other (RULES R4).
    pub fn files(&self) -> impl Iterator<Item = (u64, Vec<u8>)> {
        self.held.iter().map(|(version, held)| {
            let rivals: Vec<&[u8]> = held.values().map(|held| held.bytes.as_slice()).collect();
            (*version, rivals.join(&b'\n'))
        })
    }

    /// What peers compare: the newest root's digest, or one over all of its rivals'.
    pub fn newest_digest(&self) -> Digest {
        let rivals: Vec<&Digest> =
            self.held.last_key_value().iter().flat_map(|(_, held)| held.keys()).collect();
        match rivals.as_slice() {
            [] => Digest([0; 32]),
            [only] => **only,
            several => {
                let parts: Vec<&[u8]> = several.iter().map(|d| d.0.as_slice()).collect();
                Digest::of_parts(&parts)
            }
        }
    }

    /// The lists that still matter: of revoked keys all, of retired ones what the highest version
    /// repeats (RULES R5).
    pub fn lists(&self) -> BTreeSet<Digest> {
        let newest = self.newest_version();
        let matters = |(root, ended): &(&Root, &EndedKey)| match ended.end {
            KeyEnd::Revoked => true,
            KeyEnd::Retired => root.version == newest,
        };
        let all = self.held().flat_map(|root| root.lists.values().map(move |ended| (root, ended)));
        all.filter(matters).flat_map(|(_, ended)| &ended.digests).copied().collect()
    }

    /// This chain with a root above it that nobody signed yet: what it would change.
    pub(super) fn supposing(&self, root: Root) -> Self {
        let mut supposed = self.clone();
        let envelope = Envelope { context: Context::Root, payload: vec![], signatures: vec![] };
        let keys = root.keys.iter().map(|(id, key)| (*id, key.public.clone()));
        supposed.keys.extend(keys);
        let (version, digest) = (root.version, root.digest);
        supposed.held.insert(version, BTreeMap::from([(digest, HeldRoot::new(root, envelope))]));
        supposed.wait = None;
        supposed
    }

    /// All held roots, lowest version first.
    pub fn held(&self) -> impl Iterator<Item = &Root> {
        self.held.values().flat_map(BTreeMap::values).map(|held| &held.root)
    }

    /// Up to the pinned version the digest decides: the pin's, or one that a later root names.
    fn check_digest(&self, root: &Root) -> Result<(), RootError> {
        let (version, digest) = (root.version, root.digest);
        let needs = version + 1;
        let later = self.held.get(&needs);
        let named = || {
            let mut later = later.into_iter().flat_map(BTreeMap::values);
            later.any(|held| held.root.previous.contains(&digest))
        };
        let named = if version == self.pin.version {
            digest == self.pin.digest || named()
        } else if later.is_none() {
            return Err(RootError::NotYet { version, needs });
        } else {
            named()
        };
        if named || !holds(Rule::R3FleetOnce) {
            Ok(())
        } else {
            Err(RootError::NotInChain { version, digest })
        }
    }

    /// Above the pinned version the thresholds decide, of all roots that it says it follows. A rival
    /// of the pinned one, which only a root that settles both can name, may come after it.
    fn check_parents(&self, root: &Root, envelope: &Envelope) -> Result<(), RootError> {
        let (version, needs) = (root.version, root.version - 1);
        let held = self.held.get(&needs);
        let mut parents = root.previous.iter().filter_map(|digest| held?.get(digest)).peekable();
        let all = root.previous.iter().all(|digest| held.is_some_and(|h| h.contains_key(digest)));
        if parents.peek().is_none() || !(all || needs == self.pin.version) {
            let not_yet = Err(RootError::NotYet { version, needs });
            return if holds(Rule::R1Next) { not_yet } else { Ok(()) };
        }
        if !holds(Rule::R1OldSigners) {
            return Ok(());
        }
        parents.try_for_each(|parent| check_threshold(root, envelope, &parent.root))
    }
}

/// The envelopes in what is stored under one version. JSON as we write it has no line ends.
fn rivals_in(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split(|byte| *byte == b'\n').filter(|l| !l.is_empty()).take(limits::RIVAL_ROOTS_MAX)
}

/// The version of what is stored or carried as one piece; 0 if that cannot be read.
fn version_of(bytes: &[u8]) -> u64 {
    let first = rivals_in(bytes).next().unwrap_or_default();
    let envelope = Envelope::parse(first).ok();
    let root = envelope.and_then(|envelope| Root::parse(&envelope.payload).ok());
    root.map_or(0, |root| root.version)
}

/// Whether the signatures on `root` meet the threshold that `by` sets for its role `root`.
fn check_threshold(root: &Root, envelope: &Envelope, by: &Root) -> Result<(), RootError> {
    let signed = |(id, signature): &&(KeyId, Signature)| {
        let key = by.keys.get(id);
        key.is_some_and(|key| key.public.verify(Context::Root, &envelope.payload, signature))
    };
    let signers = envelope.signatures.iter().filter(signed).map(|(id, _)| *id).collect();
    let Some(role) = by.role(Role::Root) else {
        return Err(RootError::Root(RefusedRoot::NoRootRole));
    };
    let quorum = role.count(&signers);
    if quorum.is_met() {
        return Ok(());
    }
    Err(RootError::TooFewSignatures {
        version: root.version,
        by: by.version,
        have: quorum.have.len(),
        need: quorum.need,
    })
}
