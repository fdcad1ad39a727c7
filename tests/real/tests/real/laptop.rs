//! `daymarkctl` on a laptop of the site's network, under a peer key made for one command.

use anyhow::{Context as _, ensure};
use daymark_node::mesh::{Laptop, LaptopError};
use daymark_protocol::id::KeyId;
use daymark_protocol::resource::Role;
use daymark_protocol::trust::{Context, SigningKey};
use daymark_protocol::wire::{Challenge, JoinMessage};
use daymark_real::{
    ADMIN, BarePeer, Fleet, Machine, PORT, Say as _, WITHIN, Workplace, held_by, until,
};

use crate::{on_fleet, on_prepared_fleet, plan};

#[tokio::test(flavor = "multi_thread")]
async fn a_laptop_reads_and_halts_through_any_machine_by_address_and_by_name() -> anyhow::Result<()>
{
    on_fleet(plan(2), async |fleet| {
        let laptop = Workplace::new(fleet, "laptop", &["harry"])?;
        let taken = laptop.take_fleet(fleet, &fleet.machines[0]).await?;
        ensure!(taken.code == 0, "{taken:?}");
        let peer = Machine::id(&fleet.machines[0]).short();
        ensure!(taken.err.contains("node-1") && taken.err.contains(&peer), "who it is: {taken:?}");
        let hosts = laptop.at(&fleet.machines[1], &["get", "hosts"]).await?;
        ensure!(hosts.code == 0 && hosts.out.contains("node-2"), "{hosts:?}");
        let halted = laptop.at(&fleet.machines[1], &["halt", "--reason", "smoke", "--yes"]).await?;
        ensure!(halted.code == 0, "{halted:?}");
        // It spreads as if it had been handed in at the machine, and there is no member more.
        for machine in &fleet.machines {
            until(&format!("{} is halted", machine.name), WITHIN, async || {
                let held = machine.held_by().await?;
                let halted =
                    held.iter().any(|answer| answer.gate == daymark_protocol::decide::Gate::Halted);
                if halted { Ok(()) } else { Err(format!("{held:?}")) }
            })
            .await?;
        }
        // By then it has reported its addresses.
        let by_name = until("node-1 is found by name", WITHIN, async || {
            let ran = laptop.run(&["sync", "node-1"]).await.map_err(|error| error.to_string())?;
            if ran.code == 0 { Ok(ran) } else { Err(format!("{ran:?}")) }
        })
        .await?;
        ensure!(!by_name.err.contains("Talking with"), "the name was given: {by_name:?}");
        let index = fleet.machines[0].client().replica().await?;
        let members: Vec<KeyId> = fleet.machines.iter().map(Machine::id).collect();
        ensure!(index.reports.keys().all(|host| members.contains(host)), "{:?}", index.reports);
        Ok(())
    })
    .await
}

/// Both follow the fleet through one node, whose power fails meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn watch_and_wait_go_on_over_a_restart_of_their_node() -> anyhow::Result<()> {
    on_fleet(plan(2), async |fleet| {
        let at = format!("{}:{PORT}", fleet.machines[0].place.address);
        let watcher = Workplace::new(fleet, "watcher", &["harry"])?;
        let waiter = Workplace::new(fleet, "waiter", &["harry"])?;
        for laptop in [&watcher, &waiter] {
            let taken = laptop.take_fleet(fleet, &fleet.machines[0]).await?;
            ensure!(taken.code == 0, "{taken:?}");
        }
        fleet.machines[1].stop()?;
        let hold = fleet.administrators.hold("line")?;
        fleet.tell(0, hold).await?;
        let watch = ["watch", "--for", "30s", "--node", &at];
        let wait = ["wait", "hold/line", "--for", "held", "--timeout", "100s", "--node", &at];
        let story = async {
            for (name, laptop) in [("watch", &watcher), ("wait", &waiter)] {
                until(&format!("{name} has asked once"), WITHIN, async || {
                    let held = laptop.run(&["get", "holds"]).await.map_err(|e| e.to_string())?;
                    if held.out.contains("line") { Ok(()) } else { Err(format!("{held:?}")) }
                })
                .await?;
            }
            fleet.machines[0].cut_power()?;
            fleet.machines[0].start()?;
            fleet.machines[1].start()
        };
        let (watched, waited, told) =
            tokio::join!(watcher.run(&watch), waiter.run_within(WITHIN * 2, &wait), story);
        told?;
        let (watched, waited) = (watched?, waited?);
        for ran in [&watched, &waited] {
            ensure!(ran.code == 0 && ran.err.contains("it is asked again"), "{ran:?}");
        }
        ensure!(waited.out.contains("on 2 of 2 hosts"), "{waited:?}");
        ensure!(watched.out.contains("node-1") && watched.out.contains("node-2"), "{watched:?}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_role_view_reads_all_and_hands_nothing_in() -> anyhow::Result<()> {
    on_fleet(plan(1), async |fleet| {
        let machine = &fleet.machines[0];
        let laptop = Workplace::new(fleet, "laptop", &["vera", "harry"])?;
        let view = ["--key", "vera"];
        let pin = fleet.administrators.pin().to_string();
        let at = format!("{}:{PORT}", machine.place.address);
        let taken =
            laptop.run(&["context", "add", "acme", &at, "--fleet", &pin, "--key", "vera"]).await?;
        ensure!(taken.code == 0 && taken.err.contains("reads only"), "{taken:?}");
        let seen = laptop.at(machine, &[&["get", "hosts"][..], &view].concat()).await?;
        ensure!(seen.code == 0 && seen.out.contains("node-1"), "{seen:?}");
        // A halt that its own replica takes, and that a key of another role signed.
        let halt = ["halt", "--reason", "smoke", "--yes", "--key", "harry"];
        let nowhere = ["--node", "/nowhere.sock"];
        let kept = laptop.run(&[&halt[..], &nowhere].concat()).await?;
        ensure!(kept.code == 5 && kept.out.contains("Kept in the replica"), "{kept:?}");
        let refused = laptop.at(machine, &["sync", "--key", "vera"]).await?;
        ensure!(refused.code == 4 && refused.err.contains("`view` reads only"), "{refused:?}");
        let held = fleet.held_by(0).await.map_err(anyhow::Error::msg)?;
        ensure!(held.replica().standing().halts.is_empty(), "the node took it");
        let taken = laptop.at(machine, &["sync", "--key", "harry"]).await?;
        ensure!(taken.code == 0, "{taken:?}");
        let held = fleet.held_by(0).await.map_err(anyhow::Error::msg)?;
        ensure!(!held.replica().standing().halts.is_empty(), "nothing was mounted");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_root_ends_the_visit_of_whose_key_it_takes_out() -> anyhow::Result<()> {
    on_fleet(plan(1), async |fleet| {
        let laptop = Workplace::new(fleet, "laptop", &["harry"])?;
        let taken = laptop.take_fleet(fleet, &fleet.machines[0]).await?;
        ensure!(taken.code == 0, "{taken:?}");
        let (visit, host) = let_in(fleet, "harry").await?;
        drop(visit.open_control().await?);
        let people = &mut fleet.administrators;
        let (old, new) = (people.key("harry").public().id(), people.key("henry").public());
        let id = new.id();
        let next = people.next_root().retire(old, &[]).key(new, "henry");
        let (root, envelope) = people.sign_root(&next.role(Role::Halt, 1, [id]), &ADMIN)?;
        let root = people.follow(root, envelope);
        fleet.tell(0, vec![root]).await?;
        until("the visit is over", WITHIN, async || match visit.open_control().await {
            Err(LaptopError::NotLetIn(_)) => Ok(()),
            other => Err(format!("{:?}", other.map(drop))),
        })
        .await?;
        let peers = fleet.machines[0].status().await.map_err(anyhow::Error::msg)?.peers;
        ensure!(peers.iter().all(|peer| peer.admission != "visitor"), "{peers:?}");
        // Its own replica still thinks that the key is good; the node tells it better.
        let refused = laptop.at(&fleet.machines[0], &["sync"]).await?;
        ensure!(refused.code == 4 && refused.err.contains("root 2"), "{host:?} {refused:?}");
        Ok(())
    })
    .await
}

/// Connects with the first machine as a laptop, and shows somebody's key.
async fn let_in(fleet: &Fleet, holder: &str) -> anyhow::Result<(Laptop, KeyId)> {
    let (laptop, host, challenge) = challenged(&fleet.machines[0], 0x51).await?;
    let key = fleet.administrators.key(holder);
    laptop.say(&proof(fleet, &key, laptop.key(), host, challenge)).await;
    welcomed(&laptop).await?;
    Ok((laptop, host))
}

/// Hears that the laptop is let in. The node closes the connection with which it came as a stranger,
/// which may overtake the welcome: whoever comes back and asks is told once more.
async fn welcomed(laptop: &Laptop) -> anyhow::Result<()> {
    let heard = match answer(laptop).await {
        Err(error) if matches!(error.downcast_ref(), Some(LaptopError::BrokenOff)) => {
            laptop.reconnect().await?;
            laptop.say(&JoinMessage::Visit).await;
            answer(laptop).await?
        }
        heard => heard?,
    };
    ensure!(matches!(heard, JoinMessage::Welcome { .. }), "it is not let in: {heard:?}");
    Ok(())
}

/// A laptop that a machine drew a challenge for.
async fn challenged(machine: &Machine, seed: u8) -> anyhow::Result<(Laptop, KeyId, Challenge)> {
    let laptop = Laptop::start([seed; 32])?;
    let met = laptop.connect(&[format!("{}:{PORT}", machine.place.address)], None).await?;
    laptop.say(&JoinMessage::Visit).await;
    let heard = answer(&laptop).await?;
    let JoinMessage::Challenge(challenge) = heard else {
        anyhow::bail!("no challenge: {heard:?}");
    };
    Ok((laptop, met.host, challenge))
}

/// What a node says to a laptop, its own questions aside.
async fn answer(laptop: &Laptop) -> anyhow::Result<JoinMessage> {
    loop {
        let heard = laptop.hear().await?;
        if !matches!(heard, JoinMessage::Ask { .. } | JoinMessage::Answer { .. }) {
            return Ok(heard);
        }
    }
}

fn proof(
    fleet: &Fleet,
    by: &SigningKey,
    from: KeyId,
    to: KeyId,
    challenge: Challenge,
) -> JoinMessage {
    let payload = challenge.payload(&fleet.administrators.fleet(), &from, &to);
    JoinMessage::Proof { key: by.public().id(), signature: by.sign(Context::Visit, &payload) }
}

#[tokio::test(flavor = "multi_thread")]
async fn stolen_replayed_and_unasked_proofs_open_nothing_and_guessing_is_dropped()
-> anyhow::Result<()> {
    on_fleet(plan(2), async |fleet| {
        let key = fleet.administrators.key("harry");
        // A right proof, shown to the wrong node, over the wrong connection, and twice.
        let (owner, host, drawn) = challenged(&fleet.machines[0], 0x61).await?;
        let right = proof(fleet, &key, owner.key(), host, drawn);
        for (number, machine) in (0x71..).zip(&fleet.machines) {
            let (thief, _, _) = challenged(machine, number).await?;
            thief.say(&right).await;
            let heard = answer(&thief).await?;
            ensure!(matches!(heard, JoinMessage::TurnedAway { .. }), "{heard:?}");
            let opened = thief.open_control().await;
            ensure!(matches!(opened, Err(LaptopError::NotLetIn(_))), "a thief is let in");
        }
        owner.say(&right).await;
        welcomed(&owner).await?;
        // Under the same peer key, after the connection closed, with no challenge drawn.
        owner.reconnect().await?;
        owner.say(&right).await;
        let heard = answer(&owner).await?;
        ensure!(matches!(heard, JoinMessage::TurnedAway { .. }), "{heard:?}");

        let (guesser, host, _) = challenged(&fleet.machines[1], 0x81).await?;
        let unknown = SigningKey::from_seed([0x99; 32]);
        for _ in 0..4 {
            guesser.say(&proof(fleet, &unknown, guesser.key(), host, Challenge([1; 32]))).await;
        }
        let shown = until("the guesser is dropped", WITHIN, async || {
            let peers = fleet.machines[1].client().peers().await.map_err(|e| e.to_string())?;
            let shown = peers.iter().find(|peer| peer.host == guesser.key()).cloned();
            shown.filter(|peer| peer.dropped_until.is_some()).ok_or_else(|| format!("{peers:?}"))
        })
        .await?;
        ensure!(shown.faults.get("wrongProof") == Some(&4), "{shown:?}");
        let laptop = Workplace::new(fleet, "laptop", &["harry"])?;
        let taken = laptop.take_fleet(fleet, &fleet.machines[1]).await?;
        ensure!(taken.code == 0, "others are served all the while: {taken:?}");
        let table = laptop.at(&fleet.machines[1], &["get", "peers", "-o", "json"]).await?;
        ensure!(
            table.out.contains("wrongProof") && table.out.contains("droppedUntil"),
            "{table:?}"
        );
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_shown_to_a_machine_that_is_not_of_the_fleet() -> anyhow::Result<()> {
    on_prepared_fleet(plan(1), async |fleet| {
        fleet.switch_on(0).await?;
        let laptop = Workplace::new(fleet, "laptop", &["harry"])?;
        let taken = laptop.take_fleet(fleet, &fleet.machines[0]).await?;
        ensure!(taken.code == 0, "{taken:?}");
        // A machine that took the fleet, and that nobody enrolled, where the laptop is told to go.
        let mut stranger = fleet.stranger("impostor").await?;
        stranger.start()?;
        until("the impostor answers", WITHIN, async || stranger.status().await.map(drop)).await?;
        let (pin, items) = (fleet.administrators.pin(), fleet.administrators.roots());
        stranger.client().join(&daymark_protocol::control::Join { pin, items }).await?;
        let nowhere = ["--node", "/nowhere.sock"];
        let halt = ["halt", "--reason", "secret", "--yes"];
        let kept = laptop.run(&[&halt[..], &nowhere].concat()).await?;
        ensure!(kept.out.contains("Kept in the replica"), "{kept:?}");
        let refused = laptop.at(&stranger, &["sync"]).await?;
        ensure!(refused.code == 4, "{refused:?}");
        ensure!(refused.err.contains("nothing was shown to it"), "{refused:?}");
        let learnt = held_by(&stranger.client(), pin).await?;
        for (_, held) in learnt.replica().statements() {
            let kinds = held.statement.payload().resources.iter().map(|one| one.kind.as_str());
            let kinds: Vec<&str> = kinds.collect();
            ensure!(kinds == ["Host"], "beside what members say to strangers: {kinds:?}");
        }
        // A peer that answers nothing is no member that could be waited for without end.
        stranger.stop()?;
        let silent = BarePeer::start(&stranger, &[], Vec::new()).await?;
        let ran = laptop.at(&stranger, &["sync"]).await?;
        ensure!(ran.code == 5 && ran.err.contains("broke off"), "{ran:?}");
        silent.stop().await;
        fleet.machines.first().context("no machine").map(drop)
    })
    .await
}
