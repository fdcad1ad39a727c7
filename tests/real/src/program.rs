//! The programs that the tests start: the node and its boot program, told apart by the name that
//! they are started under, as the demo does.

use std::process::ExitCode;

fn main() -> ExitCode {
    daymark_real::main_by_name()
}
