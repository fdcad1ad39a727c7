//! Documents: entries and reports that are garbage, forged, forked or too many (RULES D1 to D6).

use anyhow::{Context as _, ensure};
use daymark_protocol::control::{Bytes, Item, SubmitOutcome, Submitted, Wanted};
use daymark_protocol::decide::Gate;
use daymark_protocol::document::{Facts, ReportWriter};
use daymark_protocol::resource::Kind;
use daymark_protocol::trust::SigningKey;
use daymark_real::{POLICY, Say as _, everyone, only, until};

use super::case::cases;
use super::stage::Stage;
use super::within;

/// The reports of the machine's own that it holds.
async fn own_reports(stage: &Stage) -> anyhow::Result<Vec<Item>> {
    let host = stage.machine().id();
    let client = stage.machine().client();
    until("the machine has reported", within(), async || {
        let index = client.replica().await.map_err(|error| error.to_string())?;
        let reports = index.reports.get(&host).cloned().unwrap_or_default();
        let reports = reports.into_iter().map(|(generation, count)| (host, generation, count));
        let wanted = Wanted { reports: reports.collect(), ..Wanted::default() };
        let items = client.fetch(&wanted).await.map_err(|error| error.to_string())?.items;
        if items.is_empty() { Err("it has not".to_owned()) } else { Ok(items) }
    })
    .await
}

/// The newest generation of the machine's own reports.
async fn generation(stage: &Stage) -> anyhow::Result<u64> {
    let newest = own_reports(stage).await?.into_iter().filter_map(|item| match item {
        Item::Report { generation, .. } => Some(generation),
        Item::Root { .. } | Item::Entry { .. } | Item::Blob { .. } => None,
    });
    newest.max().context("it has no report")
}

/// A report under a key, as whoever has that key writes it.
fn report_of(stage: &mut Stage, key: &SigningKey, generation: u64) -> anyhow::Result<Vec<u8>> {
    let mut writer = ReportWriter::new(stage.people().fleet(), key.public().id(), generation, None);
    let mut facts = Facts::default();
    facts.set_text(&["facts", "os"], "9.9.9");
    let written = writer.write(key, &facts)?;
    Ok(written.reports.first().context("nothing was written")?.bytes().to_vec())
}

cases! {
    /// Bytes of Automerge's own, of an unknown format, cut short, empty, and a megabyte of zeros.
    bytes_that_are_no_entry
    [Red(D1Format), Rule("D1"), Flaw("B2"), Row(17), Row(27), Row(37)]
    |stage| {
        let automerge = [0x85, 0x6f, 0x4a, 0x83, 0, 0, 0, 0, 1, 0x7f].to_vec();
        let garbage = [automerge, vec![9, 9, 9], vec![1], Vec::new(), vec![0; 1 << 20]];
        for bytes in garbage {
            let items = [
                Submitted::Entry(Bytes(bytes.clone())),
                Submitted::Report(Bytes(bytes.clone())),
                Submitted::Root(Bytes(bytes)),
            ];
            stage.refuses(items.to_vec(), "").await?;
        }
        // A whole order, in a form of the future.
        let order = stage.order("future")?;
        for item in order {
            let Submitted::Entry(Bytes(mut bytes)) = item else { continue };
            bytes[0] += 1;
            stage.refuses(vec![Submitted::Entry(Bytes(bytes))], "malformed").await?;
        }
        stage.wants_nothing("no-policy").await?;
        let order = stage.order("all")?;
        stage.tell(order).await?;
        stage.installs().await
    }

    /// A statement without a signature is held in memory, and gone after a restart; so is a
    /// signature without its statement.
    halves_of_an_entry
    [Red(D2Pairs), Rule("D2"), Rule("D3"), Flaw("N12")]
    |stage| {
        let os = stage.wanted.os.clone();
        let order = stage.people().wants("all", &os, everyone());
        let draft = stage.people().draft().resource(order);
        let (_, items) = stage.people().sign(&draft, &POLICY)?;
        let (statement, signatures) = items.split_at(1);
        stage.holds(statement.to_vec(), "no signature of it").await?;
        stage.floor_of_order("all", None)?;
        stage.restart().await?;
        stage.holds(signatures.to_vec(), "its statement is not held").await?;
        stage.wants_nothing("no-policy").await?;
        stage.floor_of_order("all", None)?;
        stage.tell(statement.to_vec()).await?;
        stage.installs().await
    }

    /// A key that no root names signs by the hundred: held, bounded, and nothing is crowded out.
    statements_of_an_unknown_key
    [Red(D3Named), Rule("D3"), Flaw("B3"), Row(24), Row(27)]
    |stage| {
        let os = stage.wanted.os.clone();
        for number in 0..40 {
            let order = stage.people().wants(&format!("m{number}"), &os, everyone());
            let draft = stage.people().draft().resource(order);
            let (_, items) = stage.people().sign(&draft, &["mallory"])?;
            stage.holds(items, "").await?;
        }
        stage.wants_nothing("no-policy").await?;
        let order = stage.order("all")?;
        stage.tell(order).await?;
        stage.installs().await
    }

    /// One of two policy keys floods the fleet with drafts: its own room is full, nobody else's.
    drafts_by_the_hundred
    [Red(D3Room), Rule("D3"), Flaw("B3"), Flaw("N12"), Row(27)]
    |stage| {
        let os = stage.wanted.os.clone();
        let mut items = Vec::new();
        for number in 0..80 {
            let order = stage.people().wants(&format!("m{number}"), &os, everyone());
            let draft = stage.people().draft().resource(order);
            items.extend(stage.people().sign(&draft, &["alice"])?.1);
        }
        let before = stage.entries_held().await?;
        stage.mount(items).await?;
        let kept = stage.entries_held().await? - before;
        ensure!(kept == 128, "{kept} entries of 64 drafts are kept");
        stage.wants_nothing("no-policy").await?;
        let order = stage.order("all")?;
        stage.tell(order).await?;
        stage.installs().await
    }

    /// A member changes another machine's report.
    a_report_changed_on_its_way
    [Red(D4Signature), Rule("D4"), Row(23), Row(38)]
    |stage| {
        let items = own_reports(stage).await?;
        // One bit here and there: where it hits what a report is made of, no signature is needed.
        let changed = |bytes: &[u8], at: usize| {
            let mut bytes = bytes.to_vec();
            bytes[at] ^= 1;
            Submitted::Report(Bytes(bytes))
        };
        let forged = items.iter().flat_map(|item| match item {
            Item::Report { bytes: Bytes(bytes), .. } => {
                (0..bytes.len()).step_by(16).map(|at| changed(bytes, at)).collect()
            }
            Item::Root { .. } | Item::Entry { .. } | Item::Blob { .. } => vec![],
        });
        let forged: Vec<_> = forged.collect();
        let before = own_reports(stage).await?;
        let outcomes = stage.mount(forged).await?;
        ensure!(
            !outcomes.iter().any(|one| matches!(one, SubmitOutcome::New)),
            "a forged report was taken: {outcomes:?}"
        );
        ensure!(own_reports(stage).await? == before, "its reports have changed");
        let order = stage.order("all")?;
        stage.tell(order).await?;
        stage.installs().await
    }

    /// Ten machines that nobody enrolled report; a thief reports under an enrolled one's name.
    reports_of_nobody
    [Red(D4Signature), Rule("D4"), Rule("A2"), Row(23), Row(24)]
    |stage| {
        for number in 0..10_u8 {
            let sybil = SigningKey::from_seed([number + 100; 32]);
            let report = report_of(stage, &sybil, 1)?;
            stage.mount(vec![Submitted::Report(Bytes(report))]).await?;
            let held = stage.machine().client().replica().await?.reports;
            ensure!(!held.contains_key(&sybil.public().id()), "a stranger's report is held");
        }
        let enrolled = stage.people().key("machine-2");
        let items = stage.people().enroll("node-2", &enrolled.public(), "north")?;
        stage.tell(items).await?;
        let thief = SigningKey::from_seed([7; 32]);
        let mut report = report_of(stage, &enrolled, 1)?;
        let forged = report_of(stage, &thief, 1)?;
        let at = report.len() - 64;
        report.splice(at.., forged[forged.len() - 64..].iter().copied());
        stage.refuses(vec![Submitted::Report(Bytes(report))], "").await?;
        let honest = report_of(stage, &enrolled, 1)?;
        stage.tell(vec![Submitted::Report(Bytes(honest))]).await?;
        let order = stage.order("all")?;
        stage.tell(order).await?;
        stage.installs().await
    }

    /// A copied disk: somebody else reports under this machine's key, twice.
    a_second_machine_with_the_same_key
    [Red(D6Clone), Rule("D6"), Rule("D5"), Flaw("S5"), Flaw("N9"), Row(13)]
    |stage| {
        let key = stage.own_key()?;
        let first = generation(stage).await?;
        let report = report_of(stage, &key, first + 3)?;
        stage.mount(vec![Submitted::Report(Bytes(report))]).await?;
        until("it rises above the other", within(), async || {
            let risen = generation(stage).await.map_err(|error| error.to_string())?;
            if risen > first + 3 { Ok(()) } else { Err(format!("generation {risen}")) }
        })
        .await?;
        stage.wants_nothing("no-policy").await?;
        let risen = generation(stage).await?;
        let report = report_of(stage, &key, risen + 3)?;
        stage.mount(vec![Submitted::Report(Bytes(report))]).await?;
        let order = stage.order("all")?;
        stage.tell(order).await?;
        stage.is_held_by(Gate::Inhibited, "inhibited", "").await?;
        ensure!(stage.machine().durable()?.cloned, "that it was copied is not on disk");
        stage.restart().await?;
        stage.is_held_by(Gate::Inhibited, "inhibited", "").await
    }

    /// The store is damaged and lost: floors close what is missing until peers give it back.
    a_store_that_is_lost
    [Red(C6Floors), Red(C4Halts), Rule("C6"), Rule("C2"), Flaw("S11"), Row(33), Row(37)]
    |stage| {
        let (os, this) = (stage.wanted.os.clone(), only(&[stage.machine().id()]));
        let near = stage.people().wants("near", &os, this);
        let near = stage.people().policy_says(near)?;
        let end = stage.people().end(Kind::OsUpdatePolicy, "near")?;
        let (stop, halt) = stage.people().halt("stop")?;
        stage.tell([near, end, halt].concat()).await?;
        let whole = stage.floors()?.whole().count();
        ensure!(whole >= 2, "the halt is not whole in the floors");
        stage.fleet.machines[0].stop()?;
        std::fs::remove_dir_all(stage.machine().data().join("store"))?;
        stage.fleet.switch_on(0).await?;
        stage.is_held_by(Gate::Halted, "halted", "halt stop").await?;
        ensure!(stage.floors()?.whole().count() >= whole, "the halt is lost");
        let said = stage.people().said();
        let resume = stage.people().resume("go", &[stop])?;
        let order = stage.order("all")?;
        stage.mount([said, resume, order].concat()).await?;
        stage.installs().await
    }
}
