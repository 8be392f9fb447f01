//! Byte sources of wrong lengths, handles that are kept, forged or given twice, and pieces without number.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::transload::plugin::bulk::{ByteSource, Part, Piece, gather};
use crate::transload::plugin::types::{Fault, FaultKind};
use crate::{fault, folders, source};

/// A handle's number that the guest holds on to after the handle was given away.
static GIVEN: AtomicU32 = AtomicU32::new(0);

pub fn open(disk: &str, offset: u64, length: u64) -> Result<ByteSource, Fault> {
    match disk {
        // Bytes, then as many zeros, then the first bytes again.
        "gathered" => {
            let bytes = source("/disk", offset, length)?;
            let third = length / 3;
            gather(&[part(&bytes, third), Piece::Zeros(length - 2 * third), part(&bytes, third)])
        }
        // One after the other, and none of them late by itself.
        "many-late" => {
            let late = source("/late", offset, length)?;
            let parts: Vec<Piece> = (0..length / 8).map(|at| Piece::Range(Part { source: &late, offset: at * 8, length: 8 })).collect();
            gather(&parts)
        }
        "short" => source("/disk", offset, length - 1),
        "long" => source("/disk", offset, length + 1),
        "empty" => gather(&[]),
        "past-its-end" => source("/disk", offset, length)?.slice(1, length),
        "endless" => gather(&[Piece::Zeros(u64::MAX), Piece::Zeros(1)]),
        "forged" => Ok(forged(4711)),
        "twice" => match GIVEN.load(Ordering::Relaxed) {
            0 => {
                let first = source("/disk", offset, length)?;
                GIVEN.store(first.handle(), Ordering::Relaxed);
                Ok(first)
            }
            given => Ok(forged(given)),
        },
        "trap" => panic!("on purpose"),
        // Bytes of a request, then bytes of a file.
        "half-a-file" => {
            let (bytes, file) = (source("/disk", offset, length / 2)?, folders::range("disk", offset, length - length / 2)?);
            gather(&[part(&bytes, bytes.length()), part(&file, file.length())])
        }
        file if file.starts_with("file ") => folders::range(&file["file ".len()..], offset, length),
        path => source(&format!("/{path}"), offset, length),
    }
}

/// What a guest gets for doing this to its host, in words.
pub fn misuse(how: &str) -> Result<String, Fault> {
    match how {
        // Never dropped: the host must not let it pile up.
        "keep" => {
            std::mem::forget(source("/disk", 0, 512)?);
            Ok("kept".to_owned())
        }
        "hoard" => {
            let mut held = Vec::new();
            loop {
                match source("/disk", 0, 512) {
                    Ok(handle) => held.push(handle),
                    Err(refused) => return Ok(format!("{} {}", held.len(), refused.message)),
                }
            }
        }
        "forge" => Ok(format!("{}", forged(4711).length())),
        "double" => {
            let mut whole = source("/disk", 0, 512)?;
            let mut doubled = 0;
            loop {
                whole = match gather(&[part(&whole, whole.length()), part(&whole, whole.length())]) {
                    Ok(twice) => twice,
                    Err(refused) => return Ok(format!("{doubled} {}", refused.message)),
                };
                doubled += 1;
            }
        }
        // Each piece of the list is small, and what it stands for is not: thirty thousand times sixty-five thousand pieces.
        "bomb" => {
            let mut many = source("/disk", 0, 1)?;
            for _ in 0..16 {
                many = gather(&[part(&many, many.length()), part(&many, many.length())])?;
            }
            let list: Vec<Piece> = (0..30_000).map(|_| part(&many, many.length())).collect();
            gather(&list).map(|whole| format!("{}", whole.length()))
        }
        other => Err(fault(FaultKind::NotFound, other)),
    }
}

fn part(source: &ByteSource, length: u64) -> Piece<'_> {
    Piece::Range(Part { source, offset: 0, length })
}

fn forged(number: u32) -> ByteSource {
    // SAFETY: it is no handle of this guest's, and what the host makes of that is what the tests ask.
    unsafe { ByteSource::from_handle(number) }
}
