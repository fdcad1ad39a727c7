//! Statements: form, change sets, scope, what signers saw, ends (RULES S1 to S9).

use anyhow::ensure;
use daymark_protocol::control::{Bytes, Submitted};
use daymark_protocol::decide::Gate;
use daymark_protocol::document::signature_entry;
use daymark_protocol::resource::{HaltSpec, Kind, OsUpdatePolicySpec, Scope, SiteSpec, Spec};
use daymark_protocol::trust::{Context, Draft, ResourceDraft, Statement, named_id};
use daymark_real::{POLICY, STOP, Say as _, everyone, now, only, until, wanting};

use super::case::cases;
use super::within;

const DAY_MS: i64 = 86_400_000;

cases! {
    /// One of two keys, the same key twice, and a key without the role beside it.
    an_order_below_its_threshold
    [Red(C5Threshold), Rule("C5"), Row(1), Row(9), Tuf("test_duplicate_sig_keyids"), Tuf("test_snapshot_does_not_meet_threshold")]
    |stage| {
        let os = stage.wanted.os.clone();
        let order = stage.people().wants("all", &os, everyone());
        let draft = stage.people().draft().resource(order);
        for signers in [&["alice"][..], &["alice", "alice"], &["alice", "harry"], &["mallory"]] {
            let (_, half) = stage.people().sign(&draft, signers)?;
            stage.mount(half).await?;
            stage.wants_nothing("no-policy").await?;
            stage.floor_of_order("all", None)?;
        }
        let (_, whole) = stage.people().sign(&draft, &POLICY)?;
        stage.mount(whole).await?;
        stage.installs().await?;
        stage.floor_of_order("all", Some(1))
    }

    /// A signed order with one byte changed, under its own signatures.
    an_order_changed_after_it_was_signed
    [Red(S1Signature), Rule("S1"), Row(1), Tuf("test_unsigned_metadata"), Tuf("test_metadata_bytes_match")]
    |stage| {
        let os = stage.wanted.os.clone();
        let order = stage.people().wants("all", &os, everyone());
        let draft = stage.people().draft().resource(order);
        let (statement, signed) = stage.people().sign(&draft, &POLICY)?;
        let text = String::from_utf8(statement.bytes().to_vec())?;
        let forged = text.replacen("\"priority\":0", "\"priority\":9", 1);
        let forged = if forged == text { text.replacen("\"all\":true", "\"all\": true", 1) } else { forged };
        ensure!(forged != text, "nothing was changed in {text}");
        let other = Statement::digest_of(forged.as_bytes());
        let under_it = POLICY.map(|holder| {
            let key = stage.people().key(holder);
            let signature = key.sign(Context::Statement, statement.bytes());
            Submitted::Entry(Bytes(signature_entry(&other, &key.public().id(), &signature)))
        });
        stage.holds(vec![stage.entry_of(&forged)], "no signature of it").await?;
        stage.refuses(under_it.to_vec(), "does not verify").await?;
        stage.wants_nothing("no-policy").await?;
        stage.floor_of_order("all", None)?;
        stage.tell(signed).await?;
        stage.installs().await
    }

    /// An order and a way to overtake a blackout that its signers knew.
    an_order_without_the_blackout_that_its_signers_saw
    [Red(S5Sees), Rule("S5"), Flaw("N3"), Row(4), Row(22)]
    |stage| {
        let blackout = stage.people().closes("night", -600, -300);
        let blackout = stage.people().policy_says(blackout)?;
        let seen = stage.people().seen(Kind::Blackout, "night");
        let os = stage.wanted.os.clone();
        let order = stage.people().wants("all", &os, everyone());
        let draft = stage.people().draft().resource(order).sees([seen]);
        let (_, order) = stage.people().say(&draft, &POLICY)?;
        stage.tell(order).await?;
        stage.is_held_by(Gate::Sees, "missing", "blackout").await?;
        stage.floor_of_order("all", Some(1))?;
        stage.tell(blackout).await?;
        stage.installs().await
    }

    /// An order that never left a stick comes two years later.
    an_order_past_its_end
    [Red(S6Until), Rule("S6"), Flaw("S9"), Flaw("N4"), Row(6), Tuf("test_targets_expired")]
    |stage| {
        let os = stage.wanted.os.clone();
        let order = stage.people().wants("all", &os, everyone());
        let draft = stage.people().draft().resource(order).until(now().plus_ms(-120_000));
        let (_, order) = stage.people().say(&draft, &POLICY)?;
        stage.tell(order).await?;
        stage.wants_nothing("no-policy").await?;
        stage.floor_of_order("all", Some(1))?;
        let order = stage.order("all")?;
        stage.tell(order).await?;
        stage.installs().await?;
        stage.floor_of_order("all", Some(2))
    }

    /// One change set with an image and a policy: it would speak under two roles.
    a_statement_under_two_roles
    [Red(S2OneRole), Rule("S2"), Flaw("N11"), Row(4)]
    |stage| {
        let os = stage.wanted.os.clone();
        let order = stage.people().wants("all", &os, everyone());
        let profile = Spec::OsProfile(Box::new(stage.wanted.profile.clone()));
        let id = stage.people().id(Kind::OsProfile, "edge@9.9.9");
        let profile = ResourceDraft::new(id, 1, &profile);
        let draft = stage.people().draft().resource(order).resource(profile);
        let (_, items) = stage.people().sign(&draft, &["alice", "bob", "rita"])?;
        stage.mount(items).await?;
        stage.wants_nothing("no-policy").await?;
        stage.floor_of_order("all", None)?;
        let order = stage.order("again")?;
        stage.tell(order).await?;
        stage.installs().await
    }

    /// One change set names an id twice; a halt hides beside an order.
    a_change_set_that_contradicts_itself
    [Red(S2Once), Rule("S2"), Flaw("N11"), Row(22), Tuf("test_duplicate_keys")]
    |stage| {
        let os = stage.wanted.os.clone();
        let order = stage.people().wants("all", &os, everyone());
        let twice = stage.people().draft().resource(order.clone()).resource(order.clone());
        let refused = stage.people().sign(&twice, &POLICY);
        ensure!(refused.is_err(), "it is written at all");
        let whole = stage.people().draft().resource(order);
        let (statement, _) = stage.people().sign(&whole, &[])?;
        let text = String::from_utf8(statement.bytes().to_vec())?;
        let at = text.find("\"resources\":[").ok_or_else(|| anyhow::anyhow!("{text}"))? + 13;
        let one = text[at..text.rfind(']').unwrap_or(at)].to_owned();
        let twice = format!("{}{one},{one}{}", &text[..at], &text[at + one.len()..]);
        stage.refuses(vec![stage.entry_of(&twice)], "stands twice").await?;
        stage.wants_nothing("no-policy").await?;
        let order = stage.order("again")?;
        stage.tell(order).await?;
        stage.installs().await
    }

    /// The same JSON key twice, nesting without end, too many bytes, another type, no JSON at all.
    statements_that_no_version_could_accept
    [Red(S1Form), Rule("S1"), Flaw("S6"), Row(17), Row(18), Row(37), Tuf("test_incorrect_metadata_type")]
    |stage| {
        let os = stage.wanted.os.clone();
        let order = stage.people().wants("all", &os, everyone());
        let draft = stage.people().draft().resource(order);
        let (statement, signed) = stage.people().sign(&draft, &POLICY)?;
        let text = String::from_utf8(statement.bytes().to_vec())?;
        let double = text.replacen('{', "{\"fleet\":\"x\",", 1);
        let deep = text.replacen('{', &format!("{{\"x\":{}1{},", "[".repeat(40), "]".repeat(40)), 1);
        let long = text.replacen('{', &format!("{{\"x\":\"{}\",", "y".repeat(33_000)), 1);
        for text in [double.as_str(), &deep, &long, "[]", "{", ""] {
            stage.refuses(vec![stage.entry_of(text)], "").await?;
        }
        stage.wants_nothing("no-policy").await?;
        stage.floor_of_order("all", None)?;
        stage.tell(signed).await?;
        stage.installs().await
    }

    /// A newer administrator's kind that closes: older machines wait, others' are ignored.
    a_kind_that_nobody_knows
    [Red(S3UnknownKinds), Rule("S3"), Flaw("M4"), Flaw("N17"), Row(37), Tuf("test_custom_fields")]
    |stage| {
        let unknown = |name: &str| -> anyhow::Result<ResourceDraft> {
            let spec = serde_json::value::RawValue::from_string("{\"x\":1}".into())?;
            Ok(ResourceDraft::of_kind(name, "freeze-1".parse()?, 1, Some(spec)).target(everyone()))
        };
        let closing = stage.people().draft().resource(unknown("Freeze")?.closing());
        let (_, half) = stage.people().sign(&closing, &["harry"])?;
        stage.mount(half).await?;
        stage.wants_nothing("no-policy").await?;
        let order = stage.order("all")?;
        let (_, whole) = stage.people().sign(&closing, &POLICY)?;
        stage.mount([whole, order].concat()).await?;
        stage.is_held_by(Gate::Halted, "unknown-closing", "Freeze").await?;
        let end = ResourceDraft::of_kind("Freeze", "freeze-1".parse()?, 2, None).target(everyone());
        let end = stage.people().policy_says(end)?;
        let plain = stage.people().policy_says(unknown("Note")?)?;
        stage.tell([end, plain].concat()).await?;
        stage.installs().await
    }

    /// An order with a schema of the future: its id is unknown, and one that can be read replaces it.
    an_order_that_cannot_be_read
    [Red(C3Place), Rule("S3"), Rule("C3"), Flaw("N6"), Flaw("N17"), Row(37)]
    |stage| {
        let os = stage.wanted.os.clone();
        let wide = stage.order("all")?;
        let this = only(&[stage.machine().id()]);
        let near = stage.people().wants("near", &os, this).schema(99);
        let near = stage.people().policy_says(near)?;
        stage.tell([wide, near].concat()).await?;
        stage.is_held_by(Gate::Policy, "policy-unknown", "near").await?;
        let end = stage.people().end(Kind::OsUpdatePolicy, "near")?;
        stage.tell(end).await?;
        stage.installs().await
    }

    /// An order said for another site, whose target is everyone.
    an_order_for_another_site
    [Red(S4Scope), Rule("S4"), Flaw("S4"), Row(2)]
    |stage| {
        let elsewhere = stage.people().id(Kind::Site, "south");
        let scope = Scope::Site(elsewhere);
        let (fleet, os) = (stage.people().fleet(), stage.wanted.os.clone());
        let region = Scope::Region("region-1".parse()?);
        for scope in [scope, region] {
            let id = named_id(Kind::OsUpdatePolicy, &fleet, &scope, "there");
            let spec = Spec::OsUpdatePolicy(Box::new(wanting("there", &os)));
            let order = ResourceDraft::new(id, 1, &spec).target(everyone());
            let draft = Draft::new(fleet, scope, now().plus_ms(-300_000)).resource(order);
            let (_, items) = stage.people().sign(&draft, &POLICY)?;
            stage.mount(items).await?;
            stage.wants_nothing("no-policy").await?;
        }
        let order = stage.order("all")?;
        stage.tell(order).await?;
        stage.installs().await
    }

    /// An order from a laptop that is two years ahead is held; a halt from it halts.
    statements_from_the_future
    [Red(S7Ahead), Rule("S7"), Flaw("N5"), Flaw("B6"), Row(30), Row(8)]
    |stage| {
        let ahead = now().plus_ms(100 * DAY_MS);
        let (fleet, os) = (stage.people().fleet(), stage.wanted.os.clone());
        let order = stage.people().wants("all", &os, everyone());
        let draft = Draft::new(fleet, Scope::Fleet, ahead).resource(order);
        let (_, items) = stage.people().say(&draft, &POLICY)?;
        stage.tell(items).await?;
        stage.is_held_by(Gate::Policy, "policy-held", "more than a day in the future").await?;
        let floor = stage.machine().durable()?.clock_floor;
        ensure!(floor < Some(now()), "what is signed moved the clock's floor to {floor:?}");
        let spec = Spec::Halt(HaltSpec { name: "ahead".into(), policy: None });
        let halt = stage.people().resource("ahead", &spec, Some(everyone()));
        let draft = Draft::new(fleet, Scope::Fleet, ahead).resource(halt);
        let (statement, items) = stage.people().say(&draft, &STOP)?;
        stage.tell(items).await?;
        stage.is_held_by(Gate::Halted, "halted", "halt ahead").await?;
        let resume = stage.people().resume("go", &[statement.digest()])?;
        let order = stage.order("all")?;
        stage.tell([resume, order].concat()).await?;
        stage.installs().await
    }

    /// Release keys alone put another image under the version that was ordered.
    an_image_signed_anew_under_the_ordered_version
    [Red(S8Digest), Rule("S8"), Flaw("N16"), Row(1), Row(4), Tuf("test_repository_substitutes_target_file")]
    |stage| {
        let mut other = stage.wanted.profile.clone();
        other.description = "not what was ordered".into();
        stage.people().release(&other)?;
        let resigned = stage.last_said(2);
        let order = stage.order("all")?;
        stage.tell([resigned, order].concat()).await?;
        stage.is_held_by(Gate::Target, "target-superseded", "something else").await?;
        stage.floor_of_order("all", Some(1))?;
        let (os, items) = { let wanted = stage.wanted.profile.clone(); stage.people().release(&wanted)? };
        let order = stage.people().policy("all", &os, everyone())?;
        stage.tell([items, order].concat()).await?;
        stage.installs().await
    }

    /// A correctly signed image for other machines: another architecture than this one's.
    an_image_for_another_machine
    [Red(I4Architecture), Rule("S8"), Row(2)]
    |stage| {
        let mut other = stage.wanted.profile.clone();
        other.architecture = "m68k".into();
        let (os, items) = stage.people().release(&other)?;
        let order = stage.people().policy("all", &os, everyone())?;
        stage.tell([items, order].concat()).await?;
        stage.is_held_by(Gate::Compatible, "architecture-mismatch", "").await?;
        let (os, items) = { let wanted = stage.wanted.profile.clone(); stage.people().release(&wanted)? };
        let order = stage.people().policy("all", &os, everyone())?;
        stage.tell([items, order].concat()).await?;
        stage.installs().await
    }

    /// An older image than what runs, ordered without leave to go back; then one below the minimum.
    an_older_image
    [Red(I4Older), Red(I4Minimum), Row(5), Row(36), Tuf("test_targets_rollback")]
    |stage| {
        let mut old = stage.wanted.profile.clone();
        old.os_image_version = "0.9.0".into();
        let (os, items) = stage.people().release(&old)?;
        let order = stage.people().policy("all", &os, everyone())?;
        stage.tell([items, order].concat()).await?;
        stage.wants_nothing("target-older").await?;
        let mut wanted = stage.wanted.profile.clone();
        wanted.minimum_version = Some("1.5.0".into());
        let (newer, items) = stage.people().release(&wanted)?;
        let back = OsUpdatePolicySpec { allow_downgrade: true, ..wanting("all", &os) };
        let back = stage.people().resource("all", &Spec::OsUpdatePolicy(Box::new(back)), Some(everyone()));
        let back = stage.people().policy_says(back)?;
        stage.tell([items, back].concat()).await?;
        stage.is_held_by(Gate::Newer, "below-minimum", "1.5.0").await?;
        let order = stage.people().policy("all", &newer, everyone())?;
        stage.tell(order).await?;
        stage.installs().await
    }

    /// Unusual names of everything that is named: none of them is a path, a query or a terminal. An
    /// order whose name nobody could show is unknown.
    unusual_names
    [Red(S3Limits), Rule("S1"), Rule("S3"), Tuf("test_unusual_role_name"), Row(37)]
    |stage| {
        let os = stage.wanted.os.clone();
        for name in ["?", "#", "/delegatedrole", "../delegatedrole", "a b", "%2e%2e", "\u{1b}[2J", "ß"] {
            let spec = Spec::Site(SiteSpec { name: name.into(), ..SiteSpec::default() });
            let site = stage.people().resource(name, &spec, None);
            let site = stage.people().policy_says(site)?;
            stage.mount(site).await?;
            let order = stage.people().wants(name, &os, only(&[]));
            let order = stage.people().policy_says(order)?;
            stage.mount(order).await?;
            stage.wants_nothing("no-policy").await?;
        }
        let log = stage.machine().log_text();
        ensure!(!log.contains("\u{1b}[2J"), "a name of others reached the terminal");
        let long = "x".repeat(51);
        for name in ["", &long] {
            let order = stage.order(name)?;
            stage.tell(order).await?;
            stage.is_held_by(Gate::Policy, "policy-unknown", "name").await?;
            let end = stage.people().end(Kind::OsUpdatePolicy, name)?;
            stage.tell(end).await?;
        }
        let order = stage.order("all")?;
        stage.tell(order).await?;
        stage.installs().await
    }

    /// No window is open, or a blackout closes it: nothing activates, whatever is ordered.
    an_order_outside_windows
    [Red(I2Window), Row(32), Row(30)]
    |stage| {
        let blackout = stage.people().closes("lunch", -600, 1800);
        let blackout = stage.people().policy_says(blackout)?;
        let order = stage.order("all")?;
        stage.tell([blackout, order].concat()).await?;
        // Staged ahead of the window that follows, and no further.
        stage.installs().await?;
        until("the blackout alone closes", within(), async || {
            let held = stage.machine().held_by().await?;
            match held.as_slice() {
                [only] if only.reason == "blackout" => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await?;
        let switch = stage.machine().boot_switch()?;
        ensure!(!switch.is_on_trial("b"), "the boot was switched: {switch:?}");
        let end = stage.people().end(Kind::Blackout, "lunch")?;
        stage.tell(end).await?;
        stage.machine().runs("2.0.0").await.map(drop)
    }
}
