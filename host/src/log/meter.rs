//! What counts the bytes of one VM on their way, and makes them wait. Bytes that leave carry it with them, so that it counts what the line
//! carries, tries that failed included.

use async_trait::async_trait;

/// Which way bytes go: out of the source, or into the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    Read,
    Send,
}

#[async_trait]
pub trait Meter: Send + Sync {
    /// How many bytes to ask for at once, so that no more come in one burst than may. None: whatever there is, for nothing is held back.
    fn grain(&self, way: Way) -> Option<u64>;

    /// The most that can go, in bytes a second. None: as fast as it goes.
    fn rate(&self, way: Way) -> Option<u64>;

    /// The VM runs on this host now; empty: nobody knows. What is under way is counted where it was.
    fn is_on(&self, host: &str);

    /// Answers when so many bytes may go; at once, where nothing is held back. Whoever drops it before has used what it had of them.
    async fn pass(&self, way: Way, bytes: u64);
}
