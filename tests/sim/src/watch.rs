//! Following one host step by step, for `replay --node`.

use std::io::Write as _;

use daymark_core::Event;

use crate::scenario::Span;
use crate::world::World;

/// Prints one event of a host, and how it stands, to standard output.
pub(crate) fn tell(world: &World, host: usize, event: &Event) {
    let what = match event {
        Event::Wake => "wakes".to_owned(),
        Event::Connected { address, admission, .. } => {
            format!("connects with {address} as {admission:?}")
        }
        Event::Disconnected { peer } => format!("loses {}", peer.short()),
        Event::Received { peer, channel, bytes } => {
            format!("hears {} bytes from {} over {channel:?}", bytes.len(), peer.short())
        }
        Event::Gossip { from, bytes, .. } => {
            format!("hears {} bytes of gossip from {}", bytes.len(), from.short())
        }
        Event::Listening { .. } => "starts".to_owned(),
        Event::Submit { items, .. } => format!("is handed {} items", items.len()),
        Event::Join { items, .. } => format!("takes the fleet with {} items", items.len()),
        Event::Inhibit { why, .. } => format!("is inhibited: {why}"),
        Event::Bound { .. } => "looks at the board that it is on".to_owned(),
        Event::Rebind { .. } => "is said to keep its key".to_owned(),
        Event::Inspected(_) => "looks at its machine".to_owned(),
        Event::OpDone { op, result } => format!("ends operation {} with {result:?}", op.0),
        Event::Progress { progress, .. } => {
            format!("has {} of {} bytes", progress.verified_bytes, progress.total_bytes)
        }
    };
    // Whoever stopped reading wants no more.
    let _ = writeln!(
        std::io::stdout(),
        "{:>16}  {what}; {}",
        Span(world.now_ms()).to_string(),
        stand(world, host)
    );
}

/// How a host stands, in a line.
pub fn stand(world: &World, host: usize) -> String {
    let of = &world.hosts[host];
    let runs = of.machine.runs().map_or("nothing", |image| &world.images.of(image).version);
    let state = serde_json::to_value(&of.disk.state().update).unwrap_or_default();
    let state = state.get("state").and_then(serde_json::Value::as_str).unwrap_or("?").to_owned();
    let decision = of.node.as_ref().and_then(|node| node.decision());
    let reason = decision.map_or("no decision", |decision| &decision.reason);
    let confirmed = if of.machine.is_confirmed() { "" } else { ", unconfirmed" };
    let power = if of.powered { "" } else { ", switched off" };
    format!("runs {runs}{confirmed}{power}, {state}, {reason}")
}
