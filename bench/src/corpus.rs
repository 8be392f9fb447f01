//! What is copied: an image of real files, and data that halves.

use std::fs;
use std::path::Path;

use anyhow::{Result, ensure};
use rand::{Rng, RngCore, SeedableRng};
use rand_chacha::ChaCha20Rng;

pub const BLOCK: usize = 1 << 20;
const PAGE: usize = 4096;
/// Where real files come from, in this order.
const ROOTS: [&str; 3] = ["/usr/lib", "/usr/share", "/usr/bin"];

pub struct Corpus {
    pub name: &'static str,
    pub image: Vec<u8>,
}

/// Files of this machine, each from a page boundary on, with holes in between as a file system leaves them: three blocks in eight are zeros,
/// as on the image that shared figures were measured with.
pub fn files(bytes: usize) -> Result<Corpus> {
    let mut image = Vec::with_capacity(bytes);
    for root in ROOTS {
        fill_from(Path::new(root), bytes, &mut image);
    }
    ensure!(image.len() > bytes / 2, "this machine has only {} bytes of files to copy; {bytes} are wanted", image.len());
    image.resize(bytes, 0);
    Ok(Corpus { name: "files", image })
}

fn fill_from(folder: &Path, bytes: usize, image: &mut Vec<u8>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    let mut paths: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    for path in paths {
        if image.len() >= bytes {
            return;
        }
        let Ok(found) = fs::symlink_metadata(&path) else { continue };
        if found.is_dir() {
            fill_from(&path, bytes, image);
        } else if found.is_file()
            && found.len() > 0
            && let Ok(content) = fs::read(&path)
        {
            let room = bytes - image.len();
            image.extend_from_slice(&content[..content.len().min(room)]);
            image.resize(image.len().next_multiple_of(PAGE).min(bytes), 0);
            // After five blocks of data come three of nothing.
            let block = image.len() / BLOCK;
            if block % 8 >= 5 {
                image.resize(((block / 8 + 1) * 8 * BLOCK).min(bytes), 0);
            }
        }
    }
}

/// Every page is half noise and half one repeated byte.
pub fn half(bytes: usize) -> Corpus {
    Corpus { name: "half", image: half_noise(bytes, 1) }
}

/// The same for one seed, something else for another.
pub fn half_noise(bytes: usize, seed: u64) -> Vec<u8> {
    let mut random = ChaCha20Rng::seed_from_u64(seed);
    let mut image = vec![0; bytes];
    for chunk in image.chunks_mut(PAGE) {
        let middle = chunk.len() / 2;
        random.fill_bytes(&mut chunk[..middle]);
        let word = random.random::<u8>();
        chunk[middle..].fill(word);
    }
    image
}
