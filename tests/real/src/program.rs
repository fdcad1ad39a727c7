//! The programs that the tests start: the node and its boot program, told apart by the name that
//! they are started under, as the demo does.

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let name = std::env::args_os().next().unwrap_or_default();
    match Path::new(&name).file_name().and_then(|name| name.to_str()) {
        Some("daymark-boot") => {
            // A test that is killed takes its machines along.
            let signal = Some(rustix::process::Signal::KILL);
            let _ = rustix::process::set_parent_process_death_signal(signal);
            daymark_node::main_boot()
        }
        _ => daymark_node::main_node(),
    }
}
