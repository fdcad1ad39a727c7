//! The demo's administrators: their keys and what they sign. The same code as the commands'.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use daymark_node::control::Client;
use daymark_node::slots::ImageIdentity;
use daymark_protocol::id::KeyId;
use daymark_protocol::resource::{
    HaltSpec, Kind, OsUpdatePolicySpec, ScheduleStatus, Scope, SingleScheduleSpec, SiteSpec, Spec,
    Target,
};
use daymark_protocol::trust::{Pin, Stance};

use crate::change::Change;
use crate::cli::{FleetInitArgs, Format, Global};
use crate::commands::{enroll, fleet, sync, update};
use crate::demo::image::{self, PROFILE, Release};
use crate::exit::Failure;
use crate::home::Home;
use crate::release::{AddProgress, add_image};
use crate::session::Session;
use crate::signing::{self, Signed};
use crate::{names, targets, times};

/// Length of the demo's windows.
const WINDOW_MS: i64 = 600_000;
/// How long before the demo its administrators signed.
const SIGNED_BEFORE_MS: i64 = 120_000;
/// Seconds over which the five start.
const SPREAD_S: u32 = 3;

/// The fleet of the demo.
#[derive(Debug)]
pub(super) struct Fleet {
    home: PathBuf,
    session: Session,
}

/// A published image.
#[derive(Debug)]
pub(super) struct Published {
    /// What was packed, for people.
    pub(super) text: String,
    /// What a factory installs.
    pub(super) identity: ImageIdentity,
    /// Size of the index.
    pub(super) index_bytes: u64,
}

fn plain(failure: Failure) -> anyhow::Error {
    failure.error
}

impl Fleet {
    /// Founds the fleet: alice and bob, policies need both.
    pub(super) fn found(home: &Path) -> anyhow::Result<Self> {
        let global = Global {
            home: Some(home.to_owned()),
            context: None,
            node: None,
            output: Format::Name,
            site: None,
            scope: None,
            labels: Vec::new(),
            dry_run: false,
            yes: true,
            reason: "demo".into(),
            ticket: String::new(),
            keys: Vec::new(),
        };
        let keys = Home::open(&global).map_err(plain)?.keys();
        for name in ["alice", "bob"] {
            keys.create(name, "").map_err(plain)?;
        }
        let args = FleetInitArgs {
            name: "demo".into(),
            members: Vec::new(),
            root: "2-of-2".into(),
            policy: Some("2-of-2".into()),
            release: Some("1-of-2".into()),
            enroll: Some("1-of-2".into()),
            halt: None,
            emergency: None,
            evaluation: true,
            expires_in: "365d".into(),
        };
        fleet::found(&global, &args).map_err(plain)?;
        let mut session = Session::open(global).map_err(plain)?;
        // Administrators sign offline, before they hand anything in; and a machine whose clock
        // nothing vouches for acts a minute late, which nobody wants to watch.
        session.issued = Some(times::now().plus_ms(-SIGNED_BEFORE_MS));
        Ok(Self { home: home.to_owned(), session })
    }

    /// The administrators' folder.
    pub(super) fn home(&self) -> &Path {
        &self.home
    }

    /// The fleet's fingerprint.
    pub(super) fn fingerprint(&self) -> anyhow::Result<String> {
        let root = self.session.root().map_err(plain)?;
        Ok(Pin { version: root.version, digest: root.digest }.to_string())
    }

    fn put(&mut self, spec: Spec, target: Option<Target>) -> anyhow::Result<Change> {
        let fleet = self.session.fleet().map_err(plain)?;
        Change::put(self.session.standing(), &fleet, Scope::Fleet, spec, target, None)
            .map_err(plain)
    }

    /// Signs changes and keeps them in the replica.
    fn sign(&mut self, changes: Vec<Change>) -> anyhow::Result<Signed> {
        let signed = signing::sign(&self.session, changes).map_err(plain)?;
        self.session.take(&signed.items).map_err(plain)?;
        Ok(signed)
    }

    /// Two sites.
    pub(super) fn create_sites(&mut self) -> anyhow::Result<()> {
        for name in ["north", "south"] {
            let site =
                SiteSpec { name: name.into(), zone: Some("UTC".into()), ..SiteSpec::default() };
            let change = self.put(Spec::Site(site), None)?;
            self.sign(vec![change])?;
        }
        Ok(())
    }

    /// Chunks an image into the release folder and signs its profile.
    pub(super) fn publish(&mut self, built: &Release, release: &Path) -> anyhow::Result<Published> {
        let profile = image::profile(&built.version);
        let added = add_image(&built.disk, profile, release, &mut |_: AddProgress| {})?;
        let change = self.put(Spec::OsProfile(Box::new(added.profile.clone())), None)?;
        self.sign(vec![change])?;
        let os =
            update::target_os(self.session.standing(), PROFILE, &built.version).map_err(plain)?;
        let index = added.profile.index_digest.context("the profile names no index")?;
        Ok(Published {
            text: format!(
                "{} in {} chunks, {} packed",
                times::bytes(added.image_bytes),
                added.chunks,
                times::bytes(added.pack_bytes)
            ),
            identity: ImageIdentity {
                profile: os.digest,
                profile_name: PROFILE.into(),
                version: built.version.clone(),
                index,
                parts: added.profile.parts.clone(),
            },
            index_bytes: added.profile.index_bytes.context("the profile names no index size")?,
        })
    }

    /// Enrols one machine.
    pub(super) fn enroll(&mut self, request: &Path, name: &str, site: &str) -> anyhow::Result<()> {
        let site = names::find_site(self.session.standing(), site).map_err(plain)?;
        let change =
            enroll::change(self.session.standing(), request, Some(name), Some(site), &[], None)
                .map_err(plain)?;
        self.sign(vec![change]).map(drop)
    }

    /// Writes everything to a folder, as onto a stick.
    pub(super) fn write_stick(&mut self, folder: &Path) -> anyhow::Result<()> {
        sync::folder(&mut self.session, folder).map(drop).map_err(plain)
    }

    fn policy(&self, name: &str, version: &str) -> anyhow::Result<Spec> {
        let os = update::target_os(self.session.standing(), PROFILE, version).map_err(plain)?;
        Ok(Spec::OsUpdatePolicy(Box::new(OsUpdatePolicySpec {
            spread_seconds: Some(SPREAD_S),
            ..OsUpdatePolicySpec::target(name, os)
        })))
    }

    fn everyone() -> Option<Target> {
        Some(targets::everyone())
    }

    /// A policy for everyone and a window that is open now, handed to one node.
    pub(super) async fn submit_update(
        &mut self,
        version: &str,
        socket: &Path,
    ) -> anyhow::Result<()> {
        let policy = self.policy("demo", version)?;
        let now = times::now();
        let window = Spec::SingleSchedule(SingleScheduleSpec {
            name: format!("demo-{version}"),
            schedule_status: ScheduleStatus::OsUpdate,
            start_seconds: now.plus_ms(-SIGNED_BEFORE_MS).as_seconds(),
            end_seconds: Some(now.plus_ms(WINDOW_MS).as_seconds()),
        });
        let changes =
            vec![self.put(policy, Self::everyone())?, self.put(window, Self::everyone())?];
        self.sign(changes)?;
        let moved = sync::node(&mut self.session, &Client::new(socket)).await.map_err(plain)?;
        let refused = moved.refused.first();
        anyhow::ensure!(refused.is_none(), "the node refused an item: {refused:?}");
        Ok(())
    }

    /// A policy that alice alone signed, handed to one node. Returns what she is told.
    pub(super) async fn submit_half_signed(
        &mut self,
        version: &str,
        socket: &Path,
    ) -> anyhow::Result<String> {
        let spec = self.policy("half-signed", version)?;
        let change = self.put(spec, Self::everyone())?;
        self.session.global.keys = vec!["alice".into()];
        let signed = self.sign(vec![change]);
        self.session.global.keys.clear();
        let signed = signed?;
        sync::hand_in(&Client::new(socket), &signed.items).await.map_err(plain)?;
        let stances = &self.session.replica().judgement().stances;
        let stance = signed.statements.first().and_then(|digest| stances.get(digest));
        match stance {
            Some(Stance::Pending(pending)) => Ok(format!(
                "the policy has {} of {} signatures of the role {}; it changes nothing",
                pending.quorum.have.len(),
                pending.quorum.need,
                pending.role
            )),
            other => anyhow::bail!("a half-signed policy stands as {other:?}"),
        }
    }

    /// Halts everyone, by one key, through one node.
    pub(super) async fn halt(&mut self, socket: &Path) -> anyhow::Result<()> {
        let name = format!("demo-{}", times::now().as_ms());
        let change = self.put(Spec::Halt(HaltSpec { name, policy: None }), Self::everyone())?;
        debug_assert_eq!(change.kind, Kind::Halt);
        self.sign(vec![change])?;
        sync::node(&mut self.session, &Client::new(socket)).await.map(drop).map_err(plain)
    }

    /// Names of the machines by key id.
    pub(super) fn key_names(&self) -> BTreeMap<KeyId, String> {
        names::hosts(self.session.standing())
            .into_iter()
            .map(|(key, _, spec)| (key, spec.name.clone()))
            .collect()
    }
}
