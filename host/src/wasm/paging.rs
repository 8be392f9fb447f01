//! Lists that a guest gives page by page, and that end whatever it says.
//!
//! ```text
//!   guest's cursor ──▶ pages and items so far, last key, guest's cursor ──▶ the cursor that callers hold and bring back
//! ```
//!
//! The account travels in the cursor, so whoever follows a list is kept from following it for ever, and no two that do share anything.

use serde::{Deserialize, Serialize};

use crate::model::Fault;

/// More than any store or hypervisor needs: a store lists a thousand entries a page, a hypervisor hundreds of VMs.
const PAGES_MAX: u32 = 10_000;
/// So that full pages end as well, long before their items fill the host's memory.
const ITEMS_MAX: u64 = 10_000_000;

/// How far a list was followed, and where the guest goes on.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Followed {
    pages: u32,
    items: u64,
    /// The last key, of lists that ascend.
    last: Option<String>,
    cursor: Option<String>,
}

impl Followed {
    /// From the cursor that `go_on` answered with; none at the start of a list.
    pub fn to(cursor: Option<&str>) -> Result<Followed, Fault> {
        let read = |cursor| serde_json::from_str(cursor).map_err(|_| Fault::invalid("this cursor was not given by this host"));
        cursor.map_or_else(|| Ok(Followed::default()), read)
    }

    /// The guest's own cursor.
    pub fn cursor(&self) -> Option<&str> {
        self.cursor.as_deref()
    }

    /// Refuses a page of an ascending list that goes back behind the one before it.
    pub fn check_ascends(&self, first: Option<&str>) -> Result<(), Fault> {
        match (&self.last, first) {
            (Some(last), Some(first)) if first.as_bytes() <= last.as_bytes() => {
                Err(Fault::corrupt(format!("the plugin listed {last:?} on one page and {first:?} on a later one")))
            }
            _ => Ok(()),
        }
    }

    /// The cursor behind a page of so many `what`; none when it was the last one.
    pub fn go_on(self, what: &str, items: usize, last: Option<&str>, next: Option<String>) -> Result<Option<String>, Fault> {
        let Some(next) = next else { return Ok(None) };
        let (pages, items) = (self.pages + 1, self.items + items as u64);
        if pages >= PAGES_MAX || items >= ITEMS_MAX {
            return Err(Fault::corrupt(format!(
                "the plugin's list of {what} does not end: after {pages} pages with {items} there are more"
            )));
        }
        let followed = Followed { pages, items, last: last.map(str::to_owned).or(self.last), cursor: Some(next) };
        let written = serde_json::to_string(&followed).map_err(|error| Fault::internal(format!("a cursor cannot be written: {error}")))?;
        Ok(Some(written))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::FaultKind;

    /// Follows a list of such pages to its end, or to where it is given up.
    fn follow(items: usize, pages: u32) -> Result<u32, Fault> {
        let (mut cursor, mut followed) = (None, 0);
        loop {
            let next = (followed + 1 < pages).then(|| "more".to_owned());
            cursor = Followed::to(cursor.as_deref())?.go_on("VMs", items, None, next)?;
            followed += 1;
            if cursor.is_none() {
                return Ok(followed);
            }
        }
    }

    #[test]
    fn a_long_list_is_followed_and_an_endless_one_is_given_up() {
        assert_eq!(follow(1000, 9_999).unwrap(), 9_999);
        let said = |items| {
            let fault = follow(items, u32::MAX).unwrap_err();
            assert_eq!(fault.kind, FaultKind::Corrupt);
            fault.message
        };
        assert_eq!(said(0), "the plugin's list of VMs does not end: after 10000 pages with 0 there are more");
        assert_eq!(said(65_536), "the plugin's list of VMs does not end: after 153 pages with 10027008 there are more");
    }

    #[test]
    fn the_guest_gets_back_its_own_cursor_and_keys_never_go_back() {
        let cursor = Followed::default().go_on("entries", 2, Some("vm/b"), Some("{\"theirs\"}".to_owned())).unwrap();
        let empty = Followed::to(cursor.as_deref()).unwrap();
        assert_eq!(empty.cursor(), Some("{\"theirs\"}"));
        let behind = empty.go_on("entries", 0, None, Some("on".to_owned())).unwrap();
        let followed = Followed::to(behind.as_deref()).unwrap();
        assert!(followed.check_ascends(Some("vm/c")).is_ok() && followed.check_ascends(None).is_ok());
        for back in ["vm/b", "vm/a"] {
            assert_eq!(followed.check_ascends(Some(back)).unwrap_err().kind, FaultKind::Corrupt);
        }
    }

    #[test]
    fn a_cursor_from_elsewhere_is_invalid() {
        assert_eq!(Followed::to(Some("vm-2")).unwrap_err().kind, FaultKind::Invalid);
    }
}
