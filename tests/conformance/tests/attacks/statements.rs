//! Statements: form, change sets, scope, what signers saw, ends (RULES S1 to S9).

use daymark_protocol::control::{Bytes, Submitted};
use daymark_protocol::decide::Gate;
use daymark_protocol::document::statement_entry;
use daymark_protocol::resource::Kind;
use daymark_real::{POLICY, Say as _, everyone, now};

use super::case::cases;

cases! {
    /// One of two keys, the same key twice, and a key without the role beside it.
    an_order_below_its_threshold
    [Rule("C5"), Row(1), Row(9), Tuf("test_duplicate_sig_keyids"), Tuf("test_snapshot_does_not_meet_threshold")]
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
    [Rule("S1"), Row(1), Tuf("test_unsigned_metadata"), Tuf("test_metadata_bytes_match")]
    |stage| {
        let os = stage.wanted.os.clone();
        let order = stage.people().wants("all", &os, everyone());
        let draft = stage.people().draft().resource(order);
        let (statement, signed) = stage.people().sign(&draft, &POLICY)?;
        let text = String::from_utf8(statement.bytes().to_vec())?;
        let forged = text.replacen("\"priority\":0", "\"priority\":9", 1);
        let forged = if forged == text { text.replacen("\"all\":true", "\"all\": true", 1) } else { forged };
        anyhow::ensure!(forged != text, "nothing was changed in {text}");
        let entry = Submitted::Entry(Bytes(statement_entry(forged.as_bytes())));
        let signatures = signed[1..].to_vec();
        stage.holds([vec![entry], signatures].concat(), "held").await?;
        stage.wants_nothing("no-policy").await?;
        stage.floor_of_order("all", None)?;
        stage.tell(signed).await?;
        stage.installs().await
    }

    /// An order and a way to overtake a blackout that its signers knew.
    an_order_without_the_blackout_that_its_signers_saw
    [Rule("S5"), Flaw("N3"), Row(4), Row(22)]
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
    [Rule("S6"), Flaw("S9"), Flaw("N4"), Row(6), Tuf("test_targets_expired")]
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
}
