//! Requests and replies of `transload:plugin/http`, in the guest's own words.

/// A part of a disk or of an object: `length` bytes from `offset`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    pub offset: u64,
    pub length: u64,
}

impl Extent {
    pub fn new(offset: u64, length: u64) -> Extent {
        Extent { offset, length }
    }

    pub fn end(self) -> u64 {
        self.offset.saturating_add(self.length)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    Get,
    Head,
    Put,
    Post,
    Delete,
    Patch,
}

impl Method {
    pub fn word(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Head => "HEAD",
            Method::Put => "PUT",
            Method::Post => "POST",
            Method::Delete => "DELETE",
            Method::Patch => "PATCH",
        }
    }
}

/// How a request shows that it may. Secrets are named; the host writes them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Auth {
    None,
    Basic {
        user: String,
        password: String,
    },
    /// A token.
    Bearer(String),
    /// A header of this name, with `prefix` before the secret, such as "Token ".
    Header {
        name: String,
        prefix: String,
        secret: String,
    },
    /// A query, `name=value&name=value`, which the host appends to the URL.
    Query(String),
    /// Kerberos or NTLM; `unsupported` on a host that does not offer it.
    Negotiate {
        user: String,
        password: String,
    },
}

/// A request without its body. The host adds `host`, `content-length` and `range`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    pub method: Method,
    pub url: String,
    pub headers: Vec<(String, String)>,
    pub auth: Auth,
}

impl Request {
    pub fn new(method: Method, url: impl Into<String>) -> Request {
        Request { method, url: url.into(), headers: Vec::new(), auth: Auth::None }
    }

    pub fn auth(self, auth: Auth) -> Request {
        Request { auth, ..self }
    }

    pub fn header(mut self, name: &str, value: impl Into<String>) -> Request {
        self.headers.push((name.to_owned(), value.into()));
        self
    }
}

/// How the host writes a secret into a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    Raw,
    XmlText,
    JsonString,
    FormValue,
    Base64,
}

/// A body is bytes that the guest wrote and secrets that it never sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BodyPart {
    Bytes(Vec<u8>),
    Secret { name: String, encoding: Encoding },
}

/// A reply that was small enough to enter the guest. Header names are in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Response {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// `Retry-After` in milliseconds. Only the form in seconds: its other form is a date, and guests measure no time.
pub fn retry_after_ms(value: Option<&str>) -> Option<u32> {
    value?.trim().parse::<u32>().ok().map(|seconds| seconds.saturating_mul(1000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_understood_in_seconds_only() {
        assert_eq!(retry_after_ms(Some("7")), Some(7000));
        assert_eq!(retry_after_ms(Some("Fri, 31 Dec 1999 23:59:59 GMT")), None);
        assert_eq!(retry_after_ms(Some("4294967295")), Some(u32::MAX));
        assert_eq!(retry_after_ms(None), None);
    }
}
