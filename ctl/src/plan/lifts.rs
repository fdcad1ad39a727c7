//! What would let a host go on, by the gate that holds it.

use daymark_protocol::decide::Gate;

/// The word for a host of which nothing is known.
pub(super) const NEVER_REPORTED: &str = "not-reported";

/// What would lift a gate's objection.
pub(super) fn lifts(gate: Option<Gate>, reason: &str) -> &'static str {
    let Some(gate) = gate else {
        return match reason {
            NEVER_REPORTED => "its first report: `daymarkctl sync` with a node of its site",
            _ => "the end of the update that is under way",
        };
    };
    match gate {
        Gate::Enrolled => "a Host statement that counts: `daymarkctl enroll`, `get hosts`",
        Gate::Authority => "`daymarkctl sync`, or a newer root where this one has expired",
        Gate::Clock => "a clock that counts on the machine: `daymark-node doctor`",
        Gate::Halted => match reason {
            "held" => "`daymarkctl unhold HOST`",
            "halted" => "`daymarkctl resume`",
            _ => "`daymarkctl sync`, or a newer version of the agent",
        },
        Gate::Sees => "what its signers knew, from whoever holds it: `daymarkctl sync`",
        Gate::Policy => match reason {
            "no-policy" => "a policy that reaches it: `daymarkctl apply -f`",
            "policy-conflict" => "another priority for one of the policies",
            _ => "the policy, signed anew",
        },
        Gate::Target => match reason {
            "nothing-promoted" => "`daymarkctl promote PROFILE VERSION`",
            _ => "a policy for an image that is held and counts",
        },
        Gate::Compatible => match reason {
            "no-backend" => "slots or a program in the machine's configuration",
            _ => "a policy and an image for what it is",
        },
        Gate::Newer => match reason {
            "already-there" => "a newer image; it runs what is asked for",
            "target-older" => "a newer image, or a policy with allowDowngrade",
            _ => "a newer image",
        },
        Gate::Quarantine => "`daymarkctl retry HOST`, or another image",
        Gate::SoleUpdater => "switching off the other updater on the machine",
        Gate::Inhibited => "the end of what inhibits it on the machine",
        Gate::Turn | Gate::Window => match reason {
            "no-window" => "a window that is long enough: `daymarkctl create schedule`",
            "blackout" => "the end of the blackout",
            "too-little-left" => "a longer window",
            _ => "its next window, after these days; or `daymarkctl update HOST --now`",
        },
        Gate::Staged => "the image in its inactive slot",
        Gate::Slot => "a slot that is free on the machine: `daymark-node doctor`",
    }
}
