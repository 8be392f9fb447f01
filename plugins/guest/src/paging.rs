//! Pages out of a list that a server only answers whole, and a whole list out of a server's pages.
//!
//! ```text
//!   cut:     a b c d e f g   after "b", at most 3 ─▶ c d e, next "e"
//!   follow:  page ─next─▶ page ─next─▶ page ─none─▶ all of it
//! ```
//!
//! A cursor that the host keeps must be good in another instance, days later. A server's own cursors seldom are: they end with its session.
//! Then its list is followed to the end in one call, and cut into pages behind what does not change, such as the items' own names.

use crate::fault::Fault;

/// Items in the order of their keys, and the key behind which the list goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    pub items: Vec<T>,
    pub next: Option<String>,
}

/// The first `size` items whose keys come after the cursor, and one at least: a page of none could not say where the list goes on. Two
/// items of one key are one.
///
/// ```
/// use transload_guest::paging::cut;
///
/// let names = || vec!["web", "db", "app", "web"];
/// let first = cut(names(), None, 2, |name| name);
/// assert_eq!((first.items, first.next.as_deref()), (vec!["app", "db"], Some("db")));
/// let last = cut(names(), Some("db"), 2, |name| name);
/// assert_eq!((last.items, last.next), (vec!["web"], None));
/// ```
pub fn cut<T>(mut items: Vec<T>, cursor: Option<&str>, size: usize, key: impl Fn(&T) -> &str) -> Page<T> {
    let size = size.max(1);
    items.retain(|item| cursor.is_none_or(|cursor| key(item) > cursor));
    items.sort_by(|a, b| key(a).cmp(key(b)));
    items.dedup_by(|a, b| key(a) == key(b));
    let goes_on = items.len() > size;
    items.truncate(size);
    let next = items.last().map(|last| key(last).to_owned()).filter(|_| goes_on);
    Page { items, next }
}

/// More pages than any list has that fits into an answer to the host.
const PAGES_MAX: usize = 10_000;

/// All items of a list that a server answers page by page: `ask` is given the cursor of the page, none for the first one, and answers its
/// items and the next cursor. `corrupt` when a page brings nothing and leads to itself, or when there is no end.
///
/// ```
/// use transload_guest::fault::Fault;
/// use transload_guest::paging::follow;
///
/// type Answer = Result<(Vec<&'static str>, Option<String>), Fault>;
///
/// fn page(cursor: Option<&str>) -> Answer {
///     match cursor {
///         None => Ok((vec!["app", "db"], Some("2".to_owned()))),
///         Some(_) => Ok((vec!["web"], None)),
///     }
/// }
///
/// fn nothing(_: Option<&str>) -> Answer {
///     Ok((Vec::new(), Some("1".to_owned())))
/// }
///
/// assert_eq!(follow("the VMs", page).unwrap(), ["app", "db", "web"]);
/// assert!(follow("the VMs", nothing).unwrap_err().message.contains("stands still"));
/// ```
pub fn follow<T, E: From<Fault>>(
    what: &str,
    mut ask: impl FnMut(Option<&str>) -> Result<(Vec<T>, Option<String>), E>,
) -> Result<Vec<T>, E> {
    let (mut all, mut cursor) = (Vec::new(), None);
    for _ in 0..PAGES_MAX {
        let (items, next) = ask(cursor.as_deref())?;
        // A cursor may name the whole reading, and stay the same while the pages go on.
        if items.is_empty() && next.is_some() && next == cursor {
            return Err(Fault::corrupt(format!("The list of {what} stands still: a page of it is empty and leads to itself.")).into());
        }
        all.extend(items);
        if next.is_none() {
            return Ok(all);
        }
        cursor = next;
    }
    Err(Fault::corrupt(format!("The list of {what} has no end: {PAGES_MAX} pages were read.")).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::FaultKind;

    #[test]
    fn pages_tile_the_list_whatever_their_size() {
        let names: Vec<String> = (0..10).map(|n| format!("vm-{n}")).collect();
        for size in 1..=11 {
            let (mut seen, mut cursor) = (Vec::new(), None);
            loop {
                let page = cut(names.clone(), cursor.as_deref(), size, |name| name);
                assert!(page.items.len() <= size);
                seen.extend(page.items);
                cursor = page.next;
                if cursor.is_none() {
                    break;
                }
            }
            assert_eq!(seen, names, "{size}");
        }
        assert_eq!(cut(Vec::<String>::new(), None, 3, |name| name), Page { items: Vec::new(), next: None });
    }

    #[test]
    fn a_size_of_none_does_not_end_the_list() {
        assert_eq!(cut(vec!["a", "b"], None, 0, |name| name), cut(vec!["a", "b"], None, 1, |name| name));
    }

    #[test]
    fn what_was_added_or_removed_between_two_pages_moves_no_other_item() {
        let page = cut(vec!["a", "c", "d"], None, 2, |name| name);
        assert_eq!(page.next.as_deref(), Some("c"));
        assert_eq!(cut(vec!["a", "b", "d"], page.next.as_deref(), 2, |name| name).items, ["d"]);
    }

    #[test]
    fn one_cursor_for_a_whole_reading_is_no_standstill() {
        let mut pages = vec![vec![1, 2], vec![3], vec![]].into_iter();
        let all = follow("numbers", |_| {
            let items = pages.next().unwrap();
            let next = (!items.is_empty()).then(|| "the reading".to_owned());
            Ok::<_, Fault>((items, next))
        });
        assert_eq!(all.unwrap(), [1, 2, 3]);
    }

    #[test]
    fn a_list_that_stands_still_or_never_ends_is_corrupt() {
        let still = follow("numbers", |_| Ok::<_, Fault>((Vec::<u8>::new(), Some("1".to_owned()))));
        assert!(still.unwrap_err().message.contains("stands still"));
        let mut pages = 0;
        let endless = follow("numbers", |_| {
            pages += 1;
            Ok::<_, Fault>((vec![pages], Some("1".to_owned())))
        });
        assert_eq!((endless.unwrap_err().kind, pages), (FaultKind::Corrupt, PAGES_MAX));
    }

    #[test]
    fn a_page_that_fails_ends_the_reading_with_its_fault() {
        let failed = follow("numbers", |_| Err::<(Vec<u8>, _), _>(Fault::unavailable("the line is dead")));
        assert_eq!(failed.unwrap_err().kind, FaultKind::Unavailable);
    }
}
