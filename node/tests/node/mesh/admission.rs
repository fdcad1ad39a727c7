//! Who takes part in what (RULES A1, A2).

use daymark_core::effect::{Admission, Channel};
use daymark_node::mesh::OpenError;

use super::harness::{
    Node, admit_both, config, config_with_peers, gossip_reaches, gossiping_pair, topic,
};

/// A stranger that runs this very program, admits the members and asks for everything.
#[tokio::test]
async fn a1_a_stranger_is_connected_but_reaches_the_join_exchange_only() {
    let (mut a, mut b) = gossiping_pair().await;
    let mut stranger = Node::start(9, config_with_peers(&[&a, &b])).await;
    stranger.mesh.subscribe(topic()).await;
    stranger.mesh.admit(a.key(), Admission::Member).await;
    stranger.mesh.admit(b.key(), Admission::Member).await;
    for member in [&mut a, &mut b] {
        stranger.until_connected(member.key(), Admission::Member).await;
        member.until_connected(stranger.key(), Admission::Stranger).await;
    }

    for number in 0..20_u8 {
        b.mesh.publish(topic(), vec![number; 100]).await;
        while a.until_gossip().await != [number; 100] {}
        a.mesh.send(stranger.key(), Channel::Sync, b"secret".to_vec()).await;
        stranger.mesh.send(a.key(), Channel::Sync, b"give me all".to_vec()).await;
        stranger.mesh.publish(topic(), vec![number; 99]).await;
    }
    let refused = stranger.mesh.open_chunks(a.key()).await.unwrap_err();
    assert_eq!(refused, OpenError::NotAdmitted);
    assert_eq!(a.mesh.open_chunks(stranger.key()).await.unwrap_err(), OpenError::NotConnected);

    // The join exchange works, and shows that the connection stood all the while.
    a.mesh.send(stranger.key(), Channel::Join, b"roots".to_vec()).await;
    assert_eq!(stranger.until_received(Channel::Join).await, (a.key(), b"roots".to_vec()));
    stranger.mesh.send(a.key(), Channel::Join, b"who am I?".to_vec()).await;
    assert_eq!(a.until_received(Channel::Join).await, (stranger.key(), b"who am I?".to_vec()));
    for leak in ["Gossip", "channel: Sync", "Disconnected"] {
        assert!(!stranger.saw(leak), "the stranger saw {leak}: {:#?}", stranger.log);
    }
    assert!(!a.saw("channel: Sync") && !a.log.iter().any(|line| line.contains("[99, 99")));
}

#[tokio::test]
async fn a1_admission_redials_and_then_gossip_flows_both_ways() {
    let mut a = Node::start(1, config()).await;
    let mut b = Node::start(2, config_with_peers(&[&a])).await;
    a.until_connected(b.key(), Admission::Stranger).await;
    b.until_connected(a.key(), Admission::Stranger).await;
    a.mesh.subscribe(topic()).await;
    b.mesh.subscribe(topic()).await;
    // One side first: the other side's connections are strangers' until it follows.
    a.mesh.admit(b.key(), Admission::Member).await;
    a.until_connected(b.key(), Admission::Member).await;
    b.mesh.admit(a.key(), Admission::Member).await;
    b.until_connected(a.key(), Admission::Member).await;
    gossip_reaches(&b, &mut a).await;
    gossip_reaches(&a, &mut b).await;
}

#[tokio::test]
async fn a2_authority_is_served_statements_and_nothing_else() {
    let mut a = Node::start(1, config()).await;
    let mut b = Node::start(2, config_with_peers(&[&a])).await;
    a.mesh.subscribe(topic()).await;
    b.mesh.subscribe(topic()).await;
    a.mesh.admit(b.key(), Admission::Authority).await;
    b.mesh.admit(a.key(), Admission::Member).await;
    a.until_connected(b.key(), Admission::Authority).await;
    b.until_connected(a.key(), Admission::Member).await;
    for _ in 0..20 {
        a.mesh.publish(topic(), b"a report".to_vec()).await;
        b.mesh.publish(topic(), b"a report".to_vec()).await;
    }
    assert_eq!(b.mesh.open_chunks(a.key()).await.unwrap_err(), OpenError::NotAdmitted);
    a.mesh.send(b.key(), Channel::Sync, b"a statement".to_vec()).await;
    assert_eq!(b.until_received(Channel::Sync).await, (a.key(), b"a statement".to_vec()));
    b.mesh.send(a.key(), Channel::Sync, b"thanks".to_vec()).await;
    assert_eq!(a.until_received(Channel::Sync).await, (b.key(), b"thanks".to_vec()));
    assert!(!a.saw("Gossip") && !b.saw("Gossip"));
}

#[tokio::test]
async fn a1_revocation_cuts_what_was_flowing() {
    let (mut a, mut b) = gossiping_pair().await;
    a.mesh.admit(b.key(), Admission::Stranger).await;
    a.until_disconnected(b.key()).await;
    b.until_disconnected(a.key()).await;
    // It comes back, as far as the join exchange: there it learns of its revocation.
    a.until_connected(b.key(), Admission::Stranger).await;
    b.until_connected(a.key(), Admission::Member).await;
    a.log.clear();
    b.log.clear();
    for number in 0..20_u8 {
        a.mesh.publish(topic(), vec![number; 10]).await;
        b.mesh.publish(topic(), vec![number; 11]).await;
    }
    a.mesh.send(b.key(), Channel::Join, b"you are revoked".to_vec()).await;
    assert_eq!(b.until_received(Channel::Join).await, (a.key(), b"you are revoked".to_vec()));
    b.mesh.send(a.key(), Channel::Join, b"oh".to_vec()).await;
    a.until_received(Channel::Join).await;
    assert!(!a.saw("Gossip") && !b.saw("Gossip"));
}

#[tokio::test]
async fn a_peer_offered_by_the_core_is_dialled_and_another_at_its_address_is_not_accepted() {
    let a = Node::start(1, config()).await;
    let b = Node::start(2, config()).await;
    let mut c = Node::start(3, config()).await;
    // `a` answers where `b` is said to be first.
    let told = vec!["nonsense".to_owned(), a.bare_address(), b.bare_address()];
    c.mesh.dial(b.key(), told).await;
    c.until_connected(b.key(), Admission::Stranger).await;
    assert_eq!(c.log.iter().filter(|line| line.contains("Connected {")).count(), 1);
    admit_both(&b, &c, Admission::Member).await;
    assert_eq!(c.until_connected(b.key(), Admission::Member).await, b.address);
}
