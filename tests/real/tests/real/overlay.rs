//! The simulator's overlay against gossipsub itself, with the daemon's own configuration: the same
//! links, each as slow, made one after the other as machines dial. Which peers a mesh has is chance
//! for both, and how many they are within bounds: what is compared is the mean of several worlds,
//! and the copies for each peer of a mesh beside the copies themselves.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use daymark_node::mesh::{Gossip, MeshConfig, gossip_behaviour};
use daymark_protocol::id::Digest;
use daymark_sim::World;
use daymark_sim::checks::Checks;
use daymark_sim::scenario::Scenario;
use futures::{AsyncRead, AsyncWrite, StreamExt as _};
use libp2p::core::Transport as _;
use libp2p::core::transport::MemoryTransport;
use libp2p::core::upgrade::Version;
use libp2p::gossipsub::{self, DataTransform, IdentTopic, Message, RawMessage, TopicHash};
use libp2p::identity::Keypair;
use libp2p::swarm::{self, SwarmEvent};
use libp2p::{Multiaddr, PeerId, Swarm, tls, yamux};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio::time::{Instant, Sleep};

/// Time that each link takes: much more than a message takes within a process.
const LINK: Duration = Duration::from_millis(100);
/// How far the two may be apart.
const APART: f64 = 0.2;
/// Pause between two connections of one node: longer than it takes until each end knows whether
/// the other is in its mesh, as between the dials of a machine.
const BETWEEN_DIALS: Duration = Duration::from_millis(500);
/// Peers that a mesh must have before anything is counted: what the daemon tends it to.
const MESH_LOW: usize = 4;
/// Worlds, each with links and meshes of its own, that are compared on the average.
const WORLDS: usize = 3;
/// Messages that gossipsub carries in each world.
const MESSAGES: u8 = 40;
/// Statements handed in in the simulator; each makes every machine report.
const STATEMENTS: usize = 10;

/// What gossip cost.
#[derive(Clone, Copy, Debug, Default)]
struct Cost {
    /// Copies that arrived, for each first copy.
    copies: f64,
    /// Peers of a mesh, on the average.
    mesh: f64,
    /// Hops of first copies, on the average.
    hops: f64,
    /// Time that they took, ms.
    first_copy_ms: f64,
}

impl Cost {
    #[expect(clippy::cast_precision_loss, reason = "counts of thousands")]
    fn of([copies, first, hops, first_copies_ms]: [u64; 4], meshes: &[usize]) -> Self {
        let [copies, hops, first_copy_ms] =
            [copies, hops, first_copies_ms].map(|sum| sum as f64 / first as f64);
        let mesh = meshes.iter().sum::<usize>() as f64 / meshes.len() as f64;
        Self { copies, mesh, hops, first_copy_ms }
    }

    #[expect(clippy::cast_precision_loss, reason = "a few worlds")]
    fn mean(of: &[Self]) -> Self {
        let mean = |what: fn(&Self) -> f64| of.iter().map(what).sum::<f64>() / of.len() as f64;
        Self {
            copies: mean(|cost| cost.copies),
            mesh: mean(|cost| cost.mesh),
            hops: mean(|cost| cost.hops),
            first_copy_ms: mean(|cost| cost.first_copy_ms),
        }
    }
}

/// A site in the simulator that has settled: its links, and what gossip costs it.
fn simulated(hosts: usize, seed: u64) -> anyhow::Result<(Vec<(usize, usize)>, Cost)> {
    let scenario = Scenario::parse(&format!(
        "name = 'overlay'\nabout = 'a site'\nlength = '1h'\ncalmAfter = '1h'\n\
         founded = 'everywhere'\n[[site]]\nname = 'one'\nhosts = {hosts}\n\
         [network.lan]\nlatencyMs = {}\nspreadMs = 0\ntailPerMille = 0.0\n",
        LINK.as_millis()
    ))?;
    let mut world = World::new(scenario, seed, Checks::default());
    let settled_ms = 20 * 60_000;
    world.run_until(settled_ms, |_| false);
    let counts = |world: &World| {
        let counted = &world.recorder.tally;
        [counted.copies, counted.first_copies, counted.hops, counted.first_copies_ms]
    };
    let before = counts(&world);
    for number in 0..STATEMENTS {
        let items = world.operators.create_site(&format!("site-{number}"));
        world.submit(number * 3 % hosts, items);
        world.run_until(world.now_ms() + 60_000, |_| false);
    }
    let after = counts(&world);
    let counted = std::array::from_fn(|at| after[at] - before[at]);
    Ok((world.links(), Cost::of(counted, &world.mesh_sizes())))
}

/// Counts what arrives, also what was seen before.
#[derive(Clone, Default)]
struct Counting(Arc<AtomicU64>);

impl DataTransform for Counting {
    fn inbound_transform(&self, raw: RawMessage) -> io::Result<Message> {
        self.0.fetch_add(1, Ordering::Relaxed);
        let RawMessage { source, data, sequence_number, topic, .. } = raw;
        Ok(Message { source, data, sequence_number, topic })
    }

    fn outbound_transform(&self, _: &TopicHash, data: Vec<u8>) -> io::Result<Vec<u8>> {
        Ok(data)
    }
}

/// A stream whose bytes are read [`LINK`] after they arrived.
struct Slow<S> {
    inner: S,
    arrived: VecDeque<(Instant, Vec<u8>)>,
    ended: bool,
    timer: Pin<Box<Sleep>>,
}

impl<S> Slow<S> {
    fn new(inner: S) -> Self {
        let timer = Box::pin(tokio::time::sleep(Duration::ZERO));
        Self { inner, arrived: VecDeque::new(), ended: false, timer }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Slow<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let slow = &mut *self;
        let mut bytes = [0; 4_096];
        while !slow.ended {
            match Pin::new(&mut slow.inner).poll_read(cx, &mut bytes) {
                Poll::Ready(Ok(0)) => slow.ended = true,
                Poll::Ready(Ok(count)) => {
                    slow.arrived.push_back((Instant::now() + LINK, bytes[..count].to_vec()));
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => break,
            }
        }
        let Some((at, held)) = slow.arrived.front_mut() else {
            return if slow.ended { Poll::Ready(Ok(0)) } else { Poll::Pending };
        };
        slow.timer.as_mut().reset(*at);
        if slow.timer.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        let count = held.len().min(into.len());
        into[..count].copy_from_slice(&held[..count]);
        held.drain(..count);
        if held.is_empty() {
            slow.arrived.pop_front();
        }
        Poll::Ready(Ok(count))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Slow<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_close(cx)
    }
}

enum Order {
    Dial(Multiaddr),
    Publish(Vec<u8>),
    MeshSize(oneshot::Sender<usize>),
}

/// A first copy: at whom, and from whom.
struct Delivered {
    at: usize,
    from: PeerId,
    when: Instant,
}

struct Node {
    peer: PeerId,
    orders: UnboundedSender<Order>,
}

/// Nodes of one process must not meet: those of a test differ by their world, tests by their hosts.
fn address((hosts, world): (usize, usize), number: usize) -> anyhow::Result<Multiaddr> {
    Ok(format!("/memory/{}", 1_000 * hosts + 100 * world + number).parse()?)
}

fn topic() -> IdentTopic {
    IdentTopic::new("daymark/site")
}

/// A node that accepts whatever it hears.
fn node(
    place: (usize, usize),
    number: usize,
    counting: Counting,
    delivered: UnboundedSender<Delivered>,
) -> anyhow::Result<Node> {
    let keys = Keypair::generate_ed25519();
    let transport = MemoryTransport::default()
        .map(|stream, _| Slow::new(stream))
        .upgrade(Version::V1Lazy)
        .authenticate(tls::Config::new(&keys)?)
        .multiplex(yamux::Config::default())
        .boxed();
    let mut gossip = gossip_behaviour(MeshConfig::default().gossip_heartbeat, counting)?;
    gossip.subscribe(&topic())?;
    let peer = keys.public().to_peer_id();
    let config = swarm::Config::with_tokio_executor()
        .with_idle_connection_timeout(Duration::from_secs(3_600));
    let mut swarm = Swarm::new(transport, gossip, peer, config);
    swarm.listen_on(address(place, number)?)?;
    let (orders, taken) = unbounded_channel();
    tokio::spawn(run(number, swarm, taken, delivered));
    Ok(Node { peer, orders })
}

async fn run(
    number: usize,
    mut swarm: Swarm<Gossip<Counting>>,
    mut orders: UnboundedReceiver<Order>,
    delivered: UnboundedSender<Delivered>,
) {
    loop {
        tokio::select! {
            event = swarm.select_next_some() => {
                let SwarmEvent::Behaviour(gossipsub::Event::Message {
                    propagation_source: from,
                    message_id,
                    ..
                }) = event else { continue };
                let accept = gossipsub::MessageAcceptance::Accept;
                swarm.behaviour_mut().report_message_validation_result(&message_id, &from, accept);
                let _ = delivered.send(Delivered { at: number, from, when: Instant::now() });
            }
            order = orders.recv() => match order {
                Some(Order::Dial(address)) => swarm.dial(address).expect("it listens"),
                Some(Order::Publish(bytes)) => {
                    swarm.behaviour_mut().publish(topic(), bytes).expect("it has peers");
                }
                Some(Order::MeshSize(answer)) => {
                    let size = swarm.behaviour().mesh_peers(&topic().hash()).count();
                    let _ = answer.send(size);
                }
                None => return,
            },
        }
    }
}

/// Makes the links, in an order that is none of their numbers', and waits until every node's mesh
/// is as large as its links let it be.
async fn connect(
    place: (usize, usize),
    nodes: &[Node],
    links: &[(usize, usize)],
) -> anyhow::Result<()> {
    let mut order: Vec<_> = links.iter().collect();
    order.sort_by_key(|link| Digest::of(format!("{link:?}").as_bytes()));
    // Each link is one of two nodes.
    let pause = BETWEEN_DIALS * u32::try_from(nodes.len())? / 2 / u32::try_from(links.len())?;
    for (one, other) in order {
        let _ = nodes[*other].orders.send(Order::Dial(address(place, *one)?));
        tokio::time::sleep(pause).await;
    }
    for (number, node) in nodes.iter().enumerate() {
        let own = links.iter().filter(|(one, other)| *one == number || *other == number).count();
        while mesh_size(node).await? < own.min(MESH_LOW) {
            tokio::time::sleep(LINK).await;
        }
    }
    Ok(())
}

async fn mesh_size(node: &Node) -> anyhow::Result<usize> {
    let (answer, size) = oneshot::channel();
    let _ = node.orders.send(Order::MeshSize(answer));
    Ok(size.await?)
}

/// What gossipsub costs on these links.
async fn real(place: (usize, usize), links: &[(usize, usize)]) -> anyhow::Result<Cost> {
    let (hosts, _) = place;
    let counting = Counting::default();
    let (delivered, mut heard) = unbounded_channel();
    let mut nodes = Vec::new();
    for number in 0..hosts {
        nodes.push(node(place, number, counting.clone(), delivered.clone())?);
    }
    connect(place, &nodes, links).await?;
    let numbers: BTreeMap<PeerId, usize> =
        nodes.iter().enumerate().map(|(number, node)| (node.peer, number)).collect();
    let (mut first, mut hops, mut taken) = (0, 0, Duration::ZERO);
    for (message, origin) in (0..MESSAGES).zip((0..hosts).cycle()) {
        let began = Instant::now();
        // As large as a report.
        let _ = nodes[origin].orders.send(Order::Publish(vec![message; 400]));
        let mut distance = BTreeMap::from([(origin, 0)]);
        while distance.len() < hosts {
            let Some(Delivered { at, from, when }) = heard.recv().await else { break };
            let before = distance.get(&numbers[&from]).copied();
            // Whoever passed it on had it before.
            let so_far = before.ok_or_else(|| anyhow::anyhow!("{at} heard it from nowhere"))? + 1;
            distance.insert(at, so_far);
            (first, hops, taken) = (first + 1, hops + so_far, taken + (when - began));
        }
    }
    // The last copies are on their way still.
    tokio::time::sleep(3 * LINK).await;
    let mut meshes = Vec::new();
    for node in &nodes {
        meshes.push(mesh_size(node).await?);
    }
    let copies = counting.0.load(Ordering::Relaxed);
    Ok(Cost::of([copies, first, hops, u64::try_from(taken.as_millis())?], &meshes))
}

#[allow(clippy::print_stdout, reason = "figures for docs/figures.md")]
async fn compare(hosts: usize) -> anyhow::Result<()> {
    let (mut simulated_ones, mut real_ones) = (Vec::new(), Vec::new());
    for (world, seed) in (0..WORLDS).zip(7..) {
        let (links, cost) = tokio::task::block_in_place(|| simulated(hosts, seed))?;
        simulated_ones.push(cost);
        real_ones.push(real((hosts, world), &links).await?);
        println!("{hosts} nodes, {} links: {cost:.2?}, {:.2?}", links.len(), real_ones[world]);
    }
    let [simulated, real] = [simulated_ones, real_ones].map(|of| Cost::mean(&of));
    println!("{hosts} nodes: simulated {simulated:.2?}, real {real:.2?}");
    for (what, one, other) in [
        ("copies", simulated.copies, real.copies),
        (
            "copies for each peer of a mesh",
            simulated.copies / simulated.mesh,
            real.copies / real.mesh,
        ),
        ("hops", simulated.hops, real.hops),
        ("ms until the first copy", simulated.first_copy_ms, real.first_copy_ms),
    ] {
        let apart = (one / other - 1.0).abs();
        anyhow::ensure!(
            apart <= APART,
            "{hosts} nodes: {what}: {one:.2} simulated, {other:.2} real"
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_simulators_overlay_spreads_as_gossipsub_does_among_20() -> anyhow::Result<()> {
    compare(20).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_simulators_overlay_spreads_as_gossipsub_does_among_50() -> anyhow::Result<()> {
    compare(50).await
}
