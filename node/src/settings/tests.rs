use std::path::Path;

use super::*;

fn inputs(folder: &Path, text: &str) -> Inputs {
    let file = folder.join("node.toml");
    std::fs::write(&file, text).unwrap();
    Inputs { files: vec![file], ..Inputs::default() }
}

fn refusal(text: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    Settings::load(&inputs(folder.path(), text)).unwrap_err().to_string()
}

#[test]
fn nothing_is_needed() {
    let settings = Settings::load(&Inputs::default()).unwrap();
    assert_eq!(settings.platform.kind, PlatformKind::None);
    assert_eq!(settings.clock, ClockSource::Os);
}

#[test]
fn later_sources_win_key_by_key_and_show_says_so() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("10-a.toml"), "[network]\nmdns = false\npeers = [\"a\"]\n")
        .unwrap();
    std::fs::write(folder.path().join("20-b.toml"), "network.peers = [\"b\", \"c\"]\n").unwrap();
    std::fs::write(folder.path().join("ignored.txt"), "not toml at all").unwrap();
    let inputs = Inputs {
        folders: vec![folder.path().to_owned(), folder.path().join("missing")],
        variables: vec![("DAYMARK_NETWORK_ALLOW".into(), "10.0.0.0/8, fd00::/8".into())],
        flags: vec![("data_dir".into(), "/data".into())],
        ..Inputs::default()
    };
    let settings = Settings::load(&inputs).unwrap();
    assert!(!settings.network.mdns);
    assert_eq!(settings.network.peers, ["b", "c"]);
    assert_eq!(settings.network.allow.len(), 2);
    assert_eq!(settings.data_dir, Path::new("/data"));

    let shown = show(&inputs).unwrap();
    let origin = |key: &str| shown.iter().find(|line| line.key == key).unwrap().origin.clone();
    assert!(origin("network.peers").ends_with("20-b.toml"));
    assert!(origin("network.mdns").ends_with("10-a.toml"));
    assert_eq!(origin("network.allow"), "$DAYMARK_NETWORK_ALLOW");
    assert_eq!(origin("data_dir"), "command line");
    assert_eq!(origin("clock"), "default");
}

#[test]
fn unknown_keys_name_the_file_and_the_key_meant() {
    let sentence = refusal("[network]\nlisten_on = []\npeer = []\n");
    assert!(sentence.contains("node.toml"), "{sentence}");
    let sentence = refusal("[network]\npeer = []\n");
    assert!(
        sentence.contains("`network.peer`") && sentence.contains("`network.peers`"),
        "{sentence}"
    );
    let sentence = refusal("mdns = true\n");
    assert!(sentence.contains("did you mean `network.mdns`"), "{sentence}");
    let sentence = refusal("colour = 1\n");
    assert!(sentence.contains("config show"), "{sentence}");
}

#[test]
fn misspelt_variables_of_our_sections_are_refused_and_foreign_ones_ignored() {
    let with = |name: &str| Inputs {
        variables: vec![(name.to_owned(), "x".to_owned())],
        ..Inputs::default()
    };
    let error = Settings::load(&with("DAYMARK_NETWORK_PEER")).unwrap_err().to_string();
    assert!(error.contains("DAYMARK_NETWORK_PEERS"), "{error}");
    Settings::load(&with("DAYMARK_VECTORS")).unwrap();
    Settings::load(&with("DAYMARK_BOOT_SLOT")).unwrap();
}

#[test]
fn values_of_the_wrong_kind_are_refused() {
    assert!(refusal("clock = \"gps\"\n").contains("one of os, rtc"));
    assert!(refusal("network.mdns = \"yes\"\n").contains("true or false"));
    assert!(refusal("network.connections_max = 0\n").contains("from 1 to 4096"));
    assert!(refusal("network.allow = [\"10.0.0.0/40\"]\n").contains("10.0.0.0/40"));
    assert!(refusal("release.sources = [\"srv\"]\n").contains("srv"));
    assert!(refusal("network = [\n").contains("line"));
}

#[test]
fn a_backend_needs_its_keys() {
    assert!(refusal("platform.kind = \"command\"\n").contains("platform.command.program"));
    assert!(refusal("platform.kind = \"slots\"\n").contains("two slots"));
    let lopsided = "[platform]\nkind = \"slots\"\n[platform.slots]\na.rootfs = \"/a\"\n\
                    b.uki = \"/b\"\nboot = { file = \"/boot-state\" }\n";
    assert!(refusal(lopsided).contains("same parts"));
    let folder = tempfile::tempdir().unwrap();
    let text = lopsided.replace("uki", "rootfs");
    let settings = Settings::load(&inputs(folder.path(), &text)).unwrap();
    let PlatformKind::Slots { slots, boot_file, tries } = settings.platform.kind else {
        panic!("slots were configured");
    };
    assert_eq!(slots["b"]["rootfs"], Path::new("/b"));
    assert_eq!((boot_file.as_path(), tries), (Path::new("/boot-state"), 1));
}
