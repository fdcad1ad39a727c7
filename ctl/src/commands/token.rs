//! `create token` and `get tokens`: keys that let machines in without the administrators present
//! (RULES S9).

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use data_encoding::HEXLOWER;
use daymark_protocol::control::TokenFile;
use daymark_protocol::id::ResourceId;
use daymark_protocol::resource::{Kind, Spec, TokenSpec};
use daymark_protocol::trust::{Line, SigningKey, State, announced};
use serde::Serialize;
use zeroize::Zeroizing;

use crate::change::Change;
use crate::cli::CreateTokenArgs;
use crate::commands::submit;
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{self, Row};
use crate::session::Session;
use crate::{names, targets, times, whole_file};

/// Runs `create token`: a key of its own, the statement that lets it speak, and the file that is
/// handed to the machines.
pub(crate) async fn create(mut session: Session, args: CreateTokenArgs) -> Outcome {
    let standing = session.standing();
    let site = session.global.site.as_deref();
    let site = site.map(|site| names::find_site(standing, site)).transpose()?;
    let now = times::now();
    let until = times::point(&args.until, &times::local_zone(), now)?;
    if until <= now {
        return Err(Failure::usage(format!("--until {} lies in the past", args.until)));
    }
    let mut seed = Zeroizing::new([0_u8; 32]);
    getrandom::fill(seed.as_mut())
        .map_err(|error| Failure::new(Exit::Failed, format!("cannot draw a key: {error}")))?;
    let token = TokenSpec {
        name: args.name.unwrap_or_else(|| default_name(&session)),
        public_key: SigningKey::from_seed(*seed).public().to_string(),
        site,
        labels: targets::labels(&session.global.labels)?,
        uses: args.uses,
    };
    let path = args.to.unwrap_or_else(|| PathBuf::from(format!("{}.token.json", token.name)));
    if path.exists() {
        return Err(exists(&path));
    }
    let file = TokenFile {
        fleet: session.fleet()?,
        token: token.clone(),
        seed: HEXLOWER.encode(seed.as_ref()).into(),
    };
    let (scope, fleet) = (session.scope()?, session.fleet()?);
    let spec = Spec::Token(token);
    let change = Change::put(standing, &fleet, scope, spec, None, Some(until))?;
    if let Some(State::Counts) = held(&session, &change).map(|line| &line.state) {
        return Err(Failure::refused(format!("there is a token {:?} already", change.name))
            .next("choose another --name; what it admitted hangs on its key"));
    }
    output::text(&format!(
        "Whoever has {} can let {} machines in, provisionally: hand it out as you would a key.",
        path.display(),
        args.uses
    ));
    let (id, version) = (change.id.clone(), change.version);
    // Without its file a signed token would be of no use to anybody: the file is there first.
    let mut is_written = false;
    let exit = submit::run_if(&mut session, vec![change], |session| {
        submit::confirm(session)?;
        write(&path, &file)?;
        is_written = true;
        Ok(())
    })
    .await;
    if is_written && exit.is_err() && !is_signed(&session, &id, version) {
        fs::remove_file(&path)
            .with_context(|| format!("cannot remove {}, which opens nothing", path.display()))?;
    }
    let exit = exit?;
    if session.global.dry_run {
        return Ok(exit);
    }
    output::text(&format!(
        "Wrote {}. On each machine: `daymark-node join FOLDER --fleet {} --token {}`",
        path.display(),
        session.replica().chain().newest_pin().map(|pin| pin.to_string()).unwrap_or_default(),
        path.file_name().unwrap_or_default().to_string_lossy()
    ));
    Ok(exit)
}

fn held<'a>(session: &'a Session, change: &Change) -> Option<&'a Line> {
    session.standing().lines.get(&(Kind::Token, change.id.clone()))
}

fn default_name(session: &Session) -> String {
    let site = session.global.site.as_deref().unwrap_or("fleet");
    format!("{site}-{}", times::now().as_seconds())
}

/// Whether a statement with that version of the token is held.
fn is_signed(session: &Session, token: &ResourceId, version: u64) -> bool {
    session.replica().statements().any(|(_, held)| {
        let mut resources = held.statement.payload().resources.iter();
        resources.any(|resource| resource.id == *token && resource.version == version)
    })
}

fn exists(path: &Path) -> Failure {
    Failure::refused(format!("{} exists already", path.display()))
        .next("name another file with --to")
}

fn write(path: &Path, file: &TokenFile) -> Outcome<()> {
    let json = Zeroizing::new(serde_json::to_vec_pretty(file)?);
    match whole_file::create(path, &json, 0o600) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Err(exists(path)),
        Err(error) => Err(anyhow::Error::new(error)
            .context(format!("cannot write {}; nothing was signed", path.display()))
            .into()),
    }
}

/// A row of `get tokens`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TokenRow {
    name: String,
    site: String,
    labels: String,
    uses: u32,
    pending: usize,
    state: String,
    until: String,
    hosts: Vec<String>,
}

impl Row for TokenRow {
    const HEADS: &'static [&'static str] =
        &["name", "site", "labels", "uses", "pending", "state", "until", "hosts"];
    const WIDE_FROM: usize = 7;

    fn cells(&self) -> Vec<String> {
        vec![
            self.name.clone(),
            self.site.clone(),
            self.labels.clone(),
            self.uses.to_string(),
            self.pending.to_string(),
            self.state.clone(),
            self.until.clone(),
            self.hosts.join(","),
        ]
    }

    fn name(&self) -> String {
        self.name.clone()
    }
}

/// The rows of `get tokens`.
pub(crate) fn rows(session: &Session, only: Option<&str>) -> Outcome<Vec<TokenRow>> {
    let standing = session.standing();
    let only = only.map(|name| session.find(&[Kind::Token], name)).transpose()?;
    let tokens = standing.tokens();
    let mut rows = Vec::new();
    for (id, line) in standing.of_kind(Kind::Token) {
        let Some(version) = names::living(line) else { continue };
        let Ok(Some(Spec::Token(spec))) = &version.spec else { continue };
        if only.as_ref().is_some_and(|(_, only)| only != id) {
            continue;
        }
        let hosts = tokens.get(id).map(|(_, hosts)| hosts.clone()).unwrap_or_default();
        let labels: Vec<String> = spec.labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
        let state = match &line.state {
            State::Unknown(why) => format!("unknown: {why}"),
            State::Counts if hosts.len() > spec.uses as usize => {
                format!("ALARM: {} joined", hosts.len())
            }
            State::Counts => match version.until.and_then(|at| announced(at, times::now())) {
                Some(0) => "ended".into(),
                Some(_) | None => "in force".into(),
            },
        };
        rows.push(TokenRow {
            name: spec.name.clone(),
            site: spec
                .site
                .as_ref()
                .map_or_else(|| "-".into(), |site| names::name_of(standing, Kind::Site, site)),
            labels: labels.join(","),
            uses: spec.uses,
            pending: hosts.len(),
            state,
            until: version.until.map_or_else(|| "-".into(), times::show),
            hosts: hosts.iter().map(|host| names::name_of(standing, Kind::Host, host)).collect(),
        });
    }
    rows.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(rows)
}
