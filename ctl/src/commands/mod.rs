//! What each command does, a file per command.

pub(crate) mod apply;
pub(crate) mod audit;
pub(crate) mod context;
pub(crate) mod create;
pub(crate) mod describe;
pub(crate) mod emergency;
pub(crate) mod enroll;
pub(crate) mod explain;
pub(crate) mod export;
pub(crate) mod fleet;
pub(crate) mod get;
pub(crate) mod heartbeat;
pub(crate) mod host;
pub(crate) mod key;
pub(crate) mod peers;
pub(crate) mod plan;
pub(crate) mod release;
pub(crate) mod root;
pub(crate) mod sign;
pub(crate) mod signed;
pub(crate) mod stop;
pub(crate) mod submit;
pub(crate) mod sync;
pub(crate) mod token;
pub(crate) mod update;
pub(crate) mod watch;
pub(crate) mod windows;

use clap::CommandFactory as _;

use crate::cli::{Cli, Command, ExportCommand, FleetCommand, ReleaseCommand};
use crate::exit::{Exit, Outcome};
use crate::session::Session;

/// Runs a command. What a node at hand knows comes in before anything is shown or signed: a
/// statement written in ignorance of another may contradict it.
pub(crate) async fn run(cli: Cli) -> Outcome {
    let global = cli.global;
    let session = || Session::open(global.clone()).inspect(fleet::announce);
    match cli.command {
        Command::Demo(args) => crate::demo::run(args).await,
        Command::Key(command) => key::run(&global, command),
        Command::Fleet(FleetCommand::Init(args)) => fleet::init(&global, &args),
        Command::Fleet(FleetCommand::Info) => fleet::info(&session()?),
        Command::Root(command) => root::run(sync::fresh(session()?).await?, command).await,
        Command::Context(command) => context::run(global, command).await,
        Command::Sync(args) => sync::run(session()?, args).await,
        Command::Status => describe::status(&sync::fresh(session()?).await?),
        Command::Create(command) => create::run(sync::fresh(session()?).await?, command).await,
        Command::Apply(args) => apply::apply(sync::fresh(session()?).await?, args).await,
        Command::Diff(args) => apply::diff(&sync::fresh(session()?).await?, &args),
        Command::Delete(args) => describe::delete(sync::fresh(session()?).await?, args).await,
        Command::Get(args) => get::run(sync::fresh(session()?).await?, args).await,
        Command::Describe(args) => describe::describe(&sync::fresh(session()?).await?, &args),
        Command::Watch(args) => watch::watch(session()?, args).await,
        Command::Wait(args) => watch::wait(session()?, args).await,
        Command::Explain(args) => explain::run(sync::fresh(session()?).await?, args).await,
        Command::Plan(args) => plan::run(&sync::fresh(session()?).await?, &args),
        Command::Enroll(args) => enroll::run(sync::fresh(session()?).await?, args).await,
        Command::Revoke(command) => host::revoke(sync::fresh(session()?).await?, command).await,
        Command::Label(command) => host::label(sync::fresh(session()?).await?, command).await,
        Command::Move(command) => host::relocate(sync::fresh(session()?).await?, command).await,
        Command::Sign(args) => sign::run(sync::fresh(session()?).await?, args).await,
        Command::Halt(args) => stop::halt(sync::fresh(session()?).await?, args).await,
        Command::Resume(args) => stop::resume(sync::fresh(session()?).await?, args).await,
        Command::Promote(args) => update::promote(sync::fresh(session()?).await?, args).await,
        Command::Update(args) => update::update(sync::fresh(session()?).await?, args).await,
        Command::Rollback(args) => update::rollback(sync::fresh(session()?).await?, args).await,
        Command::Hold(args) => stop::hold(sync::fresh(session()?).await?, args).await,
        Command::Unhold(args) => stop::unhold(sync::fresh(session()?).await?, args).await,
        Command::Retry(args) => stop::retry(sync::fresh(session()?).await?, args).await,
        Command::Release(ReleaseCommand::Add { image, profile, to }) => {
            release::add(sync::fresh(session()?).await?, &image, &profile, &to).await
        }
        Command::Audit(args) => audit::fresh(session()?, args).await,
        Command::Verify(args) => audit::verify(global.output, &args),
        Command::Export(ExportCommand::Document { document, to }) => {
            export::document(&session()?, &document, to)
        }
        Command::Version => {
            crate::output::text(concat!("daymarkctl ", env!("CARGO_PKG_VERSION")));
            Ok(Exit::Done)
        }
        Command::Completion { shell } => {
            let mut command = Cli::command();
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut command, "daymarkctl", &mut script);
            crate::output::raw(String::from_utf8_lossy(&script).trim_end());
            Ok(Exit::Done)
        }
    }
}
