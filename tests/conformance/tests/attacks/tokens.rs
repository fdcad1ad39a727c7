//! Tokens: who comes in by one, as what, and who does not (RULES S9).

use anyhow::ensure;
use daymark_protocol::control::{Bytes, Submitted};
use daymark_protocol::decide::Gate;
use daymark_protocol::document::{signature_entry, statement_entry};
use daymark_protocol::id::ResourceId;
use daymark_protocol::resource::{HostSpec, Kind, Role, Scope, Spec, TokenSpec};
use daymark_protocol::time::WallTime;
use daymark_protocol::trust::{
    Context, Delegation, Draft, ResourceDraft, RoleKeys, SigningKey, Statement, join_by_token,
    named_id,
};
use daymark_real::{ADMIN, OFFICE, now, until};

use super::admission::{a_peer, is_called};
use super::case::cases;
use super::stage::Stage;
use super::within;

/// Whoever has the token's key.
const TESS: &str = "tess";
const DAY_MS: i64 = 86_400_000;

/// A token for machines of a site with the label `line=3`.
fn token(stage: &mut Stage, site: &str, uses: u32) -> TokenSpec {
    TokenSpec {
        name: "line 3".into(),
        public_key: stage.people().key(TESS).public().to_string(),
        site: Some(stage.people().id(Kind::Site, site)),
        labels: [("line".to_owned(), "3".to_owned())].into(),
        uses,
    }
}

/// A token said by somebody, until a day from now.
fn issue(
    stage: &mut Stage,
    token: &TokenSpec,
    scope: Scope,
    by: &[&str],
    until: WallTime,
) -> anyhow::Result<Vec<Submitted>> {
    let fleet = stage.people().fleet();
    let id = named_id(Kind::Token, &fleet, &scope, &token.name);
    let version = stage.people().next_version(Kind::Token, &id);
    let resource = ResourceDraft::new(id, version, &Spec::Token(token.clone()));
    let draft = Draft::new(fleet, scope, now().plus_ms(-60_000)).until(until).resource(resource);
    Ok(stage.people().say(&draft, by)?.1)
}

/// A token of the whole fleet's office, for a day.
fn by_the_office(stage: &mut Stage, token: &TokenSpec) -> anyhow::Result<Vec<Submitted>> {
    issue(stage, token, Scope::Fleet, &OFFICE, now().plus_ms(DAY_MS))
}

/// A statement with its signatures by these keys.
fn entries(statement: &Statement, signers: &[&SigningKey]) -> Vec<Submitted> {
    let digest = statement.digest();
    let signatures = signers.iter().map(|key| {
        let signature = key.sign(Context::Statement, statement.bytes());
        signature_entry(&digest, &key.public().id(), &signature)
    });
    let entries = std::iter::once(statement_entry(statement.bytes())).chain(signatures);
    entries.map(|bytes| Submitted::Entry(Bytes(bytes))).collect()
}

/// A machine's membership by a token, as `daymark-node join --token` writes it.
fn joins(
    stage: &mut Stage,
    token: &TokenSpec,
    name: &str,
    machine: &SigningKey,
) -> anyhow::Result<Vec<Submitted>> {
    let (fleet, tess) = (stage.people().fleet(), stage.people().key(TESS));
    let (statement, _) = join_by_token(fleet, now(), name, token, &tess, machine)?;
    Ok(entries(&statement, &[&tess, machine]))
}

/// A Host of that version, site and label as whoever has token and machine can sign it.
fn host(
    stage: &mut Stage,
    machine: &SigningKey,
    version: u64,
    site: &str,
    line: &str,
) -> anyhow::Result<Statement> {
    let spec = Spec::Host(HostSpec {
        name: "thiefs".into(),
        public_key: machine.public().to_string(),
        labels: [("line".to_owned(), line.to_owned())].into(),
        ..HostSpec::default()
    });
    let (fleet, site) = (stage.people().fleet(), stage.people().id(Kind::Site, site));
    let id = ResourceId::from(machine.public().id());
    let resource = ResourceDraft::new(id, version, &spec).site(Some(site.clone()));
    Ok(Draft::new(fleet, Scope::Site(site), now()).resource(resource).finish()?)
}

/// The machine says that nobody enrolled it.
async fn is_nobody(stage: &Stage) -> anyhow::Result<()> {
    stage.is_held_by(Gate::Enrolled, "not-provisioned", "").await
}

/// Whether the machine raises the alarm of a token that let in too many.
async fn raises_the_alarm(stage: &Stage, joined: usize, uses: u32) -> anyhow::Result<()> {
    let words = (format!("{joined} machines joined by"), format!("which is for {uses}"));
    until("the alarm is raised", within(), async || {
        let problems = stage.machine().status().await?.problems;
        let told = |said: &String| said.contains(&words.0) && said.contains(&words.1);
        if problems.iter().any(told) { Ok(()) } else { Err(format!("{problems:?}")) }
    })
    .await
}

cases! {
    /// Whoever has token and machine signs the second version of a Host: it lets nobody in.
    a_second_version_by_a_token
    [Red(S9FirstVersion), Rule("S9"), Flaw("S2"), Row(24)]
    |stage| {
        let token = token(stage, "north", 2);
        by_the_office(stage, &token)?;
        let own = stage.newcomer().await?;
        let tess = stage.people().key(TESS);
        let second = host(stage, &own, 2, "north", "3")?;
        stage.mount(entries(&second, &[&tess, &own])).await?;
        is_nobody(stage).await?;
        let first = joins(stage, &token, "press-30", &own)?;
        stage.tell(first).await?;
        let order = stage.order("all")?;
        stage.tell(order).await?;
        stage.installs().await
    }

    /// Whoever has the token alone makes a machine up that never asked.
    a_token_without_the_machine
    [Red(S9Own), Rule("S9"), Row(24)]
    |stage| {
        let token = token(stage, "north", 2);
        by_the_office(stage, &token)?;
        let own = stage.newcomer().await?;
        let tess = stage.people().key(TESS);
        let first = host(stage, &own, 1, "north", "3")?;
        stage.mount(entries(&first, &[&tess])).await?;
        is_nobody(stage).await?;
        stage.mount(entries(&first, &[&own])).await?;
        let order = stage.order("all")?;
        stage.tell(order).await?;
        stage.installs().await
    }

    /// By a token for one site and one label, a machine claims another site, and another label.
    a_token_of_another_site
    [Red(S9Fixed), Rule("S9"), Rule("S4"), Flaw("S2")]
    |stage| {
        let token = token(stage, "north", 2);
        by_the_office(stage, &token)?;
        let own = stage.newcomer().await?;
        let tess = stage.people().key(TESS);
        for (site, line) in [("south", "3"), ("north", "1")] {
            let claimed = host(stage, &own, 1, site, line)?;
            stage.mount(entries(&claimed, &[&tess, &own])).await?;
            is_nobody(stage).await?;
        }
        let first = joins(stage, &token, "press-30", &own)?;
        stage.tell(first).await?;
        let order = stage.order("all")?;
        stage.tell(order).await?;
        stage.installs().await
    }

    /// A token for one machine is used by three: an alarm is raised, all of them stay what they are,
    /// and whoever was admitted is.
    more_machines_than_a_token_is_for
    [Red(S9Number), Rule("S9"), Row(24)]
    |stage| {
        let token = token(stage, "north", 1);
        by_the_office(stage, &token)?;
        let own = stage.newcomer().await?;
        let first = joins(stage, &token, "press-30", &own)?;
        stage.tell(first).await?;
        stage.wants_nothing("no-policy").await?;
        let problems = stage.machine().status().await.map_err(anyhow::Error::msg)?.problems;
        ensure!(!problems.iter().any(|said| said.contains("joined by")), "too early: {problems:?}");
        for (number, name) in (0_u8..).zip(["press-31", "press-32"]) {
            let key = SigningKey::from_seed([number + 60; 32]);
            let more = joins(stage, &token, name, &key)?;
            stage.tell(more).await?;
        }
        raises_the_alarm(stage, 3, 1).await?;
        let order = stage.order("all")?;
        stage.tell(order).await?;
        stage.installs().await
    }

    /// Whoever has a token and the disk of a machine that `enroll` admitted says what it is: that
    /// displaces nothing of what `enroll` said.
    a_token_against_who_is_enrolled
    [Red(S9Outranked), Rule("S9"), Flaw("S2")]
    |stage| {
        let token = token(stage, "north", 1);
        let said = by_the_office(stage, &token)?;
        let (own, tess) = (stage.own_key()?, stage.people().key(TESS));
        let claimed = host(stage, &own, 1, "north", "3")?;
        stage.tell(said).await?;
        stage.mount(entries(&claimed, &[&tess, &own])).await?;
        stage.wants_nothing("no-policy").await?;
        let name = stage.machine().status().await.map_err(anyhow::Error::msg)?.name;
        ensure!(name.as_deref() == Some("node-1"), "it is called {name:?}");
        let order = stage.order("all")?;
        stage.tell(order).await?;
        stage.installs().await
    }

    /// A token past its date: who came by it waits until `enroll` countersigns.
    a_token_past_its_date
    [Red(R7End), Rule("S9"), Rule("S6"), Row(6), Tuf("test_delegated_expiration")]
    |stage| {
        let token = token(stage, "north", 1);
        issue(stage, &token, Scope::Fleet, &OFFICE, now().plus_ms(-120_000))?;
        let own = stage.newcomer().await?;
        let first = joins(stage, &token, "press-30", &own)?;
        stage.tell(first).await?;
        let order = stage.order("all")?;
        stage.tell(order).await?;
        stage.is_held_by(Gate::Enrolled, "host-lapsed", "countersigned").await?;
        let enrolled = stage.enroll_by("eve", "press-30", &own.public())?;
        stage.tell(enrolled).await?;
        stage.installs().await
    }

    /// A delegate of another site makes a token for this one; then it is this site's delegate, and
    /// its token lets in whoever has it, though no other than `fleet` is kept before one is in.
    a_delegates_token
    [Red(R7Scope), Rule("S9"), Rule("R7"), Flaw("S2"), Flaw("S4")]
    |stage| {
        let dora = stage.people().key("dora").public();
        let given = |scope: Scope| Delegation {
            role: Role::Enroll,
            speakers: RoleKeys { threshold: 1, keys: [dora.id()].into() },
            scope,
            until: now().plus_ms(1 << 32),
        };
        let [south, north] = ["south", "north"].map(|site| stage.people().id(Kind::Site, site));
        let draft = stage.people().next_root().key(dora.clone(), "dora");
        let draft = draft.delegate("doras", given(Scope::Site(south)));
        let (root, envelope) = stage.people().sign_root(&draft, &ADMIN)?;
        let root = stage.people().follow(root, envelope);
        let own = stage.newcomer().await?;
        stage.tell(vec![root]).await?;
        let token = token(stage, "north", 1);
        let until = now().plus_ms(DAY_MS);
        let said = issue(stage, &token, Scope::Site(north.clone()), &["dora"], until)?;
        stage.tell(said).await?;
        let first = joins(stage, &token, "press-30", &own)?;
        stage.mount(first).await?;
        is_nobody(stage).await?;
        let draft = stage.people().next_root().delegate("doras", given(Scope::Site(north)));
        let (root, envelope) = stage.people().sign_root(&draft, &ADMIN)?;
        let root = stage.people().follow(root, envelope);
        stage.tell(vec![root]).await?;
        stage.wants_nothing("no-policy").await?;
        let order = stage.order("all")?;
        stage.tell(order).await?;
        stage.installs().await
    }

    /// Three machines that one token let in say that it is another month: they are members, and
    /// nobody asks them. Once they are countersigned, they do count.
    provisional_machines_that_outvote_the_clock
    [Red(S9Provisional), Rule("S9"), Rule("K2"), Row(24), Row(30)]
    |stage| {
        let token = token(stage, "north", 3);
        let said = by_the_office(stage, &token)?;
        stage.tell(said).await?;
        let (host, wall) = (stage.machine().id(), now().plus_ms(20 * DAY_MS));
        let mut peers = Vec::new();
        for name in ["press-31", "press-32", "press-33"] {
            let (machine, peer) = a_peer(stage, name, false).await?;
            let key = SigningKey::from_seed(
                daymark_node::durable::HostKeyFile::read(&machine.data())?.seed,
            );
            let first = joins(stage, &token, name, &key)?;
            stage.tell(first).await?;
            is_called(stage, &machine, "member").await?;
            peers.push((machine, peer));
        }
        // A change of admission redials: what was on its way then is lost.
        until("they are answered", within(), async || {
            for (_, peer) in &peers {
                peer.greet(host, 1, wall).await;
                peer.ask(host).await;
            }
            let seen: Vec<u64> = peers.iter().map(|(_, peer)| peer.seen().roots).collect();
            if seen.iter().all(|roots| *roots > 0) { Ok(()) } else { Err(format!("{seen:?}")) }
        })
        .await?;
        let now = stage.machine().status().await.map_err(anyhow::Error::msg)?.now;
        ensure!(now.known, "they were believed: {now:?}");
        stage.wants_nothing("no-policy").await?;
        for (machine, _) in &peers {
            let items = stage.enroll_by("eve", &machine.name, &machine.public_key()?)?;
            stage.tell(items).await?;
        }
        until("they are believed", within(), async || {
            for (_, peer) in &peers {
                peer.greet(host, 1, wall).await;
            }
            let known = stage.machine().status().await?.now.known;
            if known { Err("it still believes its own clock".to_owned()) } else { Ok(()) }
        })
        .await
    }
}
