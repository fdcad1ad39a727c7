use std::path::PathBuf;
use std::time::Duration;

use super::*;

/// Two slots of 4 KiB on a machine whose last good slot is `a` and which is to try `b`.
struct Machine {
    folder: tempfile::TempDir,
    options: BootOptions,
}

impl Machine {
    fn new(a: &str, b: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for (slot, content) in [("a", a), ("b", b)] {
            std::fs::write(path(slot), content).unwrap();
            let file = std::fs::OpenOptions::new().write(true).open(path(slot)).unwrap();
            file.set_len(4096).unwrap();
        }
        let options = BootOptions {
            switch: path("switch"),
            slots: vec![("a".into(), path("a")), ("b".into(), path("b"))],
            run_folder: path("run"),
            confirm_timeout: Duration::from_secs(60),
            arguments: vec![folder.path().to_string_lossy().into_owned()],
        };
        let machine = Self { folder, options };
        let trial = Some(Trial { slot: "b".into(), tries_left: 1 });
        machine.set(&SwitchRecord { default: "a".into(), trial, ..SwitchRecord::default() });
        machine
    }

    fn set(&self, record: &SwitchRecord) {
        SwitchFile::new(&self.options.switch).write(record).unwrap();
    }

    fn record(&self) -> SwitchRecord {
        SwitchFile::new(&self.options.switch).read().unwrap().unwrap()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    async fn boots(&self) -> (Result<(), BootError>, String) {
        let result = boot(&self.options).await;
        (result, std::fs::read_to_string(self.path("log")).unwrap_or_default())
    }
}

const ENDS_WELL: &str = "#!/bin/sh\necho $DAYMARK_BOOT_SLOT >> $1/log\nexit 0\n";

#[tokio::test]
async fn i5_a_slot_without_an_agent_ends_on_the_old_slot() {
    let machine = Machine::new(ENDS_WELL, "");
    let (result, log) = machine.boots().await;
    result.unwrap();
    assert_eq!(log, "a\n");
    assert_eq!(machine.record().failed.as_deref(), Some("b"));
}

#[tokio::test]
async fn i5_an_agent_that_crashes_ends_on_the_old_slot() {
    let crashes = "#!/bin/sh\necho $DAYMARK_BOOT_SLOT >> $1/log\nkill -SEGV $$\n";
    let (result, log) = Machine::new(ENDS_WELL, crashes).boots().await;
    result.unwrap();
    assert_eq!(log, "b\na\n");
}

#[tokio::test]
async fn i5_an_agent_that_ends_well_but_unconfirmed_ends_on_the_old_slot() {
    let (result, log) = Machine::new(ENDS_WELL, ENDS_WELL).boots().await;
    result.unwrap();
    assert_eq!(log, "b\na\n");
}

#[tokio::test]
async fn i5_an_agent_that_never_confirms_ends_on_the_old_slot() {
    let hangs = "#!/bin/sh\necho $DAYMARK_BOOT_SLOT >> $1/log\nexec sleep 1000\n";
    let mut machine = Machine::new(ENDS_WELL, hangs);
    machine.options.confirm_timeout = Duration::from_millis(300);
    let (result, log) = machine.boots().await;
    result.unwrap();
    assert_eq!(log, "b\na\n");
    assert_eq!(machine.record().trial, None);
}

#[tokio::test]
async fn a_confirmed_agent_stays_over_a_restart_of_the_machine() {
    // Confirms by putting the record in place, then asks for a restart, then ends well.
    let confirms = "#!/bin/sh\necho $DAYMARK_BOOT_SLOT >> $1/log\n\
                    [ -e $1/confirmed ] || exit 0\nmv $1/confirmed $1/switch\nexit 75\n";
    let machine = Machine::new(ENDS_WELL, confirms);
    let confirmed = SwitchRecord { default: "b".into(), boots: 1, ..SwitchRecord::default() };
    SwitchFile::new(&machine.path("confirmed")).write(&confirmed).unwrap();
    let (result, log) = machine.boots().await;
    result.unwrap();
    assert_eq!(log, "b\nb\n");
    assert_eq!((machine.record().boots, machine.record().failed), (2, None));
}

#[tokio::test]
async fn the_try_is_counted_before_the_agent_starts() {
    let looks = "#!/bin/sh\ncp $1/switch $1/seen\nexit 1\n";
    let machine = Machine::new(ENDS_WELL, looks);
    machine.boots().await.0.unwrap();
    let seen = SwitchFile::new(&machine.path("seen")).read().unwrap().unwrap();
    assert_eq!(seen.trial, Some(Trial { slot: "b".into(), tries_left: 0 }));
}

#[tokio::test]
async fn with_nothing_to_boot_it_says_so() {
    let machine = Machine::new("", "");
    let (result, _) = machine.boots().await;
    assert!(matches!(result, Err(BootError::NothingToBoot { slot, .. }) if slot == "a"));
}

#[tokio::test]
async fn a_fresh_machine_starts_its_first_slot() {
    let machine = Machine::new(ENDS_WELL, ENDS_WELL);
    std::fs::remove_file(&machine.options.switch).unwrap();
    let (result, log) = machine.boots().await;
    result.unwrap();
    assert_eq!(log, "a\n");
}
