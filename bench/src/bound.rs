//! The arithmetic alone, from memory: what no program that does this work can undercut with these libraries.

use transload::log::cipher::Cipher;
use transload::log::digest::is_zero;
use transload::model::CELL;
use xxhash_rust::xxh3::xxh3_128_with_secret;

use crate::corpus::BLOCK;

/// What came out, so that nothing is left out.
#[derive(Debug, Clone, Copy, Default)]
pub struct Made {
    pub stored: u64,
    pub non_zero: u64,
    check: u64,
}

/// Digest per cell, compression and seal per block, CRC-32C over what is sealed. Blocks of zeros end at the look at them.
pub fn run(image: &[u8], level: i32) -> Made {
    let secret: [u8; 192] = std::array::from_fn(|index| index as u8 ^ 0x5a);
    let cipher = Cipher::new([7; 32].into());
    let mut compressor = zstd::bulk::Compressor::new(level).expect("the level is one of zstd's");
    let mut compressed = Vec::with_capacity(zstd::zstd_safe::compress_bound(BLOCK));
    let mut plain = Vec::with_capacity(BLOCK);
    let mut made = Made::default();
    for (number, block) in image.chunks(BLOCK).enumerate() {
        plain.clear();
        for cell in block.chunks(CELL as usize) {
            if is_zero(cell) {
                continue;
            }
            made.check ^= xxh3_128_with_secret(cell, &secret) as u64;
            plain.extend_from_slice(cell);
        }
        if plain.is_empty() {
            continue;
        }
        made.non_zero += plain.len() as u64;
        compressed.clear();
        compressor.compress_to_buffer(&plain, &mut compressed).expect("the buffer is as large as the bound");
        let sealed = if compressed.len() + plain.len() / 16 <= plain.len() { &mut compressed } else { &mut plain };
        let mut nonce = [0; 24];
        nonce[..8].copy_from_slice(&(number as u64).to_le_bytes());
        let tag = cipher.seal(&nonce, b"a place in the store", sealed);
        sealed.extend_from_slice(&tag);
        made.stored += sealed.len() as u64 + 24;
        made.check ^= u64::from(crc32c::crc32c(sealed));
    }
    std::hint::black_box(made.check);
    made
}

/// The same, a part of the image on each core.
pub fn run_on_all_cores(image: &[u8], level: i32) {
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    let part = image.len().div_ceil(cores).next_multiple_of(BLOCK);
    std::thread::scope(|scope| {
        for part in image.chunks(part) {
            scope.spawn(move || run(part, level));
        }
    });
}
