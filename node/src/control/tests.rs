use std::os::unix::fs::PermissionsExt;

use daymark_core::effect::ItemOutcome;
use daymark_protocol::control::{Bytes, Inhibit, Item, Join, SubmitOutcome, Wanted};
use daymark_protocol::document::DocumentId;
use daymark_protocol::id::{Digest, KeyId};
use tokio::sync::{mpsc, watch};

use super::routes::Replica;
use super::*;
use crate::durable::DataFolder;
use crate::store::Store;

struct Fixture {
    folder: tempfile::TempDir,
    client: Client,
    requests: mpsc::Receiver<Request>,
    stop: watch::Sender<bool>,
    served: tokio::task::JoinHandle<()>,
    _data: DataFolder,
}

async fn serve() -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let data = DataFolder::open(&folder.path().join("data")).unwrap();
    data.write_root(1, b"root").unwrap();
    let (store, _) = Store::open(&folder.path().join("store")).unwrap();
    store.put_entry(&DocumentId::Fleet, &Digest([1; 32]), b"entry").unwrap();
    store.put_report(&KeyId([2; 32]), 3, 4, b"report").unwrap();
    store.put_blob(&Digest([5; 32]), b"blob").unwrap();
    let socket = folder.path().join("run/control.sock");
    let server = ControlServer::bind(&socket).await.unwrap();
    let (sender, requests) = mpsc::channel(4);
    let (stop, stopped) = watch::channel(false);
    let replica = Replica { store, roots: data.roots() };
    let served = tokio::spawn(server.serve(sender, replica, stopped));
    let client = Client::new(&socket);
    Fixture { folder, client, requests, stop, served, _data: data }
}

#[tokio::test]
async fn the_replica_is_read_by_name() {
    let fixture = serve().await;
    let index = fixture.client.replica().await.unwrap();
    let wanted = Wanted {
        roots: index.roots.iter().copied().chain([9]).collect(),
        entries: vec![(DocumentId::Fleet, index.entries[&DocumentId::Fleet][0])],
        reports: index
            .reports
            .iter()
            .flat_map(|(host, reports)| reports.iter().map(|(g, c)| (*host, *g, *c)))
            .collect(),
        blobs: index.blobs.clone(),
    };
    let fetched = fixture.client.fetch(&wanted).await.unwrap();
    let bytes: Vec<&[u8]> = fetched.items.iter().map(Item::bytes).collect();
    assert_eq!(bytes, [&b"root"[..], b"entry", b"report", b"blob"]);
    assert!(!fetched.more);
}

#[tokio::test]
async fn submissions_reach_the_agent_and_its_answer_comes_back() {
    let mut fixture = serve().await;
    let client = fixture.client.clone();
    let submit = tokio::spawn(async move {
        let items = vec![Submitted::Root(Bytes(vec![1])), Submitted::Blob(Bytes(vec![2]))];
        client.submit(items).await
    });
    let Some(Request::Submit { items, visitor: None, reply: answer }) =
        fixture.requests.recv().await
    else {
        panic!("a submission was sent");
    };
    assert_eq!(items, [Carried::Root(vec![1]), Carried::Blob(vec![2])]);
    let outcomes = vec![ItemOutcome::New, ItemOutcome::Refused("its digest is wrong".into())];
    answer.send(Reply::Submitted(outcomes)).unwrap();
    let outcomes = submit.await.unwrap().unwrap().outcomes;
    assert_eq!(
        outcomes,
        [SubmitOutcome::New, SubmitOutcome::Refused("its digest is wrong".into())]
    );
}

#[tokio::test]
async fn refusals_carry_their_sentence() {
    let mut fixture = serve().await;
    let client = fixture.client.clone();
    let pin = Pin { version: 1, digest: Digest([1; 32]) };
    let join = tokio::spawn(async move { client.join(&Join { pin, items: vec![] }).await });
    let Some(Request::Join(_, _, answer)) = fixture.requests.recv().await else {
        panic!("a join was sent");
    };
    answer.send(Reply::Refused("this machine belongs to another fleet".into())).unwrap();
    let error = join.await.unwrap().unwrap_err();
    assert_eq!(error.to_string(), "this machine belongs to another fleet");

    let empty = Inhibit { why: " ".into(), until: None };
    let error = fixture.client.inhibit(&empty).await.unwrap_err();
    assert!(matches!(error, ClientError::Refused(ref refusal) if refusal.code == "bad-request"));
}

#[tokio::test]
async fn an_agent_that_stops_says_so_and_takes_its_socket_along() {
    let fixture = serve().await;
    drop(fixture.requests);
    let error = fixture.client.status().await.unwrap_err();
    assert!(matches!(error, ClientError::Refused(ref refusal) if refusal.code == "stopping"));
    fixture.stop.send(true).unwrap();
    fixture.served.await.unwrap();
    let error = fixture.client.status().await.unwrap_err();
    assert!(matches!(error, ClientError::Unreachable { .. }), "{error}");
    assert!(!fixture.folder.path().join("run/control.sock").exists());
}

#[tokio::test]
async fn the_socket_is_for_its_group_and_has_one_server() {
    let fixture = serve().await;
    let socket = fixture.folder.path().join("run/control.sock");
    let mode = std::fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
    let second = ControlServer::bind(&socket).await.unwrap_err();
    assert!(second.to_string().contains("another process"), "{second}");

    let left_over = fixture.folder.path().join("left-over.sock");
    drop(std::os::unix::net::UnixListener::bind(&left_over).unwrap());
    ControlServer::bind(&left_over).await.unwrap();
}
