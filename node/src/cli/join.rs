//! `daymark-node join`: takes the fleet from a folder, through the running agent or, if none runs,
//! by one that runs just for this.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use data_encoding::HEXLOWER;
use daymark_protocol::control::{
    Bytes, Item, Join, SubmitAnswer, SubmitOutcome, Submitted, TokenFile,
};
use daymark_protocol::document::{documents_of, signature_entry, statement_entry};
use daymark_protocol::id::{Digest, FleetId};
use daymark_protocol::trust::{Pin, RootChain, SigningKey, join_by_token};
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use super::fleet::{fingerprint, held_chain, refused};
use super::{Usage, print, sealed};
use crate::causes::with_causes;
use crate::clock::wall;
use crate::control::{Client, ClientError};
use crate::durable::{DataFolder, DurableError, HostKeyFile, read_bounded};
use crate::folder::{ItemName, ReplicaFolder};
use crate::platform::facts;
use crate::settings::Settings;

/// Largest token file: a name, a key and the labels of a host.
const TOKEN_FILE_BYTES_MAX: u64 = 64 * 1024;

/// A token that lets this machine in (RULES S9).
#[derive(Debug)]
pub(super) struct ByToken<'a> {
    /// Its file.
    pub(super) file: &'a Path,
    /// The machine's name; its host name if absent.
    pub(super) name: Option<String>,
}

pub(super) fn join(
    settings: &Settings,
    folder: &Path,
    fleet: &str,
    token: Option<ByToken<'_>>,
) -> anyhow::Result<()> {
    let pin = fingerprint(fleet)?;
    let folder = ReplicaFolder::open(folder)?;
    let (roots, mut others) = read(&folder, pin)?;
    let token = token.map(Token::read).transpose()?;
    let fleet = fleet_of(pin, &roots);
    let own = HostKeyFile::read(&settings.data_dir);
    let seed = own.as_ref().ok().map(|own| SigningKey::from_seed(own.seed));
    let keys: Vec<SigningKey> =
        seed.into_iter().chain(token.as_ref().map(|token| token.key.clone())).collect();
    let packs = sealed::read(&folder, fleet, &keys)?;
    others.extend(packs.items);
    let not_ours = not_ours(packs.not_ours, own.err());
    if let Some(token) = token {
        others.extend(membership(settings, token)?);
    }
    let join = Join { pin, items: roots };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start threads")?;
    runtime.block_on(async {
        let client = Client::new(&settings.control_socket);
        match client.join(&join).await {
            Err(ClientError::Unreachable { .. }) => {
                let answer = alone(settings, &client, &join, others).await?;
                report(&answer, "joined; start the agent with `systemctl enable --now daymark`")
            }
            Err(error) => Err(error.into()),
            Ok(()) => {
                let answer = client.submit(others).await?;
                report(&answer, "joined; the running agent has taken what the folder brought")
            }
        }
    })?;
    not_ours.iter().try_for_each(|why| print(why))?;
    packs.unusable.map_or(Ok(()), |pack| Err(pack.into()))
}

/// What a person is told of packs that are sealed to others.
fn not_ours(count: usize, key: Option<DurableError>) -> Option<String> {
    match (count, key) {
        (0, _) => None,
        (_, None | Some(DurableError::NotInitialised { .. })) => Some(format!(
            "not read: {count} packs are not sealed to this machine. It was enrolled after the stick \
             was written, or is not yet: once it is, `daymarkctl sync` writes the stick anew; then \
             join from it once more, or let its peers tell it"
        )),
        // The key is the agent's own: who is let in at its socket may not be let to read it.
        (_, Some(error)) => {
            let why = with_causes(&error);
            Some(format!("not read: {count} sealed packs, since the machine's key is not: {why}"))
        }
    }
}

/// The fleet that the roots which were brought lead to.
fn fleet_of(pin: Pin, roots: &[Submitted]) -> Option<FleetId> {
    let mut chain = RootChain::new(pin);
    let bytes = roots.iter().filter_map(|item| match item {
        Submitted::Root(bytes) => Some(bytes.0.as_slice()),
        Submitted::Entry(_) | Submitted::Report(_) | Submitted::Blob(_) => None,
    });
    chain.accept_all(bytes);
    chain.fleet()
}

/// A token that was read.
struct Token {
    file: TokenFile,
    key: SigningKey,
    name: Option<String>,
}

impl Token {
    fn read(by: ByToken<'_>) -> anyhow::Result<Self> {
        let wrong = |why: String| Usage(format!("{} is no token: {why}", by.file.display()));
        let json = read_bounded(by.file, TOKEN_FILE_BYTES_MAX);
        let json = json.map_err(|error| wrong(error.to_string()))?.map(Zeroizing::new);
        let json = json.ok_or_else(|| wrong("there is no such file".into()))?;
        let file: TokenFile =
            serde_json::from_slice(&json).map_err(|error| wrong(error.to_string()))?;
        let seed = HEXLOWER.decode(file.seed.as_bytes()).ok().map(Zeroizing::new);
        let seed = seed.and_then(|seed| <[u8; 32]>::try_from(seed.as_slice()).ok());
        let seed = Zeroizing::new(seed.ok_or_else(|| wrong("its seed is not a key".into()))?);
        Ok(Self { file, key: SigningKey::from_seed(*seed), name: by.name })
    }
}

/// This machine's membership, signed with the token's key and its own.
fn membership(settings: &Settings, token: Token) -> anyhow::Result<Vec<Submitted>> {
    let own = SigningKey::from_seed(HostKeyFile::read(&settings.data_dir)?.seed);
    let name = token.name.unwrap_or_else(|| facts::kernel().0);
    let issued = wall();
    let TokenFile { fleet, token: spec, .. } = &token.file;
    let (statement, signatures) = join_by_token(*fleet, issued, &name, spec, &token.key, &own)
        .context("the machine cannot be named so")?;
    let digest = statement.digest();
    let mut entries = vec![statement_entry(statement.bytes())];
    entries.extend(signatures.iter().map(|(id, sig)| signature_entry(&digest, id, sig)));
    let mut items = Vec::new();
    for document in documents_of(&statement) {
        for bytes in &entries {
            let hash = Digest::of(bytes);
            let (document, bytes) = (document.clone(), Bytes(bytes.clone()));
            items.push(Submitted::from(Item::Entry { document, hash, bytes }));
        }
    }
    Ok(items)
}

/// Says that the machine has joined, and what of the folder was not taken.
fn report(answer: &SubmitAnswer, joined: &str) -> anyhow::Result<()> {
    print(joined)?;
    let refused = answer.outcomes.iter().filter_map(|outcome| match outcome {
        SubmitOutcome::Refused(why) => Some(why.as_str()),
        SubmitOutcome::New
        | SubmitOutcome::Known
        | SubmitOutcome::Held(_)
        | SubmitOutcome::NotKept(_) => None,
    });
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    refused.for_each(|why| *counts.entry(why).or_default() += 1);
    for (why, count) in counts {
        print(&format!("refused {count} of the folder's items: {why}"))?;
    }
    Ok(())
}

/// Runs an agent without a network until it has taken everything.
async fn alone(
    settings: &Settings,
    client: &Client,
    join: &Join,
    others: Vec<Submitted>,
) -> anyhow::Result<SubmitAnswer> {
    check_fleet(settings, join.pin)?;
    let mut offline = settings.clone();
    offline.network.listen.clear();
    offline.network.peers.clear();
    offline.network.mdns = false;
    let stop = CancellationToken::new();
    let agent = tokio::spawn(crate::agent::run(offline, stop.clone()));
    let joined = async {
        while let Err(ClientError::Unreachable { .. }) = client.status().await {
            if agent.is_finished() {
                return Ok(SubmitAnswer::default());
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        client.join(join).await?;
        client.submit(others).await
    }
    .await;
    stop.cancel();
    agent.await.context("the agent failed")??;
    Ok(joined?)
}

/// A machine takes its fleet once. Told before an agent starts for it, since each start of one is
/// a generation of reports.
fn check_fleet(settings: &Settings, pin: Pin) -> anyhow::Result<()> {
    let data = DataFolder::open(&settings.data_dir)?;
    match held_chain(&data, &data.read_state()?)? {
        Some(chain) if chain.pin() != pin && !chain.holds(pin.version, &pin.digest) => {
            Err(refused(format!(
                "this machine belongs to the fleet pinned by {}; a machine takes its fleet once",
                chain.pin()
            )))
        }
        Some(_) | None => Ok(()),
    }
}

/// The roots that joining needs, then everything else, later roots first.
fn read(folder: &ReplicaFolder, pin: Pin) -> anyhow::Result<(Vec<Submitted>, Vec<Submitted>)> {
    let names = folder.names()?;
    let (roots, mut others): (Vec<ItemName>, Vec<ItemName>) = names
        .into_iter()
        .partition(|name| matches!(name, ItemName::Root(version) if *version <= pin.version));
    others.sort_by_key(|name| match name {
        ItemName::Root(version) => *version,
        ItemName::Entry(..) | ItemName::Report(..) | ItemName::Blob(_) => u64::MAX,
    });
    let items = |names: Vec<ItemName>| -> anyhow::Result<Vec<Submitted>> {
        let mut items = Vec::new();
        for name in names {
            items.extend(folder.read(&name)?.map(|item: Item| Submitted::from(item)));
        }
        Ok(items)
    };
    Ok((items(roots)?, items(others)?))
}
