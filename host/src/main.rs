//! The `transload` command.

fn main() -> std::process::ExitCode {
    transload::memory::settle();
    transload::memory::keep_to_itself();
    transload::cli::main()
}
