//! `explain HOST`: prints the host's decision and nothing else. Every word comes from the value
//! that the host itself acts on.

use daymark_protocol::decide::{Decision, GateAnswer, Verdict};
use daymark_protocol::resource::Kind;
use daymark_protocol::time::WallTime;
use serde::Serialize;

use crate::cli::HostArgs;
use crate::exit::{Exit, Outcome};
use crate::session::Session;
use crate::{names, output, scopes, times};

/// A decision, and how old it is.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Explained {
    /// The host's name.
    pub host: String,
    /// When it was decided.
    pub as_of: Option<WallTime>,
    /// Whether the host itself was asked just now, or its last report is shown.
    pub live: bool,
    /// The scope of the policy that it follows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy_scope: Option<String>,
    /// From which fleets a local person had it adopted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adopted: Option<String>,
    /// What of its custom configuration could not be delivered, and why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub configuration_problem: Option<String>,
    /// The decision.
    pub decision: Decision,
}

/// Runs `explain`.
pub(crate) async fn run(session: Session, args: HostArgs) -> Outcome {
    let host = names::find_host(session.standing(), &args.host)?;
    let name = names::host_name(session.standing(), &host);
    let mut explained = session.decision(&host, name).await?;
    let standing = session.standing();
    let policy = explained.decision.target.as_ref().map(|target| target.policy.clone());
    explained.policy_scope = policy.as_ref().and_then(|policy| {
        let line = standing.lines.get(&(Kind::OsUpdatePolicy, policy.clone()))?;
        names::living(line).map(|version| scopes::show(standing, &version.scope))
    });
    if let Some(summary) = session.host(&host) {
        explained.adopted = summary.adopted;
        explained.configuration_problem = summary.configuration_problem;
    }
    let policy = policy.map(|policy| names::name_of(standing, Kind::OsUpdatePolicy, &policy));
    output::value(session.global.output, &explained, || {
        text(&explained, policy.as_deref().unwrap_or_default(), &session.as_of())
    })?;
    Ok(Exit::Done)
}

fn text(explained: &Explained, policy: &str, synced: &str) -> String {
    let decision = &explained.decision;
    let (word, colour) = match decision.verdict {
        Verdict::Nothing => ("NOTHING TO DO", 32),
        Verdict::Wait => ("WAITS", 33),
        Verdict::Stage => ("STAGES", 36),
        Verdict::Activate => ("ACTIVATES", 32),
    };
    let mut lines = vec![format!(
        "{}  {}  {} ({})",
        explained.host,
        output::paint(word, colour),
        decision.message,
        decision.reason
    )];
    if let Some(target) = &decision.target {
        lines.push(format!(
            "  wants {}@{} by policy {policy} version {} (scope {})",
            target.profile,
            target.version,
            target.policy_version,
            explained.policy_scope.as_deref().unwrap_or("unknown here")
        ));
    }
    lines.push(String::new());
    for gate in &decision.gates {
        gate_lines(gate, &mut lines);
    }
    lines.push(String::new());
    let now = times::now();
    if let Some(window) = &decision.window {
        let end = window.end.map_or_else(|| "open-ended".to_owned(), times::show);
        lines.push(format!("Window      {} to {end}", times::show(window.start)));
    }
    if let Some(start) = decision.start_at {
        lines.push(format!("Its turn    {} ({})", times::show(start), times::relative(start, now)));
    }
    if let Some(next) = decision.next_look {
        lines.push(format!("Next look   {} ({})", times::show(next), times::relative(next, now)));
    }
    if let Some(adopted) = &explained.adopted {
        lines.push(format!("History     {adopted}"));
    }
    if let Some(problem) = &explained.configuration_problem {
        lines.push(format!("Config      not delivered: {problem}"));
    }
    let at = |at| format!("{} ({})", times::show(at), times::relative(at, now));
    lines.push(match (explained.live, explained.as_of) {
        (true, Some(asked)) => format!("As of       {}, asked of the host", at(asked)),
        (false, Some(said)) => format!("As of       {}, its last report", at(said)),
        (_, None) => format!("Its last report. {synced}"),
    });
    output::joined(lines)
}

fn gate_lines(gate: &GateAnswer, lines: &mut Vec<String>) {
    let name = serde_json::to_value(gate.gate)
        .ok()
        .and_then(|value| value.as_str().map(str::to_owned))
        .unwrap_or_default();
    let mark = if gate.pass { output::paint("pass", 32) } else { output::paint("WAIT", 33) };
    lines.push(format!("  {mark}  {name:<12} {}", gate.message));
    for evidence in &gate.evidence {
        lines.push(format!("        {:<12} {}: {}", "", evidence.0, evidence.1));
    }
    if let (false, Some(at)) = (gate.pass, gate.changes_at) {
        lines.push(format!("        {:<12} changes by itself {}", "", times::show(at)));
    }
}
