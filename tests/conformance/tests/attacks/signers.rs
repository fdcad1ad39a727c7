//! Who signs next: sequences of root keys and thresholds, and the same for a role, in the shape of
//! the key rotations of TUF's suite.

use daymark_protocol::control::{Bytes, Submitted};
use daymark_protocol::resource::{Kind, Role};
use daymark_protocol::trust::{PublicKey, Root};
use daymark_real::{ADMIN, Say as _, everyone};

use super::case::cases;
use super::stage::Stage;

/// A root or an order: who may sign by it, how many must, who did, and whether it counts.
struct Step(&'static [u8], u32, &'static [u8], bool);

const FIVE: &[u8] = &[0, 1, 2, 3, 4];
const ONE_REPLACED: &[u8] = &[0, 1, 3, 4, 5];
const OTHERS: &[u8] = &[5, 6, 7, 8, 9];

/// Sequences of roots; the first of each follows what stands by everyone's signature.
const ROOTS: &[&[Step]] = &[
    // One key by another; signatures of strangers beside them neither help nor harm.
    &[Step(&[1], 1, &[1], true), Step(&[2], 1, &[2, 1], true), Step(&[2], 1, &[2], true)],
    &[Step(&[1], 1, &[3, 1, 4], true), Step(&[2], 1, &[3, 2, 1, 4], true)],
    &[Step(&[1], 1, &[1], true), Step(&[2], 1, &[2, 3, 4], false)],
    &[Step(&[1], 1, &[1], true), Step(&[2], 1, &[1, 3, 4], false)],
    // Any three of five.
    &[
        Step(FIVE, 3, &[0, 2, 4], true),
        Step(FIVE, 3, &[0, 4, 1], true),
        Step(FIVE, 3, &[1, 2, 3], true),
    ],
    &[
        Step(FIVE, 3, &[0, 2, 4], true),
        Step(FIVE, 3, &[0, 4], false),
        Step(FIVE, 3, &[0, 0, 4], false),
    ],
    // One of five replaced: three of either set, whether one signature stands for both or not.
    &[Step(FIVE, 3, &[0, 2, 4], true), Step(ONE_REPLACED, 3, &[0, 4, 1], true)],
    &[Step(FIVE, 3, &[0, 2, 4], true), Step(ONE_REPLACED, 3, &[0, 2, 4, 5], true)],
    &[Step(FIVE, 3, &[0, 2, 4], true), Step(ONE_REPLACED, 3, &[0, 2, 4], false)],
    &[Step(FIVE, 3, &[0, 2, 4], true), Step(ONE_REPLACED, 3, &[0, 4, 5], false)],
    // All of five replaced.
    &[
        Step(FIVE, 3, &[0, 2, 4], true),
        Step(OTHERS, 3, &[5, 6, 7], false),
        Step(OTHERS, 3, &[0, 2, 4, 5, 6, 7], true),
        Step(OTHERS, 3, &[0, 2, 4], false),
        Step(OTHERS, 3, &[5, 6, 7], true),
    ],
    // Thresholds that rise and fall.
    &[Step(&[1, 2, 3], 1, &[1], true), Step(&[1, 2, 3], 2, &[2], false)],
    &[Step(&[1, 2, 3], 1, &[1], true), Step(&[1, 2, 3], 2, &[1, 2], true)],
    &[
        Step(&[1, 2, 3], 2, &[1, 2], true),
        Step(&[1, 2, 3], 1, &[1], false),
        Step(&[1, 2, 3], 1, &[1, 2], true),
        Step(&[1, 2, 3], 1, &[1], true),
    ],
    &[Step(&[1], 1, &[1], true), Step(&[1, 2], 2, &[1], false), Step(&[1, 2], 2, &[1, 2], true)],
];

/// Who orders, and orders by them. None that is not to count ever had enough signatures: it would
/// have fallen, which is a stop, and not be pending.
const ORDERS: &[Step] = &[
    Step(&[6], 1, &[6], true),
    Step(&[7], 1, &[8, 7, 9], true),
    Step(FIVE, 3, &[0, 2, 4], true),
    Step(FIVE, 3, &[0, 4, 1], true),
    Step(FIVE, 3, &[0, 1, 3], true),
    Step(FIVE, 3, &[1, 2, 3], true),
    Step(FIVE, 3, &[2, 3, 4], true),
    Step(&[6], 1, &[3, 4], false),
    Step(ONE_REPLACED, 3, &[0, 2, 5], false),
    Step(ONE_REPLACED, 3, &[0, 4], false),
    Step(ONE_REPLACED, 3, &[0, 0, 0, 4], false),
];

fn holder(number: u8) -> String {
    format!("holder-{number}")
}

/// The public keys of some, with their holders.
fn keys(stage: &mut Stage, numbers: &[u8]) -> Vec<(PublicKey, String)> {
    let people = stage.people();
    numbers.iter().map(|number| (people.key(&holder(*number)).public(), holder(*number))).collect()
}

/// The next root, in which these hold a role; signed, and handed in by nobody yet.
fn root_of(
    stage: &mut Stage,
    role: Role,
    step: &Step,
    by: &[String],
) -> anyhow::Result<(Root, Vec<u8>)> {
    let named = keys(stage, step.0);
    let said = stage.statements_said()?;
    let mut draft = stage.people().next_root().keep(said);
    for (key, holder) in &named {
        draft = draft.key(key.clone(), holder);
    }
    let ids = named.iter().map(|(key, _)| key.id());
    let draft = draft.role(role, step.1, ids);
    let by: Vec<&str> = by.iter().map(String::as_str).collect();
    stage.people().sign_root(&draft, &by)
}

/// Whoever signs: holders by number.
fn signers(step: &Step) -> Vec<String> {
    step.2.iter().map(|number| holder(*number)).collect()
}

cases! {
    /// Every sequence of root keys, one after the other: a root counts if the thresholds of the one
    /// before and its own signed it, and by nothing else.
    sequences_of_root_keys
    [
        Red(R1OldSigners),
        Red(R1OwnSigners),
        Rule("R1"),
        Row(9),
        Tuf("test_root_rotation[1-of-1-key-rotation]"),
        Tuf("test_root_rotation[1-of-1-key-rotation-unused-signatures]"),
        Tuf("test_root_rotation[3-of-5-sign-with-different-keycombos]"),
        Tuf("test_root_rotation[3-of-5-one-key-rotated]"),
        Tuf("test_root_rotation[3-of-5-one-key-rotated-with-intermediate-step]"),
        Tuf("test_root_rotation[3-of-5-all-keys-rotated-with-intermediate-step]"),
        Tuf("test_root_rotation[1-of-3-threshold-increase-to-2-of-3]"),
        Tuf("test_root_rotation[2-of-3-threshold-decrease-to-1-of-3]"),
        Tuf("test_root_rotation[1-of-2-threshold-increase-to-2-of-2]"),
        Tuf("test_root_rotation[1-of-1-key-rotation-fail-not-signed-with-old-key]"),
        Tuf("test_root_rotation[1-of-1-key-rotation-fail-not-signed-with-new-key]"),
        Tuf("test_root_rotation[3-of-5-one-key-rotate-fails-not-signed-with-3-new-keys]"),
        Tuf("test_root_rotation[3-of-5-one-key-rotate-fails-not-signed-with-3-old-keys]"),
        Tuf("test_root_rotation[1-of-3-threshold-bump-to-2-of-3-fails-new-threshold-not-reached]"),
        Tuf("test_root_rotation[2-of-3-threshold-decr-to-1-of-3-fails-old-threshold-not-eached]"),
    ]
    |stage| {
        let mut everyone_signs: Vec<String> = (0..10).map(holder).collect();
        everyone_signs.extend(ADMIN.map(str::to_owned));
        let mut version = 1;
        for sequence in ROOTS {
            for (number, step) in sequence.iter().enumerate() {
                // What comes before a sequence is of no interest: everyone signs its first.
                let by = if number == 0 { everyone_signs.clone() } else { signers(step) };
                let (root, envelope) = root_of(stage, Role::Root, step, &by)?;
                if step.3 {
                    version += 1;
                    let root = stage.people().follow(root, envelope);
                    stage.tell(vec![root]).await?;
                } else {
                    let root = Submitted::Root(Bytes(envelope));
                    stage.refuses(vec![root], "sign").await?;
                }
                stage.floor_of_roots(version)?;
            }
        }
        let order = stage.order("all")?;
        stage.tell(order).await?;
        stage.installs().await
    }

    /// Every set of keys that orders: an order counts if distinct ones of those who may now, at
    /// their threshold, signed it, and sets no floor otherwise.
    sequences_of_those_who_order
    [
        Red(C5Threshold),
        Rule("C5"),
        Row(9),
        Tuf("test_non_root_rotations[1-of-1-key-rotation]"),
        Tuf("test_non_root_rotations[1-of-1-key-rotation-unused-signatures]"),
        Tuf("test_non_root_rotations[1-of-1-key-rotation-fail-not-signed-with-new-key]"),
        Tuf("test_non_root_rotations[3-of-5-one-key-signature-wrong-not-signed-with-3-expected-keys]"),
        Tuf("test_non_root_rotations[2-of-5-one-key-signature-mising-threshold-not-reached]"),
        Tuf("test_non_root_rotations[3-of-5-sign-first-combo]"),
        Tuf("test_non_root_rotations[3-of-5-sign-second-combo]"),
        Tuf("test_non_root_rotations[3-of-5-sign-third-combo]"),
        Tuf("test_non_root_rotations[3-of-5-sign-fourth-combo]"),
        Tuf("test_non_root_rotations[3-of-5-sign-fifth-combo]"),
        Tuf("test_duplicate_keys"),
    ]
    |stage| {
        let os = stage.fleet.installed.os.clone();
        for (number, step) in ORDERS.iter().enumerate() {
            let by: Vec<String> = ADMIN.map(str::to_owned).into();
            let (root, envelope) = root_of(stage, Role::Policy, step, &by)?;
            let root = stage.people().follow(root, envelope);
            stage.tell(vec![root]).await?;
            let name = format!("order-{number}");
            let order = stage.people().wants(&name, &os, everyone());
            let order = stage.people().draft().resource(order);
            let by = signers(step);
            let by: Vec<&str> = by.iter().map(String::as_str).collect();
            if !step.3 {
                let (_, items) = stage.people().sign(&order, &by)?;
                stage.mount(items).await?;
                stage.wants_nothing("no-policy").await?;
                stage.floor_of_order(&name, None)?;
                continue;
            }
            let (_, items) = stage.people().say(&order, &by)?;
            stage.mount(items).await?;
            stage.wants_nothing("already-there").await?;
            stage.floor_of_order(&name, Some(1))?;
            let end = stage.people().tombstone(Kind::OsUpdatePolicy, &name, Some(everyone()));
            let end = stage.people().draft().resource(end);
            let (_, end) = stage.people().say(&end, &by)?;
            stage.mount(end).await?;
            stage.wants_nothing("no-policy").await?;
        }
        stage.is_untouched()
    }
}
