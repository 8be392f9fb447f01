//! "https" and "s3.example.test:9000": an origin as operators write it, without a path.

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    pub scheme: String,
    /// As the `Host` header has it: the port is left out when it is the scheme's own.
    pub authority: String,
}

impl Endpoint {
    /// None when it is no origin of HTTP.
    pub fn parse(url: &str) -> Option<Endpoint> {
        let (scheme, rest) = url.split_once("://")?;
        let scheme = scheme.to_ascii_lowercase();
        let authority = rest.strip_suffix('/').unwrap_or(rest).to_ascii_lowercase();
        let own_port = match scheme.as_str() {
            "https" => ":443",
            "http" => ":80",
            _ => return None,
        };
        if authority.is_empty() || authority.contains(['/', '?', '#', '@', ' ']) {
            return None;
        }
        let authority = authority.strip_suffix(own_port).map(str::to_owned).unwrap_or(authority);
        Some(Endpoint { scheme, authority })
    }

    pub fn origin(&self) -> String {
        format!("{}://{}", self.scheme, self.authority)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_an_origin_and_nothing_more() {
        assert_eq!(Endpoint::parse("HTTPS://S3.Example.test:443/").unwrap().origin(), "https://s3.example.test");
        assert_eq!(Endpoint::parse("http://[::1]:9000").unwrap().authority, "[::1]:9000");
        for bad in ["s3.example.test", "ftp://x", "https://", "https://x/y", "https://u@x", "https://x?y"] {
            assert_eq!(Endpoint::parse(bad), None, "{bad}");
        }
    }
}
