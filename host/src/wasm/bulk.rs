//! The `bulk` import: a guest names bytes, cuts them and joins them. It sees a few of them, counted, and only plaintext of its own source.

use sha2::Digest;
use wasmtime::component::Resource;

use super::bindings::bulk::{self, DigestAlgorithm, Piece};
use super::splice::Splice;
use super::state::{InstanceState, Refusal};
use crate::log::seal::Sealed;
use crate::model::Fault;
use crate::pipeline::source::ByteSource;

/// The most that one `peek` reads.
const PEEK_BYTES_MAX: u32 = 64 * 1024;

/// Sealed bytes on their way into a store.
pub struct SealedBody {
    sealed: Sealed,
    sha256: Option<Vec<u8>>,
    crc32c: Option<Vec<u8>>,
}

impl SealedBody {
    pub fn new(sealed: Sealed) -> SealedBody {
        SealedBody { sealed, sha256: None, crc32c: None }
    }

    pub fn sealed(&self) -> &Sealed {
        &self.sealed
    }

    fn digest(&mut self, algorithm: DigestAlgorithm) -> Result<Vec<u8>, Fault> {
        let parts = self.sealed.parts().iter();
        match algorithm {
            DigestAlgorithm::Sha256 => {
                let digest = || parts.fold(sha2::Sha256::new(), sha2::Sha256::chain_update).finalize().to_vec();
                Ok(self.sha256.get_or_insert_with(digest).clone())
            }
            DigestAlgorithm::Crc32c => {
                let sum = || parts.fold(0, |sum, part| crc32c::crc32c_append(sum, part)).to_be_bytes().to_vec();
                Ok(self.crc32c.get_or_insert_with(sum).clone())
            }
            DigestAlgorithm::Md5 => Err(Fault::unsupported("this host offers no md5; use crc32c or sha256")),
        }
    }
}

impl bulk::Host for InstanceState {
    async fn gather(&mut self, pieces: Vec<Piece>) -> Result<Resource<Splice>, Refusal> {
        let mut whole = Splice::empty();
        for piece in pieces {
            match piece {
                Piece::Range(part) => whole.append(self.table.get(&part.source)?, part.offset, part.length)?,
                Piece::Zeros(length) => whole.append_zeros(length)?,
            }
            // After each one: a short list may name a source of many pieces many times.
            self.check_room(&whole)?;
        }
        self.keep(whole)
    }
}

impl bulk::HostByteSource for InstanceState {
    async fn length(&mut self, this: Resource<Splice>) -> wasmtime::Result<u64> {
        Ok(self.table.get(&this)?.bytes())
    }

    async fn peek(&mut self, this: Resource<Splice>, offset: u64, length: u32) -> Result<Vec<u8>, Refusal> {
        self.may_reach()?;
        if length > PEEK_BYTES_MAX {
            return Err(Fault::invalid(format!("a peek reads at most {PEEK_BYTES_MAX} bytes; {length} were asked for")).into());
        }
        self.spend_peek(u64::from(length))?;
        let source = self.table.get(&this)?.clone();
        let mut bytes = vec![0; length as usize];
        source.fetch(offset, &mut bytes).await?;
        self.plugin.counters().peeked(u64::from(length));
        Ok(bytes)
    }

    async fn slice(&mut self, this: Resource<Splice>, offset: u64, length: u64) -> Result<Resource<Splice>, Refusal> {
        let part = self.table.get(&this)?.slice(offset, length)?;
        self.keep(part)
    }

    async fn drop(&mut self, this: Resource<Splice>) -> wasmtime::Result<()> {
        self.take(this)?;
        Ok(())
    }
}

impl bulk::HostSealedBody for InstanceState {
    async fn length(&mut self, this: Resource<SealedBody>) -> wasmtime::Result<u64> {
        Ok(self.table.get(&this)?.sealed.len() as u64)
    }

    async fn digest(&mut self, this: Resource<SealedBody>, algorithm: DigestAlgorithm) -> Result<Vec<u8>, Refusal> {
        Ok(self.table.get_mut(&this)?.digest(algorithm)?)
    }

    async fn drop(&mut self, this: Resource<SealedBody>) -> wasmtime::Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}
