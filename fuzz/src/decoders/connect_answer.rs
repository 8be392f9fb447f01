//! A proxy's answer to CONNECT: only its head is taken from the connection, only a 200 opens the tunnel, and what is shown of it is one
//! printable line.

use transload::net::tunnel::read_answer;

use crate::Outcome;

pub fn feed(bytes: &[u8]) -> Outcome {
    let mut rest = bytes;
    let answer = read_answer(&mut rest);
    match &answer {
        Ok(line) => {
            let head = &bytes[..bytes.len() - rest.len()];
            assert!(head.ends_with(b"\r\n\r\n"), "the tunnel begins inside the proxy's head");
            assert!(!head[..head.len() - 1].windows(4).any(|end| end == b"\r\n\r\n"), "bytes of the tunnel were taken for the head");
            assert_eq!(line.split(' ').nth(1), Some("200"));
            assert!(!line.contains(char::is_control), "{line:?}");
        }
        Err(failure) => assert!(!failure.message.contains(char::is_control), "{:?}", failure.message),
    }
    Outcome::of(&answer)
}

pub fn examples() -> Vec<Vec<u8>> {
    vec![b"HTTP/1.1 200 Connection established\r\nVia: proxy\r\n\r\n\x16\x03\x01".into()]
}
