//! Signature Version 4. The host runs the chain of HMACs from the secret to the signature; the guest writes what is signed.
//!
//! ```text
//!   "AWS4" + secret ─▶ date ─▶ region ─▶ service ─▶ "aws4_request" ─▶ string to sign = signature
//! ```
//!
//! All five steps are one `sign-chain`, so no key that could sign a second request ever enters the guest.

use jiff::Timestamp;
use sha2::{Digest, Sha256};
use transload_guest::fault::Fault;
use transload_guest::http::{Method, Request};
use transload_guest::ports::{SecretForm, Secrets};

use crate::address::Target;

/// What S3 takes instead of a digest when the body is not signed.
pub const UNSIGNED: &str = "UNSIGNED-PAYLOAD";

/// Who signs, where and when.
pub struct Signer<'a> {
    pub access_key: &'a str,
    pub secret: &'a str,
    pub region: &'a str,
    pub service: &'a str,
    /// "20150830T123600Z".
    pub moment: String,
}

/// The moment as `x-amz-date` writes it.
pub fn moment(seconds: u64) -> Result<String, Fault> {
    let time = i64::try_from(seconds).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    let time = time.ok_or_else(|| Fault::invalid("The host's clock shows a time that no calendar has."))?;
    Ok(time.strftime("%Y%m%dT%H%M%SZ").to_string())
}

impl Signer<'_> {
    /// The request with `authorization`. `headers` are all the headers that the guest sends; each of them is signed.
    pub fn sign(
        &self,
        secrets: &impl Secrets,
        method: Method,
        target: &Target,
        headers: Vec<(String, String)>,
        payload: &str,
    ) -> Result<Request, Fault> {
        let (names, canonical) = canonical_headers(&target.host, &headers);
        let query = target.canonical_query();
        let canonical = [method.word(), &target.path, &query, &canonical, &names, payload].join("\n");
        let date = self.moment.get(..8).unwrap_or_default();
        let scope = format!("{date}/{}/{}/aws4_request", self.region, self.service);
        let to_sign = format!("AWS4-HMAC-SHA256\n{}\n{scope}\n{}", self.moment, hex(&Sha256::digest(canonical)));
        let steps = [date, self.region, self.service, "aws4_request", &to_sign].map(|step| step.as_bytes().to_vec());
        let signature = hex(&secrets.sign_chain(self.secret, SecretForm::Text, b"AWS4", &steps)?);
        let credential = format!("{}/{scope}", self.access_key);
        let value = format!("AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={names}, Signature={signature}");
        Ok(Request { headers, ..Request::new(method, target.url()) }.header("authorization", value))
    }
}

/// The names, joined by ';', and the lines, each ended by a line feed. `host` is signed though the host of this guest writes it.
fn canonical_headers(host: &str, headers: &[(String, String)]) -> (String, String) {
    let mut all: Vec<(String, String)> = headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), single_spaced(value))).collect();
    all.push(("host".to_owned(), host.to_owned()));
    all.sort();
    let names = all.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(";");
    let lines = all.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
    (names, lines)
}

fn single_spaced(value: &str) -> String {
    value.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::Chain;

    /// The credentials of AWS's published test suite ("aws-sig-v4-test-suite").
    fn suite(method: Method, path: &str, query: &[(&str, &str)], extra: &[(&str, &str)], body: &str) -> String {
        let secrets = Chain("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY");
        let signer = Signer {
            access_key: "AKIDEXAMPLE",
            secret: "secret-key",
            region: "us-east-1",
            service: "service",
            moment: moment(1_440_938_160).unwrap(),
        };
        signature(&signer, &secrets, method, "example.amazonaws.com", path, query, extra, &hex(&Sha256::digest(body)))
    }

    /// The credentials of the examples in "Authenticating Requests: Using the Authorization Header" of the S3 API reference.
    fn s3(method: Method, path: &str, query: &[(&str, &str)], extra: &[(&str, &str)], body: &str) -> String {
        let secrets = Chain("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY");
        let signer = Signer {
            access_key: "AKIAIOSFODNN7EXAMPLE",
            secret: "secret-key",
            region: "us-east-1",
            service: "s3",
            moment: "20130524T000000Z".to_owned(),
        };
        let digest = hex(&Sha256::digest(body));
        let mut headers = vec![("x-amz-content-sha256", digest.as_str())];
        headers.extend_from_slice(extra);
        signature(&signer, &secrets, method, "examplebucket.s3.amazonaws.com", path, query, &headers, &digest)
    }

    #[allow(clippy::too_many_arguments, reason = "a test's line of a published table")]
    fn signature(
        signer: &Signer,
        secrets: &Chain,
        method: Method,
        host: &str,
        path: &str,
        query: &[(&str, &str)],
        extra: &[(&str, &str)],
        payload: &str,
    ) -> String {
        let owned = |pairs: &[(&str, &str)]| pairs.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect::<Vec<_>>();
        let target = Target {
            scheme: "https".into(),
            host: host.into(),
            path: transload_guest::percent::encode(path, transload_guest::percent::Slash::Keep),
            query: owned(query),
        };
        let mut headers = vec![("x-amz-date".to_owned(), signer.moment.clone())];
        headers.extend(owned(extra));
        let request = signer.sign(secrets, method, &target, headers, payload).unwrap();
        let authorization = &request.headers.last().unwrap().1;
        authorization.rsplit_once("Signature=").unwrap().1.to_owned()
    }

    #[test]
    fn the_published_test_suite_is_signed_as_published() {
        use Method::{Get, Post};
        let alphabet = "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        let form = &[("content-type", "application/x-www-form-urlencoded")][..];
        let table = [
            ("get-vanilla", suite(Get, "/", &[], &[], ""), "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
            (
                "get-vanilla-query-order-key-case",
                suite(Get, "/", &[("Param2", "value2"), ("Param1", "value1")], &[], ""),
                "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
            ),
            (
                "get-vanilla-query-unreserved",
                suite(Get, "/", &[(alphabet, alphabet)], &[], ""),
                "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197",
            ),
            ("get-utf8", suite(Get, "/ሴ", &[], &[], ""), "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85"),
            ("post-vanilla", suite(Post, "/", &[], &[], ""), "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
            (
                "post-x-www-form-urlencoded",
                suite(Post, "/", &[], form, "Param1=value1"),
                "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
            ),
        ];
        for (name, ours, published) in table {
            assert_eq!(ours, published, "{name}");
        }
    }

    #[test]
    fn the_examples_of_the_s3_reference_are_signed_as_published() {
        let put = &[("date", "Fri, 24 May 2013 00:00:00 GMT"), ("x-amz-storage-class", "REDUCED_REDUNDANCY")][..];
        let table = [
            (
                "GET Object",
                s3(Method::Get, "/test.txt", &[], &[("range", "bytes=0-9")], ""),
                "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
            ),
            (
                "PUT Object",
                s3(Method::Put, "/test$file.text", &[], put, "Welcome to Amazon S3."),
                "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
            ),
            (
                "GET Bucket Lifecycle",
                s3(Method::Get, "/", &[("lifecycle", "")], &[], ""),
                "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
            ),
            (
                "List Objects",
                s3(Method::Get, "/", &[("max-keys", "2"), ("prefix", "J")], &[], ""),
                "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
            ),
        ];
        for (name, ours, published) in table {
            assert_eq!(ours, published, "{name}");
        }
    }

    #[test]
    fn the_chain_has_five_steps_so_that_no_reusable_key_is_asked_for() {
        struct Counting(std::cell::Cell<usize>);
        impl Secrets for Counting {
            fn sign_chain(&self, _: &str, _: SecretForm, prefix: &[u8], steps: &[Vec<u8>]) -> Result<Vec<u8>, Fault> {
                assert_eq!(prefix, b"AWS4");
                self.0.set(steps.len());
                Ok(vec![0; 32])
            }
        }
        let secrets = Counting(std::cell::Cell::new(0));
        let signer = Signer { access_key: "a", secret: "s", region: "r", service: "s3", moment: "20130524T000000Z".into() };
        let target = Target { scheme: "https".into(), host: "h".into(), path: "/".into(), query: vec![] };
        signer.sign(&secrets, Method::Get, &target, vec![], UNSIGNED).unwrap();
        assert_eq!(secrets.0.get(), 5);
    }
}
