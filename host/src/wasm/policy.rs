//! Whether a request may leave: its URL, method, headers and secrets against the grants. Decided before a packet is sent.
//!
//! The URL is judged in the form in which it will be sent, and a URL that would change on the way (dot segments, backslashes, an odd host)
//! is refused instead of repaired: what was judged is what is sent.

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Url};
use zeroize::Zeroizing;

use super::bindings::http::{self, Auth};
use super::bindings::types::Header;
use super::grants::Grants;
use crate::model::Fault;
use crate::net::Origin;
use crate::secret::Secret;

const URL_BYTES_MAX: usize = 16 * 1024;
const HEADERS_BYTES_MAX: usize = 64 * 1024;

/// These say how the exchange itself goes, which is the host's.
const HOST_HEADERS: &[&str] = &[
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "range",
    "accept-encoding",
    "expect",
    "keep-alive",
    "te",
    "trailer",
    "upgrade",
    "proxy-authorization",
    "proxy-connection",
];

/// A request that may leave.
#[derive(Clone)]
pub struct Allowed {
    pub origin: Origin,
    pub method: Method,
    pub url: Url,
    pub headers: HeaderMap,
}

/// Silent about URL and headers: both may carry session tokens.
impl std::fmt::Debug for Allowed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.method, self.origin)
    }
}

impl Grants {
    pub fn allow(&self, request: http::Request) -> Result<Allowed, Fault> {
        let method = method(request.method);
        let (url, origin) = url(&request.url)?;
        let at_origin: Vec<_> = self.http.iter().filter(|grant| grant.origin == origin).collect();
        if at_origin.is_empty() {
            return Err(Fault::denied(format!("requests to {origin} are not granted to this plugin")));
        }
        let path = url.path();
        let granted = at_origin
            .iter()
            .any(|grant| grant.methods.contains(method.as_str()) && grant.paths.iter().any(|prefix| path_is_below(path, prefix)));
        if !granted {
            return Err(Fault::denied(format!("{method} {path} at {origin} is not granted to this plugin")));
        }
        let url = match &request.auth {
            Auth::Query(secret) => with_query(url, secret, self.secret_for(secret, &origin)?)?,
            _ => url,
        };
        let mut headers = headers(&request.headers)?;
        if let Some((name, value)) = self.authorization(request.auth, &origin)? {
            if headers.contains_key(&name) {
                return Err(Fault::invalid(format!("the header {name} is given twice: by the plugin and for the secret")));
            }
            headers.insert(name, value);
        }
        Ok(Allowed { origin, method, url, headers })
    }

    fn authorization(&self, auth: Auth, origin: &Origin) -> Result<Option<(HeaderName, HeaderValue)>, Fault> {
        let (name, text) = match auth {
            // A query stands in the URL already.
            Auth::None | Auth::Query(_) => return Ok(None),
            Auth::Negotiate(_) => {
                return Err(Fault::unsupported("this host does not offer a negotiated login (Kerberos, NTLM) yet: use another kind"));
            }
            Auth::Basic(basic) => {
                if basic.user.contains(':') || basic.user.chars().any(char::is_control) {
                    return Err(Fault::invalid("the user of a basic login holds a colon or a control character"));
                }
                let password = self.secret_for(&basic.password, origin)?;
                return Ok(Some((reqwest::header::AUTHORIZATION, crate::net::basic(&basic.user, password.expose()))));
            }
            Auth::Bearer(secret) => {
                let token = self.secret_for(&secret, origin)?;
                (reqwest::header::AUTHORIZATION, Zeroizing::new([b"Bearer ", token.expose()].concat()))
            }
            Auth::Header(header) => {
                let secret = self.secret_for(&header.secret, origin)?;
                let name = header_name(&header.name)?;
                (name, Zeroizing::new([header.prefix.as_bytes(), secret.expose()].concat()))
            }
        };
        let mut value = HeaderValue::from_bytes(&text)
            .ok()
            .filter(|value| value.to_str().is_ok())
            .ok_or_else(|| Fault::invalid(format!("the secret for the header {name} holds characters that no header can carry")))?;
        value.set_sensitive(true);
        Ok(Some((name, value)))
    }
}

/// The URL with a secret behind it. What the secret says is sent as it is, so it must be able to stand there.
fn with_query(mut url: Url, name: &str, secret: &Secret) -> Result<Url, Fault> {
    let no_query = || Fault::invalid(format!("the secret {name:?} is no query such as a=b&c=d, percent-encoded"));
    let text = std::str::from_utf8(secret.expose()).map_err(|_| no_query())?;
    // Portals hand it out with the question mark.
    let text = text.trim().trim_start_matches('?');
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%=&:/,+;@!$()*".contains(&byte);
    if text.is_empty() || !text.bytes().all(plain) || text.split('&').any(|pair| !pair.contains('=')) {
        return Err(no_query());
    }
    let names =
        |query: &str| query.split('&').map(|pair| pair.split('=').next().unwrap_or_default().to_ascii_lowercase()).collect::<Vec<_>>();
    let given = names(url.query().unwrap_or_default());
    if let Some(twice) = names(text).into_iter().find(|name| given.contains(name)) {
        return Err(Fault::invalid(format!("the parameter {twice} is given twice: by the plugin and for the secret")));
    }
    let query = match url.query() {
        Some(own) if !own.is_empty() => Zeroizing::new(format!("{own}&{text}")),
        _ => Zeroizing::new(text.to_owned()),
    };
    url.set_query(Some(&query));
    match url.query() == Some(query.as_str()) {
        true => Ok(url),
        false => Err(no_query()),
    }
}

fn method(method: http::Method) -> Method {
    match method {
        http::Method::Get => Method::GET,
        http::Method::Head => Method::HEAD,
        http::Method::Put => Method::PUT,
        http::Method::Post => Method::POST,
        http::Method::Delete => Method::DELETE,
        http::Method::Patch => Method::PATCH,
    }
}

fn url(text: &str) -> Result<(Url, Origin), Fault> {
    let wrong = |why: &str| Fault::invalid(format!("the plugin's URL cannot be used: {why}"));
    if text.len() > URL_BYTES_MAX {
        return Err(wrong("it is longer than 16 KiB"));
    }
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(wrong("it holds a space, a control character or a character that must be percent-encoded"));
    }
    if text.contains(['\\', '#']) {
        return Err(wrong("it holds a backslash or a fragment"));
    }
    let (authority, rest) = parts(text).ok_or_else(|| wrong("it must start with https:// or http://"))?;
    if authority.contains(['@', '%']) {
        return Err(wrong("it carries user information, or its host is encoded"));
    }
    let url = Url::parse(text).map_err(|error| wrong(&error.to_string()))?;
    let origin = Origin::of(&url).ok_or_else(|| wrong("it has no host"))?;
    let sent = match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    };
    if sent != rest && !(rest.is_empty() && sent == "/") {
        return Err(wrong("its path or query is not in the form in which it would be sent (dot segments, or characters not encoded)"));
    }
    if climbs(url.path()) {
        return Err(wrong("its path holds an encoded dot segment or control character"));
    }
    Ok((url, origin))
}

/// Authority, and path with query.
fn parts(text: &str) -> Option<(&str, &str)> {
    let behind = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"))?;
    Some(behind.split_at(behind.find(['/', '?']).unwrap_or(behind.len())))
}

/// Whether a server that decodes the path, once or several times, would see `.` or `..` or a control character in it.
fn climbs(path: &str) -> bool {
    let mut path = path.as_bytes().to_vec();
    loop {
        if path.iter().any(u8::is_ascii_control) || path.split(|b| matches!(b, b'/' | b'\\')).any(|part| part == b"." || part == b"..") {
            return true;
        }
        let decoded = decode(&path);
        if decoded == path {
            return false;
        }
        path = decoded;
    }
}

/// Decodes %XX once. Gets shorter whenever it changes anything.
fn decode(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, behind @ ..] = rest {
        let byte = match rest {
            [b'%', high, low, ..] => hex_digit(*high).zip(hex_digit(*low)).map(|(high, low)| high * 16 + low),
            _ => None,
        };
        out.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &rest[3..] } else { behind };
    }
    out
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).map(|digit| digit as u8)
}

/// Prefixes are whole segments: "/folder" covers "/folder" and "/folder/x", never "/folders".
fn path_is_below(path: &str, prefix: &str) -> bool {
    let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn header_name(name: &str) -> Result<HeaderName, Fault> {
    let parsed = HeaderName::from_bytes(name.as_bytes()).map_err(|_| Fault::invalid(format!("{name:?} is no header name")))?;
    match HOST_HEADERS.contains(&parsed.as_str()) {
        true => Err(Fault::invalid(format!("the header {parsed} is the host's and cannot be set"))),
        false => Ok(parsed),
    }
}

fn headers(given: &[Header]) -> Result<HeaderMap, Fault> {
    if given.iter().map(|header| header.name.len() + header.value.len()).sum::<usize>() > HEADERS_BYTES_MAX {
        return Err(Fault::invalid("the headers together are longer than 64 KiB"));
    }
    let mut map = HeaderMap::new();
    for header in given {
        let name = header_name(&header.name)?;
        let plain = header.value.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
        let value = HeaderValue::from_str(&header.value).ok().filter(|_| plain);
        let mut value =
            value.ok_or_else(|| Fault::invalid(format!("the header {name} holds a character other than visible ASCII and spaces")))?;
        // Cookies and signatures are the plugin's, but they are nobody else's.
        value.set_sensitive(true);
        map.append(name, value);
    }
    Ok(map)
}

#[cfg(test)]
mod tests;
