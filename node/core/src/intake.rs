//! Taking in roots, entries, reports and blobs, from wherever they come: what must be stored, what
//! is passed on, and what follows for this node.

use std::collections::BTreeSet;

use daymark_protocol::document::{
    Changes, DocumentId, Interest, Outcome, Replica, Sites, StoredReport,
};
use daymark_protocol::id::KeyId;
use daymark_protocol::trust::{Floors, Pin, RootChain, RootError};

use crate::admission;
use crate::durable::ADDRESS_BOOK_PEERS_MAX;
use crate::effect::{Batch, Effect, ItemOutcome, Reply, Write};
use crate::event::{Carried, RequestId};
use crate::node::Node;

/// How things came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Written by this node: pushed at once.
    Own,
    /// Handed in locally, also from a stick: pushed at once.
    Local,
    /// Pulled from a peer: pushed if it is little.
    Repair,
    /// By gossip, which passes it on by itself.
    Gossip,
}

impl From<Outcome> for ItemOutcome {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::New => Self::New,
            Outcome::Known => Self::Known,
            Outcome::Held(why) => Self::Held(why),
            Outcome::NotKept(why) => Self::NotKept(why),
            Outcome::Refused(why) => Self::Refused(why),
        }
    }
}

fn slices(items: &[Vec<u8>]) -> Vec<&[u8]> {
    items.iter().map(Vec::as_slice).collect()
}

/// Whether the roots among `items` lead from the first one to the pinned one; if not, why, for
/// people.
fn check_roots(pin: Pin, items: &[Carried]) -> Result<(), String> {
    let roots: Vec<&[u8]> = items
        .iter()
        .filter_map(|item| match item {
            Carried::Root(bytes) => Some(bytes.as_slice()),
            Carried::Entry(_) | Carried::Report(_) | Carried::Blob(_) => None,
        })
        .collect();
    let mut chain = RootChain::new(pin);
    let results = chain.accept_all(roots);
    if chain.newest_version() >= pin.version {
        return Ok(());
    }
    let foreign = |result: &Result<_, RootError>| {
        let of_pin = |version: &u64| *version == pin.version;
        matches!(result, Err(RootError::NotInChain { version, .. }) if of_pin(version))
    };
    let what = if results.iter().any(foreign) {
        format!("root {} that was brought is not the one that fingerprint {pin} names", pin.version)
    } else {
        format!("no valid root {} was brought, which fingerprint {pin} names", pin.version)
    };
    Err(format!(
        "{what}; nothing was saved: compare the fingerprint with what `daymarkctl fleet info` \
         prints, and write the folder again with `daymarkctl sync`"
    ))
}

impl Node {
    /// Takes what was handed in, and answers. A laptop must be let in, may have to be content with
    /// reading, and is charged for what is refused of its.
    pub(crate) fn submit(
        &mut self,
        request: RequestId,
        items: Vec<Carried>,
        visitor: Option<KeyId>,
        batch: &mut Batch,
    ) {
        let may = visitor.map_or(Ok(()), |laptop| self.may_submit(&laptop));
        let reply = if self.replica.is_none() {
            Reply::Refused("this machine has not joined a fleet; run `daymark-node join`".into())
        } else if let Err(why) = may {
            Reply::Refused(why)
        } else {
            let before = self.counters;
            let taken = self.take_carried(items, batch);
            if let Some(laptop) = visitor {
                self.blame_since(laptop, &before, batch);
            }
            Reply::Submitted(taken)
        };
        // The answer promises that what it names is durable.
        batch.after(Effect::Reply { request, reply });
    }

    /// Takes the fleet, once (RULES R3): only with the pinned root at hand, so that a mistyped
    /// pin or the data of another fleet binds the machine to nothing; roots below it may follow
    /// from peers (RULES R2). The same pin again is harmless.
    pub(crate) fn join_fleet(
        &mut self,
        request: RequestId,
        pin: Pin,
        items: Vec<Carried>,
        batch: &mut Batch,
    ) {
        let reply = match self.saved.get().pin {
            Some(held) if !self.knows(&pin) => Reply::Refused(format!(
                "this machine belongs to the fleet pinned by {held}; a machine takes its fleet once"
            )),
            Some(_) => {
                self.take_carried(items, batch);
                Reply::Done
            }
            None => {
                if let Err(why) = check_roots(pin, &items) {
                    batch.after(Effect::Reply { request, reply: Reply::Refused(why) });
                    return;
                }
                self.saved.change().pin = Some(pin);
                let chain = self.shared.chain(RootChain::new(pin));
                self.kept_interest = self.interest();
                let interest = self.kept_interest.clone();
                self.replica =
                    Some(Replica::sharing(chain, Floors::default(), interest, self.shared.clone()));
                self.take_carried(items, batch);
                self.joined(batch);
                Reply::Done
            }
        };
        batch.after(Effect::Reply { request, reply });
    }

    /// Whether a pin is the own, or that of a root of the own fleet.
    fn knows(&self, pin: &Pin) -> bool {
        let held = self.replica.as_ref().map(Replica::chain);
        self.saved.get().pin == Some(*pin)
            || held.is_some_and(|chain| chain.holds(pin.version, &pin.digest))
    }

    /// Makes the newest root's version a floor that outlasts the loss of its file (RULES R2). The
    /// pin stays as it was taken: what roots come to must not depend on when a machine started.
    fn raise_root_floor(&mut self) {
        let newest = self.root_version();
        if newest > self.saved.get().root_floor {
            self.saved.change().root_floor = newest;
        }
    }

    /// Takes items of all kinds; outcomes in the order given. Roots go first, then entries, then
    /// reports, then the blobs that reports name.
    fn take_carried(&mut self, items: Vec<Carried>, batch: &mut Batch) -> Vec<ItemOutcome> {
        let (mut roots, mut entries, mut reports, mut blobs) = (vec![], vec![], vec![], vec![]);
        for (place, item) in items.into_iter().enumerate() {
            match item {
                Carried::Root(bytes) => roots.push((place, bytes)),
                Carried::Entry(bytes) => entries.push((place, bytes)),
                Carried::Report(bytes) => reports.push((place, bytes)),
                Carried::Blob(bytes) => blobs.push((place, bytes)),
            }
        }
        let mut outcomes: Vec<(usize, ItemOutcome)> = Vec::new();
        let mut take = |node: &mut Self, kind: Vec<(usize, Vec<u8>)>, taker: Taker| {
            let (places, bytes): (Vec<usize>, Vec<Vec<u8>>) = kind.into_iter().unzip();
            let taken = taker(node, &bytes, batch);
            outcomes.extend(places.into_iter().zip(taken.into_iter().map(ItemOutcome::from)));
        };
        take(self, roots, |node, roots, batch| node.take_roots(roots, Origin::Local, batch));
        take(self, entries, Self::take_own_and_entries);
        take(self, reports, |node, reports, batch| {
            node.take_reports(reports, Origin::Local, batch)
        });
        take(self, blobs, |node, blobs, batch| node.take_blobs(blobs, Origin::Local, batch));
        outcomes.sort_by_key(|(place, _)| *place);
        outcomes.into_iter().map(|(_, outcome)| outcome).collect()
    }

    /// Takes entries that were handed in. They may enrol this machine, or move it: what of them
    /// was of a site that it did not keep is then taken again.
    fn take_own_and_entries(&mut self, entries: &[Vec<u8>], batch: &mut Batch) -> Vec<Outcome> {
        let mut outcomes = self.take_entries(entries, Origin::Local, batch);
        let before = self.kept_interest.clone();
        self.refresh_interest(batch);
        if self.kept_interest == before {
            return outcomes;
        }
        let left_out = |(_, outcome): &(usize, &Outcome)| match outcome {
            Outcome::NotKept(_) | Outcome::Held(_) => true,
            Outcome::New | Outcome::Known | Outcome::Refused(_) => false,
        };
        let places: Vec<usize> =
            outcomes.iter().enumerate().filter(left_out).map(|(place, _)| place).collect();
        let again: Vec<Vec<u8>> =
            places.iter().filter_map(|place| entries.get(*place).cloned()).collect();
        let taken = self.take_entries(&again, Origin::Local, batch);
        for (place, outcome) in places.into_iter().zip(taken) {
            if let Some(old) = outcomes.get_mut(place) {
                *old = outcome;
            }
        }
        outcomes
    }

    pub(crate) fn take_roots(
        &mut self,
        roots: &[Vec<u8>],
        origin: Origin,
        batch: &mut Batch,
    ) -> Vec<Outcome> {
        let Some(replica) = &mut self.replica else { return vec![] };
        let (outcomes, changes) = replica.accept_roots(&slices(roots));
        self.absorb(changes, origin, batch);
        self.count(&outcomes);
        outcomes
    }

    pub(crate) fn take_entries(
        &mut self,
        entries: &[Vec<u8>],
        origin: Origin,
        batch: &mut Batch,
    ) -> Vec<Outcome> {
        #[cfg(feature = "planted-bugs")]
        let kept: Vec<Vec<u8>> = entries
            .iter()
            .filter(|entry| origin == Origin::Local || !self.loses(entry))
            .cloned()
            .collect();
        #[cfg(feature = "planted-bugs")]
        let entries = kept.as_slice();
        let Some(replica) = &mut self.replica else { return vec![] };
        let (outcomes, changes) = replica.accept_entries(&slices(entries));
        self.absorb(changes, origin, batch);
        self.count(&outcomes);
        outcomes
    }

    pub(crate) fn take_reports(
        &mut self,
        reports: &[Vec<u8>],
        origin: Origin,
        batch: &mut Batch,
    ) -> Vec<Outcome> {
        let Some(replica) = &mut self.replica else { return vec![] };
        let (outcomes, changes) = replica.accept_reports(&slices(reports));
        if origin != Origin::Own && changes.reports.iter().any(|report| report.host == self.own) {
            self.met_own_reports();
        }
        self.absorb(changes, origin, batch);
        self.count(&outcomes);
        outcomes
    }

    pub(crate) fn take_blobs(
        &mut self,
        blobs: &[Vec<u8>],
        origin: Origin,
        batch: &mut Batch,
    ) -> Vec<Outcome> {
        let mut outcomes = Vec::with_capacity(blobs.len());
        let heartbeats = self.heartbeat_digests();
        for blob in blobs {
            let Some(replica) = &mut self.replica else { return vec![] };
            let (outcome, changes) = replica.accept_blob(blob);
            self.absorb(changes, origin, batch);
            outcomes.push(outcome);
        }
        self.spread_heartbeats(&heartbeats, batch);
        self.count(&outcomes);
        outcomes
    }

    fn count(&mut self, outcomes: &[Outcome]) {
        for outcome in outcomes {
            match outcome {
                Outcome::New => self.counters.taken += 1,
                Outcome::Refused(_) => self.counters.refused += 1,
                Outcome::Known | Outcome::Held(_) | Outcome::NotKept(_) => {}
            }
        }
    }

    /// Turns changes into writes and into what is passed on.
    pub(crate) fn absorb(&mut self, changes: Changes, origin: Origin, batch: &mut Batch) {
        self.push(&changes, origin, batch);
        self.standing_changed |= changes.standing_changed || !changes.roots.is_empty();
        if !changes.roots.is_empty() {
            self.raise_root_floor();
        }
        self.set_digests.forget(&changes);
        for (version, bytes) in changes.roots {
            batch.write(Write::PutRoot { version, bytes });
        }
        for floor in changes.floors {
            #[cfg(feature = "planted-bugs")]
            if self.forgets(&floor) {
                continue;
            }
            batch.write(Write::AppendFloor(floor));
        }
        for put in changes.puts {
            let (document, hash, bytes) = (put.document, put.hash, put.bytes);
            batch.write(Write::PutEntry { document, hash, bytes });
        }
        for (document, hash) in changes.drops {
            batch.write(Write::DropEntry { document, hash });
        }
        for report in changes.reports {
            let StoredReport { host, generation, count, bytes } = report;
            batch.write(Write::PutReport { host, generation, count, bytes });
        }
        for (host, below) in changes.dropped_reports {
            batch.write(Write::DropReports { host, below });
        }
        for (digest, bytes) in changes.blobs {
            batch.write(Write::PutBlob { digest, bytes });
        }
        for digest in changes.dropped_blobs {
            batch.write(Write::DropBlob { digest });
        }
    }

    /// What this node keeps: its own site, and the Host statements of the machines it talks with
    /// or talked with lately, so that neighbours from other sites can be admitted. While roots are
    /// missing its site cannot be told: what was kept stays.
    pub(crate) fn interest(&self) -> Interest {
        let sites = match self.replica.as_ref().map(Replica::standing) {
            Some(standing) if standing.root.is_none() => self.kept_interest.sites.clone(),
            Some(standing) => Sites::Only(match admission::site_of(standing, &self.own) {
                DocumentId::Site(site) => BTreeSet::from([site]),
                DocumentId::Fleet | DocumentId::Host(_) => BTreeSet::new(),
            }),
            None => Sites::Only(BTreeSet::new()),
        };
        let mut hosts: BTreeSet<KeyId> = self.peers.keys().copied().collect();
        hosts.extend(self.recent_peers());
        hosts.insert(self.own);
        let remembered = self.saved.get().addresses.keys().take(ADDRESS_BOOK_PEERS_MAX);
        hosts.extend(remembered.copied());
        Interest { sites, own_host: Some(self.own), hosts }
    }
}

type Taker = fn(&mut Node, &[Vec<u8>], &mut Batch) -> Vec<Outcome>;
