//! The daemon; see `daymark_node::cli`.

fn main() -> std::process::ExitCode {
    daymark_node::main_node()
}
