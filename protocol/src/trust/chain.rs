//! The chain of roots that a replica holds (RULES R1 to R4).
//!
//! What is in the chain is a function of the roots offered and the pin, not of their order: roots
//! up to the pinned one are authenticated by the digests that later ones name, roots above it by
//! the thresholds of their own and of the roots that they name. Expiry plays no part here; whoever
//! decides compares [`Root::expires`] of the newest root with now.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use crate::id::{Digest, FleetId, KeyId};
use crate::limits;
use crate::resource::Role;
use crate::trust::envelope::{Envelope, EnvelopeError};
use crate::trust::root::{RefusedRoot, Root};
use crate::trust::{Context, Pin, PublicKey, Signature};

/// Why a root was not taken into the chain.
#[derive(Debug, thiserror::Error)]
pub enum RootError {
    /// Not an envelope.
    #[error("a root's envelope was refused")]
    Envelope(#[source] EnvelopeError),
    /// An envelope of something else.
    #[error("the envelope does not hold a root")]
    NotARoot,
    /// Not a root.
    #[error("a root was refused")]
    Root(#[source] RefusedRoot),
    /// At or below the pinned version, and not the one that the pin leads to.
    #[error("root {version} ({}) is not of the chain that this machine took", digest.short())]
    NotInChain {
        /// Its version.
        version: u64,
        /// Its digest.
        digest: Digest,
    },
    /// A root next to it is needed first; offered again later it may be taken.
    #[error("root {version} cannot be placed before root {needs} is held")]
    NotYet {
        /// Its version.
        version: u64,
        /// The version that is needed first.
        needs: u64,
    },
    /// Its signatures do not meet a threshold of role `root`.
    #[error("root {version} has {have} of {need} signatures that root {by} demands")]
    TooFewSignatures {
        /// Its version.
        version: u64,
        /// The version of the root whose threshold is not met.
        by: u64,
        /// Distinct valid keys.
        have: usize,
        /// How many are needed.
        need: u32,
    },
    /// [`limits::RIVAL_ROOTS_MAX`] others of its version are held.
    #[error("too many rival roots of version {0}")]
    TooManyRivals(u64),
}

/// What became of a root that was not refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// It is new.
    New {
        /// Its version.
        version: u64,
        /// Its digest.
        digest: Digest,
    },
    /// It was held, and signatures of it are new.
    Signatures {
        /// Its version.
        version: u64,
        /// Its digest.
        digest: Digest,
    },
    /// Nothing about it is new.
    Known,
}

/// Why nothing can be judged under a chain.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChainWait {
    /// Roots are missing (RULES R2).
    #[error("roots {first} to {last} of the chain are not held")]
    Missing {
        /// The lowest of the gap, or of the part of it that one message can bring.
        first: u64,
        /// The highest of the gap.
        last: u64,
    },
    /// A root uses what this version does not know.
    #[error("root {version} says what this version of the agent cannot read: {what}")]
    Unread {
        /// Its version.
        version: u64,
        /// What is not understood.
        what: String,
    },
    /// Two valid roots of one version, and no higher one that meets the thresholds of both
    /// (RULES R4).
    #[error(
        "there are rival roots of version {version}; a higher one signed by both must settle it"
    )]
    Rivals {
        /// Their version.
        version: u64,
    },
}

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
    wait: Option<ChainWait>,
}

impl RootChain {
    /// An empty chain that will take what `pin` authenticates.
    pub fn new(pin: Pin) -> Self {
        let mut chain = Self { pin, held: BTreeMap::new(), keys: BTreeMap::new(), wait: None };
        chain.wait = chain.find_wait();
        chain
    }

    /// The pin that the chain hangs on.
    pub fn pin(&self) -> Pin {
        self.pin
    }

    /// Takes a root's envelope, if it fits what is held.
    pub fn accept(&mut self, envelope_bytes: &[u8]) -> Result<Accepted, RootError> {
        let envelope = Envelope::parse(envelope_bytes).map_err(RootError::Envelope)?;
        if envelope.context != Context::Root {
            return Err(RootError::NotARoot);
        }
        let root = Root::parse(&envelope.payload).map_err(RootError::Root)?;
        let (version, digest) = (root.version, root.digest);
        if self.held.get(&version).is_some_and(|held| held.contains_key(&digest)) {
            return Ok(self.merge_signatures(version, digest, &envelope));
        }
        check_threshold(&root, &envelope, &root)?;
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
            let version = Envelope::parse(bytes)
                .ok()
                .and_then(|envelope| Root::parse(&envelope.payload).ok())
                .map_or(0, |root| root.version);
            if version <= pinned { (false, pinned - version) } else { (true, version) }
        };
        let mut ordered: Vec<_> = envelopes
            .into_iter()
            .enumerate()
            .map(|(index, bytes)| (place(bytes), index, bytes))
            .collect();
        ordered.sort_unstable();
        let mut results: Vec<_> =
            ordered.into_iter().map(|(_, index, bytes)| (index, self.accept(bytes))).collect();
        results.sort_unstable_by_key(|(index, _)| *index);
        results.into_iter().map(|(_, result)| result).collect()
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

    /// Up to the pinned version the digest decides: the pin's, or one that a later root names.
    fn check_digest(&self, root: &Root) -> Result<(), RootError> {
        let (version, digest) = (root.version, root.digest);
        let named = if version == self.pin.version {
            digest == self.pin.digest
        } else {
            let needs = version + 1;
            let later = self.held.get(&needs).ok_or(RootError::NotYet { version, needs })?;
            later.values().any(|held| held.root.previous.contains(&digest))
        };
        if named { Ok(()) } else { Err(RootError::NotInChain { version, digest }) }
    }

    /// Above the pinned version the thresholds decide, of all roots that it says it follows.
    fn check_parents(&self, root: &Root, envelope: &Envelope) -> Result<(), RootError> {
        let version = root.version;
        for digest in &root.previous {
            let parent = self.held.get(&(version - 1)).and_then(|held| held.get(digest));
            let needs = version - 1;
            let parent = parent.ok_or(RootError::NotYet { version, needs })?;
            check_threshold(root, envelope, &parent.root)?;
        }
        Ok(())
    }

    fn fits(&self, root: &Root, payload: &[u8], key: &KeyId, signature: &Signature) -> bool {
        match self.keys.get(key) {
            Some(key) => key.verify(Context::Root, payload, signature),
            // The keys of the root before are not known while the chain is filled downwards.
            None => root.version <= self.pin.version,
        }
    }

    fn only_fitting_signatures(&self, root: &Root, mut envelope: Envelope) -> Envelope {
        let mut signatures = std::mem::take(&mut envelope.signatures);
        signatures.retain(|(key, sig)| self.fits(root, &envelope.payload, key, sig));
        signatures.sort_unstable();
        Envelope { signatures, ..envelope }
    }

    /// Adds signatures that verify to a held root, so that what is passed on convinces those too
    /// who come by thresholds.
    fn merge_signatures(&mut self, version: u64, digest: Digest, offered: &Envelope) -> Accepted {
        let verifies = |(id, signature): &(KeyId, Signature)| {
            let key = self.keys.get(id);
            key.is_some_and(|key| key.verify(Context::Root, &offered.payload, signature))
        };
        let fresh: BTreeMap<_, _> =
            offered.signatures.iter().copied().filter(|pair| verifies(pair)).collect();
        let Some(held) = self.held.get(&version).and_then(|held| held.get(&digest)) else {
            return Accepted::Known;
        };
        let mut merged: BTreeMap<_, _> = held.envelope.signatures.iter().copied().collect();
        merged.retain(|id, signature| !fresh.contains_key(id) || verifies(&(*id, *signature)));
        let before = merged.len();
        for (id, signature) in fresh {
            merged.entry(id).or_insert(signature);
        }
        if merged.len() == before || merged.len() > limits::SIGNATURES_MAX {
            return Accepted::Known;
        }
        let envelope =
            Envelope { signatures: merged.into_iter().collect(), ..held.envelope.clone() };
        let renewed = HeldRoot::new(held.root.clone(), envelope);
        self.held.entry(version).or_default().insert(digest, renewed);
        self.wait = self.find_wait();
        Accepted::Signatures { version, digest }
    }

    fn find_wait(&self) -> Option<ChainWait> {
        if let Some(last) = self.first_gap() {
            let first = last.saturating_sub(limits::ROOTS_PER_MESSAGE_MAX as u64 - 1).max(1);
            return Some(ChainWait::Missing { first, last });
        }
        let unread = self.held.values().flat_map(BTreeMap::values).find_map(|held| {
            let what = held.root.unread.join(", ");
            let version = held.root.version;
            (!what.is_empty()).then_some(ChainWait::Unread { version, what })
        });
        unread.or_else(|| self.find_rivals())
    }

    /// The highest version of which a root is named, or pinned, and not held.
    fn first_gap(&self) -> Option<u64> {
        if !self.held.contains_key(&self.pin.version) {
            return Some(self.pin.version);
        }
        (2..=self.pin.version).rev().find_map(|version| {
            let below = self.held.get(&(version - 1));
            let mut named = self.held.get(&version)?.values().flat_map(|held| &held.root.previous);
            let whole = named.all(|digest| below.is_some_and(|below| below.contains_key(digest)));
            (!whole).then_some(version - 1)
        })
    }

    /// A version with rivals of which not every one's threshold is met by the newest root or by
    /// one that it descends from.
    fn find_rivals(&self) -> Option<ChainWait> {
        let (top, newest) = self.held.last_key_value()?;
        let version = *top;
        if newest.len() > 1 {
            return Some(ChainWait::Rivals { version });
        }
        let mut line: Vec<&HeldRoot> = newest.values().collect();
        let mut named: BTreeSet<Digest> =
            line.iter().flat_map(|h| &h.root.previous).copied().collect();
        for (&version, held) in self.held.range(..version).rev() {
            let met = |root: &Root| {
                line.iter().any(|later| check_threshold(&later.root, &later.envelope, root).is_ok())
            };
            // Those named need no look: what names them met their thresholds when it was taken.
            let rivals = held.iter().filter(|(digest, _)| !named.contains(*digest));
            if rivals.into_iter().any(|(_, rival)| !met(&rival.root)) {
                return Some(ChainWait::Rivals { version });
            }
            let ancestors: Vec<_> =
                held.iter().filter(|(digest, _)| named.contains(*digest)).map(|(_, h)| h).collect();
            named = ancestors.iter().flat_map(|h| &h.root.previous).copied().collect();
            line.extend(ancestors);
        }
        None
    }
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
