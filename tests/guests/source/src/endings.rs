//! Calls that come to no answer, or to one that no host can take.

use std::hint::black_box;
use std::time::Duration;

use crate::exports::transload::plugin::source::{Finding, Severity};
use crate::fault;
use crate::transload::plugin::types::{Fault, FaultKind};

pub fn end(how: &str) -> Result<Vec<Finding>, Fault> {
    match how.split_once(' ').unwrap_or((how, "")) {
        ("loop", _) => endless(),
        ("recursion", _) => Ok(vec![finding("deep", format!("{}", deeper(0)))]),
        ("sleep", _) => {
            std::thread::sleep(Duration::from_secs(86_400));
            Ok(Vec::new())
        }
        ("trap", "") => panic!("on purpose"),
        ("trap", words) => panic!("{words}"),
        // Without a word about it.
        ("abort", _) => core::arch::wasm32::unreachable(),
        ("exit", _) => std::process::exit(3),
        ("mutter", words) => {
            eprintln!("{words}");
            Ok(Vec::new())
        }
        ("rave", _) => {
            (0..10_000).for_each(|line| eprintln!("line {line} of many"));
            panic!("after much noise")
        }
        ("hoard", _) => hoard(),
        ("grasp", _) => {
            // More than there is, asked for politely: that alone is no misdeed.
            assert!(black_box(Vec::<u8>::new()).try_reserve_exact(black_box(1 << 30)).is_err());
            Ok(Vec::new())
        }
        ("flood", _) => Ok(vec![finding("flood", "x".repeat(60_000)); 1000]),
        ("long-text", _) => Ok(vec![finding("long", "x".repeat(64 * 1024 + 1))]),
        ("many-findings", _) => Ok(vec![finding("many", String::new()); 65_537]),
        ("odd-code", _) => Ok(vec![finding("Odd Code", String::new())]),
        ("not-text", _) => Ok(vec![finding("text", no_text())]),
        ("tell", words) => Ok(vec![finding("told", words.to_owned())]),
        (other, _) => Err(fault(FaultKind::NotFound, other)),
    }
}

pub fn endless() -> ! {
    loop {
        black_box(0);
    }
}

fn deeper(depth: u64) -> u64 {
    match depth {
        u64::MAX => depth,
        _ => black_box(deeper(black_box(depth + 1))) - 1,
    }
}

fn hoard() -> ! {
    let mut hoard: Vec<Vec<u8>> = Vec::new();
    loop {
        hoard.push(vec![1; 1 << 20]);
        black_box(&hoard);
    }
}

/// What no string may hold: the bytes are no UTF-8.
fn no_text() -> String {
    // SAFETY: nothing in here reads it as text; it is handed to the host as it is.
    unsafe { String::from_utf8_unchecked(vec![0xff, 0xfe]) }
}

fn finding(code: &str, message: String) -> Finding {
    Finding { code: code.to_owned(), severity: Severity::Info, subject: String::new(), message, remedy: String::new() }
}
