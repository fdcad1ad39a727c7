//! A network that falls into two halves and heals.

use std::collections::BTreeSet;

use anyhow::ensure;
use daymark_protocol::control::Submitted;
use daymark_protocol::document::DocumentId;
use daymark_protocol::id::Digest;
use daymark_protocol::resource::Spec;
use daymark_real::{
    Fleet, Image, Network, Nginx, PORT, Say as _, WITHIN, all_hold_the_same, everyone, until,
    wanting,
};

use crate::{on_prepared_fleet, plan, skipped};

/// Machines of the first half, and of the second.
const HALVES: [&[usize]; 2] = [&[0, 1], &[2, 3, 4]];

/// Each half gets a release service of its own.
async fn release_services(fleet: &mut Fleet) -> anyhow::Result<Vec<Nginx>> {
    let mut services = Vec::new();
    for (half, host) in [5, 6].into_iter().enumerate() {
        let (namespace, address) = fleet.network()?.hosts()[host].clone();
        let folder = fleet.folder().join(format!("nginx-{half}"));
        let at = (Some(namespace.as_str()), address);
        let allowed = HALVES[half].iter().map(|number| fleet.machines[*number].place.address);
        let allowed: Vec<_> = allowed.collect();
        let nginx = Nginx::start(&folder, &fleet.release(), at, &allowed).await?;
        for number in HALVES[half] {
            let sources = format!("[{:?}]", nginx.url());
            fleet.machines[*number].set("release.sources", &sources)?;
        }
        services.push(nginx);
    }
    Ok(services)
}

/// Everyone is connected to the machines of the own half and to no other.
async fn halves_lost_each_other(fleet: &Fleet) -> anyhow::Result<()> {
    for half in HALVES {
        for number in half {
            let machine = &fleet.machines[*number];
            let others = half.iter().filter(|other| *other != number);
            let own: BTreeSet<_> = others.map(|other| fleet.machines[*other].id()).collect();
            until(&format!("{} sees its own half alone", machine.name), WITHIN, async || {
                let peers = machine.status().await?.peers;
                let seen: BTreeSet<_> = peers.iter().map(|peer| peer.host).collect();
                if seen == own { Ok(()) } else { Err(format!("it sees {seen:?}")) }
            })
            .await?;
        }
    }
    Ok(())
}

/// Publishes an image and orders everyone onto it by a policy of its own, within a window of its
/// own; all is handed to one machine. Returns the hashes of the entries.
async fn order(
    fleet: &mut Fleet,
    at: usize,
    name: &str,
    version: &str,
    priority: i32,
) -> anyhow::Result<Vec<Digest>> {
    let (published, mut items) = fleet.publish(&Image::new(version))?;
    let mut policy = wanting(name, &published.os);
    policy.priority = priority;
    let spec = Spec::OsUpdatePolicy(Box::new(policy));
    let resource = fleet.administrators.resource(name, &spec, Some(everyone()));
    items.extend(fleet.administrators.policy_says(resource)?);
    items.extend(fleet.administrators.window(&format!("{name}-window"), -300, 3600)?);
    let hashes = items.iter().filter_map(|item| match item {
        Submitted::Entry(bytes) => Some(Digest::of(&bytes.0)),
        Submitted::Root(_) | Submitted::Report(_) | Submitted::Blob(_) => None,
    });
    let hashes = hashes.collect();
    fleet.tell(at, items).await?;
    Ok(hashes)
}

/// Everyone holds the same, and the entries are part of it.
async fn all_hold(fleet: &Fleet, entries: &[Digest]) -> anyhow::Result<()> {
    let (documents, heads) = all_hold_the_same(fleet).await?;
    ensure!(heads.len() == fleet.machines.len(), "somebody's reports are missing: {heads:?}");
    ensure!(documents.contains_key(&DocumentId::Fleet), "{documents:?}");
    for number in 0..fleet.machines.len() {
        let held = fleet.held_by(number).await.map_err(anyhow::Error::msg)?;
        ensure!(entries.iter().all(|entry| held.entries().contains(entry)), "node {number}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_heals_and_both_sides_entries_are_everywhere() -> anyhow::Result<()> {
    if let Some(why) = Network::missing() {
        return skipped(why);
    }
    let mut plan = plan(5);
    // Two machines and a release service here, three and another one there.
    plan.network = Some(Network::start(&[0, 0, 1, 1, 1, 0, 1])?);
    on_prepared_fleet(plan, async |fleet| {
        let _services = release_services(fleet).await?;
        fleet.switch_all_on().await?;
        ensure!(fleet.network()?.reaches(0, 4, PORT), "there is no way across before the cut");

        fleet.network()?.cut()?;
        let crossed = fleet.network()?.crossed()?;
        let first = order(fleet, 0, "first", "2.0.0", 0).await?;
        let second = order(fleet, 4, "second", "3.0.0", 10).await?;
        halves_lost_each_other(fleet).await?;
        for (half, version) in HALVES.into_iter().zip(["2.0.0", "3.0.0"]) {
            for number in half {
                fleet.machines[*number].runs(version).await?;
            }
        }
        for number in 0..5 {
            let held = fleet.held_by(number).await.map_err(anyhow::Error::msg)?;
            let in_first = HALVES[0].contains(&number);
            let (own, other) = if in_first { (&first, &second) } else { (&second, &first) };
            ensure!(own.iter().all(|entry| held.entries().contains(entry)), "node {number}");
            ensure!(!other.iter().any(|entry| held.entries().contains(entry)), "node {number}");
        }
        halves_lost_each_other(fleet).await?;
        ensure!(!fleet.network()?.reaches(0, 4, PORT), "there is a way across the cut");
        ensure!(fleet.network()?.reaches(0, 1, PORT), "the first half fell apart");
        ensure!(fleet.network()?.crossed()? == crossed, "packets crossed the cut");

        fleet.network()?.heal()?;
        fleet.sees_each_other().await?;
        ensure!(fleet.network()?.crossed()? > crossed, "no packet crossed after the cut");
        // The other half's policy comes first.
        for number in HALVES[0] {
            fleet.machines[*number].runs("3.0.0").await?;
        }
        all_hold(fleet, &[first, second].concat()).await?;
        let over_there = fleet.run_to("2.0.0", 0, 4).await?;
        ensure!(over_there.status == "UPDATED", "{over_there:?}");
        Ok(())
    })
    .await
}
