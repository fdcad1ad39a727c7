//! Real `daymark-node` processes on loopback, each with its own folder and address.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use daymark_node::control::Client;

/// A machine: its folder, and its process while it runs.
pub(crate) struct Machine {
    pub(crate) folder: PathBuf,
    address: String,
    /// Variables of the environment.
    pub(crate) variables: Vec<(&'static str, String)>,
    child: Option<Child>,
}

impl Machine {
    /// A machine below `folder` that will listen on `address`.
    pub(crate) fn new(folder: &Path, name: &str, address: &str) -> Self {
        let folder = folder.join(name);
        std::fs::create_dir(&folder).unwrap();
        Self { folder, address: address.to_owned(), variables: Vec::new(), child: None }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The command with this machine's places, and an environment that nobody else set.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_daymark-node"));
        command
            .env_clear()
            .envs(self.variables.iter().cloned())
            .arg("--data-dir")
            .arg(self.path("data"));
        command.arg("--socket").arg(self.path("sock")).args(words);
        command
    }

    pub(crate) fn execute(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }

    /// Starts the agent; `peer` is an address to dial.
    pub(crate) async fn start(&mut self, peer: &str) {
        let listen = format!("network.listen={}", self.address);
        let peers = format!("network.peers={peer}");
        let words = ["--set", &listen, "--set", &peers, "--set", "network.mdns=false"];
        let words = [&words[..], &["--set", "clock=rtc", "run"]].concat();
        let log = std::fs::File::create(self.path("log")).unwrap();
        let child = self.command(&words).stderr(log).stdout(Stdio::null()).spawn().unwrap();
        self.child = Some(child);
        while self.client().status().await.is_err() {
            let ended = self.child.as_mut().unwrap().try_wait().unwrap();
            let log = std::fs::read_to_string(self.path("log")).unwrap();
            assert!(ended.is_none(), "the agent ended: {log}");
            pause().await;
        }
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(&self.path("sock"))
    }

    /// Waits until the agent ends by itself, and returns its exit status and log.
    pub(crate) fn ended(&mut self) -> (Option<i32>, String) {
        let status = self.child.take().unwrap().wait().unwrap();
        (status.code(), std::fs::read_to_string(self.path("log")).unwrap())
    }

    /// Asks the agent to end and returns its exit status.
    pub(crate) fn stop(&mut self) -> Option<i32> {
        let mut child = self.child.take().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let pid = rustix::process::Pid::from_raw(pid).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        child.wait().unwrap().code()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Between two looks at something that takes its time; the test runner bounds the whole.
pub(crate) async fn pause() {
    tokio::time::sleep(Duration::from_millis(50)).await;
}
