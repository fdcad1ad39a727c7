//! What needs to reach inside: failures that are made on purpose.

use std::time::Duration;

use daymark_core::effect::{Admission, Channel, Topic};
use tokio::sync::mpsc;

use super::handle::Command;
use super::{MeshConfig, MeshEvent, MeshHandle, start};

fn config(peers: Vec<String>) -> MeshConfig {
    MeshConfig {
        listen: vec!["/ip4/127.0.0.1/tcp/0".to_owned()],
        peers,
        mdns: false,
        gossip_heartbeat: Duration::from_millis(100),
        redial_pause: Duration::from_millis(50),
        ..MeshConfig::default()
    }
}

async fn until<T>(
    events: &mut mpsc::Receiver<MeshEvent>,
    mut pick: impl FnMut(MeshEvent) -> Option<T>,
) -> T {
    let wait = async {
        loop {
            if let Some(picked) = pick(events.recv().await.unwrap()) {
                return picked;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), wait).await.unwrap()
}

fn listening(event: MeshEvent) -> Option<String> {
    if let MeshEvent::Listening { addresses } = event { addresses.first().cloned() } else { None }
}

fn received(event: MeshEvent) -> Option<Vec<u8>> {
    if let MeshEvent::Received { bytes, .. } = event { Some(bytes) } else { None }
}

fn as_member(event: MeshEvent) -> Option<()> {
    matches!(event, MeshEvent::Connected { admission: Admission::Member, .. }).then_some(())
}

fn gossip(event: MeshEvent) -> Option<()> {
    matches!(event, MeshEvent::Gossip { .. }).then_some(())
}

async fn publish_for_ever(mesh: &MeshHandle, topic: &Topic) {
    for number in 0_u64.. {
        mesh.publish(topic.clone(), number.to_be_bytes().to_vec()).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_panic_is_reported_and_the_mesh_carries_on_as_before() {
    let (sender, mut far_events) = mpsc::channel(4096);
    let far = start(config(Vec::new()), [2; 32], sender).unwrap();
    let address = until(&mut far_events, listening).await;
    let (sender, mut events) = mpsc::channel(4096);
    let near = start(config(vec![address]), [1; 32], sender).unwrap();
    let topic = Topic("daymark/site".to_owned());
    for (mesh, other) in [(&near, &far), (&far, &near)] {
        mesh.subscribe(topic.clone()).await;
        mesh.admit(other.key(), Admission::Member).await;
    }
    until(&mut events, as_member).await;

    near.command(Command::Panic).await;
    let mut disconnected = false;
    let reason = until(&mut events, |event| {
        if let MeshEvent::Disconnected { peer } = &event {
            disconnected |= *peer == far.key();
        }
        if let MeshEvent::Restarted { reason } = event { Some(reason) } else { None }
    })
    .await;
    assert!(disconnected, "the lost connection was not reported");
    assert_eq!(reason, "as the test asked");
    assert_eq!(near.stats().restarts, 1);

    // Admission, subscription and the peer to dial are those of before.
    until(&mut events, as_member).await;
    tokio::select! {
        () = publish_for_ever(&far, &topic) => {}
        () = until(&mut events, gossip) => {}
    }
    near.send(far.key(), Channel::Sync, b"hello again".to_vec()).await;
    assert_eq!(until(&mut far_events, received).await, b"hello again");
}
