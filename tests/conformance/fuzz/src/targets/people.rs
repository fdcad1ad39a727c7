//! What people hand in: through the control socket, as files of `daymarkctl`, on paper.

use daymark_protocol::control::{
    DecisionAnswer, EnrolmentRequest, Fetched, Inhibit, Join, ReplicaIndex, Status, Submission,
    SubmitAnswer, TokenFile, Wanted,
};
use daymark_protocol::document::DocumentId;
use daymark_protocol::id::{Digest, KeyId, ResourceId};
use daymark_protocol::resource::Kind;
use daymark_protocol::time::WallTime;
use daymark_protocol::trust::{Context, Envelope, Pin};
use daymark_protocol::version::{Version, VersionRange};
use daymarkctl::fuzzing;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{TEXT, refused, text, world};
use crate::target::{Allowance, Target, Told};

/// YAML is read into trees of values twice.
const YAML: Allowance = Allowance { base_bytes: 512 * 1024, per_byte: 2_000 };

pub(super) const TARGETS: &[Target] = &[
    Target {
        name: "control",
        about: "requests and answers of the control socket",
        input_bytes_max: 256 * 1024,
        allowance: TEXT,
        words: &["items", "kind", "root", "entry", "report", "blob", "bytes", "until", "pin"],
        sources: &["protocol/src/control.rs"],
        run: control,
    },
    Target {
        name: "yaml",
        about: "resource files",
        input_bytes_max: 64 * 1024,
        allowance: YAML,
        words: &[
            "kind: ",
            "spec:",
            "target: {all: true}",
            "---\n",
            "&a",
            "*a",
            "<<: ",
            "!!binary ",
            "? ",
        ],
        sources: &["ctl/src/files.rs"],
        run: |input| fuzzing::resource_file(text(input)?).map(|kinds| kinds.join(",")),
    },
    Target {
        name: "os-profile",
        about: "OS profiles in EIM's YAML",
        input_bytes_max: 64 * 1024,
        allowance: YAML,
        words: &["appVersion: apps/v1", "layout:", "partition: ", "platformBundle:", "&a", "*a"],
        sources: &["ctl/src/release/profile_yaml.rs"],
        run: |input| fuzzing::os_profile(text(input)?).map(|_| "profile".to_owned()),
    },
    Target {
        name: "key-text",
        about: "public keys in their forms, and seeds on paper",
        input_bytes_max: 8 * 1024,
        allowance: TEXT,
        words: &["ssh-ed25519 ", "AAAAC3NzaC1lZDI1NTE5AAAAI", "alice=", "1  ", "2  ", "3  ", "4  "],
        sources: &["ctl/src/public_keys.rs", "ctl/src/keys/paper.rs"],
        run: key_text,
    },
    Target {
        name: "draft",
        about: "drafts of roots and heartbeats, as they are and signed anew",
        input_bytes_max: 64 * 1024,
        allowance: Allowance { base_bytes: 512 * 1024, per_byte: 600 },
        words: &["envelope", "lists", "payload", "payloadType", "signatures"],
        sources: &["ctl/src/drafts.rs"],
        run: |input| fuzzing::draft(input, &world::chain()),
    },
    Target {
        name: "enrolment",
        about: "enrolment requests, as they are and signed anew",
        input_bytes_max: 64 * 1024,
        allowance: TEXT,
        words: &["name", "publicKey", "serial", "uuid", "facts"],
        sources: &["ctl/src/commands/enroll/request.rs"],
        run: |input| {
            let signed = Envelope::signed(Context::Enrolment, input.to_vec(), [&world::host()]);
            let as_is = fuzzing::enrolment_request(input);
            let host = fuzzing::enrolment_request(&signed.to_json()).or(as_is)?;
            Ok(format!("{}", host == world::host().public().id()))
        },
    },
    Target {
        name: "words",
        about: "ids, digests, pins, times, versions and ranges",
        input_bytes_max: 1024,
        allowance: TEXT,
        words: &["site/", "fleet", "host/", "~3.0.1", "2026-06-01T00:00:00Z", "1:"],
        sources: &[
            "protocol/src/version.rs",
            "protocol/src/document/document_id.rs",
            "protocol/src/id.rs",
            "protocol/src/trust/pin.rs",
        ],
        run: words,
    },
];

fn known<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(
    input: &[u8],
    name: &str,
) -> Option<String> {
    let read: T = serde_json::from_slice(input).ok()?;
    let written = serde_json::to_vec(&read).ok()?;
    let again: Option<T> = serde_json::from_slice(&written).ok();
    assert_eq!(again.as_ref(), Some(&read), "a {name} does not come back");
    Some(name.to_owned())
}

/// What reads an input as one of the types, and its name if it is one.
type Reader = fn(&[u8]) -> Option<String>;

fn control(input: &[u8]) -> Told {
    let tried: [Reader; 11] = [
        |input| known::<Status>(input, "status"),
        |input| known::<DecisionAnswer>(input, "decision"),
        |input| known::<Fetched>(input, "fetched"),
        |input| known::<Join>(input, "join"),
        |input| known::<Submission>(input, "submission"),
        |input| known::<SubmitAnswer>(input, "outcomes"),
        |input| known::<TokenFile>(input, "token"),
        |input| known::<EnrolmentRequest>(input, "enrolment"),
        |input| known::<Inhibit>(input, "inhibit"),
        |input| known::<ReplicaIndex>(input, "index"),
        |input| known::<Wanted>(input, "wanted"),
    ];
    let read: Vec<String> = tried.iter().filter_map(|read| read(input)).collect();
    if read.is_empty() {
        return Err(serde_json::from_slice::<Submission>(input)
            .err()
            .map_or_else(String::new, refused));
    }
    Ok(read.join(" "))
}

fn key_text(input: &[u8]) -> Told {
    let text = text(input)?;
    if let Ok(seed) = fuzzing::paper(text) {
        let again = fuzzing::paper(&fuzzing::paper_of(&seed));
        assert_eq!(again, Ok(seed), "a seed does not come back from paper");
        return Ok("paper".to_owned());
    }
    fuzzing::public_key(text).map(|_| "key".to_owned())
}

fn back<T: std::str::FromStr + std::fmt::Display + PartialEq + std::fmt::Debug>(
    text: &str,
    name: &'static str,
) -> Option<&'static str> {
    let read: T = text.parse().ok()?;
    let again = read.to_string().parse::<T>().ok();
    assert_eq!(again.as_ref(), Some(&read), "a {name} does not come back");
    Some(name)
}

fn words(input: &[u8]) -> Told {
    let text = text(input)?;
    let read = [
        back::<ResourceId>(text, "id"),
        back::<Digest>(text, "digest"),
        back::<KeyId>(text, "key"),
        back::<DocumentId>(text, "document"),
        back::<Version>(text, "version"),
        back::<Kind>(text, "kind"),
        text.parse::<Pin>().ok().map(|_| "pin"),
        serde_json::from_str::<WallTime>(&format!("{text:?}")).ok().map(|_| "time"),
    ];
    let range = VersionRange::new(text);
    let newest: Option<Version> = "3.0.20260602.2200".parse().ok();
    let admits = newest.is_some_and(|newest| range.admits(&newest));
    let read: Vec<&str> = read.into_iter().flatten().collect();
    Ok(format!("{} {admits} {}", read.join(" "), range.selects_tag("3.0.1-dev")))
}
