//! With rooms full, what is kept follows from what there is and not from what was held before
//! (RULES D3, C4, Q12).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};

use daymark_protocol::document::retention::{Candidate, RetainedResource, Rooms, Standing, retain};
use daymark_protocol::document::{Interest, Outcome, Replica, Stored, StoredEntry};
use daymark_protocol::id::{Digest, KeyId};
use daymark_protocol::limits;
use daymark_protocol::resource::{Kind, Scope, Spec, TokenSpec};
use daymark_protocol::trust::{
    Floors, ResourceDraft, SigningKey, Stance, Statement, Validity, join_by_token, named_id,
};
use proptest::prelude::*;

use crate::support::{Choices, Fleet, NOW, accept, contents, key, signed};

/// Statements of one document by digest.
type Held = BTreeMap<Digest, Arc<Candidate>>;

const PLACES: usize = limits::IDS_PER_KIND_AND_SIGNER_MAX;
/// Two keys whose rooms are full but for two places, and one whose room is empty.
const SIGNERS: [u8; 3] = *b"EFG";

fn signer(name: u8) -> KeyId {
    KeyId([name; 32])
}

fn site(id: &str, version: u64, gone: bool) -> RetainedResource {
    RetainedResource { kind: "Site".into(), id: id.parse().unwrap(), version, gone }
}

fn finished(resources: Vec<RetainedResource>, by: &[u8]) -> (Digest, Arc<Candidate>) {
    let by: BTreeSet<KeyId> = by.iter().copied().map(signer).collect();
    let digest = Digest::of(format!("{resources:?} {by:?}").as_bytes());
    (
        digest,
        Arc::new(Candidate { resources, signers: by.clone(), standing: Standing::Finished(by) }),
    )
}

fn kept(held: &Held) -> Held {
    let kept = retain(held.iter().map(|(digest, candidate)| (digest, &**candidate)));
    held.iter()
        .filter(|(digest, _)| kept.contains_key(*digest))
        .map(|(d, c)| (*d, Arc::clone(c)))
        .collect()
}

/// A replica, as far as retention cares: it forgets what it does not keep.
#[derive(Clone, Default)]
struct Keeper {
    rooms: Rooms,
    held: Held,
}

impl Keeper {
    fn hear(&mut self, digest: Digest, candidate: &Arc<Candidate>) {
        if self.held.contains_key(&digest) {
            return;
        }
        self.held.insert(digest, Arc::clone(candidate));
        let mut moved = self.rooms.put(digest, Arc::clone(candidate));
        while !moved.is_empty() {
            let (gone, others) = self.rooms.drop_not_kept(&moved);
            gone.iter().for_each(|digest| drop(self.held.remove(digest)));
            moved = others;
        }
    }
}

/// Two full rooms, and ids that stand behind all that fill them.
struct Full {
    keeper: Keeper,
    behind: Vec<String>,
}

static FULL: LazyLock<Full> = LazyLock::new(full);

fn full() -> Full {
    let name = |number: usize| format!("id-{number}");
    let of = |key: u8| {
        let all =
            (0..4 * PLACES).map(|number| finished(vec![site(&name(number), 1, false)], &[key]));
        let all: Held = all.collect();
        let kept = kept(&all);
        let number = |id: &str| id[3..].parse::<usize>().unwrap();
        kept.values().map(|candidate| number(candidate.resources[0].id.as_str())).collect()
    };
    let rooms: [BTreeSet<usize>; 2] = [of(b'E'), of(b'F')];
    let behind = (0..4 * PLACES).filter(|number| rooms.iter().all(|room| !room.contains(number)));
    let mut keeper = Keeper::default();
    for (key, room) in [(b'E', &rooms[0]), (b'F', &rooms[1])] {
        // Ids that the other key's flood does not name, so that each room has its own.
        for number in room.iter().take(PLACES - 2) {
            let (digest, candidate) = finished(vec![site(&name(*number), 1, false)], &[key]);
            keeper.hear(digest, &candidate);
        }
    }
    let behind = behind.map(name).take(6).collect();
    Full { keeper, behind }
}

fn drawn(full: &Full, deleting: bool, choices: &mut Choices) -> Vec<(Digest, Arc<Candidate>)> {
    let mut all = Vec::new();
    for _ in 0..24 {
        let mut ids = full.behind.clone();
        choices.shuffle(&mut ids);
        let several = if choices.below(5) == 0 { 2 } else { 1 };
        let resources = ids[..several].iter().map(|id| {
            let version = 1 + choices.next() % 9;
            site(id, version, deleting && version == 9)
        });
        let resources = resources.collect();
        let mut by = SIGNERS;
        choices.shuffle(&mut by);
        // Most are by keys whose rooms are full.
        let mut by: Vec<u8> = by[..1 + choices.below(2)].to_vec();
        if choices.below(3) > 0 && by.len() > 1 {
            by.retain(|key| *key != b'G');
        }
        all.push(finished(resources, &by));
    }
    all
}

fn arrivals_agree(seed: u64, deleting: bool) {
    let mut choices = Choices(seed);
    let full = &*FULL;
    let mut new = drawn(full, deleting, &mut choices);
    let mut union = full.keeper.held.clone();
    union.extend(new.iter().cloned());
    let expected: BTreeSet<Digest> = kept(&union).into_keys().collect();
    for _ in 0..4 {
        let mut keeper = full.keeper.clone();
        // What one key signed first may find room only once another key signed a version too, and
        // repair hands over again what is missing: so until nothing moves, which is soon.
        for _ in 0..3 {
            choices.shuffle(&mut new);
            for (digest, candidate) in &new {
                keeper.hear(*digest, candidate);
            }
        }
        let held: BTreeSet<Digest> = keeper.held.keys().copied().collect();
        let other: Vec<&Digest> = held.symmetric_difference(&expected).collect();
        assert!(other.is_empty(), "seed {seed}: {other:?}");
        // Nothing that goes leaves the rest other than if it had never been here.
        assert_eq!(kept(&keeper.held).len(), keeper.held.len(), "seed {seed}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn d3_q12_with_rooms_full_any_order_of_arrival_ends_with_the_same(seed: u64) {
        arrivals_agree(seed, false);
    }

    #[test]
    fn d3_q12_so_it_does_where_ids_end(seed: u64) {
        arrivals_agree(seed, true);
    }
}

#[test]
fn d3_the_room_of_a_key_whose_version_is_given_up_still_counts() {
    let Full { mut keeper, behind } = full();

    // G's room has places, E's has none for this id: it is kept by what G signed first.
    let id = &behind[5];
    let of_e: Vec<_> =
        (2..=7).map(|version| finished(vec![site(id, version, false)], b"E")).collect();
    let of_g = finished(vec![site(id, 1, false)], b"G");
    let more = behind[..5].iter().map(|id| finished(vec![site(id, 1, false)], b"E"));
    for (digest, candidate) in more.chain([of_g]).chain(of_e) {
        keeper.hear(digest, &candidate);
    }
    let versions = |keeper: &Keeper| -> Vec<u64> {
        let of_id = |candidate: &&Arc<Candidate>| candidate.resources[0].id.as_str() == id;
        let mut versions: Vec<u64> =
            keeper.held.values().filter(of_id).map(|c| c.resources[0].version).collect();
        versions.sort_unstable();
        versions
    };
    assert_eq!(versions(&keeper), [1, 4, 5, 6, 7]);
    assert_eq!(kept(&keeper.held).len(), keeper.held.len(), "a restart loses nothing");
}

/// What a restart makes of what a replica holds.
fn restarted(fleet: &Fleet, replica: &Replica) -> Replica {
    let entries = replica.documents().flat_map(|document| {
        let entries = replica.entries(document);
        entries.map(|(hash, bytes)| StoredEntry { document: document.clone(), hash, bytes })
    });
    let stored = Stored { entries: entries.collect(), ..Stored::default() };
    let mut floors = Floors::default();
    for record in replica.compact_floors() {
        floors.apply(record);
    }
    Replica::load(fleet.chain(), floors, Interest::default(), &stored).replica
}

fn token(fleet: &Fleet, name: &str, with: &SigningKey) -> (TokenSpec, Statement) {
    let spec = TokenSpec {
        name: name.into(),
        public_key: with.public().to_string(),
        site: None,
        labels: BTreeMap::new(),
        uses: 3,
    };
    let id = named_id(Kind::Token, &fleet.id(), &Scope::Fleet, name);
    let said = ResourceDraft::new(id, 1, &Spec::Token(spec.clone()));
    let draft = fleet.draft(Scope::Fleet).until(NOW.plus_ms(86_400_000));
    (spec, draft.resource(said).finish().unwrap())
}

#[test]
fn s9_d3_a_token_that_loses_its_place_takes_its_hosts_along_at_once() {
    let fleet = Fleet::new();
    let (token_key, machine) = (key(40), key(30));
    let names = (0..PLACES + 1).map(|number| format!("token {number}"));
    let all: Vec<_> = names.map(|name| token(&fleet, &name, &key(41))).collect();
    let entries = |with: &SigningKey, statement: &Statement| signed(statement, &[with]);
    let flood: Vec<Vec<u8>> = all.iter().flat_map(|(_, one)| entries(&key(5), one)).collect();
    let mut scratch = fleet.replica();
    accept(&mut scratch, &flood);
    let lost = all.iter().position(|(_, one)| scratch.statement(&one.digest()).is_none());
    let lost = lost.expect("one finds no place");
    // The same name stands at the same place, whatever key the token gives.
    let (spec, mine) = token(&fleet, &format!("token {lost}"), &token_key);
    let joined = join_by_token(fleet.id(), NOW, "press", &spec, &token_key, &machine);
    let (host, _) = joined.unwrap();
    let mut replica = fleet.replica();
    accept(&mut replica, &entries(&key(5), &mine));
    accept(&mut replica, &signed(&host, &[&token_key, &machine]));
    let stance = |replica: &Replica| replica.judgement().stances.get(&host.digest()).cloned();
    assert_eq!(stance(&replica), Some(Stance::Counts(Validity::Valid)));
    let others: Vec<Vec<u8>> = all
        .iter()
        .enumerate()
        .filter(|(at, _)| *at != lost)
        .flat_map(|(_, (_, one))| entries(&key(5), one))
        .collect();
    accept(&mut replica, &others);
    assert!(replica.statement(&mine.digest()).is_none());
    let again = restarted(&fleet, &replica);
    assert_eq!(contents(&replica), contents(&again));
    assert_eq!(stance(&replica), stance(&again));
    assert_eq!(replica.standing(), again.standing());
}

/// N13: what lifts a halt has room for each key, so that one stolen key of one fills no store, and
/// takes no place of what another key signed too.
#[test]
fn c4_resumes_have_room_for_each_key_and_none_of_another_key_s_is_lost() {
    let resume = |number: usize, by: &[u8]| {
        let by: BTreeSet<KeyId> = by.iter().copied().map(signer).collect();
        let resource = RetainedResource {
            kind: "Resume".into(),
            id: format!("resume-{number}").parse().unwrap(),
            version: 1,
            gone: false,
        };
        let standing = Standing::Resume(by.clone());
        (
            Digest::of(format!("{number} {by:?}").as_bytes()),
            Arc::new(Candidate { resources: vec![resource], signers: by, standing }),
        )
    };
    let flood: Held =
        (0..3 * limits::RESUMES_PER_KEY_MAX).map(|number| resume(number, b"E")).collect();
    let honest: Held =
        (0..50).map(|number| resume(number, if number % 2 == 0 { b"EF" } else { b"FG" })).collect();
    let mut all = flood;
    all.extend(honest.clone());
    let kept = kept(&all);
    assert!(honest.keys().all(|digest| kept.contains_key(digest)));
    assert!(kept.len() <= limits::RESUMES_PER_KEY_MAX + honest.len());
    let mut keeper = Keeper::default();
    for (digest, candidate) in all.iter().rev() {
        keeper.hear(*digest, candidate);
    }
    assert!(keeper.held == kept, "in another order");
}

/// C4, C6: a resume that finds no room opens nothing, in memory or in the journal, and the halt
/// that it lifted stands as if the resume had never been signed.
#[test]
fn c4_c6_a_resume_that_finds_no_room_lifts_nothing_and_leaves_the_journal() {
    let fleet = Fleet::new();
    let numbers = 0..limits::RESUMES_PER_KEY_MAX + 200;
    let halts: Vec<Statement> = numbers.map(|at| fleet.halt(&format!("halt {at}"))).collect();
    let mut replica = fleet.replica();
    let by = [&key(1), &key(2)];
    let resumes: Vec<Statement> = halts.iter().map(|halt| fleet.resume(&[halt])).collect();
    for some in resumes.chunks(400) {
        let entries: Vec<Vec<u8>> = some.iter().flat_map(|one| signed(one, &by)).collect();
        accept(&mut replica, &entries);
    }
    let is_held = |at: &usize| replica.statement(&resumes[*at].digest()).is_some();
    let (held, lost): (Vec<usize>, Vec<usize>) = (0..resumes.len()).partition(is_held);
    for at in [held[0], lost[0]] {
        accept(&mut replica, &signed(&halts[at], &[&key(4)]));
    }
    let standing: Vec<Digest> =
        replica.standing().halts.iter().map(|halt| halt.version.statement).collect();
    assert_eq!(standing, [halts[lost[0]].digest()]);
    let journal = replica.compact_floors().len();
    assert!(journal <= 3 * 2 * limits::RESUMES_PER_KEY_MAX, "{journal}");
    let again = restarted(&fleet, &replica);
    assert_eq!(contents(&replica), contents(&again));
    assert_eq!(replica.standing(), again.standing());
}

/// D3: a statement that two documents hold is in each where there is room for it, also if it had
/// to leave one of them for a while.
#[test]
fn d3_what_lost_its_place_in_one_of_its_documents_returns_to_it_when_it_comes_again() {
    let fleet = Fleet::new();
    // Drafts: the release key has no say over hosts.
    let (nobody, enrolls) = (key(7), key(5));
    let host = fleet.host_draft(&key(50), 2, "munich");
    let moved = host.moved_from(Some("berlin".parse().unwrap()));
    let moved = fleet.draft(Scope::Fleet).resource(moved).finish().unwrap();
    let moved = signed(&moved, &[&nobody]);
    let flood: Vec<Statement> =
        (100..164).map(|seed| fleet.host(&key(seed), 3, "berlin")).collect();
    let mut replica = fleet.replica();
    accept(&mut replica, &moved);
    let with_room = contents(&replica);
    let berlin = |replica: &Replica| {
        let entries = contents(replica).remove("site/berlin").unwrap_or_default();
        moved.iter().filter(|entry| entries.contains(entry)).count()
    };
    assert_eq!((with_room.len(), berlin(&replica)), (3, 2));
    for draft in &flood {
        accept(&mut replica, &signed(draft, &[&nobody]));
    }
    assert_eq!(berlin(&replica), 0, "64 higher ones fill the room");
    let (outcomes, changes) = accept(&mut replica, &moved);
    assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Known), "{outcomes:?}");
    assert!(!changes.standing_changed && changes.puts.is_empty() && changes.drops.is_empty());
    for draft in &flood {
        accept(&mut replica, &signed(draft, &[&enrolls]));
    }
    let mut apart = replica.clone();
    let (outcomes, changes) = accept(&mut replica, &moved);
    assert!(outcomes.iter().all(|outcome| *outcome == Outcome::New), "{outcomes:?}");
    assert_eq!((berlin(&replica), changes.puts.len()), (2, 2));
    // One entry after the other is as good, and the same as one who was there at the end only.
    moved.iter().for_each(|entry| drop(apart.accept_entry(entry)));
    let mut late = fleet.replica();
    for draft in &flood {
        accept(&mut late, &signed(draft, &[&nobody, &enrolls]));
    }
    accept(&mut late, &moved);
    assert_eq!(contents(&replica), contents(&late));
    assert_eq!(contents(&apart), contents(&late));
}
