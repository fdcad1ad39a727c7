//! Whether a chain can be judged under: no gap, nothing unread, no rivals left (RULES R2, R4).

use std::collections::{BTreeMap, BTreeSet};

use super::{ChainWait, HeldRoot, RootChain, check_threshold};
use crate::id::Digest;
use crate::limits;
use crate::rules::{Rule, holds};
use crate::trust::root::Root;

impl RootChain {
    /// Why nothing can be judged under what is held, if so.
    pub(super) fn find_wait(&self) -> Option<ChainWait> {
        if let Some(last) = self.first_gap().filter(|_| holds(Rule::R2WholeChain)) {
            let first = last.saturating_sub(limits::ROOTS_PER_MESSAGE_MAX as u64 - 1).max(1);
            return Some(ChainWait::Missing { first, last });
        }
        let newest = self.newest_version();
        if newest < self.floor {
            let most = newest + limits::ROOTS_PER_MESSAGE_MAX as u64;
            return Some(ChainWait::Missing { first: newest + 1, last: self.floor.min(most) });
        }
        let unread = self.held.values().flat_map(BTreeMap::values).find_map(|held| {
            let what = held.root.unread.join(", ");
            let version = held.root.version;
            (!what.is_empty()).then_some(ChainWait::Unread { version, what })
        });
        let unread = unread.filter(|_| holds(Rule::S3UnreadRoot));
        unread.or_else(|| self.find_rivals().filter(|_| holds(Rule::R4Rivals)))
    }

    /// The highest version of which a root is named, or pinned, and not held.
    fn first_gap(&self) -> Option<u64> {
        if !self.held.contains_key(&self.pin.version) {
            return Some(self.pin.version);
        }
        (2..=self.pin.version + 1).rev().find_map(|version| {
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
            // An only one that is named needs no look: what names it met its threshold.
            let several = held.len() > 1;
            let rivals = held.iter().filter(|(digest, _)| several || !named.contains(*digest));
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
