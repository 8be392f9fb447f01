//! XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03), whose random nonces are long enough never to meet.
//!
//! ```text
//!   subkey = HChaCha20(key, nonce[0..16])
//!   sealed = ChaCha20-Poly1305(subkey, 0000 ‖ nonce[16..24])
//! ```
//!
//! The second step is all of the work, and ring's assembly does it about twice as fast as portable code (docs/performance.md); the whole is
//! the same cipher, as a test against another implementation shows.

use chacha20::cipher::consts::U10;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use zeroize::Zeroizing;

pub const NONCE_BYTES: usize = 24;
pub const TAG_BYTES: usize = 16;

pub struct Cipher(Zeroizing<[u8; 32]>);

/// The bytes were changed, or sealed with something else.
pub struct Broken;

impl Cipher {
    pub fn new(key: Zeroizing<[u8; 32]>) -> Cipher {
        Cipher(key)
    }

    /// Encrypts where the bytes are; answers the tag.
    pub fn seal(&self, nonce: &[u8; NONCE_BYTES], aad: &[u8], bytes: &mut [u8]) -> [u8; TAG_BYTES] {
        let (key, nonce) = self.for_nonce(nonce);
        let tag = key.seal_in_place_separate_tag(nonce, Aad::from(aad), bytes).expect("a block is far below the limit of the cipher");
        tag.as_ref().try_into().expect("a tag has 16 bytes")
    }

    /// Decrypts where the bytes are: ciphertext and tag before, plaintext after.
    pub fn open(&self, nonce: &[u8; NONCE_BYTES], aad: &[u8], bytes: &mut Vec<u8>) -> Result<(), Broken> {
        let (key, nonce) = self.for_nonce(nonce);
        let length = key.open_in_place(nonce, Aad::from(aad), bytes).map_err(|_| Broken)?.len();
        bytes.truncate(length);
        Ok(())
    }

    fn for_nonce(&self, nonce: &[u8; NONCE_BYTES]) -> (LessSafeKey, Nonce) {
        let subkey = Zeroizing::new(<[u8; 32]>::from(chacha20::hchacha::<U10>((&*self.0).into(), nonce[..16].into())));
        let key = UnboundKey::new(&CHACHA20_POLY1305, &*subkey).expect("the cipher's keys have 32 bytes");
        let mut short = [0; 12];
        short[4..].copy_from_slice(&nonce[16..]);
        (LessSafeKey::new(key), Nonce::assume_unique_for_key(short))
    }
}

#[cfg(test)]
mod tests {
    use chacha20poly1305::aead::{Aead, Payload};
    use chacha20poly1305::{KeyInit, XChaCha20Poly1305};

    use super::*;
    use crate::random::Random;

    #[test]
    fn it_is_the_cipher_that_others_have_under_this_name() {
        let random = Random::from_seed(5);
        for length in [0, 1, 63, 64, 65, 4096, 100_003] {
            let (mut key, mut nonce, mut plain) = ([0; 32], [0; NONCE_BYTES], vec![0; length]);
            random.fill(&mut key);
            random.fill(&mut nonce);
            random.fill(&mut plain);
            let theirs = XChaCha20Poly1305::new((&key).into()).encrypt((&nonce).into(), Payload { msg: &plain, aad: b"place" }).unwrap();
            let ours = Cipher::new(Zeroizing::new(key));
            let mut sealed = plain.clone();
            let tag = ours.seal(&nonce, b"place", &mut sealed);
            sealed.extend_from_slice(&tag);
            assert_eq!(sealed, theirs, "{length} bytes");
            let mut changed = sealed.clone();
            changed[length / 2] ^= 1;
            assert!(ours.open(&nonce, b"place", &mut changed).is_err());
            assert!(ours.open(&nonce, b"elsewhere", &mut sealed.clone()).is_err());
            assert!(ours.open(&nonce, b"place", &mut sealed[..TAG_BYTES - 1].to_vec()).is_err());
            ours.open(&nonce, b"place", &mut sealed).ok().unwrap();
            assert_eq!(sealed, plain);
        }
    }

    /// Appendix A.3.1 of the draft.
    #[test]
    fn the_example_of_the_specification_is_sealed_as_published() {
        let bytes =
            |hex: &str| -> Vec<u8> { (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect() };
        let key: [u8; 32] = bytes("808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f").try_into().unwrap();
        let nonce: [u8; 24] = bytes("404142434445464748494a4b4c4d4e4f5051525354555657").try_into().unwrap();
        let mut text =
            b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it.".to_vec();
        let tag = Cipher::new(Zeroizing::new(key)).seal(&nonce, &bytes("50515253c0c1c2c3c4c5c6c7"), &mut text);
        assert_eq!(tag.to_vec(), bytes("c0875924c1c7987947deafd8780acf49"));
        assert_eq!(text[..16], bytes("bd6d179d3e83d43b9576579493c0e939"));
    }
}
