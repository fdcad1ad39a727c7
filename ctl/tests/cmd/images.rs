//! `release add`: images that fit their profile and images that do not.

use std::io::Write as _;

use data_encoding::HEXLOWER;
use daymark_protocol::time::WallTime;
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest as _, Sha256};

use crate::{Admin, files, text};

fn profile(sha256: &str) -> String {
    format!(
        "appVersion: apps/v1\nspec:\n  name: Edge\n  type: OS_TYPE_IMMUTABLE\n  \
         provider: OS_PROVIDER_KIND_INFRA\n  architecture: x86_64\n  profileName: edge\n  \
         osImageVersion: 1.0.0\n{sha256}"
    )
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
    packer.write_all(content).unwrap();
    packer.finish().unwrap()
}

/// Three megabytes that do not compress to nothing.
fn content() -> Vec<u8> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..3_000_000).map(|_| next()).collect()
}

#[test]
fn an_image_becomes_a_release_and_a_profile_that_can_be_promoted() {
    let admin = Admin::with_fleet();
    let image = admin.file("edge.raw.gz", gzip(&content()));
    let sha256 = HEXLOWER.encode(&Sha256::digest(std::fs::read(&image).unwrap()));
    let yaml = admin.file("p.yaml", profile(&format!("  osImageSha256: {sha256}\n")));
    let to = admin.folder("release");
    let add = ["release", "add", text(&image), "--profile", text(&yaml), "--to", text(&to)];
    admin.run(&[&add[..], &["--yes"]].concat()).ends(0);
    let profiles = admin.run(&["get", "osprofiles", "-o", "name"]).ends(0).out;
    assert_eq!(profiles, "edge@1.0.0\n");
    admin.run(&["promote", "edge", "1.0.0", "--yes"]).ends(0);
    a_target_policy_ends_after_90_days(&admin);
    let again = admin.run(&[&add[..], &["--yes"]].concat()).ends(0).out;
    assert!(again.contains("was there already") && again.contains("Nothing changes"), "{again}");
}

/// RULES S6: an order for one image does not stand for ever, unless it says so.
fn a_target_policy_ends_after_90_days(admin: &Admin) {
    const DAY_MS: i64 = 24 * 3_600_000;
    let policy = "spec: {name: new, updatePolicy: UPDATE_POLICY_TARGET, targetOs: edge@1.0.0}";
    let target = admin.file("target.yaml", policy);
    let apply = ["apply", "-f", text(&target), "--all", "--yes"];
    let signed = |more: &[&str]| {
        admin.run(&[&apply[..], more].concat()).ends(0);
        let told = admin.run(&["describe", "policy", "new", "-o", "json"]).ends(0).json();
        let until = told.pointer("/versions/0/until").or_else(|| told.pointer("/until")).cloned();
        serde_json::from_value::<WallTime>(until.expect("it says until when")).unwrap()
    };
    let before = WallTime::from(jiff::Timestamp::now());
    let until = signed(&[]);
    let after = WallTime::from(jiff::Timestamp::now());
    let days = |at: WallTime, days: i64| at.plus_ms(days * DAY_MS);
    // Times are signed in whole seconds.
    let (earliest, latest) = (days(before, 90).plus_ms(-1_000), days(after, 90));
    assert!(earliest <= until && until <= latest, "{until:?} is not 90 days from {before:?}");
    let soon = signed(&["--until", "7d"]);
    assert!(soon < days(after, 8) && soon > days(before, 6), "{soon:?}");
}

#[test]
fn an_image_that_is_not_the_profiles_or_is_damaged_leaves_nothing() {
    let admin = Admin::with_fleet();
    let packed = gzip(&content());
    let yaml = admin.file("p.yaml", profile(&format!("  osImageSha256: {}\n", "a".repeat(64))));
    let plain = admin.file("plain.yaml", profile(""));
    let to = admin.folder("release");
    let image = admin.file("edge.raw.gz", &packed);
    let cut = admin.file("cut.raw.gz", &packed[..packed.len() / 2]);
    let mut damaged = packed.clone();
    damaged[packed.len() / 2] ^= 0xff;
    let damaged = admin.file("damaged.raw.gz", damaged);
    let empty = admin.file("empty.raw", "");
    let gone = admin.place.path().join("gone.raw");
    for (image, yaml, words) in [
        (&image, &yaml, &["edge.raw.gz", "SHA-256"][..]),
        (&cut, &plain, &["cut.raw.gz", "cut short"]),
        (&damaged, &plain, &["damaged.raw.gz", "damaged"]),
        (&empty, &plain, &["empty.raw", "empty"]),
        (&gone, &plain, &["gone.raw"]),
    ] {
        let add = ["release", "add", text(image), "--profile", text(yaml), "--to", text(&to)];
        admin.refused(&[&add[..], &["--yes"]].concat(), 2, words);
        assert!(files(&to).is_empty(), "{words:?}: {:?}", files(&to).keys());
    }
}

#[test]
fn a_profile_with_a_wrong_field_is_refused_by_name() {
    let admin = Admin::with_fleet();
    let image = admin.file("edge.raw", content());
    let yaml = admin.file("p.yaml", profile("  colour: red\n"));
    let to = admin.folder("release");
    let add = ["release", "add", text(&image), "--profile", text(&yaml), "--to", text(&to)];
    admin.refused(&[&add[..], &["--yes"]].concat(), 2, &["p.yaml", "colour"]);
}

#[test]
fn a_release_folder_holds_its_signed_profile_and_another_machine_applies_it() {
    let admin = Admin::with_fleet();
    let stick = admin.folder("stick");
    let other = admin.second_home(&stick);
    let third = admin.second_home(&stick);
    std::fs::remove_file(other.place.path().join("home/keys/alice.json")).unwrap();
    let image = admin.file("edge.raw", content());
    let yaml = admin.file("p.yaml", profile(""));
    let to = admin.folder("release");
    let add = ["release", "add", text(&image), "--profile", text(&yaml), "--to", text(&to)];
    admin.run(&[&add[..], &["--dry-run"]].concat()).ends(0);
    assert!(!to.join("profiles").exists());
    admin.run(&[&add[..], &["--yes"]].concat()).ends(0);
    let signed = to.join("profiles/edge@1.0.0.json");
    let apply = ["apply", "-f", text(&signed)];
    let said = other.run(&apply).ends(0).out;
    assert!(said.contains("+ OsProfile edge@1.0.0 (version 1)"), "{said}");
    assert_eq!(other.run(&["get", "osprofiles", "-o", "name"]).ends(0).out, "edge@1.0.0\n");
    let stranger = Admin::with_fleet();
    stranger.refused(&apply, 4, &["edge@1.0.0.json", "another fleet", "--context"]);
    // Files are applied together or not at all, and may name what is in each other.
    let policy = |os: &str| {
        let spec = format!("{{name: p, updatePolicy: UPDATE_POLICY_TARGET, targetOs: {os}}}");
        admin.file(
            "policy.yaml",
            format!("kind: OsUpdatePolicy\ntarget: {{all: true}}\nspec: {spec}"),
        )
    };
    let fourth = admin.second_home(&stick);
    let policy_file = policy("edge@9.9.9");
    let both = [&apply[..], &["-f", text(&policy_file), "--yes"]].concat();
    fourth.refused(&both, 2, &["policy.yaml", "edge@9.9.9"]);
    policy("edge@1.0.0");
    fourth.run(&both).ends(0);
    assert_eq!(fourth.run(&["get", "osprofiles", "-o", "name"]).ends(0).out, "edge@1.0.0\n");
    let before = std::fs::read(&signed).unwrap();
    let cut = admin.file("cut.json", &before[..before.len() / 2]);
    other.refused(&["apply", "-f", text(&cut)], 2, &["cut.json", "no signed statement"]);
    // Nobody's signature is believed unchecked.
    let forged = String::from_utf8(before).unwrap().replace("\"sig\":\"", "\"sig\":\"AAAA");
    let mut forged: serde_json::Value = serde_json::from_str(&forged).unwrap();
    let sig = forged["signatures"][0]["sig"].as_str().unwrap()[..84].to_owned() + "AA==";
    forged["signatures"][0]["sig"] = sig.into();
    let forged = admin.file("forged.json", forged.to_string());
    third.run(&["apply", "-f", text(&forged)]);
    assert_eq!(third.run(&["get", "osprofiles", "-o", "name"]).ends(0).out, "");
}
