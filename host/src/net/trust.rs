//! Who is believed: system roots, a CA file, or the pin of one certificate.
//!
//! A refused certificate is always reported with its fingerprint, so that an operator can compare it and pin it.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, OtherError, RootCertStore, SignatureScheme};
use sha2::{Digest, Sha256};

use super::endpoint::Trust;

/// The SHA-256 fingerprint of a certificate, as `openssl x509 -fingerprint -sha256` prints it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Pin([u8; 32]);

impl Pin {
    pub fn of(certificate: &[u8]) -> Pin {
        Pin(Sha256::digest(certificate).into())
    }

    /// Reads `sha256:` and 64 hexadecimal digits, with or without colons between the bytes.
    pub fn parse(text: &str) -> Result<Pin, String> {
        let wrong = || {
            format!(
                "{text:?} is no pin: write sha256: and the 64 hexadecimal digits of the certificate's SHA-256 fingerprint (colons may stand between them)"
            )
        };
        let digits: String = text.strip_prefix("sha256:").ok_or_else(wrong)?.chars().filter(|c| *c != ':').collect();
        if digits.len() != 64 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(wrong());
        }
        let mut pin = [0; 32];
        for (byte, pair) in pin.iter_mut().zip(digits.as_bytes().chunks(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| wrong())?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| wrong())?;
        }
        Ok(Pin(pin))
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A certificate that was shown and not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Untrusted {
    #[error("the certificate shown is {found}, but {pinned} is pinned")]
    WrongPin { found: Pin, pinned: Pin },
    #[error("the certificate shown ({found}) is not trusted: {reason}")]
    NotSigned { found: Pin, reason: String },
}

/// What rustls is given for one endpoint.
pub fn client_config(trust: &Trust) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let rule = match trust {
        Trust::Pin(pin) => Rule::Pin(*pin),
        Trust::System => Rule::Authorities(authorities(system_roots()?, &provider)?),
        Trust::CaFile(path) => Rule::Authorities(authorities(roots_from(path)?, &provider)?),
    };
    let verifier = Arc::new(Verifier { rule, provider: provider.clone() });
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS cannot be set up: {error}"))?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn authorities(roots: RootCertStore, provider: &Arc<CryptoProvider>) -> Result<Arc<WebPkiServerVerifier>, String> {
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .build()
        .map_err(|error| format!("the certificate authorities cannot be used: {error}"))
}

fn system_roots() -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    match roots.is_empty() {
        true => {
            Err("this machine has no certificate authorities: install the package ca-certificates, or give a ca-file or pin".to_owned())
        }
        false => Ok(roots),
    }
}

fn roots_from(path: &Path) -> Result<RootCertStore, String> {
    let wrong = |reason: String| format!("CA file {} cannot be used: {reason}", path.display());
    let pem = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
        roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
    }
    match roots.is_empty() {
        true => Err(wrong("it holds no certificate in PEM form".to_owned())),
        false => Ok(roots),
    }
}

#[derive(Debug)]
enum Rule {
    Pin(Pin),
    Authorities(Arc<WebPkiServerVerifier>),
}

/// Judges the certificate by the rule. The handshake's signature is verified under either: a pin proves nothing unless the peer holds the
/// key that belongs to it.
#[derive(Debug)]
struct Verifier {
    rule: Rule,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let found = Pin::of(end_entity);
        let refuse = |why: Untrusted| rustls::Error::Other(OtherError(Arc::new(why)));
        match &self.rule {
            Rule::Pin(pinned) if *pinned == found => Ok(ServerCertVerified::assertion()),
            Rule::Pin(pinned) => Err(refuse(Untrusted::WrongPin { found, pinned: *pinned })),
            Rule::Authorities(verifier) => verifier
                .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
                .map_err(|error| refuse(Untrusted::NotSigned { found, reason: error.to_string() })),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_is_read_with_and_without_colons() {
        let plain = format!("sha256:{}", "ab".repeat(32));
        let colons = format!("sha256:{}", vec!["AB"; 32].join(":"));
        assert_eq!(Pin::parse(&plain), Pin::parse(&colons));
        assert_eq!(Pin::parse(&plain).unwrap().to_string(), plain);
    }

    #[test]
    fn what_is_no_pin_is_refused_with_the_form_it_should_have() {
        for bad in ["", "abcd", "sha256:12", "sha1:0000", &format!("sha256:{}", "zz".repeat(32))] {
            assert_eq!(
                Pin::parse(bad).unwrap_err(),
                format!(
                    "{bad:?} is no pin: write sha256: and the 64 hexadecimal digits of the certificate's SHA-256 fingerprint (colons may \
                     stand between them)"
                )
            );
        }
    }

    #[test]
    fn a_ca_file_without_certificates_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        std::fs::write(&path, "nothing").unwrap();
        assert!(roots_from(&path).unwrap_err().ends_with("it holds no certificate in PEM form"));
        assert!(roots_from(&folder.path().join("none")).unwrap_err().contains("No such file"));
    }
}
