//! Keys that leave, statements that are taken back, parts of the fleet that others speak for, tokens
//! and machines in others' places (RULES R5 to R7, S4, S9, C1, C4).

use std::collections::{BTreeMap, BTreeSet};

use daymark_protocol::id::Digest;
use daymark_protocol::resource::{Kind, Role, Scope};
use daymark_protocol::trust::{
    Delegation, DigestList, Draft, FloorRecord, Floors, Held, HeldLists, Judgement, Line, Loss,
    Replaced, ResourceDraft, RoleKeys, RootChain, RootDraft, SignerScope, Stance, State, Statement,
    Validity, Verified, Void, VoidId, judge,
};

use crate::support::{
    Policy, blackout, day, draft, fleet, fleet_id, floors_of, halt, hold, host, id, ids, key,
    key_id, line, next_root, policy, raw, resume, say, sign, signed,
};

const TOP: u64 = (1 << 63) - 1;

/// The chain of `fleet(&[("ABC", 2)])` with one more root, and the lists that it names.
struct Ending {
    chain: RootChain,
    lists: HeldLists,
    floors: Floors,
}

impl Ending {
    fn of(draft: RootDraft, lists: Vec<DigestList>) -> Self {
        let mut chain = fleet(&[("ABC", 2)]);
        chain.accept(&signed(&draft, "R").0).unwrap();
        assert!(chain.wait().is_none(), "{:?}", chain.wait());
        let lists = lists.into_iter().map(|list| (list.digest(), list)).collect();
        Self { chain, lists, floors: Floors::default() }
    }

    fn and(mut self, draft: impl FnOnce(RootDraft) -> RootDraft) -> Self {
        let newest = self.chain.newest().unwrap().clone();
        self.chain.accept(&signed(&draft(next_root(&newest)), "R").0).unwrap();
        self
    }

    fn judged(&self, held: impl IntoIterator<Item = Held>) -> Judgement {
        let held = hold(held);
        judge(&self.chain, &self.lists, &held, &self.floors, &|_| true, &mut Verified::default())
    }
}

fn second() -> RootDraft {
    next_root(fleet(&[("ABC", 2)]).newest().unwrap()).policy("ABCD", 2)
}

fn list(held: &[&Held]) -> Vec<DigestList> {
    DigestList::of(&held.iter().map(|held| held.statement.digest()).collect())
}

fn retired(held: &[&Held]) -> Ending {
    let lists = list(held);
    Ending::of(second().retire(key_id('A'), &lists), lists)
}

fn revoked(held: &[&Held]) -> Ending {
    let lists = list(held);
    Ending::of(second().revoke(key_id('A'), &lists), lists)
}

fn go(version: u64, by: &str) -> Held {
    sign(&say(&fleet(&[("ABC", 2)]), policy("p", version, "go")), by)
}

fn stop(name: &str, by: &str) -> Held {
    sign(&say(&fleet(&[("ABC", 2)]), halt(name, 1)), by)
}

fn policy_line(judgement: &Judgement) -> Line {
    line(judgement, Kind::OsUpdatePolicy, "p")
}

fn counts(judgement: &Judgement) -> bool {
    policy_line(judgement).state == State::Counts
}

fn why(judgement: &Judgement) -> String {
    match policy_line(judgement).state {
        State::Unknown(why) => why,
        State::Counts => panic!("it counts"),
    }
}

#[test]
fn r5_what_a_retired_key_is_listed_with_stays_valid_and_all_else_falls() {
    let (listed, other) = (go(1, "AB"), go(2, "AC"));
    let ending = retired(&[&listed]);
    assert!(counts(&ending.judged([listed.clone()])));
    let both = ending.judged([listed.clone(), other]);
    assert!(why(&both).contains("lost its signatures"));
    // Those who stayed are enough without it.
    assert!(counts(&retired(&[]).judged([go(1, "ABC")])));
    // Kept lists are repeated in each root, or end.
    assert!(counts(&retired(&[&listed]).and(|root| root).judged([listed.clone()])));
    let forgotten = retired(&[&listed]).and(|root| RootDraft { lists: BTreeMap::new(), ..root });
    assert!(!counts(&forgotten.judged([listed])));
}

#[test]
fn r5_a_list_makes_nothing_valid_that_never_met_its_threshold() {
    let half = go(1, "A");
    let judgement = retired(&[&half]).judged([half.clone()]);
    assert!(judgement.standing.lines.is_empty());
    assert!(matches!(judgement.stances[&half.statement.digest()], Stance::Pending(_)));
}

#[test]
fn r5_while_a_kept_list_is_missing_what_it_could_name_is_unknown() {
    let listed = go(1, "AB");
    let mut ending = retired(&[&listed]);
    ending.lists.clear();
    let judgement = ending.judged([listed]);
    assert!(why(&judgement).contains("missing"));
    assert_eq!(policy_line(&judgement).versions[0].loss, Some(Loss::MaybeKept));
    // What needs no list counts all the same.
    assert!(counts(&ending.judged([go(1, "BC")])));
}

#[test]
fn r5_what_a_revoked_key_is_listed_with_falls_and_nothing_else_ever_counted() {
    let (listed, late) = (go(1, "AB"), go(TOP, "AB"));
    let ending = revoked(&[&listed]);
    let judgement = ending.judged([listed.clone()]);
    assert!(why(&judgement).contains("revoked"));
    assert_eq!(policy_line(&judgement).versions[0].loss, Some(Loss::Revoked));
    let alone = ending.judged([late.clone()]);
    assert!(alone.standing.lines.is_empty() && alone.raised.is_empty());
    // Under any root: a later one that names the key again does not bring it back.
    let again = revoked(&[&listed]).and(|root| root.policy("ABCD", 2));
    assert!(again.judged([late, go(3, "AB")]).standing.lines.is_empty());
}

#[test]
fn n1_the_thief_of_a_revoked_key_changes_nothing_by_signing_on() {
    let sound = go(1, "BC");
    let ending = revoked(&[]);
    let thief = [go(TOP, "AB"), stop("h", "A"), sign(&stop("i", "A").statement, "A")];
    let judgement = ending.judged([sound].into_iter().chain(thief));
    assert!(counts(&judgement) && judgement.standing.halts.is_empty());
}

#[test]
fn r5_halts_of_a_retired_key_stand_listed_or_not_and_of_a_revoked_key_if_listed() {
    let stands = |ending: Ending| ending.judged([stop("h", "A")]).standing.halts.len();
    assert_eq!(stands(retired(&[&stop("h", "A")])), 1);
    assert_eq!(stands(retired(&[])), 1);
    assert_eq!(stands(revoked(&[&stop("h", "A")])), 1);
    assert_eq!(stands(revoked(&[])), 0);
    let mut unsure = revoked(&[&stop("other", "A")]);
    unsure.lists.clear();
    assert_eq!(stands(unsure), 1, "the list that is missing may name it");
}

#[test]
fn c4_a_resume_that_a_list_keeps_still_lifts_and_one_that_fell_does_not() {
    let halted = stop("h", "H");
    let chain = fleet(&[("ABC", 2)]);
    let lift = sign(&say(&chain, resume("r", &[halted.statement.digest()])), "AB");
    let halts =
        |ending: &Ending| ending.judged([halted.clone(), lift.clone()]).standing.halts.len();
    assert_eq!(halts(&retired(&[&lift])), 0);
    assert_eq!(halts(&retired(&[])), 1);
    assert_eq!(halts(&revoked(&[&lift])), 1);
    let mut missing = retired(&[&lift]);
    missing.lists.clear();
    assert_eq!(halts(&missing), 1);
}

#[test]
fn r5_a_missing_list_of_a_revoked_key_raises_no_floor_that_outlasts_it() {
    let late = go(TOP, "AB");
    let mut ending = revoked(&[&go(1, "AB")]);
    let lists = std::mem::take(&mut ending.lists);
    let judgement = ending.judged([late.clone(), go(2, "BC")]);
    assert!(why(&judgement).contains("missing"));
    assert_eq!(policy_line(&judgement).versions[0].loss, Some(Loss::MaybeListed));
    let raised = |judgement: &Judgement| {
        judgement
            .raised
            .iter()
            .any(|record| matches!(record, FloorRecord::Version { version, .. } if *version == TOP))
    };
    assert!(!raised(&judgement));
    ending.lists = lists;
    ending.floors = floors_of(judgement.raised);
    assert!(counts(&ending.judged([late, go(2, "BC")])), "the list does not name it");
}

#[test]
fn r5_root_may_keep_single_statements_of_a_revoked_key() {
    let listed = go(1, "AB");
    let keep = listed.statement.digest();
    let lists = list(&[&listed]);
    let ending = Ending::of(second().revoke(key_id('A'), &lists).keep([keep]), lists);
    assert!(counts(&ending.judged([listed])));
}

/// What voids a statement whose ids count again from `counts_from`.
fn void(held: &Held, counts_from: u64) -> Void {
    let void_id = |resource: &daymark_protocol::trust::Resource| VoidId {
        kind: resource.kind.clone(),
        id: resource.id.clone(),
        digest: resource.digest(),
        counts_from,
    };
    let resources = &held.statement.payload().resources;
    Void { statement: held.statement.digest(), ids: resources.iter().map(void_id).collect() }
}

#[test]
fn r6_a_void_statement_counts_for_nothing_and_below_the_named_version_nothing_returns() {
    let (old, frozen) = (go(1, "AB"), go(TOP, "AB"));
    let root = |from| Ending::of(second().void(void(&frozen, from)), vec![]);
    let back = root(1).judged([old.clone(), frozen.clone()]);
    assert!(counts(&back) && policy_line(&back).versions[0].version == 1);
    assert!(
        matches!(&back.stances[&frozen.statement.digest()], Stance::Never(why) if why.contains("root 2"))
    );
    let gone = root(3).judged([old.clone(), frozen.clone()]);
    assert!(why(&gone).contains("counts again from version 3"));
    assert_eq!(policy_line(&gone).versions[0].version, 1, "what it closed stays closed");
    let again = root(3).judged([old, frozen.clone(), go(3, "BC")]);
    assert!(counts(&again) && policy_line(&again).versions.len() == 1);
    assert!(root(3).judged([frozen]).standing.lines.is_empty(), "nothing else is held");
}

#[test]
fn r6_void_is_the_only_thing_that_lowers_a_floor() {
    let (old, frozen) = (go(1, "AB"), go(TOP, "AB"));
    let chain = fleet(&[("ABC", 2)]);
    let both = hold([old.clone(), frozen.clone()]);
    let raised = judge(
        &chain,
        &HeldLists::new(),
        &both,
        &Floors::default(),
        &|_| true,
        &mut Verified::default(),
    )
    .raised;
    let mut ending = revoked(&[]);
    ending.floors = floors_of(raised.clone());
    assert!(why(&ending.judged([old.clone()])).contains("not held"), "revoking lowers none");
    let mut ending = Ending::of(second().void(void(&frozen, 1)), vec![]);
    ending.floors = floors_of(raised);
    let VoidId { kind, id, digest, .. } = void(&frozen, 1).ids.remove(0);
    let lowered = FloorRecord::Lowered { kind, id, digest };
    assert!(ending.floors.apply(lowered.clone()) && !ending.floors.apply(lowered.clone()));
    let judgement = ending.judged([old, frozen]);
    assert!(counts(&judgement));
    assert_eq!(judgement.raised.len(), 1, "the version that counts again is a floor");
    // The journal says so in order.
    let line = lowered.encode();
    assert_eq!(FloorRecord::decode(&line[..line.len() - 1]).unwrap(), lowered);
}

#[test]
fn r6_a_root_lifts_halts_by_name_and_satisfies_what_others_saw() {
    let halted = stop("h", "A");
    let ending = Ending::of(second().void(void(&halted, 1)), vec![]);
    assert!(ending.judged([halted]).standing.halts.is_empty());
    let chain = fleet(&[("ABC", 2)]);
    let closing = sign(&say(&chain, blackout("b", 4)), "AB");
    let ending = Ending::of(second().void(void(&closing, 5)), vec![]);
    let held = ending.judged([]).standing.held;
    assert_eq!(held.get(&("Blackout".to_owned(), id("b"))), Some(&4));
}

fn berlin() -> Scope {
    Scope::Site(id("site-berlin"))
}

/// `D` speaks alone for a role in Berlin for thirty days.
fn delegated(role: Role) -> Ending {
    let speakers = RoleKeys { threshold: 1, keys: ids("D").into_iter().collect() };
    let given = Delegation { role, speakers, scope: berlin(), until: day(30) };
    Ending::of(second().policy("ABC", 2).delegate("berlin", given), vec![])
}

fn in_scope(scope: Scope, resource: ResourceDraft) -> Statement {
    let chain = fleet(&[("ABC", 2)]);
    Draft::new(fleet_id(&chain), scope, day(0)).resource(resource).finish().unwrap()
}

#[test]
fn r7_a_delegation_speaks_in_its_scope_and_nowhere_else() {
    let ending = delegated(Role::Policy);
    let local = sign(&in_scope(berlin(), policy("p", 1, "go")), "D");
    let version = policy_line(&ending.judged([local])).versions.remove(0);
    assert_eq!(version.signer_scope, SignerScope::Only(berlin()));
    assert_eq!(version.signers_until, Some(day(30)));
    for scope in [Scope::Fleet, Scope::Site(id("site-munich")), Scope::Region(id("region-de"))] {
        let elsewhere = sign(&in_scope(scope, policy("p", 1, "go")), "D");
        assert!(ending.judged([elsewhere]).standing.lines.is_empty());
    }
}

#[test]
fn r7_keys_of_a_delegation_are_never_added_to_those_of_the_role() {
    let speakers = RoleKeys { threshold: 2, keys: ids("BD").into_iter().collect() };
    let given = Delegation { role: Role::Policy, speakers, scope: berlin(), until: day(30) };
    let ending = Ending::of(second().policy("ABC", 2).delegate("berlin", given), vec![]);
    let said = |by: &str| sign(&in_scope(berlin(), policy("p", 1, "go")), by);
    assert!(ending.judged([said("AD")]).standing.lines.is_empty());
    assert!(ending.judged([said("D")]).standing.lines.is_empty());
    assert!(counts(&ending.judged([said("BD")])));
    let own = ending.judged([said("ABD")]);
    assert_eq!(policy_line(&own).versions[0].signers_until, None, "the role's own word lasts");
}

#[test]
fn r7_what_defines_scopes_is_not_delegated() {
    let ending = delegated(Role::Policy);
    for kind in ["Region", "Site", "Frob"] {
        let spec = raw(r#"{"name":"x"}"#);
        let resource = ResourceDraft::of_kind(kind, id("x"), 1, Some(spec));
        let said = sign(&in_scope(berlin(), resource), "D");
        assert!(ending.judged([said]).standing.lines.is_empty(), "{kind}");
    }
}

#[test]
fn r7_a_delegation_that_is_gone_leaves_what_it_signed_fallen() {
    let local = sign(&in_scope(berlin(), policy("p", 1, "go")), "D");
    let ended = delegated(Role::Policy).and(|root| root.undelegate("berlin"));
    assert!(why(&ended.judged([local])).contains("lost its signatures"));
}

#[test]
fn s4_a_delegation_cannot_make_unknown_what_the_role_said_in_another_scope() {
    let ending = delegated(Role::Policy);
    let wide = go(1, "AB");
    let narrow = sign(&in_scope(berlin(), policy("p", 9, "stop")), "D");
    let judgement = ending.judged([wide, narrow]);
    let line = policy_line(&judgement);
    assert_eq!((line.state, line.versions.len()), (State::Counts, 1));
    let FloorRecord::Version { version, .. } = &judgement.raised[0] else { panic!() };
    assert_eq!((judgement.raised.len(), *version), (1, 1));
}

#[test]
fn n13_a_delegate_halts_in_its_scope_and_lifts_no_halt_of_the_fleet() {
    let ending = delegated(Role::Policy);
    let (wide, local) = (stop("h", "H"), sign(&in_scope(berlin(), halt("i", 1)), "D"));
    assert_eq!(ending.judged([local.clone()]).standing.halts.len(), 1);
    let names = [wide.statement.digest(), local.statement.digest()];
    let lift = sign(&in_scope(berlin(), resume("r", &names)), "D");
    let standing = ending.judged([wide.clone(), local.clone(), lift]).standing;
    let lifted: BTreeMap<Digest, _> =
        standing.halts.iter().map(|halt| (halt.version.statement, halt.lifted_until)).collect();
    assert_eq!(lifted[&wide.statement.digest()], None);
    assert_eq!(lifted[&local.statement.digest()], Some(day(30)), "until the delegation is over");
    let halter = delegated(Role::Halt);
    assert_eq!(halter.judged([local]).standing.halts.len(), 1);
    assert_eq!(halter.judged([stop("h", "D")]).standing.halts.len(), 0);
}

fn host_in(letter: char, version: u64, site: &str) -> ResourceDraft {
    host(letter, version, site)
}

fn labelled(letter: char, version: u64, site: &str) -> ResourceDraft {
    let public = key(letter).public();
    let spec = format!(r#"{{"name":"x","publicKey":"{public}","labels":{{"line":"3"}}}}"#);
    ResourceDraft::of_kind("Host", key_id(letter).into(), version, Some(raw(&spec)))
        .site(Some(id(site)))
}

fn host_line(judgement: &Judgement, letter: char) -> Option<Line> {
    judgement.standing.lines.get(&(Kind::Host, key_id(letter).into())).cloned()
}

#[test]
fn r7_an_enroll_delegate_neither_takes_hosts_from_other_sites_nor_changes_labels() {
    let ending = delegated(Role::Enroll);
    let by_delegate = |draft: ResourceDraft| sign(&in_scope(berlin(), draft), "D");
    let own = by_delegate(host_in('K', 1, "site-berlin"));
    assert_eq!(host_line(&ending.judged([own]), 'K').unwrap().state, State::Counts);
    let foreign =
        sign(&in_scope(Scope::Site(id("site-munich")), host_in('K', 1, "site-munich")), "E");
    let stolen = by_delegate(host_in('K', 2, "site-berlin"));
    let line = host_line(&ending.judged([foreign, stolen]), 'K').unwrap();
    assert_eq!((line.versions.len(), line.versions[0].version), (1, 1));
    assert!(
        host_line(&ending.judged([by_delegate(labelled('K', 1, "site-berlin"))]), 'K')
            .is_none_or(|line| line.versions.is_empty())
    );
    let by_role = sign(&in_scope(berlin(), labelled('K', 1, "site-berlin")), "E");
    let bare = by_delegate(host_in('K', 2, "site-berlin"));
    let line = host_line(&ending.judged([by_role.clone(), bare]), 'K').unwrap();
    assert_eq!(line.versions[0].version, 1, "dropping labels changes them");
    let same = by_delegate(labelled('K', 2, "site-berlin"));
    let line = host_line(&ending.judged([by_role, same]), 'K').unwrap();
    assert_eq!((line.state, line.versions[0].version), (State::Counts, 2));
    let moving = by_delegate(host_in('K', 3, "site-berlin").moved_from(Some(id("site-munich"))));
    assert!(host_line(&ending.judged([moving]), 'K').is_none());
}

/// A token of `T` for Berlin, signed by `enroll`.
fn token(uses: u32) -> Held {
    let spec = format!(
        r#"{{"name":"t","publicKey":"{}","site":"site-berlin","uses":{uses}}}"#,
        key('T').public()
    );
    let resource = ResourceDraft::of_kind("Token", id("token-1"), 1, Some(raw(&spec)));
    let chain = fleet(&[("ABC", 2)]);
    sign(&draft(&chain).until(day(60)).resource(resource).finish().unwrap(), "E")
}

fn joins(letter: char, by: &str) -> Held {
    sign(&in_scope(berlin(), host_in(letter, 1, "site-berlin")), by)
}

fn plain() -> Ending {
    Ending::of(second(), vec![])
}

#[test]
fn s9_a_token_lets_in_version_1_with_the_machines_own_signature() {
    let ending = plain();
    let line = host_line(&ending.judged([token(2), joins('K', "TK")]), 'K').unwrap();
    let version = &line.versions[0];
    assert_eq!((line.state, version.token.clone()), (State::Counts, Some(id("token-1"))));
    assert_eq!(version.signers_until, Some(day(60)), "the token's date");
    for (token_held, by) in [(true, "T"), (true, "K"), (false, "TK")] {
        let held = token_held.then(|| token(2)).into_iter().chain([joins('K', by)]);
        assert!(host_line(&ending.judged(held), 'K').is_none(), "{token_held} {by}");
    }
    let second = sign(&in_scope(berlin(), host_in('K', 2, "site-berlin")), "TK");
    assert!(host_line(&ending.judged([token(2), second]), 'K').is_none());
}

#[test]
fn s9_site_and_labels_are_the_tokens() {
    let ending = plain();
    let elsewhere = in_scope(Scope::Site(id("site-munich")), host_in('K', 1, "site-munich"));
    let other_labels = in_scope(berlin(), labelled('K', 1, "site-berlin"));
    for statement in [elsewhere, other_labels] {
        assert!(host_line(&ending.judged([token(2), sign(&statement, "TK")]), 'K').is_none());
    }
}

#[test]
fn s9_any_version_by_enroll_outranks_what_a_token_let_in() {
    let ending = plain();
    let countersigned = ending.judged([token(2), joins('K', "TKE")]);
    assert_eq!(host_line(&countersigned, 'K').unwrap().versions[0].token, None);
    let other = sign(&in_scope(berlin(), labelled('K', 1, "site-berlin")), "E");
    let judgement = ending.judged([token(2), joins('K', "TK"), other]);
    let line = host_line(&judgement, 'K').unwrap();
    assert_eq!((line.state, line.versions.len()), (State::Counts, 1));
    assert_eq!(line.versions[0].token, None);
    let alone = ending.judged([token(2), joins('K', "TK")]);
    let hosts = alone
        .raised
        .iter()
        .filter(|record| matches!(record, FloorRecord::Version { kind, .. } if kind == "Host"));
    assert_eq!(hosts.count(), 0, "or its own version 1 would contradict a floor");
}

#[test]
fn s9_more_than_the_number_are_all_provisional_and_counted() {
    let ending = plain();
    let hosts = ['K', 'X', 'Y'].map(|letter| joins(letter, &format!("T{letter}")));
    let judgement = ending.judged([token(2)].into_iter().chain(hosts));
    let tokens = judgement.standing.tokens();
    let (uses, hosts) = &tokens[&id("token-1")];
    assert_eq!((*uses, hosts.len()), (2, 3));
    let countersigned = joins('Y', "TYE");
    let judgement = ending.judged([token(2), joins('K', "TK"), countersigned]);
    assert_eq!(judgement.standing.tokens()[&id("token-1")].1.len(), 1);
}

#[test]
fn s9_a_token_that_fell_or_ended_leaves_its_hosts_enrolled_once() {
    let chain = fleet(&[("ABC", 2)]);
    let gone = sign(&say(&chain, ResourceDraft::tombstone(Kind::Token, id("token-1"), 2)), "E");
    let line = host_line(&plain().judged([token(2), joins('K', "TK"), gone]), 'K').unwrap();
    assert_eq!(line.versions[0].validity, Validity::Fallen);
    let rotated = second().key(key('F').public(), "f").role(Role::Enroll, 1, ids("F"));
    let line = host_line(&Ending::of(rotated, vec![]).judged([token(2), joins('K', "TK")]), 'K');
    assert_eq!(line.unwrap().versions[0].validity, Validity::Fallen);
    let revoked = second()
        .key(key('F').public(), "f")
        .role(Role::Enroll, 1, ids("EF"))
        .revoke(key_id('E'), &[]);
    let none = Ending::of(revoked, vec![]).judged([token(2), joins('K', "TK")]);
    assert!(host_line(&none, 'K').is_none(), "what no list names never let anyone in");
}

#[test]
fn s4_a_machine_in_anothers_place_ends_it_in_the_same_statement() {
    let ending = plain();
    let replaced = Replaced { host: key_id('K'), version: 2, site: Some(id("site-munich")) };
    let new = host_in('N', 1, "site-berlin").replaces(replaced);
    let statement = sign(&in_scope(berlin(), new), "E");
    let old = sign(&in_scope(Scope::Site(id("site-munich")), host_in('K', 1, "site-munich")), "E");
    let judgement = ending.judged([old.clone(), statement.clone()]);
    let line = host_line(&judgement, 'K').unwrap();
    assert!(line.versions[0].gone && line.state == State::Counts);
    assert_eq!(line.versions[0].version, 2);
    let new = host_line(&judgement, 'N').unwrap();
    assert_eq!((new.state, new.versions[0].replaces), (State::Counts, Some(key_id('K'))));
    let documents = daymark_protocol::document::documents_of(&statement.statement);
    let names: BTreeSet<String> = documents.iter().map(ToString::to_string).collect();
    assert_eq!(
        names.into_iter().collect::<Vec<_>>(),
        ["fleet", "site/site-berlin", "site/site-munich"]
    );
    // Both ends are floors: the old key stays dead when the statement is lost.
    let mut after = plain();
    after.floors = floors_of(judgement.raised);
    let lost = host_line(&after.judged([old]), 'K').unwrap();
    assert!(lost.versions[0].gone && lost.state != State::Counts);
}

#[test]
fn s4_only_a_host_replaces_and_only_another() {
    let itself = host_in('K', 2, "site-berlin").replaces(Replaced {
        host: key_id('K'),
        version: 1,
        site: None,
    });
    let policy =
        policy("p", 1, "go").replaces(Replaced { host: key_id('K'), version: 1, site: None });
    for resource in [itself, policy] {
        let statement = in_scope(berlin(), resource);
        assert!(statement.payload().resources[0].spec().is_err());
    }
}

#[test]
fn r2_the_newest_root_alone_is_not_enough_to_tell_what_is_listed() {
    let listed = go(1, "AB");
    let ending = retired(&[&listed]);
    let newest = ending.chain.newest_pin().unwrap();
    let early = RootChain::new(newest);
    let held = hold([listed]);
    let judgement = judge(
        &early,
        &ending.lists,
        &held,
        &Floors::default(),
        &|_| true,
        &mut Verified::default(),
    );
    assert!(judgement.standing.wait.is_some() && judgement.standing.lines.is_empty());
}
