//! The lab's own certificate authority and the one server certificate under it.

use anyhow::Result;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose};
use rustls::ServerConfig;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// What the lab's servers present and what a client needs to trust them.
pub(crate) struct Certificate {
    pub authority_pem: String,
    /// SHA-256 of the leaf's DER, lower-case hexadecimal: for clients that pin.
    pub leaf_sha256: String,
    pub tls: Arc<ServerConfig>,
}

/// Makes a fresh authority and a leaf for 127.0.0.1, localhost and the names that S3 puts a bucket in front of.
pub(crate) fn generate(bucket: &str) -> Result<Certificate> {
    let mut authority_params = CertificateParams::default();
    authority_params.distinguished_name.push(DnType::CommonName, "Transload Lab Authority");
    authority_params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority_params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let authority = CertifiedIssuer::self_signed(authority_params, KeyPair::generate()?)?;

    let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned(), format!("{bucket}.localhost")];
    let mut leaf_params = CertificateParams::new(names)?;
    leaf_params.distinguished_name.push(DnType::CommonName, "Transload Lab");
    leaf_params.use_authority_key_identifier_extension = true;
    leaf_params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let leaf_key = KeyPair::generate()?;
    let leaf = leaf_params.signed_by(&leaf_key, &authority)?;

    let leaf_sha256 = Sha256::digest(leaf.der()).iter().map(|byte| format!("{byte:02x}")).collect();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(leaf_key.serialize_der()));
    let mut tls = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], key)?;
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Certificate { authority_pem: authority.pem(), leaf_sha256, tls: Arc::new(tls) })
}
