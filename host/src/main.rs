//! The `transload` command.

fn main() -> std::process::ExitCode {
    transload::cli::main()
}
