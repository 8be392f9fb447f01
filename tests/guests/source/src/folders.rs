//! Files of a granted folder, and others.

use crate::transload::plugin::bulk::ByteSource;
use crate::transload::plugin::files::{entries, open};
use crate::transload::plugin::types::{Fault, FaultKind};
use crate::{fault, number, text};

const GRANT: &str = "exports";

pub fn range(path: &str, offset: u64, length: u64) -> Result<ByteSource, Fault> {
    open(GRANT, path)?.range(offset, length)
}

/// Does it and says what was there.
pub fn look(how: &str, rest: &str) -> Result<String, Fault> {
    match how {
        "read" => {
            let file = open(GRANT, rest)?;
            file.read(0, file.size() as u32).map(text)
        }
        "of" => open(rest, "harmless").map(|file| file.size().to_string()),
        "names-of" => entries(rest, "", None).map(|page| page.entries.len().to_string()),
        "names" => {
            let (path, cursor) = rest.split_once('>').map_or((rest, None), |(path, cursor)| (path, Some(cursor)));
            let page = entries(GRANT, path, cursor)?;
            let names: Vec<String> = page.entries.into_iter().map(|entry| entry.name).collect();
            Ok(format!("{} {}", names.join(","), page.next.unwrap_or_default()))
        }
        "budget" => {
            let (file, length) = (open(GRANT, "disk")?, number(rest)?);
            let mut read = 0;
            loop {
                match file.read(read, length) {
                    Ok(bytes) => read += bytes.len() as u64,
                    Err(refused) => return Ok(format!("{read} {}", refused.message)),
                }
            }
        }
        "past" => {
            let file = open(GRANT, "disk")?;
            let size = file.size();
            let refused =
                [file.read(size, 1).err(), file.read(u64::MAX, 2).err(), file.range(1, size).err(), file.range(u64::MAX, 2).err()];
            Ok(refused.into_iter().map(|fault| fault.map_or("believed".to_owned(), |fault| fault.message)).collect::<Vec<_>>().join("; "))
        }
        // Never dropped: the host must not let it pile up.
        "keep" => {
            std::mem::forget(open(GRANT, "disk")?);
            Ok("kept".to_owned())
        }
        "hoard" => {
            let mut held = Vec::new();
            loop {
                match open(GRANT, "disk") {
                    Ok(file) => held.push(file),
                    Err(refused) => return Ok(format!("{} {}", held.len(), refused.message)),
                }
            }
        }
        _ => Err(fault(FaultKind::NotFound, "no such VM")),
    }
}
