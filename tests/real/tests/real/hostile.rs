//! Members that lie.

use anyhow::{Context as _, ensure};
use daymark_core::effect::Admission;
use daymark_real::{BarePeer, Image, WITHIN, until};

use crate::{on_prepared_fleet, plan};

#[tokio::test(flavor = "multi_thread")]
async fn wrong_chunks_of_a_member_are_refused_and_it_is_blamed_by_name() -> anyhow::Result<()> {
    on_prepared_fleet(plan(2), async |fleet| {
        // The liar has the image, and the release service answers nobody.
        let (published, _) = fleet.order(&Image::new("2.0.0"))?;
        let (fetches, liar) = (fleet.machines[0].id(), fleet.machines[1].id());
        fleet.machines[1].install(&fleet.release(), &published).await?;
        fleet.origin.answer_only(&[]);
        fleet.switch_on(0).await?;
        // Now that it knows its site it keeps who else is there, which the liar does not tell it.
        fleet.tell(0, fleet.administrators.said()).await?;
        let peer = BarePeer::start(&fleet.machines[1], &[fetches], Vec::new()).await?;
        let member = Some(&Admission::Member);
        until("the liar is answered as a member", WITHIN, async || {
            peer.ask(fetches).await;
            let seen = peer.seen();
            let connected = seen.connected.get(&fetches) == member && seen.syncs > 0;
            if connected { Ok(()) } else { Err(format!("{seen:?}")) }
        })
        .await?;

        let machine = &fleet.machines[0];
        let status = until("the liar is blamed", WITHIN, async || {
            let status = machine.status().await?;
            let blamed = status
                .problems
                .iter()
                .any(|problem| problem.contains("node-2") && problem.contains("wrong"));
            if blamed { Ok(status) } else { Err(format!("{:?}", status.problems)) }
        })
        .await?;
        let attempt = status.attempt.context("no attempt")?;
        ensure!(attempt.refused.keys().eq([&liar]) && attempt.refused_from_origin == 0);
        // The index is signed for by its digest, and right; of chunks there are the own slots' only.
        let index: Vec<u64> = published.profile.index_bytes.into_iter().collect();
        ensure!(attempt.peer_bytes.values().eq(&index) && attempt.origin_bytes == 0, "{attempt:?}");
        ensure!(attempt.verified_bytes == attempt.own_bytes, "{attempt:?}");
        let sent = peer.seen().damaged;
        ensure!(sent >= attempt.refused[&liar] && sent > 0, "the liar sent {sent} chunks");
        let shown = machine.node(&["status"]).await?;
        let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
        ensure!(shown.contains("node-2") && shown.contains("wrong"), "{shown}");
        ensure!(machine.log_text().contains("wrong bytes"), "the log says nothing");

        fleet.origin.answer_only(&["node-1"]);
        machine.runs("2.0.0").await?;
        let run = fleet.run_to("2.0.0", 0, 0).await?;
        ensure!(run.status == "UPDATED" && run.attempt == Some(1), "{run:?}");
        ensure!(index.contains(&run.bytes.peers) && run.bytes.origin > 0, "{:?}", run.bytes);
        ensure!(peer.seen().damaged == sent, "the liar was asked again");
        peer.stop().await;
        Ok(())
    })
    .await
}
