//! nginx as the release service, as an operator has it: static files, ranges, an access log.

use std::fs;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::Context as _;

use crate::wait::{WITHIN, until};

/// Where Debian has it.
const SYSTEM_FOLDERS: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// One line of the access log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logged {
    /// Who asked.
    pub from: Ipv4Addr,
    /// The status of the answer.
    pub status: u16,
    /// Bytes of the answer's body.
    pub bytes: u64,
    /// The `Range` asked for, or `-`.
    pub range: String,
    /// The path asked for.
    pub path: String,
}

/// A running nginx, ended when dropped.
#[derive(Debug)]
pub struct Nginx {
    process: Child,
    folder: PathBuf,
    address: SocketAddrV4,
}

impl Nginx {
    /// Why nginx cannot be used here, if an ordinary user did not install it; root has to.
    pub fn missing() -> Option<&'static str> {
        let there =
            SYSTEM_FOLDERS.split(':').any(|folder| Path::new(folder).join("nginx").exists());
        let root = rustix::process::geteuid().is_root();
        (!there && !root).then_some("nginx is not installed (tests/images/install-tools)")
    }

    /// Serves `release` to `allowed` only, at a free port of an address, in a network namespace or
    /// in this one. `folder` is for its own files and does not exist yet.
    ///
    /// # Errors
    /// If it does not start; `tests/images/install-tools` installs it.
    pub async fn start(
        folder: &Path,
        release: &Path,
        at: (Option<&str>, Ipv4Addr),
        allowed: &[Ipv4Addr],
    ) -> anyhow::Result<Self> {
        fs::create_dir(folder)?;
        let (namespace, ip) = at;
        let port = match namespace {
            Some(_) => 80,
            None => TcpListener::bind((ip, 0))?.local_addr()?.port(),
        };
        let address = SocketAddrV4::new(ip, port);
        fs::write(folder.join("nginx.conf"), configuration(folder, release, address, allowed))?;
        let mut command = match namespace {
            Some(namespace) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", namespace, "nginx"]);
                command
            }
            None => Command::new("nginx"),
        };
        let process = command
            .env("PATH", SYSTEM_FOLDERS)
            .arg("-p")
            .arg(folder)
            .args(["-e", "error.log", "-c"])
            .arg(folder.join("nginx.conf"))
            .stdin(Stdio::null())
            .spawn()
            .context("nginx is needed; tests/images/install-tools installs it")?;
        let mut nginx = Self { process, folder: folder.to_owned(), address };
        until("nginx listens", WITHIN, async || nginx.is_up()).await?;
        Ok(nginx)
    }

    /// It writes the file of its process once it listens.
    fn is_up(&mut self) -> Result<(), String> {
        let log = || fs::read_to_string(self.folder.join("error.log")).unwrap_or_default();
        match self.process.try_wait() {
            Ok(Some(status)) => Err(format!("it ended with {status}: {}", log())),
            Err(error) => Err(error.to_string()),
            Ok(None) if self.folder.join("pid").exists() => Ok(()),
            Ok(None) => Err(log()),
        }
    }

    /// The source for a machine's configuration.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What its access log says.
    ///
    /// # Errors
    /// If the log cannot be read.
    pub fn log(&self) -> anyhow::Result<Vec<Logged>> {
        let text = fs::read_to_string(self.folder.join("access.log"))?;
        text.lines().map(|line| parse(line).with_context(|| format!("logged: {line}"))).collect()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // It is a single process. It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn configuration(folder: &Path, release: &Path, at: SocketAddrV4, allowed: &[Ipv4Addr]) -> String {
    // Root may read the test's folder, the user of Debian's configuration may not.
    let user = if rustix::process::geteuid().is_root() { "user root;\n" } else { "" };
    let places: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|what| format!("{what}_temp_path {};\n", folder.join(what).display()))
        .concat();
    let allow: String = allowed.iter().map(|address| format!("allow {address};\n")).collect();
    let release = release.display();
    format!(
        "{user}daemon off;\nmaster_process off;\npid pid;\nevents {{}}\nhttp {{\n{places}\
         log_format line '$remote_addr $status $body_bytes_sent \"$http_range\" $uri';\n\
         access_log access.log line;\nsendfile on;\n\
         server {{\nlisten {at};\nroot {release};\n{allow}deny all;\n}}\n}}\n"
    )
}

fn parse(line: &str) -> Option<Logged> {
    let (fixed, rest) = line.split_once(" \"")?;
    let (range, path) = rest.split_once("\" ")?;
    let mut words = fixed.split(' ');
    Some(Logged {
        from: words.next()?.parse().ok()?,
        status: words.next()?.parse().ok()?,
        bytes: words.next()?.parse().ok()?,
        range: range.to_owned(),
        path: path.to_owned(),
    })
}
