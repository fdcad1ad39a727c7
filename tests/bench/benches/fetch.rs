//! Publishing a real image and fetching it whole: from one peer over the real mesh, and from nginx,
//! beside `curl` of the same image from the same nginx in the same run. What the nodes fetch is
//! verified and written to a slot; curl only writes a file. Budget: 1.25 x curl over HTTPS.
//!
//! The image: `DAYMARK_BENCH_IMAGE`, or `new.img` of the pair that `tests/images/make-pair` keeps.
//! Needs nginx, curl and openssl (`tests/images/install-tools`); zstd is compared with if present.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use daymark_bench::{figure, rate, ratio};
use daymark_core::effect::Admission;
use daymark_core::event::StageProgress;
use daymark_node::mesh::{self, MeshConfig, MeshEvent, MeshHandle, PeerStream};
use daymark_node::slots::{BootState, ImageIdentity, SlotLayout, Slots};
use daymark_node::transfer::{
    ChunkServer, NoPeers, PeerStreams, ReleaseSource, StageRequest, StageSettings, StageSources,
    stage,
};
use daymark_protocol::id::{Digest, KeyId};
use daymark_protocol::resource::OsProfileSpec;
use daymarkctl::release::add_image;
use tokio::sync::mpsc;

/// Runs of each, of which the fastest counts.
const RUNS: usize = 3;

fn main() -> anyhow::Result<()> {
    let image = image()?;
    let bytes = std::fs::metadata(&image)?.len();
    let folder = tempfile::tempdir()?;
    let release = folder.path().join("release");
    std::fs::create_dir_all(&release)?;
    let added = add_image(&image, profile(), &release, &mut |_| {})?;
    let packed = format!("{bytes} B, pack {} B", added.pack_bytes);
    figure("release add", &rate(bytes, added.took), &packed);
    if let Some(took) = zstd(&image)? {
        let beside = format!("release add takes {}", ratio(added.took, took));
        figure("  beside zstd -9 -T0 of the image", &rate(bytes, took), &beside);
    }

    std::fs::copy(&image, release.join("image.raw"))?;
    let nginx = Nginx::start(folder.path(), &release)?;
    let plain = curl(folder.path(), &nginx.address("http", "image.raw"))?;
    figure("curl of the raw image, HTTP", &rate(bytes, plain), "");
    let tls = curl(folder.path(), &nginx.address("https", "image.raw"))?;
    figure("curl of the raw image, HTTPS", &rate(bytes, tls), "");

    let runtime = tokio::runtime::Runtime::new()?;
    let origin = nginx.address("http", "");
    let (took, staged) = fastest(|| runtime.block_on(from(NoPeers, &[&origin], &added.profile)))?;
    beside_curl("from nginx by HTTP, verified, into a slot", bytes, took, plain, tls);
    figure("  bytes moved", &staged.origin_bytes.to_string(), "");
    let (took, staged) = fastest(|| runtime.block_on(from_peer(&release, &added.profile)))?;
    beside_curl("from one peer, TCP and TLS, verified, into a slot", bytes, took, plain, tls);
    figure("  bytes moved", &staged.peer_bytes.values().sum::<u64>().to_string(), "");
    Ok(())
}

fn beside_curl(what: &str, bytes: u64, took: Duration, plain: Duration, tls: Duration) {
    let beside = format!("{} curl HTTP, {} curl HTTPS", ratio(took, plain), ratio(took, tls));
    figure(what, &rate(bytes, took), &beside);
}

fn image() -> anyhow::Result<PathBuf> {
    if let Some(image) = std::env::var_os("DAYMARK_BENCH_IMAGE") {
        return Ok(image.into());
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../images/make-pair");
    let made = Command::new(script).stderr(Stdio::inherit()).output()?;
    ensure!(made.status.success(), "no image; name one in DAYMARK_BENCH_IMAGE");
    Ok(Path::new(String::from_utf8(made.stdout)?.trim_end()).join("new.img"))
}

fn profile() -> OsProfileSpec {
    serde_json::from_value(serde_json::json!({
        "name": "Sample 1.1.0", "type": "OS_TYPE_IMMUTABLE", "provider": "OS_PROVIDER_KIND_INFRA",
        "profileName": "sample", "osImageVersion": "1.1.0",
    }))
    .expect("the profile is well-formed")
}

/// The fastest of [`RUNS`], and what the last one gave.
fn fastest<T>(
    mut run: impl FnMut() -> anyhow::Result<(Duration, T)>,
) -> anyhow::Result<(Duration, T)> {
    let (mut best, mut last) = run()?;
    for _ in 1..RUNS {
        let (took, result) = run()?;
        best = best.min(took);
        last = result;
    }
    Ok((best, last))
}

fn zstd(image: &Path) -> anyhow::Result<Option<Duration>> {
    let began = Instant::now();
    let mut command = Command::new("zstd");
    match command.args(["-9", "-T0", "-q", "-c"]).arg(image).stdout(Stdio::null()).status() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        status => {
            ensure!(status?.success(), "zstd failed");
            Ok(Some(began.elapsed()))
        }
    }
}

fn curl(folder: &Path, address: &str) -> anyhow::Result<Duration> {
    let once = || {
        let began = Instant::now();
        let mut command = Command::new("curl");
        let status = command.args(["-sfk", "-o"]).arg(folder.join("curl")).arg(address).status();
        ensure!(status.context("curl is needed")?.success(), "curl could not get {address}");
        Ok((began.elapsed(), ()))
    };
    Ok(fastest(once)?.0)
}

/// A web server as operators have it, ended with this value.
struct Nginx {
    process: Child,
    http: u16,
    https: u16,
}

impl Nginx {
    fn start(folder: &Path, root: &Path) -> anyhow::Result<Self> {
        let (http, https) = (free_port()?, free_port()?);
        let mut openssl = Command::new("openssl");
        openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]);
        openssl.args([
            "-nodes",
            "-subj",
            "/CN=localhost",
            "-keyout",
            "key.pem",
            "-out",
            "cert.pem",
        ]);
        let made = openssl.current_dir(folder).output().context("openssl is needed")?;
        ensure!(made.status.success(), "openssl made no certificate");
        let configuration = format!(
            "daemon off; pid nginx.pid; error_log stderr crit; events {{}}\n\
             http {{ access_log off; sendfile on; server {{\n\
             listen 127.0.0.1:{http}; listen 127.0.0.1:{https} ssl;\n\
             ssl_certificate cert.pem; ssl_certificate_key key.pem; root {}; }} }}\n",
            root.display(),
        );
        std::fs::write(folder.join("nginx.conf"), configuration)?;
        // Its workers run as another user when root starts it.
        for readable in [folder, root] {
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            std::fs::set_permissions(readable, mode)?;
        }
        let mut command = Command::new("nginx");
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").arg("-p").arg(folder);
        let process = command.arg("-c").arg(folder.join("nginx.conf")).spawn();
        let process = process.context("nginx is needed; tests/images/install-tools installs it")?;
        let nginx = Self { process, http, https };
        let ready = || std::net::TcpStream::connect(("127.0.0.1", https)).is_ok();
        let began = Instant::now();
        while !ready() {
            ensure!(began.elapsed() < Duration::from_secs(10), "nginx does not answer");
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(nginx)
    }

    fn address(&self, scheme: &str, path: &str) -> String {
        let port = if scheme == "https" { self.https } else { self.http };
        format!("{scheme}://127.0.0.1:{port}/{path}")
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // SIGTERM, so that its workers end too.
        let id = self.process.id().to_string();
        let told = Command::new("kill").arg(id).status();
        if told.is_ok_and(|status| status.success()) {
            drop(self.process.wait());
        }
    }
}

fn free_port() -> io::Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// A machine with two empty slots.
fn machine(profile: &OsProfileSpec) -> anyhow::Result<(tempfile::TempDir, Arc<Slots>)> {
    let folder = tempfile::tempdir()?;
    let layout = |slot: &str| {
        let part = |name: &String| (name.clone(), folder.path().join(format!("{slot}-{name}")));
        SlotLayout { name: slot.into(), parts: profile.parts.keys().map(part).collect() }
    };
    let slots = Slots::open(vec![layout("a"), layout("b")], folder.path().join("records"))?;
    Ok((folder, Arc::new(slots)))
}

async fn fill<P: PeerStreams>(
    slots: &Arc<Slots>,
    peers: P,
    origins: &[&str],
    profile: &OsProfileSpec,
) -> anyhow::Result<StageProgress> {
    let request = StageRequest {
        slot: "a".into(),
        boot: BootState::default(),
        image: ImageIdentity {
            profile: Digest::of(b"profile"),
            profile_name: profile.profile_name.clone(),
            version: profile.os_image_version.clone(),
            index: profile.index_digest.context("the image was published")?,
            parts: profile.parts.clone(),
        },
        index_bytes: profile.index_bytes.context("the image was published")?,
    };
    let origins = origins
        .iter()
        .map(|origin| ReleaseSource::parse(origin, None))
        .collect::<Result<_, _>>()?;
    let sources = StageSources { peers: Arc::new(peers), origins };
    let settings = StageSettings { origin_wait_ms: (0, 0), ..StageSettings::default() };
    let (watchers, cancel) = (Default::default(), Default::default());
    Ok(stage(Arc::clone(slots), request, sources, settings, watchers, cancel).await?)
}

/// Fills a slot and takes the time.
async fn from<P: PeerStreams>(
    peers: P,
    origins: &[&str],
    profile: &OsProfileSpec,
) -> anyhow::Result<(Duration, StageProgress)> {
    let (_folder, slots) = machine(profile)?;
    let began = Instant::now();
    let staged = fill(&slots, peers, origins, profile).await?;
    Ok((began.elapsed(), staged))
}

/// The same from a node that has the image, over the real mesh on loopback.
async fn from_peer(
    release: &Path,
    profile: &OsProfileSpec,
) -> anyhow::Result<(Duration, StageProgress)> {
    let (_folder, slots) = machine(profile)?;
    fill(&slots, NoPeers, &[&release.display().to_string()], profile).await?;
    let config = || MeshConfig {
        listen: vec!["/ip4/127.0.0.1/tcp/0".to_owned()],
        mdns: false,
        ..MeshConfig::default()
    };
    let (sender, mut events) = mpsc::channel(64);
    let seeder = mesh::start(config(), [1; 32], sender)?;
    let address = loop {
        match events.recv().await.context("the mesh ended")? {
            MeshEvent::Listening { addresses } if !addresses.is_empty() => {
                break addresses[0].clone();
            }
            MeshEvent::Listening { .. }
            | MeshEvent::Connected { .. }
            | MeshEvent::Disconnected { .. }
            | MeshEvent::Received { .. }
            | MeshEvent::Gossip { .. }
            | MeshEvent::ChunkStream { .. }
            | MeshEvent::ControlStream { .. }
            | MeshEvent::Restarted { .. } => {}
        }
    };
    let server = Arc::new(ChunkServer::new(slots));
    let serving = tokio::spawn(async move {
        while let Some(event) = events.recv().await {
            if let MeshEvent::ChunkStream { peer, stream } = event {
                let server = Arc::clone(&server);
                tokio::spawn(async move { server.serve(stream, peer).await });
            }
        }
    });
    let (sender, mut events) = mpsc::channel(64);
    let fetcher = mesh::start(MeshConfig { peers: vec![address], ..config() }, [2; 32], sender)?;
    seeder.admit(fetcher.key(), Admission::Member).await;
    fetcher.admit(seeder.key(), Admission::Member).await;
    loop {
        let event = events.recv().await.context("the mesh ended")?;
        if matches!(event, MeshEvent::Connected { admission: Admission::Member, .. }) {
            break;
        }
    }
    let draining = tokio::spawn(async move { while events.recv().await.is_some() {} });
    let peer = OnePeer { mesh: fetcher.clone(), key: seeder.key() };
    let result = from(peer, &[], profile).await;
    fetcher.shutdown().await;
    seeder.shutdown().await;
    serving.abort();
    draining.abort();
    result
}

struct OnePeer {
    mesh: MeshHandle,
    key: KeyId,
}

impl PeerStreams for OnePeer {
    type Stream = PeerStream;

    fn peers(&self) -> Vec<KeyId> {
        vec![self.key]
    }

    async fn open(&self, peer: KeyId) -> io::Result<PeerStream> {
        self.mesh.open_chunks(peer).await.map_err(io::Error::other)
    }
}
