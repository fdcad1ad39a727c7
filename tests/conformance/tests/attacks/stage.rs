//! Where a case plays: one machine with a real daemon, its fleet, and an image that it would
//! install if only it were ordered to. Everything that is true of every machine is said before
//! the case begins: the site, the machine's enrolment, both images, a window that is open.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use daymark_node::durable::HostKeyFile;
use daymark_protocol::control::{Bytes, Join, SubmitOutcome, Submitted};
use daymark_protocol::decide::{Decision, Gate, Verdict};
use daymark_protocol::document::{Entry, signature_entry, statement_entry};
use daymark_protocol::id::{Digest, ResourceId};
use daymark_protocol::resource::{HostSpec, Kind, Scope, Spec};
use daymark_protocol::trust::{
    Context, Draft, Floor, Floors, Pin, PublicKey, ResourceDraft, SigningKey, Statement,
};
use daymark_real::{
    Administrators, Fleet, Image, Machine, Offices, PORT, Plan, Published, Say as _, everyone, now,
    until,
};

use super::floors::floors_on_disk;
use super::within;

const PROGRAM: &str = env!("CARGO_BIN_EXE_daymark-conformance-node");
/// The parts of a slot, by name.
const PARTS: [&str; 2] = ["agent", "rootfs"];
/// Small images: what is in them does not matter.
const ROOTFS_BYTES: usize = 96 << 10;

/// A machine among its fleet, and what is there to be installed.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) fleet: Fleet,
    /// The image that the fleet would install if it were ordered to.
    pub(super) wanted: Published,
    /// What the machine took the fleet by.
    pub(super) pin: Pin,
    /// Both parts of the inactive slot, before anything happened.
    untouched: Vec<Option<Digest>>,
    /// Whether the machine listens to the network.
    listens: bool,
}

/// What a fleet is like, before it is founded.
#[derive(Debug, Default)]
pub(super) struct Setting {
    /// Who speaks for what, if not as in most cases.
    pub(super) offices: Option<&'static Offices>,
    /// When the machine joins.
    pub(super) joins: Joins,
}

/// When the machine joins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Joins {
    /// Before the story begins, with all roots there are.
    #[default]
    Before,
    /// In the course of the story.
    Within,
}

impl Stage {
    /// A fleet of one machine that is off, and knows nobody.
    pub(super) async fn set(setting: &Setting) -> anyhow::Result<Self> {
        let mut plan = Plan::new(PROGRAM, 1);
        plan.installed = image("1.0.0");
        plan.offices = setting.offices;
        let mut fleet = Fleet::prepare(plan).await?;
        fleet.machines[0].set("network.listen", "[]")?;
        let (wanted, _) = fleet.publish(&image("2.0.0"))?;
        fleet.administrators.window("now", -300, 3600)?;
        let pin = fleet.administrators.pin();
        let mut stage = Self { fleet, wanted, pin, untouched: Vec::new(), listens: false };
        stage.untouched = stage.inactive_slot();
        Ok(stage)
    }

    /// Switches the machine on; it takes the fleet and hears what is true of every machine.
    pub(super) async fn begin(&mut self) -> anyhow::Result<()> {
        self.fleet.switch_on(0).await?;
        self.wants_nothing("no-policy").await
    }

    /// Switches the machine on; it takes the fleet by the newest root, and is shown no other one.
    pub(super) async fn join_with_the_newest_root_only(&mut self) -> anyhow::Result<()> {
        self.pin = self.people().pin();
        let machine = self.fleet.machines.first_mut().context("no machine")?;
        machine.start()?;
        until("it answers", within(), async || machine.status().await).await?;
        let newest = self.fleet.administrators.roots().pop().context("no root")?;
        let join = Join { pin: self.pin, items: vec![newest] };
        Ok(self.machine().client().join(&join).await?)
    }

    /// A machine that nobody enrolled takes the place of the one that is; it took the fleet, and
    /// heard everything that was said. Returns its key.
    pub(super) async fn newcomer(&mut self) -> anyhow::Result<SigningKey> {
        let mut machine = self.fleet.stranger("newcomer").await?;
        machine.set("network.listen", "[]")?;
        self.fleet.machines[0].stop()?;
        self.fleet.machines.insert(0, machine);
        self.untouched = self.inactive_slot();
        self.fleet.switch_on(0).await?;
        self.is_held_by(Gate::Enrolled, "not-provisioned", "").await?;
        self.own_key()
    }

    /// Lets the machine listen to the network, unless it does already.
    pub(super) async fn listen(&mut self) -> anyhow::Result<()> {
        if std::mem::replace(&mut self.listens, true) {
            return Ok(());
        }
        let machine = self.fleet.machines.first_mut().context("no machine")?;
        let address = machine.place.address;
        machine.stop()?;
        machine.set("network.listen", &format!("[\"{address}:{PORT}\"]"))?;
        self.fleet.switch_on(0).await
    }

    /// The machine's own key, as whoever has its disk knows it.
    pub(super) fn own_key(&self) -> anyhow::Result<SigningKey> {
        Ok(SigningKey::from_seed(HostKeyFile::read(&self.machine().data())?.seed))
    }

    /// The machine.
    pub(super) fn machine(&self) -> &Machine {
        &self.fleet.machines[0]
    }

    /// Those who sign.
    pub(super) fn people(&mut self) -> &mut Administrators {
        &mut self.fleet.administrators
    }

    /// Everything that was said so far, as a root's lists name it.
    pub(super) fn statements_said(&self) -> anyhow::Result<BTreeSet<Digest>> {
        let digest = |item: &Submitted| match item {
            Submitted::Entry(Bytes(bytes)) => match Entry::decode(bytes)? {
                Entry::Statement(statement) => Ok(statement.digest()),
                Entry::Signature { statement, .. } => Ok(statement),
            },
            Submitted::Root(_) | Submitted::Report(_) | Submitted::Blob(_) => {
                anyhow::bail!("{item:?} is no entry")
            }
        };
        self.fleet.administrators.said().iter().map(digest).collect()
    }

    /// The signatures of some under a statement, as they are handed in.
    pub(super) fn signatures_of(&mut self, under: &Statement, by: &[&str]) -> Vec<Submitted> {
        let signature = |holder: &&str| {
            let key = self.people().key(holder);
            let signature = key.sign(Context::Statement, under.bytes());
            let entry = signature_entry(&under.digest(), &key.public().id(), &signature);
            Submitted::Entry(Bytes(entry))
        };
        by.iter().map(signature).collect()
    }

    /// A statement of these bytes as it is handed in, without signatures.
    pub(super) fn entry_of(&self, payload: &str) -> Submitted {
        Submitted::Entry(Bytes(statement_entry(payload.as_bytes())))
    }

    /// The next version of a machine's enrolment, by somebody's key.
    pub(super) fn enroll_by(
        &mut self,
        holder: &str,
        name: &str,
        key: &PublicKey,
    ) -> anyhow::Result<Vec<Submitted>> {
        let spec = Spec::Host(HostSpec {
            name: name.to_owned(),
            public_key: key.to_string(),
            ..HostSpec::default()
        });
        let (fleet, site) = (self.people().fleet(), self.people().id(Kind::Site, "north"));
        let id = ResourceId::from(key.id());
        let version = self.people().next_version(Kind::Host, &id);
        let host = ResourceDraft::new(id, version, &spec).site(Some(site.clone()));
        let draft = Draft::new(fleet, Scope::Site(site), now()).resource(host);
        Ok(self.people().say(&draft, &[holder])?.1)
    }

    /// The items that were said last.
    pub(super) fn last_said(&self, count: usize) -> Vec<Submitted> {
        let said = self.fleet.administrators.said();
        said[said.len().saturating_sub(count)..].to_vec()
    }

    /// The order that the machine would follow: the wanted image for everyone, by enough keys.
    pub(super) fn order(&mut self, name: &str) -> anyhow::Result<Vec<Submitted>> {
        let os = self.wanted.os.clone();
        self.people().policy(name, &os, everyone())
    }

    /// Hands items to the daemon, and returns what became of each: the proof that they reached it.
    pub(super) async fn mount(&self, items: Vec<Submitted>) -> anyhow::Result<Vec<SubmitOutcome>> {
        let count = items.len();
        let outcomes = self.machine().client().submit(items).await?.outcomes;
        ensure!(count > 0 && outcomes.len() == count, "{} of {count} answered", outcomes.len());
        Ok(outcomes)
    }

    /// Hands items to the daemon that it takes, each.
    pub(super) async fn tell(&self, items: Vec<Submitted>) -> anyhow::Result<()> {
        self.become_of("taken", "", items).await
    }

    /// Hands items to the daemon, each of which it refuses for good with this in its words.
    pub(super) async fn refuses(&self, items: Vec<Submitted>, why: &str) -> anyhow::Result<()> {
        self.become_of("refused", why, items).await
    }

    /// Hands items to the daemon, each of which it holds in memory with this in its words.
    pub(super) async fn holds(&self, items: Vec<Submitted>, why: &str) -> anyhow::Result<()> {
        self.become_of("held", why, items).await
    }

    /// Hands items to the daemon, each of which it does not keep, with this in its words.
    pub(super) async fn drops(&self, items: Vec<Submitted>, why: &str) -> anyhow::Result<()> {
        self.become_of("not kept", why, items).await
    }

    async fn become_of(&self, what: &str, why: &str, items: Vec<Submitted>) -> anyhow::Result<()> {
        let outcomes = self.mount(items).await?;
        let fits = |outcome: &SubmitOutcome| {
            let (became, said) = told(outcome);
            became == what && said.contains(why)
        };
        ensure!(outcomes.iter().all(fits), "not {what} with {why:?}: {outcomes:?}");
        Ok(())
    }

    /// The machine wants nothing, for this reason, and its slot is as it was.
    pub(super) async fn wants_nothing(&self, reason: &str) -> anyhow::Result<()> {
        let decision = self.decision(reason).await?;
        ensure!(decision.verdict == Verdict::Nothing, "it wants {:?}", decision.target);
        self.is_untouched()
    }

    /// A gate holds the machine back with this word and these words, and its slot is as it was.
    pub(super) async fn is_held_by(
        &self,
        gate: Gate,
        reason: &str,
        words: &str,
    ) -> anyhow::Result<()> {
        let answer = until("the gate holds it back", within(), async || {
            let gates = self.machine().decision().await?.decision.gates;
            let ours = gates.iter().find(|one| one.gate == gate && !one.pass);
            ours.filter(|one| one.reason == reason).cloned().ok_or_else(|| format!("{gates:?}"))
        })
        .await?;
        let facts: String = answer.evidence.iter().map(|fact| format!("\n{fact:?}")).collect();
        let said = format!("{}{facts}", answer.message);
        ensure!(said.contains(words), "it does not say {words:?}: {said}");
        self.is_untouched()
    }

    async fn decision(&self, reason: &str) -> anyhow::Result<Decision> {
        until(&format!("the verdict's reason is {reason}"), within(), async || {
            let decision = self.machine().decision().await?.decision;
            if decision.reason == reason { Ok(decision) } else { Err(format!("{decision:?}")) }
        })
        .await
    }

    /// Nothing reached the inactive slot, and no attempt was begun.
    pub(super) fn is_untouched(&self) -> anyhow::Result<()> {
        ensure!(self.inactive_slot() == self.untouched, "bytes reached the slot");
        let attempt = self.machine().durable()?.attempt;
        ensure!(attempt == 0, "attempt {attempt} was begun");
        Ok(())
    }

    /// The wanted image reaches the inactive slot, byte for byte as signed: the control, without
    /// which a case would also pass on a machine that never installs anything.
    pub(super) async fn installs(&self) -> anyhow::Result<()> {
        self.installs_within(within()).await
    }

    /// As [`Self::installs`], within that time.
    pub(super) async fn installs_within(&self, within: Duration) -> anyhow::Result<()> {
        let signed = self.signed();
        ensure!(signed.iter().all(Option::is_some), "the profile does not sign for its parts");
        until("the wanted image is in the slot", within, async || {
            if self.inactive_slot() == signed {
                return Ok(());
            }
            Err(format!("{:?}", self.machine().decision().await?.decision))
        })
        .await
    }

    /// The inactive slot does not hold the wanted image, and nothing calls it staged.
    pub(super) async fn is_not_staged(&self) -> anyhow::Result<()> {
        let status = self.machine().status().await.map_err(anyhow::Error::msg)?;
        ensure!(["idle", "staging"].contains(&status.update.as_str()), "it is {}", status.update);
        ensure!(self.inactive_slot() != self.signed(), "the image is in the slot");
        Ok(())
    }

    /// Switches the machine off and on.
    pub(super) async fn restart(&mut self) -> anyhow::Result<()> {
        self.fleet.machines[0].stop()?;
        self.fleet.switch_on(0).await
    }

    /// How many entries the daemon holds, in all documents.
    pub(super) async fn entries_held(&self) -> anyhow::Result<usize> {
        let index = self.machine().client().replica().await?;
        Ok(index.entries.values().map(Vec::len).sum())
    }

    /// What both parts of a slot are that holds the wanted image.
    fn signed(&self) -> Vec<Option<Digest>> {
        let parts = &self.wanted.profile.parts;
        PARTS.iter().map(|part| parts.get(*part).map(|part| part.sha256)).collect()
    }

    fn inactive_slot(&self) -> Vec<Option<Digest>> {
        let digest = |part: &PathBuf| std::fs::read(part).ok().map(|bytes| Digest::of(&bytes));
        PARTS.map(|part| digest(&self.machine().part("b", part))).into()
    }

    /// All floors that are on disk.
    pub(super) fn floors(&self) -> anyhow::Result<Floors> {
        floors_on_disk(&self.machine().data())
    }

    /// The floor of an id that is on disk.
    pub(super) fn floor(&self, kind: Kind, id: &ResourceId) -> anyhow::Result<Option<Floor>> {
        Ok(self.floors()?.get(kind.name(), id).cloned())
    }

    /// The floor of the order of that name is this version, on disk.
    pub(super) fn floor_of_order(
        &mut self,
        name: &str,
        version: Option<u64>,
    ) -> anyhow::Result<()> {
        let id = self.people().id(Kind::OsUpdatePolicy, name);
        let floor = self.floor(Kind::OsUpdatePolicy, &id)?.map(|floor| floor.version);
        ensure!(floor == version, "the floor of {name} is {floor:?} instead of {version:?}");
        Ok(())
    }

    /// The floor of roots is this version, on disk.
    pub(super) fn floor_of_roots(&self, version: u64) -> anyhow::Result<()> {
        let floor = self.machine().durable()?.root_floor;
        ensure!(floor == version, "the floor of roots is {floor} instead of {version}");
        Ok(())
    }
}

fn told(outcome: &SubmitOutcome) -> (&str, &str) {
    match outcome {
        SubmitOutcome::New | SubmitOutcome::Known => ("taken", ""),
        SubmitOutcome::Held(why) => ("held", why),
        SubmitOutcome::NotKept(why) => ("not kept", why),
        SubmitOutcome::Refused(why) => ("refused", why),
    }
}

fn image(version: &str) -> Image {
    Image::new(version).rootfs(ROOTFS_BYTES, 0)
}

/// Plays a story on a machine that is on, and shows its log if it ends badly.
pub(super) async fn play(
    setting: Setting,
    story: impl AsyncFnOnce(&mut Stage) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut stage = Stage::set(&setting).await?;
    let begun = match setting.joins {
        Joins::Before => stage.begin().await,
        Joins::Within => Ok(()),
    };
    let told = match begun {
        Ok(()) => story(&mut stage).await,
        Err(error) => Err(error),
    };
    if told.is_err() {
        stage.fleet.print_logs();
    }
    told
}
