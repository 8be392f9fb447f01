//! The `secrets` import: derives a key from a secret by a chain of MACs, deep enough that what the guest gets is good for one request only.

use base64::Engine as _;
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::bindings::secrets::{self, Mac, SecretForm};
use super::grants::SecretGrant;
use super::state::{InstanceState, Refusal};
use crate::model::Fault;

const STEPS_MAX: usize = 16;
const STEP_BYTES_MAX: usize = 64 * 1024;

impl secrets::Host for InstanceState {
    async fn sign_chain(
        &mut self,
        algorithm: Mac,
        secret: String,
        form: SecretForm,
        prefix: Vec<u8>,
        steps: Vec<Vec<u8>>,
    ) -> Result<Vec<u8>, Refusal> {
        let Mac::HmacSha256 = algorithm;
        let grant = self.plugin.grants().secret(&secret)?;
        Ok(sign_chain(&secret, grant, form, &prefix, &steps)?)
    }
}

fn sign_chain(name: &str, grant: &SecretGrant, form: SecretForm, prefix: &[u8], steps: &[Vec<u8>]) -> Result<Vec<u8>, Fault> {
    let Some(chain) = &grant.sign_chain else {
        return Err(Fault::denied(format!("secret {name:?} is not granted for signing")));
    };
    if prefix != chain.prefix.as_bytes() {
        return Err(Fault::denied(format!("secret {name:?} is granted for chains with the prefix {:?} only", chain.prefix)));
    }
    if steps.len() < chain.steps_min {
        return Err(Fault::denied(format!(
            "secret {name:?} is granted for chains of at least {} steps; this one has {}",
            chain.steps_min,
            steps.len()
        )));
    }
    if steps.len() > STEPS_MAX || steps.iter().any(|step| step.len() > STEP_BYTES_MAX) {
        return Err(Fault::invalid("a chain has at most 16 steps of at most 64 KiB"));
    }
    let secret = match form {
        SecretForm::Text => Zeroizing::new(grant.value.expose().to_vec()),
        SecretForm::Base64 => Zeroizing::new(
            base64::engine::general_purpose::STANDARD
                .decode(grant.value.expose())
                .map_err(|_| Fault::invalid(format!("secret {name:?} is not base64")))?,
        ),
    };
    let mut key = Zeroizing::new([prefix, &secret].concat());
    for step in steps {
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("HMAC takes keys of any length");
        mac.update(step);
        key = Zeroizing::new(mac.finalize().into_bytes().to_vec());
    }
    Ok(key.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;
    use crate::wasm::grants::SignChain;

    fn grant() -> SecretGrant {
        SecretGrant {
            value: Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
            origins: Vec::new(),
            sign_chain: Some(SignChain { steps_min: 4, prefix: "AWS4".to_owned() }),
        }
    }

    fn steps(texts: &[&str]) -> Vec<Vec<u8>> {
        texts.iter().map(|text| text.as_bytes().to_vec()).collect()
    }

    #[test]
    fn the_chain_is_that_of_signature_version_4() {
        // The example key of the documentation of Signature Version 4, "Deriving the signing key".
        let key =
            sign_chain("key", &grant(), SecretForm::Text, b"AWS4", &steps(&["20120215", "us-east-1", "iam", "aws4_request"])).unwrap();
        let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "f4780e2d9f65fa895f9c67b32ce1baf0b0d8a43505a000a1a9e090d414db404d");
    }

    #[test]
    fn a_shallow_chain_another_prefix_and_an_ungranted_secret_are_denied() {
        let said = |grant: &SecretGrant, prefix: &[u8], texts: &[&str]| {
            sign_chain("key", grant, SecretForm::Text, prefix, &steps(texts)).unwrap_err().message
        };
        assert_eq!(said(&grant(), b"AWS4", &["a", "b", "c"]), "secret \"key\" is granted for chains of at least 4 steps; this one has 3");
        assert_eq!(said(&grant(), b"", &["a", "b", "c", "d"]), "secret \"key\" is granted for chains with the prefix \"AWS4\" only");
        let unsigned = SecretGrant { sign_chain: None, ..grant() };
        assert_eq!(said(&unsigned, b"AWS4", &["a", "b", "c", "d"]), "secret \"key\" is not granted for signing");
    }
}
