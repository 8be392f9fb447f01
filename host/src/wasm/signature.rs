//! Signatures of vendors: minisign over the manifest, which names the component's digest.

use minisign_verify::{PublicKey, Signature};

/// A vendor's public key, as its file or the line in it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VendorKey {
    key: PublicKey,
    line: String,
}

impl VendorKey {
    /// The file that minisign writes, with its comment, or the key alone.
    pub fn parse(text: &str) -> Result<VendorKey, String> {
        let line = text.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or_default();
        let key = PublicKey::from_base64(line).map_err(|_| "this is no public key of minisign".to_owned())?;
        Ok(VendorKey { key, line: line.to_owned() })
    }

    /// One line that `parse` reads.
    pub fn line(&self) -> &str {
        &self.line
    }

    /// Whether this vendor signed exactly these bytes.
    pub fn signed(&self, manifest: &[u8], signature: &str) -> Result<(), String> {
        let signature = Signature::decode(signature).map_err(|_| "its signature is none of minisign's".to_owned())?;
        self.key.verify(manifest, &signature, false).map_err(|error| match error {
            minisign_verify::Error::UnexpectedKeyId => "it is signed with another key".to_owned(),
            _ => "its signature is not one of these bytes: the manifest or the signature was changed".to_owned(),
        })
    }
}
