//! What goes wrong at a source: by chance, or because a test asks for it.

/// How often things go wrong, as probabilities.
#[derive(Debug, Clone, Copy, Default)]
pub struct SourceTrouble {
    /// The snapshot is made, and nobody learns of it.
    pub reply_lost: f64,
    /// A read fails.
    pub read_fails: f64,
    /// A snapshot disappears while it is read.
    pub snapshot_lost: f64,
    /// The login expires.
    pub login_expires: f64,
    /// A request that changes something arrives twice, and the answer to the second is the one that is heard.
    pub doubled: f64,
    /// The page of changes that is left out of every so-manieth answer; for tests of completeness.
    pub page_dropped: f64,
}

/// What a source may get wrong when somebody asks for it: once, or now and ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceFault {
    /// Leaves out the second page of changes.
    DropsPage,
    /// Ends its description of changes after the first page.
    EndsEarly,
    /// Names a disk twice.
    ListsTwice,
    /// Cannot release markers, now and ever.
    KeepsMarkers,
    /// Refuses to begin change tracking anew, now and ever.
    KeepsTracking,
    /// Cannot merge a snapshot, now and ever.
    KeepsSnapshots,
    /// Answers no request to read, now and ever.
    ReadsNothing,
    /// Makes no snapshot, now and ever.
    MakesNoSnapshot,
}
