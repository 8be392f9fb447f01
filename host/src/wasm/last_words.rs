//! What a guest wrote to its standard error during a call: the panic message that explains a trap. The beginning is kept, the rest is
//! swallowed.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};

use super::masking::Masks;

/// Much more than is shown, because where the end is lost some of it is not shown.
const KEPT_BYTES_MAX: usize = 4000;
/// What the guest is told it may write next; anything is taken.
const WRITE_BYTES_MAX: usize = 8192;

#[derive(Clone, Default)]
pub struct LastWords(Arc<Mutex<Vec<u8>>>);

impl LastWords {
    /// One line of it, or nothing. Secrets are looked for before anything else is done to the text that could change their form.
    pub fn take(&self, masks: &Masks) -> Option<String> {
        let bytes = self.clear();
        let text = String::from_utf8_lossy(&bytes);
        let text = if bytes.len() < KEPT_BYTES_MAX { masks.hide(&text) } else { masks.hide_in_beginning(&text) };
        let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
        (!line.is_empty()).then_some(line)
    }

    pub fn clear(&self) -> Vec<u8> {
        std::mem::take(&mut *self.0.lock().expect("no holder of this lock panics"))
    }
}

impl IsTerminal for LastWords {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for LastWords {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        // Only WASI 0.3 asks for this one, and this host offers 0.2.
        Box::new(tokio::io::sink())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[async_trait::async_trait]
impl Pollable for LastWords {
    async fn ready(&mut self) {}
}

#[async_trait::async_trait]
impl OutputStream for LastWords {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        let mut kept = self.0.lock().expect("no holder of this lock panics");
        let room = KEPT_BYTES_MAX - kept.len();
        kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), StreamError> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_BYTES_MAX)
    }
}
