//! What counts: fallen, conflicting and lost versions, halts, floors (RULES C1 to C6).

use daymark_protocol::decide::Gate;
use daymark_protocol::resource::{Kind, Spec};
use daymark_protocol::trust::ResourceDraft;
use daymark_real::{Say as _, everyone, wanting};

use super::case::cases;

cases! {
    /// An order is ended; then its first version comes back, also on an empty store.
    an_older_version_comes_back
    [Red(C2Lost), Red(C6Floors), Rule("C6"), Row(5), Row(6), Flaw("S11"), Tuf("test_targets_rollback")]
    |stage| {
        let first = stage.order("all")?;
        let end = stage.people().end(Kind::OsUpdatePolicy, "all")?;
        stage.tell([first, end.clone()].concat()).await?;
        stage.wants_nothing("no-policy").await?;
        stage.floor_of_order("all", Some(2))?;
        stage.fleet.machines[0].stop()?;
        std::fs::remove_dir_all(stage.machine().data().join("store"))?;
        stage.fleet.switch_on(0).await?;
        let before = stage.people().said().into_iter().filter(|item| !end.contains(item)).collect();
        stage.mount(before).await?;
        stage.is_held_by(Gate::Policy, "policy-unknown", "version 2 counted here").await?;
        stage.floor_of_order("all", Some(2))?;
        stage.tell(end).await?;
        stage.wants_nothing("no-policy").await?;
        let third = stage.order("all")?;
        stage.tell(third).await?;
        stage.installs().await?;
        stage.floor_of_order("all", Some(3))
    }

    /// Two laptops, or a thief, sign different things under one version.
    two_orders_of_one_version
    [Red(C2Conflict), Rule("C2"), Row(13), Flaw("S7"), Flaw("B4")]
    |stage| {
        let [wanted, installed] = [&stage.wanted, &stage.fleet.installed].map(|it| it.os.clone());
        let order = stage.people().wants("all", &wanted, everyone());
        let other = Spec::OsUpdatePolicy(Box::new(wanting("all", &installed)));
        let id = stage.people().id(Kind::OsUpdatePolicy, "all");
        let other = ResourceDraft::new(id, 1, &other).target(everyone());
        let both = [stage.people().policy_says(order)?, stage.people().policy_says(other)?];
        stage.tell(both.concat()).await?;
        stage.is_held_by(Gate::Policy, "policy-unknown", "two different statements share version 1").await?;
        let order = stage.order("all")?;
        stage.tell(order).await?;
        stage.installs().await?;
        stage.floor_of_order("all", Some(2))
    }

    /// One key halts; neither the order nor one key of two lifts it, the threshold does.
    a_halt_by_one_key
    [Red(C4Halts), Rule("C4"), Row(9), Flaw("B4")]
    |stage| {
        let (halt, items) = stage.people().halt("stop")?;
        stage.tell(items).await?;
        let order = stage.order("all")?;
        stage.tell(order).await?;
        stage.is_held_by(Gate::Halted, "halted", "halt stop").await?;
        let resume = stage.people().resume("go", &[halt])?;
        stage.mount(resume[..2].to_vec()).await?;
        stage.is_held_by(Gate::Halted, "halted", "halt stop").await?;
        let whole = stage.floors()?.whole().count();
        anyhow::ensure!(whole >= 2, "the floors hold {whole} entries whole, not the halt");
        stage.tell(resume[2..].to_vec()).await?;
        stage.installs().await
    }
}
