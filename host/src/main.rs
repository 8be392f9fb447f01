//! The `transload` command.

fn main() -> std::process::ExitCode {
    transload::memory::settle();
    transload::cli::main()
}
