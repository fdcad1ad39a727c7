//! Starts the agent out of a slot; see `daymark_node::boot`.

fn main() -> std::process::ExitCode {
    daymark_node::main_boot()
}
