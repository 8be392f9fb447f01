//! How a store begins and how it is opened: store.json and the wrapped data key.
//!
//! ```text
//!   store.json            { "format": 1, "store": "<32 hex>", "key": "<32 hex>" }            in the clear
//!   keys/<key-id>/<slot>  { "format": 1, "kind": "key-file" | "passphrase", "salt", "argon2", "nonce", "wrapped" }
//!
//!   key file   ─▶ HKDF-SHA256(salt)                ─┐
//!   passphrase ─▶ Argon2id(salt, memory, passes)   ─┴▶ key that wraps the data key (XChaCha20-Poly1305, associated data = store ‖ key id)
//! ```
//!
//! A store is begun only when the caller knows that it never was one; it is never begun a second time.

use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hkdf::Hkdf;
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::model::{Fault, FaultKind};
use crate::random::Random;

use super::cipher::{Broken, Cipher, NONCE_BYTES};
use super::layout::{self, hex};
use super::seal::{DataKey, Sealer};
use super::sink::Sink;
use super::store::create_public;

/// What opens a store.
pub enum Unlock {
    /// The content of a key file: at least 32 random bytes, or text of that strength.
    KeyFile(Zeroizing<Vec<u8>>),
    Passphrase(Zeroizing<Vec<u8>>),
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoreJson {
    format: u32,
    store: String,
    key: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[doc(hidden)]
pub struct Slot {
    format: u32,
    kind: SlotKind,
    salt: String,
    /// Memory in KiB, passes, lanes; only for a passphrase.
    argon2: Option<[u32; 3]>,
    nonce: String,
    wrapped: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum SlotKind {
    KeyFile,
    Passphrase,
}

/// RFC 9106, second recommended choice: 64 MiB, three passes.
const ARGON2: [u32; 3] = [64 * 1024, 3, 4];
/// A slot that asks for more is somebody's try to exhaust this machine.
const ARGON2_MAX: [u32; 3] = [1024 * 1024, 16, 16];
const SLOT: &str = "main";

/// Whether there is a store. Any object under the key counts: one that cannot be read is a fault, not an empty place.
pub async fn exists(sink: &dyn Sink) -> Result<bool, Fault> {
    Ok(sink.head(layout::STORE).await?.is_some())
}

/// Begins a store: a new data key, wrapped, and then the object that makes it a store.
pub async fn begin(sink: &dyn Sink, unlock: &Unlock, random: &Random) -> Result<Sealer, Fault> {
    let mut store_id = [0; 16];
    let mut key_id = [0; 16];
    random.fill(&mut store_id);
    random.fill(&mut key_id);
    let key = DataKey::random(&mut random.fork());
    let slot = wrap(&key, unlock, store_id, key_id, random)?;
    let slot = serde_json::to_vec_pretty(&slot).expect("a slot has only string keys");
    create_public(sink, &layout::key_slot(&key_id, SLOT), slot).await?;
    let store = StoreJson { format: 1, store: hex(&store_id), key: hex(&key_id) };
    let store = serde_json::to_vec_pretty(&store).expect("it has only string keys");
    match create_public(sink, layout::STORE, store).await {
        // Somebody else began it a moment ago: theirs counts, and our key opens nothing.
        Err(fault) if fault.kind == FaultKind::Conflict => open(sink, unlock).await,
        Err(fault) => Err(fault),
        Ok(()) => Ok(Sealer::new(&key, store_id, key_id)),
    }
}

pub async fn open(sink: &dyn Sink, unlock: &Unlock) -> Result<Sealer, Fault> {
    let bytes = sink.get(layout::STORE, None).await?;
    let (store_id, key_id) = decode_store(&bytes)?;
    let slot = decode_slot(&sink.get(&layout::key_slot(&key_id, SLOT), None).await?)?;
    let key = unwrap(&slot, unlock, store_id, key_id)?;
    Ok(Sealer::new(&key, store_id, key_id))
}

fn damaged(what: &str) -> Fault {
    Fault::corrupt(format!("{what} is damaged: restore it from a copy, the data needs it"))
}

/// Reads store.json: the store's id and its key's.
#[doc(hidden)]
pub fn decode_store(bytes: &[u8]) -> Result<([u8; 16], [u8; 16]), Fault> {
    let store: StoreJson = serde_json::from_slice(bytes).map_err(|_| damaged("store.json"))?;
    if store.format != 1 {
        return Err(Fault::unsupported(format!("the store has format {}, this version reads format 1", store.format)));
    }
    let ids = unhex(&store.store).zip(unhex(&store.key));
    ids.ok_or_else(|| damaged("store.json"))
}

#[doc(hidden)]
pub fn decode_slot(bytes: &[u8]) -> Result<Slot, Fault> {
    let slot: Slot = serde_json::from_slice(bytes).map_err(|_| damaged("the key slot"))?;
    if slot.format != 1 {
        return Err(Fault::unsupported(format!("the key slot has format {}, this version reads format 1", slot.format)));
    }
    Ok(slot)
}

fn wrap(key: &DataKey, unlock: &Unlock, store_id: [u8; 16], key_id: [u8; 16], random: &Random) -> Result<Slot, Fault> {
    let (mut salt, mut nonce) = ([0; 16], [0; NONCE_BYTES]);
    random.fill(&mut salt);
    random.fill(&mut nonce);
    let (kind, argon2) = match unlock {
        Unlock::KeyFile(_) => (SlotKind::KeyFile, None),
        Unlock::Passphrase(_) => (SlotKind::Passphrase, Some(ARGON2)),
    };
    let cipher = wrapping_cipher(unlock, &salt, argon2)?;
    let aad = [store_id, key_id].concat();
    let mut wrapped = key.0.to_vec();
    let tag = cipher.seal(&nonce, &aad, &mut wrapped);
    wrapped.extend_from_slice(&tag);
    Ok(Slot { format: 1, kind, salt: STANDARD.encode(salt), argon2, nonce: STANDARD.encode(nonce), wrapped: STANDARD.encode(wrapped) })
}

fn unwrap(slot: &Slot, unlock: &Unlock, store_id: [u8; 16], key_id: [u8; 16]) -> Result<DataKey, Fault> {
    let asked = match unlock {
        Unlock::KeyFile(_) => SlotKind::KeyFile,
        Unlock::Passphrase(_) => SlotKind::Passphrase,
    };
    if slot.kind != asked {
        return Err(Fault::auth("the store's key is opened by the other kind: check [key] in the configuration"));
    }
    let broken = || Fault::corrupt("the key slot is damaged: restore it from a copy, the data needs it");
    let decode = |text: &str| STANDARD.decode(text).map_err(|_| broken());
    let (salt, nonce, mut key) = (decode(&slot.salt)?, decode(&slot.nonce)?, Zeroizing::new(decode(&slot.wrapped)?));
    let nonce: [u8; NONCE_BYTES] = nonce.try_into().map_err(|_| broken())?;
    let cipher = wrapping_cipher(unlock, &salt, slot.argon2)?;
    let aad = [store_id, key_id].concat();
    cipher
        .open(&nonce, &aad, &mut key)
        .map_err(|Broken| Fault::auth("the key file or passphrase does not open this store; nothing was changed"))?;
    Ok(DataKey(key.as_slice().try_into().map_err(|_| broken())?))
}

fn wrapping_cipher(unlock: &Unlock, salt: &[u8], argon2: Option<[u32; 3]>) -> Result<Cipher, Fault> {
    let mut key = Zeroizing::new([0; 32]);
    match (unlock, argon2) {
        (Unlock::KeyFile(bytes), None) => Hkdf::<Sha256>::new(Some(salt), bytes)
            .expand(b"transload key file", key.as_mut())
            .map_err(|_| Fault::internal("the key file could not be used"))?,
        (Unlock::Passphrase(bytes), Some(cost)) => {
            if cost.iter().zip(ARGON2_MAX).any(|(asked, most)| *asked > most) {
                return Err(Fault::corrupt("the key slot asks for more work than any version writes"));
            }
            let params = Params::new(cost[0], cost[1], cost[2], Some(32)).map_err(|_| Fault::corrupt("the key slot's cost is no cost"))?;
            Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
                .hash_password_into(bytes, salt, key.as_mut())
                .map_err(|_| Fault::corrupt("the key slot's salt is unusable"))?;
        }
        _ => return Err(Fault::corrupt("the key slot does not fit its kind")),
    }
    Ok(Cipher::new(key))
}

fn unhex(text: &str) -> Option<[u8; 16]> {
    let mut out = [0; 16];
    if text.len() != 32 || !text.is_ascii() {
        return None;
    }
    for (byte, digits) in out.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(out)
}

#[cfg(test)]
mod tests;
