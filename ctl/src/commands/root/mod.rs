//! `root …`: the next root, written as a draft, previewed, signed here as far as this machine's keys
//! go, and kept until the others have signed too.

mod change;
mod draft;
mod show;

use daymark_protocol::trust::Root;

use crate::cli::RootCommand;
use crate::drafts::{self, Draft, Said};
use crate::exit::{Exit, Failure, Outcome};
use crate::session::Session;
use crate::{output, rotation};

pub(crate) use self::change::statement;
use self::draft::NextRoot;
pub(crate) use self::draft::sign;

/// Runs `root …`.
pub(crate) async fn run(mut session: Session, command: RootCommand) -> Outcome {
    let next = match command {
        RootCommand::Show => return show::run(&session),
        RootCommand::Discard => return discard(&session),
        RootCommand::AddKey { key, roles, next } => {
            change::add_key(NextRoot::begin(&session, next)?, &key, &roles)?
        }
        RootCommand::RetireKey { key, successor, next } => {
            change::retire(NextRoot::begin(&session, next)?, &key, successor.as_deref())?
        }
        RootCommand::RevokeKey { key, successor, keep, void, next } => {
            let next = NextRoot::begin(&session, next)?;
            let next = change::revoke(next, &key, successor.as_deref())?;
            change::void(change::keep(next, &keep)?, &void)?
        }
        RootCommand::Void { statement, next } => {
            change::void(NextRoot::begin(&session, next)?, &[statement])?
        }
        RootCommand::Delegate { delegates, role, until, sign, name, next } => {
            let next = NextRoot::begin(&session, next)?;
            change::delegate(next, &delegates, role.into(), (&until, sign), name)?
        }
        RootCommand::Undelegate { name, next } => {
            change::undelegate(NextRoot::begin(&session, next)?, &name)?
        }
        RootCommand::Extend { next } => NextRoot::extend(&session, next)?,
        RootCommand::Freshness { alarm, stop, next } => {
            let next = NextRoot::begin(&session, next)?;
            change::freshness(next, alarm.as_deref(), stop.as_deref())?
        }
    };
    let (draft, preview_only) = next.finish()?;
    let Said::Root(root) = draft.said.clone() else {
        return Err(Failure::new(Exit::Failed, "the draft is no root"));
    };
    show_preview(&session, &root, &draft)?;
    if preview_only || session.global.dry_run {
        output::note("Nothing was signed.");
        return Ok(Exit::Done);
    }
    sign(&mut session, draft).await
}

/// Prints what a root would do.
pub(crate) fn show_preview(session: &Session, root: &Root, draft: &Draft) -> Outcome<()> {
    let preview = rotation::preview(session, root, &draft.lists);
    output::value(session.global.output, &preview, || output::joined(rotation::lines(&preview)))
}

fn discard(session: &Session) -> Outcome {
    let Some(draft) = drafts::next_root(session)? else {
        output::text("No draft of a root waits here.");
        return Ok(Exit::Done);
    };
    let told = draft.title();
    if !session.global.yes && !output::confirm(&format!("Forget the draft of {told}?")) {
        return Err(
            Failure::refused("nothing was changed").next("say --yes to do it without asking")
        );
    }
    drafts::forget(session, &draft)?;
    output::text(&format!(
        "The draft of {told} is forgotten here. A stick that holds it brings it back."
    ));
    Ok(Exit::Done)
}
