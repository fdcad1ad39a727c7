//! Connections that somebody begins and never finishes, as a hostile machine leaves them.

use std::io::ErrorKind;

use daymark_core::effect::Admission;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::harness::{Node, admit_both, config, config_with_peers};

/// More than a node has in the making at a time.
const FLOOD: usize = 64;
/// A TLS record that says it is a hello of 512 bytes, of which the first two come.
const HALF_A_HELLO: [u8; 7] = [0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00];

/// Connects, and says nothing or half a hello.
async fn half_open(node: &Node, number: usize) -> TcpStream {
    let mut parts = node.address.split('/').skip(2).step_by(2);
    let address = format!("{}:{}", parts.next().unwrap(), parts.next().unwrap());
    let mut stream = TcpStream::connect(address).await.unwrap();
    if number.is_multiple_of(2) {
        // It may be closed already: there is no room for so many.
        drop(stream.write_all(&HALF_A_HELLO).await);
    }
    stream
}

/// Whether the other end has neither answered nor closed.
fn is_held(stream: &TcpStream) -> bool {
    stream.try_read(&mut [0]).is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
}

#[tokio::test]
async fn connections_that_nobody_finishes_end_and_keep_no_member_out() {
    let mut friend = Node::start(2, config()).await;
    let mut node = Node::start(1, config()).await;
    admit_both(&node, &friend, Admission::Member).await;
    let mut flood = Vec::new();
    for number in 0..FLOOD {
        flood.push(half_open(&node, number).await);
    }
    node.mesh.dial(friend.key(), vec![friend.bare_address()]).await;
    node.until_connected(friend.key(), Admission::Member).await;
    friend.until_connected(node.key(), Admission::Member).await;
    assert!(flood.iter().any(is_held), "nothing was mounted");
    for stream in &mut flood {
        let heard = stream.read_to_end(&mut Vec::new()).await;
        drop(heard);
    }
    let mut late = Node::start(3, config_with_peers(&[&node])).await;
    admit_both(&node, &late, Admission::Member).await;
    late.until_connected(node.key(), Admission::Member).await;
    assert!(!node.saw("Disconnected"), "{:#?}", node.log);
}
