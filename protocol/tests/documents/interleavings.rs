//! Any interleaving of signing, co-signing, rotating, retiring, revoking, delegating, taking back,
//! delivering, withholding and restarting gives the same on every replica that holds the same data
//! (I8, I10; RULES R2, R5 to R7, C1, C5, D3).

use std::collections::BTreeMap;

use daymark_protocol::document::{Interest, Replica, Stored, StoredEntry};
use daymark_protocol::id::Digest;
use daymark_protocol::resource::{Role, Scope};
use daymark_protocol::time::WallTime;
use daymark_protocol::trust::{
    Delegation, DigestList, Envelope, Floors, Held, HeldLists, RoleKeys, Root, RootChain,
    RootDraft, Statement, Verified, Void, VoidId, judge,
};

use crate::support::{
    Choices, Fleet, NOW, accept, contents, entry_of, id_of, key, resource_id, signature_of,
};

/// All that anyone ever made.
struct World {
    fleet: Fleet,
    statements: Vec<Statement>,
    entries: Vec<Vec<u8>>,
    roots: Vec<Vec<u8>>,
    lists: Vec<DigestList>,
    replicas: Vec<Replica>,
    choices: Choices,
}

/// Keys that may speak under `policy` at some time.
const POLICY: [u8; 5] = [1, 2, 3, 11, 12];

impl World {
    fn new(seed: u64) -> Self {
        let fleet = Fleet::new();
        let replicas = (0..3).map(|_| fleet.replica()).collect();
        let roots = fleet.envelopes.clone();
        let (statements, entries, lists) = (vec![], vec![], vec![]);
        let choices = Choices(seed);
        Self { fleet, statements, entries, roots, lists, replicas, choices }
    }

    fn newest(&self) -> &Root {
        self.fleet.roots.last().unwrap()
    }

    fn act(&mut self) {
        match self.choices.below(12) {
            0 | 1 => self.make(),
            2..=4 => self.sign(),
            5 => self.rotate(),
            6..=9 => self.deliver(),
            10 => self.deliver_authority(),
            _ => self.restart(),
        }
    }

    fn make(&mut self) {
        let version = self.choices.below(4) as u64 + 1;
        let said = format!("said {}", self.choices.below(2));
        let name = format!("s{}", self.choices.below(2));
        let statement = match self.choices.below(5) {
            0 => self.fleet.halt(&said),
            1 if !self.statements.is_empty() => {
                let halt = &self.statements[self.choices.below(self.statements.len())];
                self.fleet.resume(&[halt])
            }
            2 => self.fleet.host(&key(30), version, "berlin"),
            3 => self.fleet.site_in(Scope::Site(resource_id("berlin")), &name, version, &said),
            _ => self.fleet.site(&name, version, &said),
        };
        self.entries.push(entry_of(&statement));
        self.statements.push(statement);
    }

    fn sign(&mut self) {
        if self.statements.is_empty() {
            return;
        }
        let statement = &self.statements[self.choices.below(self.statements.len())];
        let signer = [1, 2, 3, 11, 12, 4, 5, 6][self.choices.below(8)];
        self.entries.push(signature_of(statement, &key(signer)));
    }

    /// A root that ends a key, lets another speak, delegates or takes something back.
    fn rotate(&mut self) {
        if self.fleet.roots.len() > 5 {
            return;
        }
        let mut draft = RootDraft::after(self.newest(), NOW, WallTime::MAX);
        let named = draft.roles[&Role::Policy].keys.clone();
        let leaving = POLICY.iter().map(|seed| id_of(&key(*seed))).find(|id| named.contains(id));
        let knower = &self.replicas[self.choices.below(3)];
        match (self.choices.below(4), leaving) {
            (0 | 1, Some(leaving)) if named.len() > 2 => {
                let lists = knower.lists_of(&leaving);
                draft = match self.choices.below(2) {
                    0 => draft.retire(leaving, &lists),
                    _ => draft.revoke(leaving, &lists),
                };
                self.lists.extend(lists);
            }
            (2, _) if !self.statements.is_empty() => {
                let statement = &self.statements[self.choices.below(self.statements.len())];
                let ids = statement.payload().resources.iter().map(|resource| VoidId {
                    kind: resource.kind.clone(),
                    id: resource.id.clone(),
                    digest: resource.digest(),
                    counts_from: self.choices.0 % 4,
                });
                draft = draft.void(Void { statement: statement.digest(), ids: ids.collect() });
            }
            _ => {
                let new = key(POLICY[3 + self.choices.below(2)]);
                if draft.lists.contains_key(&id_of(&new)) {
                    return;
                }
                draft = draft.key(new.public(), "new");
                let speakers = RoleKeys { threshold: 1, keys: [id_of(&new)].into() };
                let scope = Scope::Site(resource_id("berlin"));
                let given =
                    Delegation { role: Role::Policy, speakers, scope, until: WallTime::MAX };
                draft = draft.delegate("berlin", given);
            }
        }
        // A key that was revoked before must not speak again: then nobody writes this root.
        if let Ok((payload, root)) = draft.finish() {
            let envelope =
                Envelope::signed(daymark_protocol::trust::Context::Root, payload, [&key(9)]);
            self.roots.push(envelope.to_json());
            self.fleet.roots.push(root);
        }
    }

    fn deliver(&mut self) {
        if self.entries.is_empty() {
            return;
        }
        let to = self.choices.below(3);
        let from = self.choices.below(self.entries.len());
        let until = (from + 1 + self.choices.below(6)).min(self.entries.len());
        let items = self.entries[from..until].to_vec();
        accept(&mut self.replicas[to], &items);
    }

    fn deliver_authority(&mut self) {
        let to = self.choices.below(3);
        let root = self.roots[self.choices.below(self.roots.len())].clone();
        self.replicas[to].accept_root(&root);
        if !self.lists.is_empty() {
            let list = self.lists[self.choices.below(self.lists.len())].bytes().to_vec();
            self.replicas[to].accept_blob(&list);
        }
    }

    fn restart(&mut self) {
        let at = self.choices.below(3);
        let replica = &self.replicas[at];
        let mut chain = RootChain::new(self.fleet.pin());
        for (_, bytes) in replica.chain().files() {
            chain.accept(&bytes).unwrap();
        }
        let entries = replica.documents().flat_map(|document| {
            let entries = replica.entries(document);
            entries.map(|(hash, bytes)| StoredEntry { document: document.clone(), hash, bytes })
        });
        let blobs = replica.blobs().map(|(digest, bytes)| (digest, bytes.to_vec()));
        let (entries, blobs) = (entries.collect(), blobs.collect());
        let stored = Stored { entries, blobs, ..Stored::default() };
        let mut floors = Floors::default();
        for record in replica.compact_floors() {
            floors.apply(record);
        }
        let loaded = Replica::load(chain, floors, Interest::default(), &stored);
        assert!(loaded.corrupt.is_empty(), "{:?}", loaded.corrupt);
        assert_eq!(contents(&loaded.replica), contents(replica), "a restart loses nothing");
        assert_eq!(loaded.replica.standing(), replica.standing());
        self.replicas[at] = loaded.replica;
    }

    /// Everyone gets everything, each in an order of its own, and again, since what was not kept
    /// before may be now.
    fn deliver_all(&mut self) {
        for at in 0..3 {
            for _ in 0..2 {
                let mut roots = self.roots.clone();
                self.choices.shuffle(&mut roots);
                let mut entries = self.entries.clone();
                self.choices.shuffle(&mut entries);
                let mut lists = self.lists.clone();
                self.choices.shuffle(&mut lists);
                let replica = &mut self.replicas[at];
                let roots: Vec<&[u8]> = roots.iter().map(Vec::as_slice).collect();
                replica.accept_roots(&roots);
                for list in &lists {
                    replica.accept_blob(list.bytes());
                }
                accept(replica, &entries);
            }
        }
    }
}

/// What follows from what a replica holds, whatever it held before.
fn judged(replica: &Replica) -> daymark_protocol::trust::Judgement {
    let held: BTreeMap<Digest, Held> =
        replica.statements().map(|(digest, held)| (*digest, held.clone())).collect();
    let lists: HeldLists = replica
        .chain()
        .lists()
        .iter()
        .filter_map(|digest| Some((*digest, DigestList::decode(replica.list(digest)?).unwrap())))
        .collect();
    judge(replica.chain(), &lists, &held, &Floors::default(), &|_| true, &mut Verified::default())
}

#[test]
fn i8_i10_replicas_that_hold_the_same_agree_whatever_happened_before() {
    for seed in 0..60 {
        let mut world = World::new(seed);
        for _ in 0..80 {
            world.act();
        }
        world.deliver_all();
        let first = &world.replicas[0];
        assert_eq!(first.chain().newest_version(), world.fleet.roots.len() as u64, "{seed}");
        assert!(first.missing_lists().is_empty(), "{seed}");
        let expected = judged(first);
        for other in &world.replicas[1..] {
            assert_eq!(contents(other), contents(first), "seed {seed}");
            let others = judged(other);
            assert_eq!(others.standing, expected.standing, "seed {seed}");
            assert_eq!(others.stances, expected.stances, "seed {seed}");
        }
    }
}
