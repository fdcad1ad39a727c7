//! The administrators' command line.

fn main() -> std::process::ExitCode {
    daymarkctl::main()
}
