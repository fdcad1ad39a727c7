//! What the benchmarks share: fleets of any size, hosts that report, and how figures are printed.
//! It measures nothing by itself.

pub mod fleet;

use std::time::{Duration, Instant};

use daymark_core::event::Carried;
use daymark_protocol::decide::{
    Activity, Installed, InstalledSource, Machine, PlatformKind, Reach, World, decide,
};
use daymark_protocol::document::{Facts, ReportWriter, UpdateRun, UpdateStatus};
use daymark_protocol::id::FleetId;
use daymark_protocol::resource::OsType;
use daymark_protocol::time::{Now, WallTime};
use daymark_protocol::trust::{Floors, RootChain, SigningKey, Standing};

use self::fleet::Fleet;

/// When everything here happens: 2026-06-16T02:30:00Z.
pub fn now() -> WallTime {
    WallTime::from_seconds(1_781_577_000)
}

/// The site of all hosts.
pub const SITE: &str = "berlin";

/// A fleet of one site with its Host statements.
#[derive(Debug)]
pub struct Enrolled {
    /// The administrators.
    pub fleet: Fleet,
    /// The hosts' keys.
    pub hosts: Vec<SigningKey>,
    /// Statements and signatures, each pair together, as they are stored and sent.
    pub entries: Vec<Vec<u8>>,
}

impl Enrolled {
    /// A fleet of `count` hosts.
    pub fn new(count: u32) -> Self {
        let fleet = Fleet::new(now());
        let mut items = fleet.create_site(SITE);
        let hosts: Vec<SigningKey> = (0..count)
            .map(|number| {
                let mut seed = [7; 32];
                seed[..4].copy_from_slice(&number.to_be_bytes());
                SigningKey::from_seed(seed)
            })
            .collect();
        for (number, host) in hosts.iter().enumerate() {
            items.extend(fleet.enroll(&format!("press-{number:05}"), &host.public(), SITE));
        }
        Self { fleet, hosts, entries: items.into_iter().map(bytes_of).collect() }
    }

    /// The fleet's id.
    pub fn id(&self) -> FleetId {
        FleetId(self.fleet.pin().digest.0)
    }

    /// The roots, taken.
    pub fn chain(&self) -> RootChain {
        let mut chain = RootChain::new(self.fleet.pin());
        chain.accept(&bytes_of(self.fleet.root())).expect("the fleet's own root is accepted");
        chain
    }

    /// An empty replica of all sites.
    pub fn replica(&self) -> daymark_protocol::document::Replica {
        let interest = daymark_protocol::document::Interest::default();
        daymark_protocol::document::Replica::new(self.chain(), Floors::default(), interest)
    }

    /// The first `count` reports of a host that updates itself now and then.
    pub fn reports(&self, host: &SigningKey, count: u64) -> Vec<Vec<u8>> {
        let mut writer = ReportWriter::new(self.id(), host.public().id(), 1, None);
        let mut reports = Vec::new();
        let mut step = 0;
        while (reports.len() as u64) < count {
            let written = writer.write(host, &facts(host, step)).expect("the facts fit reports");
            reports.extend(written.reports.iter().map(|report| report.bytes().to_vec()));
            step += 1;
        }
        reports.truncate(usize::try_from(count).unwrap_or(usize::MAX));
        reports
    }
}

/// The bytes of what is handed in.
pub fn bytes_of(item: Carried) -> Vec<u8> {
    match item {
        Carried::Root(bytes)
        | Carried::Entry(bytes)
        | Carried::Report(bytes)
        | Carried::Blob(bytes) => bytes,
    }
}

/// What a host says of itself at a step of its life; three steps make an update.
fn facts(host: &SigningKey, step: u64) -> Facts {
    let at = now().plus_ms(i64::try_from(step).unwrap_or(0) * 60_000);
    let (update, phase) = (step / 3, step % 3);
    let machine = machine("microvisor-nonrt", &format!("3.0.{update}"));
    let mut facts = Facts::default();
    facts.set_machine(&machine);
    facts.set_update_status(&UpdateStatus {
        status: ["Up to date", "Downloading", "Installing"][usize::try_from(phase).unwrap_or(0)]
            .into(),
        indicator: "STATUS_INDICATION_IN_PROGRESS".into(),
        time: Some(at),
        available: Some(format!("3.0.{}", update + 1)),
    });
    for number in 0..=update {
        facts.set_run(&UpdateRun {
            name: format!("run-{number}"),
            status: "UPDATE_STATUS_UPDATED".into(),
            from: Some(format!("3.0.{number}")),
            to: Some(format!("3.0.{}", number + 1)),
            attempt: Some(number + 1),
            start: Some(now()),
            end: (number < update).then_some(now()),
            ..UpdateRun::default()
        });
    }
    let reach = Reach::new(&Standing::default(), host.public().id());
    let world = World { reach: &reach, machine: &machine };
    facts.set_decision(&decide(&world, &Now::reading(at, 60_000)));
    facts
}

/// A machine with slots that runs a version of a profile and has nothing to do.
pub fn machine(profile: &str, version: &str) -> Machine {
    Machine {
        os_type: OsType::Immutable,
        platform: PlatformKind::Slots,
        architecture: "x86_64".into(),
        installed: Some(Installed {
            profile: Some(profile.into()),
            version: Some(version.into()),
            index_digest: None,
            image_sha256: None,
            source: InstalledSource::Slot,
        }),
        staged: None,
        quarantine: Vec::new(),
        inhibitors: Vec::new(),
        other_updaters: Vec::new(),
        activation_ms: None,
        activity: Activity::Idle,
        slot_busy: None,
    }
}

/// The shortest of three runs, each on a fresh input, and the last result.
pub fn best_of_three<I, T>(
    mut input: impl FnMut() -> I,
    mut run: impl FnMut(I) -> T,
) -> (Duration, T) {
    let mut once = || {
        let input = input();
        let began = Instant::now();
        let result = run(input);
        (began.elapsed(), result)
    };
    let (first, second, (third, result)) = (once().0, once().0, once());
    (first.min(second).min(third), result)
}

/// Prints one figure, its value and what it is held against.
#[allow(clippy::print_stdout, reason = "printing figures is what benchmarks are for")]
pub fn figure(what: &str, value: &str, beside: &str) {
    println!("{what:<58} {value:>16}   {beside}");
}

/// Milliseconds for people.
pub fn ms(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}

/// Megabytes per second for people.
#[allow(clippy::cast_precision_loss, reason = "a figure for people")]
pub fn rate(bytes: u64, time: Duration) -> String {
    format!("{:.0} MB/s", bytes as f64 / 1e6 / time.as_secs_f64())
}

/// How many times as long `time` takes as `other`.
pub fn ratio(time: Duration, other: Duration) -> String {
    format!("{:.2} x", time.as_secs_f64() / other.as_secs_f64())
}
