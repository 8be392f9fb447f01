//! The way through an HTTP proxy for `probe`: CONNECT, and what the proxy answers before TLS begins.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use super::endpoint::Proxy;
use super::probe::{ProbeFailure, Walked};

/// A proxy's answer is a few lines; what is longer is none.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Of the status line, for people.
const LINE_CHARS_MAX: usize = 200;

pub(super) fn tunnel(mut stream: TcpStream, proxy: &Proxy, authority: &str, limit: Duration) -> Walked<TcpStream> {
    let mut request = zeroize::Zeroizing::new(format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n"));
    if let Some((user, password)) = &proxy.credentials {
        let login = super::client::basic(user, password.expose());
        request.push_str(&format!("Proxy-Authorization: {}\r\n", login.to_str().unwrap_or_default()));
    }
    request.push_str("\r\n");
    stream.set_read_timeout(Some(limit)).map_err(broken)?;
    stream.set_write_timeout(Some(limit)).map_err(broken)?;
    stream.write_all(request.as_bytes()).map_err(broken)?;
    let line = read_answer(&mut stream)?;
    Ok((stream, line))
}

/// The status line of an answer that opens the tunnel. Nothing behind the answer's head is taken from the stream.
pub fn read_answer(stream: &mut impl Read) -> Result<String, ProbeFailure> {
    let mut head = Vec::new();
    // Byte by byte, so that nothing behind the head is taken from TLS.
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() == HEAD_BYTES_MAX {
            return Err(failed("the proxy's answer does not end".to_owned(), "check that this is an HTTP proxy"));
        }
        let mut byte = [0];
        stream.read_exact(&mut byte).map_err(broken)?;
        head.push(byte[0]);
    }
    let line = String::from_utf8_lossy(head.split(|b| *b == b'\r').next().unwrap_or_default());
    // It is shown on a terminal, which obeys control characters.
    let line: String = line.chars().filter(|c| !c.is_control()).take(LINE_CHARS_MAX).collect();
    match line.split(' ').nth(1) {
        Some("200") => Ok(line),
        Some("407") => Err(failed("the proxy wants a login".to_owned(), "set user and password-file of the proxy")),
        Some("403") => Err(failed(format!("the proxy refuses: {line}"), "have this destination allowed at the proxy")),
        _ => Err(failed(format!("the proxy answered {line:?}"), "check the proxy, or put the host into no-proxy")),
    }
}

fn failed(message: String, fix: &str) -> ProbeFailure {
    ProbeFailure { message, fix: fix.to_owned() }
}

fn broken(error: std::io::Error) -> ProbeFailure {
    failed(format!("the proxy broke off: {error}"), "check that this is an HTTP proxy")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_head_is_taken_and_only_a_200_opens_the_tunnel() {
        let mut stream = &b"HTTP/1.1 200 Connection established\r\nVia: p\r\n\r\n\x16\x03"[..];
        assert_eq!(read_answer(&mut stream).unwrap(), "HTTP/1.1 200 Connection established");
        assert_eq!(stream, b"\x16\x03");
        assert!(read_answer(&mut &b"HTTP/1.1 407 No\r\n\r\n"[..]).unwrap_err().message.contains("login"));
        assert!(read_answer(&mut &b"HTTP/1.1 200"[..]).unwrap_err().message.contains("broke off"));
    }

    /// A head of 16 KiB without an end was taken for a whole one, and TLS began in the middle of it.
    #[test]
    fn a_head_without_an_end_opens_no_tunnel() {
        let endless = [&b"HTTP/1.1 200 OK\r\n"[..], &[b'x'; HEAD_BYTES_MAX]].concat();
        assert!(read_answer(&mut &endless[..]).unwrap_err().message.contains("does not end"));
    }

    /// The line went to the operator's terminal as the proxy sent it.
    #[test]
    fn what_is_shown_of_an_answer_obeys_nobody() {
        let painted = &b"HTTP/1.1 403 \x1b[2JAll is well\r\n\r\n"[..];
        assert_eq!(read_answer(&mut &painted[..]).unwrap_err().message, "the proxy refuses: HTTP/1.1 403 [2JAll is well");
    }
}
