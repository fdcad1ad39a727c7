//! Staging from peers, servers and folders, honest and not, over in-memory streams.

#[path = "tests_peers.rs"]
mod peers;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::Response;
use daymark_core::event::StageProgress;
use daymark_core::fetch::FetchLimits;
use daymark_protocol::id::{Digest, KeyId};
use daymark_protocol::image::{PackMap, PackSpan};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use self::peers::{Hub, Lie, Peer};
use super::frame::{Frame, read_frame, write_frame};
use super::*;
use crate::slots::testing::{TestImage, noise, two_slots};
use crate::slots::{BootState, Slots};

const ME: KeyId = KeyId([0xee; 32]);

fn key(n: u8) -> KeyId {
    KeyId([n; 32])
}

fn image() -> TestImage {
    let mut root = noise("root", 3_000_000);
    root[1_000_000..1_400_000].fill(0);
    TestImage::new("1.1.0", &[("agent", noise("agent", 200_000)), ("rootfs", root)])
}

/// The image before: the same but for two places.
fn old_image() -> TestImage {
    let mut old = image().parts;
    old.get_mut("rootfs").unwrap()[2_500_000] ^= 1;
    old.get_mut("agent").unwrap()[0] ^= 1;
    let parts: Vec<_> = old.iter().map(|(name, bytes)| (name.as_str(), bytes.clone())).collect();
    TestImage::new("1.0.0", &parts)
}

/// A machine with two slots in a folder of its own.
struct Machine {
    folder: tempfile::TempDir,
    slots: Arc<Slots>,
}

impl Machine {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let slots = Arc::new(two_slots(folder.path()));
        Self { folder, slots }
    }

    /// One that has the image in slot a.
    fn with(image: &TestImage) -> Self {
        let machine = Self::new();
        image.install(&machine.slots, "a");
        machine
    }

    fn server(&self) -> Peer {
        Peer::Honest(Arc::new(ChunkServer::new(Arc::clone(&self.slots))))
    }

    async fn stage(
        &self,
        image: &TestImage,
        peers: Arc<Hub>,
        origins: &[String],
    ) -> Result<StageProgress, StageError> {
        let cancel = CancellationToken::new();
        self.stage_until(image, peers, origins, watch::Sender::default(), cancel).await
    }

    async fn stage_until(
        &self,
        image: &TestImage,
        peers: Arc<Hub>,
        origins: &[String],
        watchers: watch::Sender<StageProgress>,
        cancel: CancellationToken,
    ) -> Result<StageProgress, StageError> {
        let request = StageRequest {
            slot: "b".into(),
            boot: BootState { booted: Some("a".into()), ..BootState::default() },
            image: image.identity.clone(),
            index_bytes: image.index.encode().len() as u64,
        };
        let origins =
            origins.iter().map(|origin| ReleaseSource::parse(origin, None).unwrap()).collect();
        let sources = StageSources { peers, origins };
        let limits = FetchLimits { stall_ms: 300, ..FetchLimits::default() };
        let settings = StageSettings { origin_wait_ms: (0, 0), origin_rest_ms: (10, 40), limits };
        stage(Arc::clone(&self.slots), request, sources, settings, watchers, cancel).await
    }

    fn assert_staged(&self, image: &TestImage) {
        for (part, bytes) in &image.parts {
            let staged = std::fs::read(self.folder.path().join(format!("b-{part}.img"))).unwrap();
            assert!(staged == *bytes, "part {part} differs");
        }
        assert!(self.slots.record("b").unwrap().unwrap().complete);
    }
}

/// Publishes an image in the release layout.
fn publish(image: &TestImage, folder: &Path) {
    let folder = folder.join("images").join(image.index.digest().to_string());
    std::fs::create_dir_all(&folder).unwrap();
    let mut pack = Vec::new();
    let mut spans = Vec::new();
    for number in 0..image.index.chunk_count() {
        let bytes = image.bytes(number);
        let stored = compress_chunk(&bytes, 3).unwrap_or(bytes);
        let offset = pack.len() as u64;
        spans.push(PackSpan { offset, stored: u32::try_from(stored.len()).unwrap() });
        pack.extend(stored);
    }
    std::fs::write(folder.join("map"), PackMap::new(&image.index, spans).unwrap().encode())
        .unwrap();
    std::fs::write(folder.join("index"), image.index.encode()).unwrap();
    std::fs::write(folder.join("pack"), pack).unwrap();
}

#[derive(Clone, Debug)]
struct WebRoot {
    folder: std::path::PathBuf,
    ranges: bool,
    requests: Arc<AtomicUsize>,
}

/// A static web server like any other; returns its address.
async fn web_server(root: WebRoot) -> String {
    async fn file(State(root): State<WebRoot>, request: Request) -> Response {
        root.requests.fetch_add(1, Ordering::Relaxed);
        let path = root.folder.join(request.uri().path().trim_start_matches('/'));
        let Ok(bytes) = std::fs::read(path) else {
            return Response::builder().status(StatusCode::NOT_FOUND).body(Body::empty()).unwrap();
        };
        let range = request.headers().get(header::RANGE).filter(|_| root.ranges);
        let Some(range) = range else { return Response::new(bytes.into()) };
        let (start, end) =
            range.to_str().unwrap().strip_prefix("bytes=").unwrap().split_once('-').unwrap();
        let range = start.parse::<usize>().unwrap()..=end.parse::<usize>().unwrap();
        let body = Body::from(bytes[range].to_vec());
        Response::builder().status(StatusCode::PARTIAL_CONTENT).body(body).unwrap()
    }
    serve(axum::Router::new().fallback(file).with_state(root)).await
}

/// A server that answers everything with a redirect to the same path of another.
async fn redirecting_server(target: String) -> String {
    async fn redirect(State(target): State<String>, request: Request) -> Response {
        let response = Response::builder().status(StatusCode::FOUND);
        let location = format!("{target}{}", request.uri());
        response.header(header::LOCATION, location).body(Body::empty()).unwrap()
    }
    serve(axum::Router::new().fallback(redirect).with_state(target)).await
}

/// Serves on a free port; returns the address.
async fn serve(router: axum::Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

fn web_root(folder: &Path, ranges: bool) -> WebRoot {
    WebRoot { folder: folder.to_owned(), ranges, requests: Arc::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_has_the_image_is_enough() {
    let (image, machine) = (image(), Machine::new());
    let seeder = Machine::with(&image);
    let staged = machine.stage(&image, Hub::of([(1, seeder.server())]), &[]).await.unwrap();
    machine.assert_staged(&image);
    assert_eq!(staged.verified_bytes, image.index.total_bytes());
    assert_eq!((staged.origin_bytes, staged.own_bytes), (0, 0));
    assert!(staged.peer_bytes[&key(1)] > 2_500_000);
    assert!(staged.refused.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_static_web_server_is_enough_and_gets_few_requests() {
    let (image, machine) = (image(), Machine::new());
    let folder = tempfile::tempdir().unwrap();
    publish(&image, folder.path());
    let root = web_root(folder.path(), true);
    let requests = Arc::clone(&root.requests);
    let staged = machine.stage(&image, Hub::of([]), &[web_server(root).await]).await.unwrap();
    machine.assert_staged(&image);
    assert!(staged.origin_bytes > 2_500_000 && staged.peer_bytes.is_empty());
    // Index, map, and ranges of up to 1 MiB of the 2.8 MB that do not compress.
    let requests = requests.load(Ordering::Relaxed);
    assert!(requests < image.index.chunks().len() / 3, "{requests} requests");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_in_the_release_layout_is_enough() {
    let (image, machine) = (image(), Machine::new());
    let folder = tempfile::tempdir().unwrap();
    publish(&image, folder.path());
    let origin = folder.path().display().to_string();
    machine.stage(&image, Hub::of([]), &[origin]).await.unwrap();
    machine.assert_staged(&image);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_ranges_is_named_and_others_serve() {
    let (image, machine) = (image(), Machine::new());
    let folder = tempfile::tempdir().unwrap();
    publish(&image, folder.path());
    let origins = [web_server(web_root(folder.path(), false)).await];
    let seeder = Machine::with(&image);
    let peers = Hub::of([]);
    let watchers = watch::Sender::default();
    let mut watched = watchers.subscribe();
    let cancel = CancellationToken::new();
    let staging = machine.stage_until(&image, Arc::clone(&peers), &origins, watchers, cancel);
    let helping = async {
        let named = |progress: &StageProgress| progress.trouble.contains("range requests");
        watched.wait_for(named).await.unwrap();
        peers.0.lock().unwrap().insert(key(1), seeder.server());
    };
    let (staged, ()) = tokio::join!(staging, helping);
    machine.assert_staged(&image);
    assert!(staged.unwrap().peer_bytes.contains_key(&key(1)));
}

/// RULES Q16: only what the configuration names is asked, whatever a server answers.
#[tokio::test(flavor = "multi_thread")]
async fn q16_redirects_are_named_and_never_followed() {
    let (image, machine) = (image(), Machine::new());
    let folder = tempfile::tempdir().unwrap();
    publish(&image, folder.path());
    let root = web_root(folder.path(), true);
    let asked = Arc::clone(&root.requests);
    let elsewhere = web_server(root).await;
    let redirecting = redirecting_server(elsewhere.clone()).await;

    let seeder = Machine::with(&image);
    let peers = Hub::of([]);
    let watchers = watch::Sender::default();
    let mut watched = watchers.subscribe();
    let cancel = CancellationToken::new();
    let origins = [redirecting];
    let staging = machine.stage_until(&image, Arc::clone(&peers), &origins, watchers, cancel);
    let helping = async {
        let named = |progress: &StageProgress| {
            progress.trouble.contains(&format!("redirects to {elsewhere}"))
        };
        watched.wait_for(named).await.unwrap();
        peers.0.lock().unwrap().insert(key(1), seeder.server());
    };
    let (staged, ()) = tokio::join!(staging, helping);
    machine.assert_staged(&image);
    assert_eq!(staged.unwrap().origin_bytes, 0);
    assert_eq!(asked.load(Ordering::Relaxed), 0, "the redirect was followed");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_own_slots_have_is_not_fetched() {
    let (old, image) = (old_image(), image());
    let machine = Machine::with(&old);
    let seeder = Machine::with(&image);
    let staged = machine.stage(&image, Hub::of([(1, seeder.server())]), &[]).await.unwrap();
    machine.assert_staged(&image);
    let fetched = staged.peer_bytes[&key(1)];
    assert!(fetched < 600_000, "{fetched} bytes fetched for two changed places");
    assert!(staged.own_bytes > 2_600_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_own_slot_is_not_believed() {
    let (old, image) = (old_image(), image());
    let machine = Machine::with(&old);
    let path = machine.folder.path().join("a-rootfs.img");
    std::fs::write(&path, vec![0xaa; 3_000_000]).unwrap();
    let seeder = Machine::with(&image);
    let staged = machine.stage(&image, Hub::of([(1, seeder.server())]), &[]).await.unwrap();
    machine.assert_staged(&image);
    assert!(staged.peer_bytes[&key(1)] > 2_500_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn peers_that_have_parts_complete_each_other() {
    let (image, machine) = (image(), Machine::new());
    let chunks = image.index.chunk_count();
    let halves: Vec<Machine> = [0, 1]
        .map(|rest| {
            let half = Machine::new();
            let mut writer = image.begin(&half.slots, "b");
            for number in (0..chunks).filter(|number| number % 2 == rest) {
                writer.put(&image.chunk(number)).unwrap();
            }
            half
        })
        .into();
    let peers = Hub::of([(1, halves[0].server()), (2, halves[1].server())]);
    let staged = machine.stage(&image, peers, &[]).await.unwrap();
    machine.assert_staged(&image);
    assert!(staged.peer_bytes.values().all(|bytes| *bytes > 1_000_000), "{staged:?}");
}

/// A node whose only peer is itself still staging gets everything as it comes.
#[tokio::test(flavor = "multi_thread")]
async fn chunks_are_served_while_they_arrive() {
    let image = image();
    let (seeder, middle, last) = (Machine::with(&image), Machine::new(), Machine::new());
    let hub_of_last = Hub::of([(2, middle.server())]);
    let (at_middle, at_last) = tokio::join!(
        middle.stage(&image, Hub::of([(1, seeder.server())]), &[]),
        last.stage(&image, hub_of_last, &[]),
    );
    middle.assert_staged(&image);
    last.assert_staged(&image);
    assert!(at_middle.unwrap().peer_bytes.contains_key(&key(1)));
    assert_eq!(at_last.unwrap().peer_bytes.into_keys().collect::<Vec<_>>(), [key(2)]);
}

/// I1: wrong bytes never reach the slot, and their sender is named and dropped.
#[tokio::test(flavor = "multi_thread")]
async fn i1_tampered_chunks_are_refused_and_their_sender_blamed() {
    for lie in [Lie::FlippedByte, Lie::Bomb] {
        let (image, machine) = (image(), Machine::new());
        let seeder = Machine::with(&image);
        let liar = Peer::Hostile(Arc::new(image.clone()), lie);
        // The honest peer turns up only after the liar was caught.
        let peers = Hub::of([(1, liar)]);
        let watchers = watch::Sender::default();
        let mut caught = watchers.subscribe();
        let staging = machine.stage_until(
            &image,
            Arc::clone(&peers),
            &[],
            watchers,
            CancellationToken::new(),
        );
        let helping = async {
            let refused = |progress: &StageProgress| !progress.refused.is_empty();
            caught.wait_for(refused).await.unwrap();
            assert_eq!(machine.slots.image_in("b").unwrap().held().count(), 0, "{lie:?}");
            peers.0.lock().unwrap().insert(key(2), seeder.server());
        };
        let (staged, ()) = tokio::join!(staging, helping);
        let staged = staged.unwrap();
        machine.assert_staged(&image);
        assert_eq!(staged.refused, BTreeMap::from([(key(1), 1)]), "{lie:?}");
        assert!(staged.trouble.contains("wrong bytes"), "{}", staged.trouble);
    }
}

/// A release source that is mended serves again: the only one must not be given up.
#[tokio::test(flavor = "multi_thread")]
async fn i1_the_only_release_source_is_refused_and_asked_again_later() {
    let (image, machine) = (image(), Machine::new());
    let release = tempfile::tempdir().unwrap();
    publish(&image, release.path());
    let image_folder = release.path().join("images").join(image.index.digest().to_string());
    let good = std::fs::read(image_folder.join("pack")).unwrap();
    std::fs::write(image_folder.join("pack"), vec![0; good.len()]).unwrap();

    let watchers = watch::Sender::default();
    let mut refused = watchers.subscribe();
    let origins = [release.path().to_str().unwrap().to_owned()];
    let cancel = CancellationToken::new();
    let staging = machine.stage_until(&image, Hub::of([]), &origins, watchers, cancel);
    let mending = async {
        let progress = refused.wait_for(|progress| progress.refused_from_origin >= 3).await;
        assert!(progress.unwrap().trouble.contains("wrong bytes"));
        assert_eq!(machine.slots.image_in("b").unwrap().held().count(), 0);
        let whole = release.path().join("whole");
        std::fs::write(&whole, good).unwrap();
        std::fs::rename(whole, image_folder.join("pack")).unwrap();
    };
    let (staged, ()) = tokio::join!(staging, mending);
    assert!(staged.unwrap().refused_from_origin >= 3);
    machine.assert_staged(&image);
}

#[tokio::test(flavor = "multi_thread")]
async fn peers_that_break_the_protocol_or_fall_silent_do_not_hold_up_the_others() {
    for lie in [
        Lie::Unasked,
        Lie::Oversize,
        Lie::OtherBitmap,
        Lie::OtherIndex,
        Lie::Silence,
        Lie::ToldAgain,
        Lie::SecondBitmap,
    ] {
        let (image, machine) = (image(), Machine::new());
        let seeder = Machine::with(&image);
        let liar = Peer::Hostile(Arc::new(image.clone()), lie);
        let peers = Hub::of([(1, liar), (2, seeder.server())]);
        let staged = machine.stage(&image, peers, &[]).await.unwrap();
        machine.assert_staged(&image);
        if lie == Lie::OtherIndex {
            assert_eq!(staged.refused, BTreeMap::from([(key(1), 1)]));
        }
    }
}

/// A server whose slot rots says `Gone`: it is not blamed, for it never passed rot on.
#[tokio::test(flavor = "multi_thread")]
async fn an_honest_peer_with_a_damaged_slot_passes_no_rot_on() {
    let (image, machine) = (image(), Machine::new());
    let (damaged, seeder) = (Machine::with(&image), Machine::with(&image));
    std::fs::write(damaged.folder.path().join("a-rootfs.img"), vec![1; 3_000_000]).unwrap();
    let peers = Hub::of([(1, damaged.server()), (2, seeder.server())]);
    let staged = machine.stage(&image, peers, &[]).await.unwrap();
    machine.assert_staged(&image);
    assert!(staged.refused.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_goes_on_where_the_last_one_stopped() {
    let (image, machine) = (image(), Machine::new());
    // This peer has only the first half, so that staging cannot end.
    let half = Machine::new();
    let mut writer = image.begin(&half.slots, "b");
    let chunks = image.index.chunk_count();
    for number in 0..chunks / 2 {
        writer.put(&image.chunk(number)).unwrap();
    }
    let watchers = watch::Sender::default();
    let mut watched = watchers.subscribe();
    let cancel = CancellationToken::new();
    let peers = Hub::of([(1, half.server())]);
    let staging = machine.stage_until(&image, peers, &[], watchers, cancel.clone());
    let half_bytes: u64 =
        (0..chunks / 2).map(|n| u64::from(image.index.chunk(n).unwrap().bytes)).sum();
    let stopping = async {
        watched.wait_for(|progress| progress.verified_bytes >= half_bytes).await.unwrap();
        cancel.cancel();
    };
    let (stopped, ()) = tokio::join!(staging, stopping);
    assert!(matches!(stopped, Err(StageError::Cancelled)));

    let Machine { folder, slots } = machine;
    drop(slots);
    let slots = Arc::new(two_slots(folder.path()));
    let machine = Machine { folder, slots };
    let seeder = Machine::with(&image);
    let staged = machine.stage(&image, Hub::of([(2, seeder.server())]), &[]).await.unwrap();
    machine.assert_staged(&image);
    let rest = image.index.total_bytes() - half_bytes;
    let index_bytes = image.index.encode().len() as u64;
    assert!(staged.peer_bytes[&key(2)] <= rest + index_bytes, "{staged:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_cannot_take_the_image_ends_staging_with_the_reason() {
    let image = TestImage::new("2.0.0", &[("uki", noise("uki", 100))]);
    let machine = Machine::new();
    let folder = tempfile::tempdir().unwrap();
    publish(&image, folder.path());
    let origin = folder.path().display().to_string();
    let refused = machine.stage(&image, Hub::of([]), &[origin]).await.unwrap_err();
    let reason = std::error::Error::source(&refused).unwrap().to_string();
    assert!(reason.contains("part uki"), "{reason}");
}

/// A peer that gives a digest nobody knows learns only that, and one that floods streams is cut.
#[tokio::test(flavor = "multi_thread")]
async fn i9_the_server_bounds_what_a_peer_may_open_and_ask() {
    let image = image();
    let seeder = Machine::with(&image);
    let server = Arc::new(ChunkServer::new(Arc::clone(&seeder.slots)));
    let mut open = Vec::new();
    for n in 0..5 {
        let (mut near, far) = tokio::io::duplex(1024 * 1024);
        let server = Arc::clone(&server);
        let serving = tokio::spawn(async move { server.serve(far, ME).await });
        if n == 4 {
            assert!(matches!(serving.await.unwrap(), Err(ServeError::TooManyStreams)));
        } else {
            write_frame(&mut near, &Frame::Hello(image.index.digest())).await.unwrap();
            assert!(matches!(read_frame(&mut near, 0).await, Ok(Some(Frame::Have(Some(_))))));
            open.push((near, serving));
        }
    }
    let (mut near, serving) = open.pop().unwrap();
    write_frame(&mut near, &Frame::Busy(0)).await.unwrap();
    assert!(matches!(serving.await.unwrap(), Err(ServeError::Stream(_))));

    let (mut near, far) = tokio::io::duplex(1024);
    let serving = tokio::spawn(async move { server.serve(far, ME).await });
    write_frame(&mut near, &Frame::Hello(Digest::of(b"unknown"))).await.unwrap();
    assert_eq!(read_frame(&mut near, 0).await.unwrap(), Some(Frame::Have(None)));
    serving.await.unwrap().unwrap();
}
