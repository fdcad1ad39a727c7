use daymark_protocol::id::FleetId;
use daymark_protocol::limits;
use daymark_protocol::resource::{Kind, Role, Scope};
use daymark_protocol::trust::{
    Context, MixedRoles, RefusedStatement, ResourceDraft, RootChain, Seen, Stance, Statement,
    named_id, pae,
};
use proptest::prelude::*;
use sha2::{Digest as _, Sha256};

use crate::support::{
    blackout, day, draft, everyone, fleet, fresh, halt, host, id, policy, raw, say, sign,
};

fn text_of(statement: &Statement) -> String {
    String::from_utf8(statement.bytes().to_vec()).unwrap()
}

fn base(chain: &RootChain) -> String {
    text_of(&say(chain, policy("p", 1, "go")))
}

/// The base statement with one piece of its JSON replaced.
fn changed(from: &str, to: &str) -> Result<Statement, RefusedStatement> {
    let text = base(&fleet(&[("A", 1)]));
    assert!(text.contains(from), "{from} in {text}");
    Statement::parse(text.replacen(from, to, 1).as_bytes())
}

#[test]
fn q5_the_digest_is_that_of_the_signed_bytes() {
    let statement = say(&fleet(&[("A", 1)]), policy("p", 1, "go"));
    let expected: [u8; 32] = Sha256::digest(pae(Context::Statement, statement.bytes())).into();
    assert_eq!(statement.digest().0, expected);
}

#[test]
fn s1_bytes_are_kept_as_received() {
    let spaced = changed(r#""resources":"#, r#" "resources" : "#).unwrap();
    assert!(text_of(&spaced).contains(r#" "resources" : "#));
}

#[test]
fn rt_s6_duplicate_keys_are_refused_at_every_level() {
    for (from, to) in [
        (r#""scope":"#, r#""scope":"fleet","scope":"#),
        (r#""kind":"#, r#""kind":"Host","kind":"#),
        (r#""name":"#, r#""name":"a","name":"#),
        (r#""name":"#, r#""newer":{"x":1,"x":2},"name":"#),
        (r#""all":"#, r#""all":false,"all":"#),
    ] {
        assert!(matches!(changed(from, to), Err(RefusedStatement::NotReadable(_))), "{to}");
    }
}

#[test]
fn s1_size_and_depth_are_bounded() {
    let long = format!(r#""reason":"{}","scope":"#, "x".repeat(32 * 1024));
    assert!(matches!(changed(r#""scope":"#, &long), Err(RefusedStatement::TooLong(_))));
    let nested = |depth: usize| {
        let value = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        changed(r#""scope":"#, &format!(r#""newer":{value},"scope":"#))
    };
    assert!(nested(limits::JSON_DEPTH_MAX - 1).is_ok());
    assert!(matches!(nested(limits::JSON_DEPTH_MAX), Err(RefusedStatement::NotReadable(_))));
    assert!(matches!(nested(9000), Err(RefusedStatement::NotReadable(_))));
}

#[test]
fn s3_what_places_a_statement_must_have_its_form() {
    for (from, to) in [
        (r#""scope":"fleet""#, r#""scope":"galaxy""#),
        (r#""id":"p""#, r#""id":"P p""#),
        (r#""issued":"#, r#""issued":"yesterday","was":"#),
        (r#""version":1"#, r#""version":0"#),
        (r#""version":1"#, r#""version":9223372036854775808"#),
        (r#""version":1"#, r#""version":-1"#),
        (r#""version":1"#, r#""version":1.5"#),
        (r#""kind":"OsUpdatePolicy""#, r#""kind":"""#),
        (r#""kind":"OsUpdatePolicy""#, r#""kind":"Os Update""#),
        (r#""version":1"#, r#""version":1,"gone":true"#),
        (r#""spec":"#, r#""cepts":"#),
    ] {
        assert!(changed(from, to).is_err(), "{to}");
    }
    assert!(changed(r#""version":1"#, r#""version":9223372036854775807"#).is_ok());
    let chain = fleet(&[("A", 1)]);
    assert!(matches!(draft(&chain).finish(), Err(RefusedStatement::Resources(0))));
}

#[test]
fn rt_n6_what_a_newer_agent_may_say_is_accepted_and_unread() {
    for (from, to) in [
        (r#""kind":"OsUpdatePolicy""#, r#""kind":"Frobnication""#),
        (r#""schema":1"#, r#""schema":2"#),
        (r#""name":"#, r#""newer":1,"name":"#),
        (r#""version":1"#, r#""version":1,"critical":true"#),
        (r#""all":true"#, r#""all":true,"phase":"moon""#),
        (r#""updatePolicy":"LATEST""#, r#""updatePolicy":"OLDEST""#),
        (r#""scope":"#, r#""notBefore":"2030-01-01T00:00:00Z","scope":"#),
        (r#""version":1"#, r#""version":1,"site":"site-a""#),
    ] {
        let statement = changed(from, to).unwrap();
        assert!(statement.payload().resources[0].spec().is_err(), "{to}");
    }
}

#[test]
fn s3_a_value_beyond_its_limit_is_accepted_and_unread() {
    let long = changed(r#""name":"go""#, &format!(r#""name":"{}""#, "x".repeat(51))).unwrap();
    assert!(long.payload().resources[0].spec().is_err());
}

#[test]
fn i6_an_unreadable_target_reaches_everyone() {
    let narrowed = changed(r#"{"all":true}"#, r#"{"site":"site-a","phase":"moon"}"#).unwrap();
    assert_eq!(narrowed.payload().resources[0].target, Some(everyone()));
}

#[test]
fn s5_sees_lists_at_most_256() {
    let chain = fleet(&[("A", 1)]);
    let seeing = |count: usize| {
        let seen = |n| Seen(Scope::Fleet, "Hold".into(), id(&format!("h{n}")), 1);
        draft(&chain).sees((0..count).map(seen)).resource(policy("p", 1, "go")).finish()
    };
    assert_eq!(seeing(256).unwrap().payload().sees.len(), 256);
    assert!(matches!(seeing(257), Err(RefusedStatement::Sees(257))));
}

#[test]
fn s2_no_resource_stands_twice() {
    let chain = fleet(&[("A", 1)]);
    let twice = draft(&chain).resource(policy("p", 1, "a")).resource(policy("p", 2, "b"));
    assert!(matches!(twice.finish(), Err(RefusedStatement::Twice { .. })));
    // The same id of another kind is another thing.
    assert!(
        draft(&chain).resource(policy("p", 1, "a")).resource(blackout("p", 1)).finish().is_ok()
    );
}

#[test]
fn rt_n11_one_statement_speaks_under_one_role_and_some_stand_alone() {
    let chain = fleet(&[("A", 1)]);
    let profile = ResourceDraft::of_kind("OsProfile", id("os-1"), 1, Some(raw("{}")));
    let mixed = draft(&chain).resource(policy("p", 1, "a")).resource(profile).finish().unwrap();
    assert_eq!(mixed.role(), Err(MixedRoles::TwoRoles(Role::Policy, Role::Release)));
    let beside = draft(&chain).resource(policy("p", 1, "a")).resource(halt("h", 1));
    let beside = beside.finish().unwrap();
    assert_eq!(beside.role(), Err(MixedRoles::NotAlone(Kind::Halt)));
    // They are accepted, and count for nothing whoever signs.
    let judgement = fresh(&chain, [sign(&mixed, "AL"), sign(&beside, "AH")]);
    assert!(judgement.stances.values().all(|stance| matches!(stance, Stance::Never(_))));
    assert!(judgement.standing.lines.is_empty() && judgement.standing.halts.is_empty());
}

#[test]
fn s2_a_tombstone_needs_no_spec_and_ends_the_line() {
    let chain = fleet(&[("A", 1)]);
    let gone = say(&chain, ResourceDraft::tombstone(Kind::OsUpdatePolicy, id("p"), 2));
    let judgement =
        fresh(&chain, [sign(&say(&chain, policy("p", 1, "go")), "A"), sign(&gone, "A")]);
    let line = crate::support::line(&judgement, Kind::OsUpdatePolicy, "p");
    assert!(line.versions[0].gone && line.versions.len() == 2);
}

#[test]
fn q5_the_resource_digest_is_of_what_is_said_and_not_of_its_statement() {
    let chain = fleet(&[("A", 1)]);
    let digest = |statement: &Statement| statement.payload().resources[0].digest();
    let plain = say(&chain, policy("p", 1, "go"));
    let again = draft(&chain).until(day(90)).reason("again").resource(policy("p", 1, "go"));
    let again = again.finish().unwrap();
    assert_ne!(plain.digest(), again.digest());
    assert_eq!(digest(&plain), digest(&again));
    for (from, to) in [
        (r#""kind":"OsUpdatePolicy""#, r#""kind":"Blackout""#),
        (r#""id":"p""#, r#""id":"q""#),
        (r#""version":1"#, r#""version":2"#),
        (r#""schema":1"#, r#""schema":2"#),
        (r#"{"all":true}"#, r#"{"site":"site-a"}"#),
        (r#""name":"go""#, r#""name":"stop""#),
        (r#""version":1"#, r#""version":1,"closes":true"#),
        (r#""version":1"#, r#""version":1,"critical":true"#),
    ] {
        assert_ne!(digest(&plain), digest(&changed(from, to).unwrap()), "{to}");
    }
    let site = |site| digest(&say(&chain, host('K', 1, site)));
    assert_ne!(site("site-a"), site("site-b"));
}

#[test]
fn s3_a_host_is_its_key_and_lies_in_its_statements_site() {
    let chain = fleet(&[("A", 1)]);
    let spec = |scope: Scope, resource: ResourceDraft| {
        let draft = daymark_protocol::trust::Draft::new(chain.fleet().unwrap(), scope, day(0));
        let statement = draft.resource(resource).finish().unwrap();
        statement.payload().resources[0].spec().map(|_| ()).map_err(ToOwned::to_owned)
    };
    let site = |name: &str| Scope::Site(id(name));
    assert_eq!(spec(site("site-a"), host('K', 1, "site-a")), Ok(()));
    assert_eq!(spec(Scope::Fleet, host('K', 1, "site-a")), Ok(()));
    assert_eq!(spec(site("none"), host('K', 1, "none").site(None)), Ok(()));
    assert!(spec(site("site-b"), host('K', 1, "site-a")).is_err());
    let stranger = format!(r#"{{"name":"x","publicKey":"{}"}}"#, crate::support::key('L').public());
    let stolen_id = crate::support::key_id('K').into();
    let stranger = ResourceDraft::of_kind("Host", stolen_id, 1, Some(raw(&stranger)));
    assert!(spec(Scope::Fleet, stranger).unwrap_err().contains("public key"));
}

#[test]
fn s6_an_emergency_names_an_end_within_seven_days_and_why() {
    let chain = fleet(&[("A", 1)]);
    let emergency = || {
        let spec = raw(r#"{"name":"cve"}"#);
        ResourceDraft::of_kind("Emergency", id("e"), 1, Some(spec)).target(everyone())
    };
    let readable = |draft: daymark_protocol::trust::Draft| {
        draft.resource(emergency()).finish().unwrap().payload().resources[0].spec().is_ok()
    };
    let why = || draft(&chain).reason("CVE-2026-1234");
    assert!(readable(why().until(day(7))));
    assert!(!readable(why().until(day(7).plus_ms(1))));
    assert!(!readable(why()));
    assert!(!readable(draft(&chain).until(day(7)).reason(" ")), "it must say why");
}

#[test]
fn q4_two_laptops_derive_the_same_id_and_no_other() {
    let fleet = FleetId([1; 32]);
    let of = |kind, scope: &Scope, name| named_id(kind, &fleet, scope, name);
    let one = of(Kind::Blackout, &Scope::Fleet, "xmas");
    assert_eq!(one, of(Kind::Blackout, &Scope::Fleet, "xmas"));
    assert!(one.as_str().starts_with("blackout-") && one.as_str().len() == 9 + 16);
    assert_ne!(one, of(Kind::Blackout, &Scope::Site(id("site-a")), "xmas"));
    assert_ne!(one, of(Kind::Blackout, &Scope::Fleet, "easter"));
    assert_ne!(one, named_id(Kind::Blackout, &FleetId([2; 32]), &Scope::Fleet, "xmas"));
}

proptest! {
    #[test]
    fn i9_a_statement_with_any_byte_changed_is_read_or_refused_without_panic(
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut bytes = base(&fleet(&[("A", 1)])).into_bytes();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(statement) = Statement::parse(&bytes) {
            prop_assert_eq!(statement.bytes(), bytes.as_slice());
            prop_assert_eq!(statement.digest(), Statement::digest_of(&bytes));
        }
    }

    #[test]
    fn i9_noise_is_no_statement(noise in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(Statement::parse(&noise).is_err());
    }
}
