//! What a policy resolves to (RULES S8, I4) and what is wanted over what runs.

use serde_json::{Value, json};

use super::fleet::*;
use crate::decide::{Gate, PlatformKind, Verdict};
use crate::id::Digest;
use crate::resource::Kind;

const THIRD: &str = "3.0.20240901.0700";

fn reason(fleet: &Fleet) -> String {
    fleet.decide().reason.to_string()
}

fn version_of(fleet: &Fleet) -> Option<String> {
    fleet.decide().target.map(|target| target.version)
}

/// A fleet under a TARGET policy for the image `os-2`.
fn under_target() -> Fleet {
    let mut fleet = Fleet::ready();
    let digest = fleet.digest_of(Kind::OsProfile, "os-2");
    follow(&mut fleet, target_of("microvisor", SECOND, digest));
    fleet
}

fn follow(fleet: &mut Fleet, spec: Value) {
    fleet.put(Kind::OsUpdatePolicy, "policy", json!({ "site": "site-a" }), spec);
}

/// A third version, promoted too.
fn with_third() -> Fleet {
    let mut fleet = Fleet::ready();
    fleet.put(Kind::OsProfile, "os-3", json!(null), profile_spec("microvisor", THIRD));
    let digest = fleet.digest_of(Kind::OsProfile, "os-3");
    fleet.promote("promotion-3", "microvisor", THIRD, digest);
    fleet
}

#[test]
fn s8_a_profile_signed_again_with_other_content_is_not_what_was_named() {
    for mut fleet in [under_target(), Fleet::ready()] {
        assert_eq!(fleet.decide().verdict, Verdict::Activate);
        let mut forged = profile_spec("microvisor", SECOND);
        forged["indexDigest"] = json!(Digest([66; 32]));
        fleet.supersede(Kind::OsProfile, "os-2", json!(null), forged);
        assert_eq!(reason(&fleet), "target-superseded");
    }
}

#[test]
fn s8_a_digest_under_another_name_is_refused() {
    let mut fleet = Fleet::ready();
    let first = fleet.digest_of(Kind::OsProfile, "os-1");
    fleet.promote("promotion-9", "microvisor", "9.9.9", first);
    assert_eq!(reason(&fleet), "target-mismatch");
    follow(&mut fleet, target_of("microvisor", "9.9.9", first));
    assert_eq!(reason(&fleet), "target-mismatch");
}

#[test]
fn s8_an_ended_promotion_promotes_nothing_and_an_unknown_one_waits() {
    let mut fleet = with_third();
    assert_eq!(version_of(&fleet).as_deref(), Some(THIRD));
    fleet.make_unknown(Kind::Promotion, "promotion-3");
    assert_eq!(reason(&fleet), "promotion-unknown", "rather than the next lower one (I6)");
    fleet.forget(Kind::Promotion, "promotion-3");
    assert_eq!(version_of(&fleet).as_deref(), Some(SECOND));
    fleet.newest(Kind::Promotion, "promotion-2").until = Some(at(NOW));
    let decision = fleet.decide();
    assert_eq!((decision.verdict, &*decision.reason), (Verdict::Nothing, "nothing-promoted"));
}

#[test]
fn latest_keeps_to_its_range_and_avoids() {
    let mut fleet = with_third();
    follow(&mut fleet, with(latest(), "versions", json!(SECOND)));
    assert_eq!(version_of(&fleet).as_deref(), Some(SECOND));
    follow(&mut fleet, with(latest(), "versions", json!("~3.0.20240821")));
    assert_eq!(version_of(&fleet).as_deref(), Some(THIRD));
    let third = fleet.digest_of(Kind::OsProfile, "os-3");
    follow(&mut fleet, with(latest(), "avoid", json!([third])));
    assert_eq!(version_of(&fleet).as_deref(), Some(SECOND));
}

#[test]
fn two_images_of_one_version_are_a_conflict_for_latest() {
    let mut fleet = with_third();
    let mut other = profile_spec("microvisor", THIRD);
    other["indexDigest"] = json!(Digest([66; 32]));
    fleet.put(Kind::OsProfile, "os-4", json!(null), other);
    let digest = fleet.digest_of(Kind::OsProfile, "os-4");
    assert_eq!(version_of(&fleet).as_deref(), Some(THIRD), "only one of them is promoted");
    fleet.promote("promotion-4", "microvisor", THIRD, digest);
    assert_eq!(reason(&fleet), "version-conflict");
    // TARGET says which.
    follow(&mut fleet, target_of("microvisor", THIRD, digest));
    assert_eq!(fleet.decide().target.unwrap().index_digest, Some(Digest([66; 32])));
}

#[test]
fn automatic_promotion_needs_bounds_and_soaks() {
    let automatic = with(latest(), "promotion", json!("automatic"));
    let mut fleet = with_third();
    fleet.standing.lines.retain(|(kind, _), _| *kind != Kind::Promotion);
    follow(&mut fleet, automatic.clone());
    assert_eq!(reason(&fleet), "automatic-unbounded");
    let bounded = with(with(automatic, "versions", json!("~3.0.0")), "soakSeconds", json!(86_400));
    follow(&mut fleet, bounded);
    assert_eq!(version_of(&fleet).as_deref(), Some(THIRD));
    fleet.newest(Kind::OsProfile, "os-3").issued = at("2026-06-15T02:31:00Z");
    let decision = fleet.decide();
    assert_eq!(decision.target.unwrap().version, SECOND);
    assert_eq!(decision.next_look, Some(at("2026-06-16T02:31:00Z")), "when the third has soaked");
}

#[test]
fn target_goes_back_only_where_that_is_said() {
    let mut fleet = Fleet::ready();
    let first = fleet.digest_of(Kind::OsProfile, "os-1");
    fleet.machine.installed.as_mut().unwrap().version = Some(SECOND.into());
    fleet.machine.installed.as_mut().unwrap().index_digest = Some(index_of(SECOND));
    fleet.machine.staged.as_mut().unwrap().index_digest = index_of("3.0.20240720.2000");
    let back = target_of("microvisor", "3.0.20240720.2000", first);
    follow(&mut fleet, back.clone());
    let decision = fleet.decide();
    assert_eq!((decision.verdict, &*decision.reason), (Verdict::Nothing, "target-older"));
    follow(&mut fleet, with(back, "allowDowngrade", json!(true)));
    let decision = fleet.decide();
    assert_eq!(decision.verdict, Verdict::Activate);
    assert_eq!(word(&decision, Gate::Newer), "downgrade-permitted");
}

#[test]
fn i4_nobody_goes_below_the_signed_minimum() {
    let mut fleet = Fleet::ready();
    let first = fleet.digest_of(Kind::OsProfile, "os-1");
    fleet.machine.installed.as_mut().unwrap().version = Some(SECOND.into());
    fleet.machine.installed.as_mut().unwrap().index_digest = Some(index_of(SECOND));
    let back = target_of("microvisor", "3.0.20240720.2000", first);
    follow(&mut fleet, with(with(back, "allowDowngrade", json!(true)), "fromAny", json!(true)));
    let raised = with(profile_spec("microvisor", SECOND), "minimumVersion", json!("3.0.20240800"));
    fleet.put(Kind::OsProfile, "os-2", json!(null), raised);
    assert_eq!(reason(&fleet), "below-minimum");
    fleet.make_unknown(Kind::OsProfile, "os-2");
    assert_eq!(reason(&fleet), "below-minimum", "an unknown profile keeps its floor");
    fleet.line(Kind::OsProfile, "os-2").state = crate::trust::State::Counts;
    fleet.supersede(Kind::OsProfile, "os-2", json!(null), json!(null));
    assert_eq!(reason(&fleet), "below-minimum", "so does a removed one");
}

#[test]
fn another_profile_needs_from_any() {
    let mut fleet = Fleet::ready();
    fleet.put(Kind::OsProfile, "os-9", json!(null), profile_spec("realtime", SECOND));
    let digest = fleet.digest_of(Kind::OsProfile, "os-9");
    follow(&mut fleet, target_of("realtime", SECOND, digest));
    assert_eq!(reason(&fleet), "profile-mismatch");
    follow(&mut fleet, with(target_of("realtime", SECOND, digest), "fromAny", json!(true)));
    let decision = fleet.decide();
    assert_eq!(word(&decision, Gate::Newer), "from-any");
    assert_eq!(decision.verdict, Verdict::Activate);
}

#[test]
fn if_nobody_knows_what_runs_target_with_from_any_goes_and_latest_waits() {
    let mut fleet = Fleet::ready();
    fleet.machine.installed = None;
    let decision = fleet.decide();
    assert_eq!((decision.verdict, &*decision.reason), (Verdict::Wait, "installed-unknown"));
    assert!(decision.message.contains("nobody knows what is installed"));
    let digest = fleet.digest_of(Kind::OsProfile, "os-2");
    follow(&mut fleet, target_of("microvisor", SECOND, digest));
    assert_eq!(reason(&fleet), "installed-unknown");
    follow(&mut fleet, with(target_of("microvisor", SECOND, digest), "fromAny", json!(true)));
    assert_eq!(fleet.decide().verdict, Verdict::Activate);
}

#[test]
fn reported_beats_claimed() {
    let host = HOST.to_string();
    let claim = |image: &str| {
        json!({
            "name": "press-1", "publicKey": "",
            "baseline": { "profile": "microvisor", "version": image },
        })
    };
    let mut fleet = Fleet::ready();
    fleet.put(Kind::Host, &host, json!(null), claim(SECOND)).site = Some(id("site-a"));
    assert_eq!(fleet.decide().verdict, Verdict::Activate, "the machine reports the first");
    fleet.machine.installed = None;
    assert_eq!(reason(&fleet), "already-there");
    fleet.put(Kind::Host, &host, json!(null), claim("3.0.20240720.2000")).site = Some(id("site-a"));
    assert_eq!(fleet.decide().verdict, Verdict::Activate);
}

#[test]
fn the_same_version_published_anew_is_installed_once() {
    let mut fleet = Fleet::ready();
    let installed = fleet.machine.installed.as_mut().unwrap();
    installed.version = Some(SECOND.into());
    installed.index_digest = Some(Digest([66; 32]));
    let decision = fleet.decide();
    assert_eq!(word(&decision, Gate::Newer), "republished");
    assert_eq!(decision.verdict, Verdict::Activate);
    // Where no digest of what runs is known, the version decides.
    fleet.machine.installed.as_mut().unwrap().index_digest = None;
    assert_eq!(reason(&fleet), "already-there");
}

/// I12: nothing is begun of which nobody could tell afterwards whether it succeeded.
#[test]
fn i12_a_program_that_cannot_tell_the_image_from_what_runs_does_not_get_it() {
    let mut fleet = Fleet::ready();
    fleet.machine.platform = PlatformKind::Command;
    let mut spec = profile_spec("realtime", SECOND);
    spec["osImageSha256"] = json!(Digest([7; 32]));
    fleet.put(Kind::OsProfile, "os-9", json!(null), spec);
    let digest = fleet.digest_of(Kind::OsProfile, "os-9");
    follow(&mut fleet, with(target_of("realtime", SECOND, digest), "fromAny", json!(true)));
    let mut word_for = |profile: Option<&str>, version: &str, sha256: Option<Digest>| {
        let installed = fleet.machine.installed.as_mut().unwrap();
        installed.profile = profile.map(str::to_owned);
        installed.version = Some(version.to_owned());
        installed.index_digest = None;
        installed.image_sha256 = sha256;
        word(&fleet.decide(), Gate::Newer)
    };
    assert_eq!(word_for(None, SECOND, None), "installed-unknown");
    assert_eq!(word_for(Some("microvisor"), SECOND, None), "from-any");
    assert_eq!(word_for(None, "3.0.20240720.2000", None), "from-any");
    assert_eq!(word_for(None, SECOND, Some(Digest([8; 32]))), "from-any");
    fleet.machine.installed.as_mut().unwrap().image_sha256 = None;
    fleet.machine.platform = PlatformKind::Slots;
    assert_eq!(word(&fleet.decide(), Gate::Newer), "from-any", "slots are told apart by name");
}

#[test]
fn a_target_that_cannot_be_told_waits() {
    let mut fleet = Fleet::ready();
    let digest = fleet.digest_of(Kind::OsProfile, "os-2");
    let kernel =
        with(target_of("microvisor", SECOND, digest), "updateKernelCommand", json!("quiet"));
    follow(&mut fleet, kernel);
    assert_eq!(reason(&fleet), "ambiguous-policy");
    follow(&mut fleet, with(target_of("microvisor", SECOND, digest), "avoid", json!([digest])));
    assert_eq!(reason(&fleet), "avoided");
    follow(&mut fleet, target_of("microvisor", SECOND, digest));
    fleet.newest(Kind::OsProfile, "os-2").until = Some(at(NOW));
    assert_eq!(reason(&fleet), "target-ended");
    fleet.supersede(Kind::OsProfile, "os-2", json!(null), json!(null));
    assert_eq!(reason(&fleet), "target-missing");
}

#[test]
fn i4_i6_while_a_profile_cannot_be_read_its_minimum_stops_going_back_and_over_and_nothing_else() {
    let mut fleet = Fleet::ready();
    fleet.put(Kind::OsProfile, "os-9", json!(null), profile_spec("microvisor", "9.0.0"));
    fleet.supersede(Kind::OsProfile, "os-9", json!(null), profile_spec("microvisor", "9.0.0"));
    let unread = |fleet: &mut Fleet| {
        fleet.newest(Kind::OsProfile, "os-9").spec = Err("a field is not known".into());
    };
    unread(&mut fleet);
    assert_eq!(fleet.decide().verdict, Verdict::Activate, "the upgrade of the agent itself");
    let first = fleet.digest_of(Kind::OsProfile, "os-1");
    fleet.machine.installed.as_mut().unwrap().version = Some(SECOND.into());
    fleet.machine.installed.as_mut().unwrap().index_digest = Some(index_of(SECOND));
    let back = target_of("microvisor", "3.0.20240720.2000", first);
    follow(&mut fleet, with(back, "allowDowngrade", json!(true)));
    assert_eq!(reason(&fleet), "minimum-unknown");
    fleet.put(Kind::OsProfile, "os-8", json!(null), profile_spec("realtime", "4.0.0"));
    let digest = fleet.digest_of(Kind::OsProfile, "os-8");
    follow(&mut fleet, with(target_of("realtime", "4.0.0", digest), "fromAny", json!(true)));
    assert_eq!(reason(&fleet), "minimum-unknown");
    // One that counted and was lost while an older one is held says no more.
    fleet.put(Kind::OsProfile, "os-9", json!(null), profile_spec("microvisor", "9.0.0"));
    fleet.make_unknown(Kind::OsProfile, "os-9");
    assert_eq!(reason(&fleet), "minimum-unknown");
    fleet.line(Kind::OsProfile, "os-9").state = crate::trust::State::Counts;
    assert_eq!(word(&fleet.decide(), Gate::Newer), "from-any");
    unread(&mut fleet);
    fleet.newest(Kind::OsProfile, "os-9").scope = crate::resource::Scope::Site(id("site-b"));
    assert_eq!(word(&fleet.decide(), Gate::Newer), "from-any", "it is not for this host");
}
