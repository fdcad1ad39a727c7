//! The node, its boot program and the administrators' program in one binary, told apart by the name
//! it is started under.

use std::path::Path;
use std::process::ExitCode;

/// The `main` of a binary that tests link to under the names of the node's programs.
pub fn main_by_name() -> ExitCode {
    let name = std::env::args_os().next().unwrap_or_default();
    match Path::new(&name).file_name().and_then(|name| name.to_str()) {
        Some("daymark-boot") => {
            // A test that is killed takes its machines along.
            let signal = Some(rustix::process::Signal::KILL);
            let _ = rustix::process::set_parent_process_death_signal(signal);
            daymark_node::main_boot()
        }
        Some("daymarkctl") => daymarkctl::main(),
        _ => daymark_node::main_node(),
    }
}
