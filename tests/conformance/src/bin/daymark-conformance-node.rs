//! The node and its boot program, as the suite of attacks starts them.

use std::process::ExitCode;

fn main() -> ExitCode {
    daymark_real::main_by_name()
}
