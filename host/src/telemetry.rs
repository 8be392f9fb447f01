//! Logs go to standard error, one line a fact: JSON when nobody watches, text on a terminal. `TRANSLOAD_LOG` sets what is shown.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// The compiler of plugins says a million lines at `trace`, and then the agent takes minutes to start. Who wants them names them.
const COMPILER_QUIET: &str = "cranelift_codegen=info,cranelift_frontend=info,regalloc2=info,wasmtime_internal_cranelift=info";

pub fn start() {
    let wanted = std::env::var("TRANSLOAD_LOG").unwrap_or_else(|_| "info".to_owned());
    let filter = EnvFilter::try_new(format!("{COMPILER_QUIET},{wanted}")).unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match std::io::stderr().is_terminal() {
        true => builder.init(),
        false => builder.json().init(),
    }
}
