//! The administrators of a simulated fleet: their keys, what they sign, and a ledger of who signed
//! what. The ledger is what the checks read; no node ever sees it.

mod ledger;
mod orders;

use std::collections::BTreeSet;
use std::iter;

use daymark_core::event::Carried;
use daymark_protocol::document::statement_entry;
use daymark_protocol::id::{Digest, FleetId, KeyId, ResourceId};
use daymark_protocol::resource::{HostSpec, Kind, Role, Scope, SiteSpec, Spec};
use daymark_protocol::time::WallTime;
use daymark_protocol::trust::{
    Context, DigestList, Draft, Envelope, Pin, PublicKey, ResourceDraft, Root, RootDraft,
    SigningKey, Statement, named_id,
};

pub use self::ledger::{Ledger, Said, Saying};
pub use self::orders::{Placed, Rule};
use crate::random::child;

/// The name of the only OS profile.
pub const PROFILE: &str = "edge";

/// How long roots last.
const ROOT_MS: i64 = 10 * 365 * 24 * 3_600_000;

/// The keys of one role, and how many of them it takes.
#[derive(Debug)]
struct Holders {
    keys: Vec<SigningKey>,
    threshold: usize,
}

impl Holders {
    fn new(seed: u64, role: Role, count: usize, threshold: usize) -> Self {
        let key = |number: usize| SigningKey::from_seed(child(seed, &format!("{role} {number}")));
        Self { keys: (0..count).map(key).collect(), threshold }
    }

    /// As many of them as it takes, the first ones.
    fn enough(&self) -> Vec<&SigningKey> {
        self.keys.iter().take(self.threshold).collect()
    }

    /// As many of them as it takes, the last ones.
    fn enough_others(&self) -> Vec<&SigningKey> {
        self.keys.iter().rev().take(self.threshold).collect()
    }
}

/// The administrators.
#[derive(Debug)]
pub struct Operators {
    root: Holders,
    policy: Holders,
    halt: Holders,
    release: Holders,
    enroll: Holders,
    roots: Vec<(Root, Vec<u8>)>,
    /// The rival of the newest root, until both are settled.
    rival: Option<Root>,
    id: FleetId,
    pin: Pin,
    /// Policy keys that left.
    left: Vec<usize>,
    /// What the lists of retired keys name.
    listed: BTreeSet<Digest>,
    /// Halts that they gave, as they are carried.
    halts: Vec<Carried>,
    /// The time of their first acts: before the world begins.
    founded: WallTime,
    /// Who signed what.
    pub ledger: Ledger,
}

impl Operators {
    /// Two of three root and policy keys, two of two release keys, one halt and one enroll key; a
    /// root that lasts ten years.
    pub fn new(seed: u64, begins: WallTime) -> Self {
        let founded = begins.plus_ms(-86_400_000);
        let root = Holders::new(seed, Role::Root, 3, 2);
        let policy = Holders::new(seed, Role::Policy, 3, 2);
        let halt = Holders::new(seed, Role::Halt, 1, 1);
        let release = Holders::new(seed, Role::Release, 2, 2);
        let enroll = Holders::new(seed, Role::Enroll, 1, 1);
        let mut draft = RootDraft::first("simulated", founded, founded.plus_ms(ROOT_MS));
        let spare = [(Role::Emergency, &policy), (Role::Heartbeat, &policy), (Role::View, &enroll)];
        let roles = [
            (Role::Root, &root),
            (Role::Policy, &policy),
            (Role::Halt, &halt),
            (Role::Release, &release),
            (Role::Enroll, &enroll),
        ];
        for (role, holders) in roles.into_iter().chain(spare) {
            for (number, key) in holders.keys.iter().enumerate() {
                draft = draft.key(key.public(), &format!("{role} {number}"));
            }
            let threshold = u32::try_from(holders.threshold).unwrap_or(u32::MAX);
            draft = draft.role(role, threshold, holders.keys.iter().map(|key| key.public().id()));
        }
        let (payload, first) = draft.finish().expect("the root is well-formed");
        let envelope = Envelope::signed(Context::Root, payload, root.enough()).to_json();
        let pin = Pin { version: first.version, digest: first.digest };
        let id = FleetId(first.digest.0);
        let mut ledger = Ledger::default();
        ledger.root(&first, []);
        let roots = vec![(first, envelope)];
        let (left, listed, halts) = (vec![], BTreeSet::new(), vec![]);
        let rival = None;
        Self {
            root,
            policy,
            halt,
            release,
            enroll,
            roots,
            rival,
            id,
            pin,
            left,
            listed,
            halts,
            founded,
            ledger,
        }
    }

    /// What a machine is given to take the fleet.
    pub fn pin(&self) -> Pin {
        self.pin
    }

    /// The first root.
    pub fn first_root(&self) -> Carried {
        Carried::Root(self.roots[0].1.clone())
    }

    /// The id of a site.
    pub fn site(&self, name: &str) -> ResourceId {
        self.named(Kind::Site, name)
    }

    fn named(&self, kind: Kind, name: &str) -> ResourceId {
        named_id(kind, &self.id, &Scope::Fleet, name)
    }

    fn draft(&self, at: WallTime) -> Draft {
        Draft::new(self.id, Scope::Fleet, at)
    }

    /// Signs a statement, notes it, and gives what there is to carry.
    fn sign(
        &mut self,
        draft: &Draft,
        saying: &[Saying],
        by: Role,
        signers: &[usize],
    ) -> Vec<Carried> {
        let statement = draft.finish().expect("the statement is well-formed");
        self.sign_again(&statement, saying, by, signers, true)
    }

    fn sign_again(
        &mut self,
        statement: &Statement,
        saying: &[Saying],
        by: Role,
        signers: &[usize],
        with_statement: bool,
    ) -> Vec<Carried> {
        let holders = match by {
            Role::Root => &self.root,
            Role::Policy | Role::Emergency | Role::Heartbeat => &self.policy,
            Role::Halt => &self.halt,
            Role::Release => &self.release,
            Role::Enroll | Role::View => &self.enroll,
        };
        let keys: Vec<&SigningKey> =
            signers.iter().filter_map(|number| holders.keys.get(*number)).collect();
        let signatures = self.ledger.signed(statement, (by, saying), &keys, true);
        let statement = with_statement.then(|| statement_entry(statement.bytes()));
        statement.into_iter().chain(signatures).map(Carried::Entry).collect()
    }

    /// Creates a site.
    pub fn create_site(&mut self, name: &str) -> Vec<Carried> {
        let spec = Spec::Site(SiteSpec { name: name.to_owned(), ..SiteSpec::default() });
        let draft =
            self.draft(self.founded).resource(ResourceDraft::new(self.site(name), 1, &spec));
        let (first, second) = self.pair(false);
        self.sign(&draft, &[], Role::Policy, &[first, second])
    }

    /// Enrols a machine at a site.
    pub fn enroll(&mut self, name: &str, machine: &PublicKey, site: &str) -> Vec<Carried> {
        self.name_machine(self.founded, name, (machine, 1), site)
    }

    /// Gives a machine another name; the same one gets no third.
    pub fn rename(
        &mut self,
        at: WallTime,
        name: &str,
        machine: &PublicKey,
        site: &str,
    ) -> Vec<Carried> {
        self.name_machine(at, name, (machine, 2), site)
    }

    fn name_machine(
        &mut self,
        at: WallTime,
        name: &str,
        (machine, version): (&PublicKey, u64),
        site: &str,
    ) -> Vec<Carried> {
        let public_key = machine.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        let spec = Spec::Host(HostSpec { name: name.to_owned(), public_key, ..Default::default() });
        let resource =
            ResourceDraft::new(machine.id().into(), version, &spec).site(Some(self.site(site)));
        let draft = self.draft(at).resource(resource);
        self.sign(&draft, &[Saying::Host { key: machine.id(), gone: false }], Role::Enroll, &[0])
    }

    /// Removes a machine from a site.
    pub fn remove(&mut self, at: WallTime, machine: KeyId, site: &str) -> Vec<Carried> {
        let gone = ResourceDraft::tombstone(Kind::Host, machine.into(), 2);
        let draft = self.draft(at).resource(gone.site(Some(self.site(site))));
        self.sign(&draft, &[Saying::Host { key: machine, gone: true }], Role::Enroll, &[0])
    }

    /// A policy key leaves with a new root: retired, and a list beside the root names what it
    /// signed, which stays valid; or dropped from its roles, and what needed it has fallen. The two
    /// that stay are both needed from then on.
    pub fn leave(&mut self, at: WallTime, key: usize, keep: bool) -> Vec<Carried> {
        let gone = self.policy.keys[key].public().id();
        self.left.push(key);
        let signed: BTreeSet<_> = self.ledger.signed_by(&gone).collect();
        let lists = if keep { DigestList::of(&signed) } else { vec![] };
        if keep {
            self.listed.extend(signed);
        }
        let root = self.next_root(at, |mut draft| {
            if keep {
                return draft.retire(gone, &lists);
            }
            for role in draft.roles.values_mut() {
                role.keys.remove(&gone);
            }
            draft.keys.remove(&gone);
            draft
        });
        // The root first: only then is it known that the lists are wanted.
        root.into_iter()
            .chain(lists.iter().map(|list| Carried::Blob(list.bytes().to_vec())))
            .collect()
    }

    /// Whether a policy key ever signed anything.
    pub fn has_signed(&self, key: usize) -> bool {
        let key = self.policy.keys[key].public().id();
        self.ledger.signed_by(&key).next().is_some()
    }

    /// New roots with the same keys, one after the other.
    pub fn rotate(&mut self, at: WallTime, times: u32) -> Vec<Carried> {
        (0..times).flat_map(|_| self.next_root(at, |draft| draft)).collect()
    }

    fn next_root(
        &mut self,
        at: WallTime,
        change: impl FnOnce(RootDraft) -> RootDraft,
    ) -> Vec<Carried> {
        let newest = &self.roots.last().expect("there is a first root").0;
        let draft = change(RootDraft::after(newest, at, at.plus_ms(ROOT_MS)));
        let (root, carried) = self.sign_root(&draft, false);
        self.roots.push(root);
        vec![carried]
    }

    /// Signs a root with as many root keys as it takes, the first or the last ones.
    fn sign_root(&mut self, draft: &RootDraft, last: bool) -> ((Root, Vec<u8>), Carried) {
        let (payload, root) = draft.finish().expect("the root is well-formed");
        let by = if last { self.root.enough_others() } else { self.root.enough() };
        let envelope = Envelope::signed(Context::Root, payload, by).to_json();
        self.ledger.root(&root, self.listed.iter().copied());
        ((root, envelope.clone()), Carried::Root(envelope))
    }

    /// Two groups of root keys sign a next root each, of one version: one that throws a policy key
    /// out and keeps what it signed, and one that only lasts longer. What each hands in.
    pub fn rivals(&mut self, at: WallTime, key: usize) -> [Vec<Carried>; 2] {
        let newest = self.roots.last().expect("there is a first root").0.clone();
        let other = RootDraft::after(&newest, at, at.plus_ms(2 * ROOT_MS));
        let one = self.leave(at, key, true);
        let (other, carried) = self.sign_root(&other, true);
        self.rival = Some(other.0);
        [one, vec![carried]]
    }

    /// Enough keys for both settle rival roots with one above them. What was halted meanwhile they
    /// hand in once more: who could not judge it holds it in memory alone.
    pub fn settle(&mut self, at: WallTime) -> Vec<Carried> {
        let newest = &self.roots.last().expect("there is a first root").0;
        let both: Vec<&Root> = iter::once(newest).chain(&self.rival).collect();
        let draft = RootDraft::settling(&both, at, at.plus_ms(ROOT_MS)).expect("there is a root");
        self.rival = None;
        let (root, carried) = self.sign_root(&draft, false);
        self.roots.push(root);
        iter::once(carried).chain(self.halts.iter().cloned()).collect()
    }

    /// The policy keys that sign next: the first two that are left, or the last two.
    fn pair(&self, last: bool) -> (usize, usize) {
        let mut there: Vec<usize> =
            (0..self.policy.keys.len()).filter(|key| !self.left.contains(key)).collect();
        if last {
            there.reverse();
        }
        (there.first().copied().unwrap_or(0), there.get(1).copied().unwrap_or(0))
    }

    /// A policy key that somebody stole: one of the two that it takes.
    pub(crate) fn stolen_key(&self) -> SigningKey {
        self.policy.keys[2].clone()
    }

    /// The fleet.
    pub fn fleet(&self) -> FleetId {
        self.id
    }
}
