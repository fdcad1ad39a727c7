//! `context add|use|remove|list`: fleets known to this machine.

use std::path::Path;

use daymark_node::folder::ReplicaFolder;
use daymark_protocol::trust::Pin;
use serde::Serialize;

use crate::cli::{ContextCommand, Global};
use crate::commands::sync::{self, Moved};
use crate::exit::{Exit, Failure, Outcome};
use crate::home::{self, ContextFile, Home};
use crate::output::{self, Row};
use crate::reach::NodeAt;
use crate::session::Session;

#[derive(Debug, Serialize)]
struct ContextRow {
    name: String,
    current: bool,
    fingerprint: String,
    node: Option<String>,
}

impl Row for ContextRow {
    const HEADS: &'static [&'static str] = &["name", "current", "fingerprint", "node"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.name.clone(),
            if self.current { "*".into() } else { String::new() },
            self.fingerprint.clone(),
            self.node.clone().unwrap_or_default(),
        ]
    }

    fn name(&self) -> String {
        self.name.clone()
    }
}

/// Takes a fleet over, or leaves no trace of having tried.
async fn add(home: &Home, global: Global, name: String, from: &Path, pin: Pin) -> Outcome<()> {
    let node = (!from.is_dir()).then(|| from.to_string_lossy().into_owned());
    if node.is_none() {
        ReplicaFolder::open(from).map_err(Failure::usage)?;
    }
    let context = home.begin_context(&name)?;
    home::write_context(context.path(), &ContextFile { pin, node })?;
    let unfinished = Global { context: Some(context.unfinished_name()), ..global };
    let (moved, missing) = fetch(unfinished, &name, from, pin).await?;
    context.finish()?;
    output::text(&format!("Added context {name}: {} items received.", moved.received));
    if let Some((have, need)) = missing {
        output::text(&format!(
            "Its root has {have} of {need} signatures. Next: `daymarkctl sign --all`, then \
             `daymarkctl sync {}`.",
            from.display()
        ));
    }
    Ok(())
}

/// Removes a context that somebody said yes to.
fn remove(home: &Home, global: &Global, name: &str) -> Outcome<()> {
    if !home.contexts()?.iter().any(|held| held == name) {
        return Err(home::no_context(name));
    }
    output::text(&format!(
        "Removes {}: what was signed and never synced, and drafts, are lost. The keys stay.",
        home.context_folder(name).display()
    ));
    if global.dry_run {
        output::text("Nothing was removed (--dry-run).");
        return Ok(());
    }
    if !global.yes && !output::confirm(&format!("Remove context {name}?")) {
        return Err(
            Failure::refused("nothing was removed").next("say --yes to remove without asking")
        );
    }
    home.remove_context(name)?;
    output::text(&format!("Context {name} is removed."));
    Ok(())
}

/// Signatures that a root has, and needs.
type Signatures = (usize, usize);

/// Fetches a fleet into its new context; with the signatures of its root if some are missing.
async fn fetch(
    global: Global,
    name: &str,
    from: &Path,
    pin: Pin,
) -> Outcome<(Moved, Option<Signatures>)> {
    let mut session = Session::open(global)?;
    session.name = name.to_owned();
    let moved = if from.is_dir() {
        sync::folder(&mut session, from)?
    } else {
        let client = session.client_at(&NodeAt::parse(&from.to_string_lossy())).await?;
        sync::node(&mut session, &client).await?
    };
    let draft = session.draft_root()?.ok_or_else(|| {
        Failure::refused(format!(
            "{} does not hold the root with the fingerprint {pin}",
            from.display()
        ))
        .next("compare the fingerprint with `daymarkctl fleet info` of whoever gave it")
    })?;
    let missing = session.replica().chain().newest().is_none();
    Ok((moved, missing.then(|| draft.progress())))
}

/// Runs `context …`.
pub(crate) async fn run(global: Global, command: ContextCommand) -> Outcome {
    let home = Home::open(&global)?;
    match command {
        ContextCommand::Add { name, from, fleet } => {
            let pin: Pin = fleet.parse().map_err(|error| {
                Failure::usage(error)
                    .next("`daymarkctl fleet info` prints it for those who have it")
            })?;
            add(&home, global, name, &from, pin).await?;
        }
        ContextCommand::Use { name } => {
            home.use_context(&name)?;
            if let Some(node) = &global.node {
                let folder = home.context_folder(&name);
                let mut file = home::read_context(&folder)?;
                file.node = Some(node.clone());
                home::write_context(&folder, &file)?;
            }
            output::text(&format!("Context {name} is the current one."));
        }
        ContextCommand::Remove { name } => remove(&home, &global, &name)?,
        ContextCommand::List => {
            let current = home.current(&global).map(|(name, _)| name).ok();
            let rows = home
                .contexts()?
                .into_iter()
                .map(|name| {
                    let file = home::read_context(&home.context_folder(&name))?;
                    Ok(ContextRow {
                        current: current.as_ref() == Some(&name),
                        fingerprint: file.pin.to_string(),
                        node: file.node,
                        name,
                    })
                })
                .collect::<Outcome<Vec<_>>>()?;
            output::rows(global.output, &rows, "")?;
        }
    }
    Ok(Exit::Done)
}
