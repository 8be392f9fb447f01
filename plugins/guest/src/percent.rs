//! Percent-encoding as RFC 3986 has it and as Signature Version 4 insists on: unreserved bytes stay, all others become `%XX`.

/// What a '/' means in the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slash {
    /// It separates segments and stays.
    Keep,
    /// It is a character like others.
    Encode,
}

pub fn encode(text: &str, slash: Slash) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(byte as char),
            b'/' if slash == Slash::Keep => out.push('/'),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// None when a '%' is not followed by two hexadecimal digits, or when the bytes are no UTF-8.
/// With `plus_is_space`, '+' decodes as forms and S3's `encoding-type=url` write a space.
pub fn decode(text: &str, plus_is_space: bool) -> Option<String> {
    let mut bytes = text.bytes();
    let mut out = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'%' => (hex(bytes.next()?)? << 4) | hex(bytes.next()?)?,
            b'+' if plus_is_space => b' ',
            other => other,
        });
    }
    String::from_utf8(out).ok()
}

fn hex(digit: u8) -> Option<u8> {
    (digit as char).to_digit(16).map(|value| value as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unreserved_bytes_stay_and_everything_else_is_two_upper_case_digits() {
        assert_eq!(encode("aZ09-._~", Slash::Encode), "aZ09-._~");
        assert_eq!(encode("a b/c+d%é", Slash::Keep), "a%20b/c%2Bd%25%C3%A9");
        assert_eq!(encode("a/b", Slash::Encode), "a%2Fb");
    }

    #[test]
    fn decoding_undoes_encoding_and_refuses_broken_escapes() {
        assert_eq!(decode("a%20b%C3%A9+", false).as_deref(), Some("a bé+"));
        assert_eq!(decode("a+b", true).as_deref(), Some("a b"));
        assert_eq!(decode("a%2", false), None);
        assert_eq!(decode("a%zz", false), None);
        assert_eq!(decode("%ff", false), None);
    }
}
