//! Sealing: nothing leaves for a store in the clear.
//!
//! ```text
//!   data key (32 random bytes, wrapped in keys/)
//!      ├─ HKDF "seal"   ─▶ XChaCha20-Poly1305 key: every object and every block
//!      └─ HKDF "digest" ─▶ secret of the cell digests (xxh3-128)
//!
//!   sealed object = "TLS1" ‖ key id (16) ‖ nonce (24) ‖ ciphertext ‖ tag (16)
//!   sealed block  = ciphertext ‖ tag (16) ‖ nonce (24), inside a segment
//! ```
//!
//! The associated data binds a sealed thing to its place: format, store and key; for an object its full key and its role; for a block the
//! disk, the attempt, its number and the cells it carries. A sealed thing that is moved, replaced or renamed does not open. Which segment
//! carries a block is not bound, so that a block is sealed as soon as it is encoded: within one attempt a block's number says which it is,
//! and its page's digests say what is in it. Its nonce stands last, so that it is sealed where the compressor wrote it.

use std::sync::Arc;

use bytes::Bytes;
use hkdf::Hkdf;
use rand::RngCore;
use sha2::Sha256;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::cipher::{Broken, Cipher};
pub use super::cipher::{NONCE_BYTES, TAG_BYTES};
use super::layout::AttemptFolder;
use super::meter::Meter;
use crate::model::{CellMask, Fault};

/// What sealing adds to a block.
pub const BLOCK_OVERHEAD: usize = NONCE_BYTES + TAG_BYTES;
const MAGIC: &[u8; 4] = b"TLS1";
const KEY_ID_BYTES: usize = 16;
const HEADER_BYTES: usize = MAGIC.len() + KEY_ID_BYTES + NONCE_BYTES;

/// Sealed bytes of a whole object, in parts that follow each other. Only this module makes one, and a sink takes nothing else.
#[derive(Clone)]
pub struct Sealed {
    parts: Arc<[Bytes]>,
    /// What they wait for on their way out.
    meter: Option<Arc<dyn Meter>>,
}

impl Sealed {
    /// For what must be read before there is a key: store.json and the wrapped key itself.
    pub(super) fn in_the_clear(bytes: Vec<u8>) -> Sealed {
        Sealed::of(bytes)
    }

    /// A segment: blocks one after the other, and where they lie. A segment is megabytes that would be copied for nothing.
    pub fn segment(blocks: Vec<SealedBlock>) -> Sealed {
        Sealed { parts: blocks.into_iter().map(|block| Bytes::from(block.0)).collect(), meter: None }
    }

    fn of(bytes: Vec<u8>) -> Sealed {
        Sealed { parts: Arc::new([bytes.into()]), meter: None }
    }

    /// The same bytes, which whoever carries them asks the meter for.
    pub fn metered(self, meter: Arc<dyn Meter>) -> Sealed {
        Sealed { meter: Some(meter), ..self }
    }

    pub fn meter(&self) -> Option<&Arc<dyn Meter>> {
        self.meter.as_ref()
    }

    pub fn parts(&self) -> &[Bytes] {
        &self.parts
    }

    /// All of it in one piece. Copies what lies in several.
    pub fn whole(&self) -> Bytes {
        match &self.parts[..] {
            [part] => part.clone(),
            parts => parts.concat().into(),
        }
    }

    pub fn len(&self) -> usize {
        self.parts.iter().map(Bytes::len).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl std::fmt::Debug for Sealed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sealed({} bytes)", self.len())
    }
}

/// One block as it stands in a segment. Only this module makes one, and a segment takes nothing else.
#[derive(Debug, Clone)]
pub struct SealedBlock(Vec<u8>);

impl SealedBlock {
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A few random bytes for `transload check` to write, read and delete. They say nothing, so they need no seal.
pub fn probe_body(random: &crate::random::Random) -> Sealed {
    let mut bytes = vec![0; 64];
    random.fill(&mut bytes);
    Sealed::of(bytes)
}

/// The one secret of a store: whoever has it can read and write everything in it.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct DataKey(pub(super) [u8; 32]);

impl DataKey {
    pub fn random(random: &mut dyn RngCore) -> DataKey {
        let mut key = [0; 32];
        random.fill_bytes(&mut key);
        DataKey(key)
    }

    fn derive<const N: usize>(&self, purpose: &[u8]) -> Zeroizing<[u8; N]> {
        let mut out = Zeroizing::new([0; N]);
        Hkdf::<Sha256>::new(Some(b"transload format 1"), &self.0)
            .expand(purpose, &mut *out)
            .expect("the length asked for is far below the limit of HKDF");
        out
    }
}

impl std::fmt::Debug for DataKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DataKey(…)")
    }
}

/// What a sealed object is, as part of its associated data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Store,
    Owner,
    Planned,
    Page,
    Commit,
    Receipt,
    Checkpoint,
    Command,
    Reply,
    Spool,
    Vm,
    Initial,
    Further,
    Dropped,
    Lease,
    Mark,
}

impl Role {
    fn code(self) -> u8 {
        match self {
            Role::Store => 1,
            Role::Owner => 2,
            Role::Planned => 3,
            Role::Page => 4,
            Role::Commit => 5,
            Role::Receipt => 6,
            Role::Checkpoint => 7,
            Role::Command => 8,
            Role::Reply => 9,
            Role::Spool => 10,
            Role::Vm => 11,
            Role::Initial => 12,
            Role::Further => 14,
            Role::Dropped => 13,
            Role::Lease => 15,
            Role::Mark => 16,
        }
    }
}

/// Where a block belongs. Every part of it is bound to the sealed bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockPlace<'a> {
    /// Names VM, cycle, attempt and disk.
    pub folder: &'a AttemptFolder,
    pub block: u64,
    pub cells: CellMask,
    pub encoding: u8,
}

/// Seals and opens for one store. Cheap to share.
pub struct Sealer {
    cipher: Cipher,
    digest_secret: Box<Zeroizing<[u8; 192]>>,
    store_id: [u8; 16],
    key_id: [u8; 16],
}

impl Sealer {
    pub fn new(key: &DataKey, store_id: [u8; 16], key_id: [u8; 16]) -> Sealer {
        Sealer { cipher: Cipher::new(key.derive(b"seal")), digest_secret: Box::new(key.derive(b"digest")), store_id, key_id }
    }

    /// The secret that cell digests are keyed with.
    pub fn digest_secret(&self) -> &[u8; 192] {
        &self.digest_secret
    }

    pub fn store_id(&self) -> [u8; 16] {
        self.store_id
    }

    pub fn key_id(&self) -> [u8; 16] {
        self.key_id
    }

    /// Seals a whole object for the place it will stand at.
    pub fn seal_object(&self, role: Role, object_key: &str, plain: &[u8], random: &mut dyn RngCore) -> Sealed {
        let mut nonce = [0; NONCE_BYTES];
        random.fill_bytes(&mut nonce);
        let aad = self.object_aad(role, object_key);
        let mut out = Vec::with_capacity(HEADER_BYTES + plain.len() + TAG_BYTES);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&self.key_id);
        out.extend_from_slice(&nonce);
        out.extend_from_slice(plain);
        let tag = self.cipher.seal(&nonce, &aad, &mut out[HEADER_BYTES..]);
        out.extend_from_slice(&tag);
        Sealed::of(out)
    }

    /// Opens an object that was read from `object_key`. `corrupt` when it was changed, moved, or belongs to another store or key.
    pub fn open_object(&self, role: Role, object_key: &str, sealed: &[u8]) -> Result<Vec<u8>, Fault> {
        let broken = |why: &str| Fault::corrupt(format!("object {object_key} does not open: {why}"));
        if sealed.len() < HEADER_BYTES + TAG_BYTES || &sealed[..4] != MAGIC {
            return Err(broken("it is too short or is no sealed object of format 1"));
        }
        if sealed[4..20] != self.key_id {
            return Err(broken("it was sealed with another key"));
        }
        let aad = self.object_aad(role, object_key);
        let mut plain = sealed[HEADER_BYTES..].to_vec();
        match self.cipher.open(nonce_of(&sealed[20..HEADER_BYTES]), &aad, &mut plain) {
            Ok(()) => Ok(plain),
            Err(Broken) => Err(broken("its bytes were changed, or it was written for another place")),
        }
    }

    /// Seals the bytes where they are. Nothing is copied if there is room for `BLOCK_OVERHEAD` more.
    pub fn seal_block(&self, place: BlockPlace<'_>, mut block: Vec<u8>, random: &mut dyn RngCore) -> SealedBlock {
        let mut nonce = [0; NONCE_BYTES];
        random.fill_bytes(&mut nonce);
        let tag = self.cipher.seal(&nonce, &self.block_aad(place), &mut block);
        block.extend_from_slice(&tag);
        block.extend_from_slice(&nonce);
        block.shrink_to_fit();
        SealedBlock(block)
    }

    /// Opens one block into `plain`, which is replaced.
    pub fn open_block(&self, place: BlockPlace<'_>, sealed: &[u8], plain: &mut Vec<u8>) -> Result<(), Fault> {
        let broken =
            || Fault::corrupt(format!("block {} of {} does not open: its bytes were changed or moved", place.block, place.folder.prefix()));
        if sealed.len() < BLOCK_OVERHEAD {
            return Err(broken());
        }
        let (sealed, nonce) = sealed.split_at(sealed.len() - NONCE_BYTES);
        plain.clear();
        plain.extend_from_slice(sealed);
        self.cipher.open(nonce_of(nonce), &self.block_aad(place), plain).map_err(|Broken| broken())
    }

    fn object_aad(&self, role: Role, object_key: &str) -> Vec<u8> {
        let mut aad = Vec::with_capacity(64 + object_key.len());
        aad.extend_from_slice(MAGIC);
        aad.push(role.code());
        aad.extend_from_slice(&self.store_id);
        aad.extend_from_slice(&self.key_id);
        aad.extend_from_slice(object_key.as_bytes());
        aad
    }

    fn block_aad(&self, place: BlockPlace<'_>) -> Vec<u8> {
        let mut aad = Vec::with_capacity(80 + place.folder.prefix().len());
        aad.extend_from_slice(MAGIC);
        aad.push(0);
        aad.extend_from_slice(&self.store_id);
        aad.extend_from_slice(&self.key_id);
        aad.extend_from_slice(&place.block.to_le_bytes());
        aad.extend_from_slice(&place.cells.0.to_le_bytes());
        aad.push(place.encoding);
        aad.extend_from_slice(place.folder.prefix().as_bytes());
        aad
    }
}

fn nonce_of(bytes: &[u8]) -> &[u8; NONCE_BYTES] {
    bytes.try_into().expect("a nonce was cut out in its length")
}

#[cfg(test)]
mod tests;
