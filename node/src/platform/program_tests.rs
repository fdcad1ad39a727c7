use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::*;
use crate::slots::testing::{TestImage, noise};

fn program(folder: &Path, body: &str) -> Program {
    let path = folder.join("program");
    std::fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    Program::new(path, Duration::from_secs(60))
}

fn image(version: &str, bytes: usize) -> TestImage {
    TestImage::new(version, &[("firmware", noise(version, bytes))])
}

fn target(image: &TestImage) -> ResolvedTarget {
    ResolvedTarget {
        policy: "osupdatepolicy-1".parse().unwrap(),
        policy_version: 1,
        os_profile: "os-1".parse().unwrap(),
        digest: image.identity.profile,
        profile: image.identity.profile_name.clone(),
        version: image.identity.version.clone(),
        index_digest: Some(image.index.digest()),
        image_sha256: None,
        index_bytes: Some(image.index.encode().len() as u64),
        parts: image.identity.parts.clone(),
    }
}

/// A controller in a folder: what is installed, staged and tried are files there.
const CONTROLLER: &str = r#"
cd "$(dirname "$0")" || exit 1
input=$(cat)
field() { printf %s "$input" | sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p"; }
case $1 in
inspect)
    unconfirmed=false; [ -e tried ] && unconfirmed=true
    echo "{\"profile\":\"edge\",\"version\":\"$(cat installed)\",\"bootUnconfirmed\":$unconfirmed}" ;;
stage)
    echo "$(field sha256)  $(field path)" | sha256sum -c --quiet >&2 || exit 1
    cp "$(field path)" staged && field version > staged-version ;;
activate) mv installed before && cp staged-version installed && touch tried ;;
confirm) rm -f tried before ;;
rollback) mv before installed && rm -f tried ;;
*) echo "unknown verb $1" >&2; exit 2 ;;
esac
"#;

#[tokio::test]
async fn an_image_goes_through_the_program_there_and_back() {
    let folder = tempfile::tempdir().unwrap();
    let program = program(folder.path(), CONTROLLER);
    std::fs::write(folder.path().join("installed"), "1.0.0").unwrap();
    let area = Slots::staging_area(&folder.path().join("image")).unwrap();
    let image = image("1.1.0", 400_000);
    image.install(&area, STAGING_AREA);
    let order = Order::new(7, &target(&image), &area).unwrap();

    program.order("stage", &order).await.unwrap();
    assert!(std::fs::read(folder.path().join("staged")).unwrap() == image.parts["firmware"]);
    program.order("activate", &order).await.unwrap();
    let tried = program.inspect().await.unwrap();
    assert_eq!((tried.version.as_deref(), tried.boot_unconfirmed), (Some("1.1.0"), true));
    program.tell("rollback").await.unwrap();
    let back = program.inspect().await.unwrap();
    assert_eq!((back.version.as_deref(), back.boot_unconfirmed), (Some("1.0.0"), false));
    program.order("activate", &order).await.unwrap();
    program.tell("confirm").await.unwrap();
    let installed = program.inspect().await.unwrap().installed().unwrap();
    assert_eq!(installed.version.as_deref(), Some("1.1.0"));
    assert_eq!(installed.source, InstalledSource::Program);
}

#[test]
fn i1_nothing_is_ordered_that_was_not_fetched_whole_and_verified() {
    let folder = tempfile::tempdir().unwrap();
    let area = Slots::staging_area(folder.path()).unwrap();
    let (old, new) = (image("1.0.0", 300_000), image("1.1.0", 200_000));
    let refused = Order::new(1, &target(&old), &area).unwrap_err();
    assert!(refused.contains("edge@1.0.0 is not fetched and verified"), "{refused}");
    old.install(&area, STAGING_AREA);
    let order = Order::new(1, &target(&old), &area).unwrap();
    std::fs::remove_file(&order.parts["firmware"].path).unwrap();
    let lost = Order::new(1, &target(&old), &area).unwrap_err();
    assert!(lost.contains("part firmware") && lost.contains("is gone"), "{lost}");
    let mut writer = new.begin(&area, STAGING_AREA);
    writer.put(&new.chunk(0)).unwrap();
    for image in [&old, &new] {
        Order::new(2, &target(image), &area).unwrap_err();
    }
    let none = ResolvedTarget { index_digest: None, ..target(&new) };
    assert_eq!(Order::new(3, &none, &area).unwrap().parts.len(), 0);
}

#[test]
fn a_staging_area_resumes_and_holds_files_of_the_exact_length_of_any_parts() {
    let folder = tempfile::tempdir().unwrap();
    let old = TestImage::new("1.0.0", &[("a", noise("a", 500_000)), ("b", noise("b", 9_000))]);
    old.install(&Slots::staging_area(folder.path()).unwrap(), STAGING_AREA);
    let new = image("1.1.0", 300_000);
    {
        let area = Slots::staging_area(folder.path()).unwrap();
        let mut writer = new.begin(&area, STAGING_AREA);
        writer.put(&new.chunk(0)).unwrap();
        writer.sync().unwrap();
    }
    let area = Slots::staging_area(folder.path()).unwrap();
    assert_eq!(new.begin(&area, STAGING_AREA).image().held().count(), 1);
    new.install(&area, STAGING_AREA);
    let order = Order::new(1, &target(&new), &area).unwrap();
    let path = &order.parts["firmware"].path;
    assert!(std::fs::read(path).unwrap() == new.parts["firmware"]);
    assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);

    let shorter = TestImage::new("1.2.0", &[("firmware", noise("1.1.0", 100_000))]);
    shorter.install(&area, STAGING_AREA);
    assert!(std::fs::read(path).unwrap() == shorter.parts["firmware"]);
}

#[tokio::test]
async fn i6_silence_garbage_failure_and_hanging_are_told_apart_and_only_silence_is_success() {
    let folder = tempfile::tempdir().unwrap();
    program(folder.path(), "cat >/dev/null").tell("confirm").await.unwrap();
    let garbage = program(folder.path(), "echo yes").tell("confirm").await.unwrap_err();
    assert!(garbage.contains("no JSON answer"), "{garbage}");
    let wrong = program(folder.path(), "echo '{\"version\":7}'").inspect().await.unwrap_err();
    assert!(wrong.contains("no JSON answer"), "{wrong}");
    let failed = program(folder.path(), "echo {}; echo valve open >&2; exit 4");
    let failed = failed.tell("rollback").await.unwrap_err();
    assert!(failed.contains("rollback: valve open"), "{failed}");
    let mut hanging = program(folder.path(), "sleep 1000");
    hanging.timeout = Duration::from_millis(100);
    let hung = hanging.tell("confirm").await.unwrap_err();
    assert!(hung.contains("did not end within"), "{hung}");
}

#[tokio::test]
async fn what_it_does_not_say_is_unknown_and_what_nobody_knows_is_ignored() {
    let folder = tempfile::tempdir().unwrap();
    let body = "echo '{\"version\":\"2.0.1\",\"new\":1}'";
    let inspected = program(folder.path(), body).inspect().await.unwrap();
    assert_eq!(inspected.installed().unwrap().profile, None);
    assert_eq!(Inspected::default().installed(), None);
}
