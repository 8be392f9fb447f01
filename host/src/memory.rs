//! How the process holds on to memory.
//!
//! Bulk buffers are megabytes that live for milliseconds. Left alone, glibc gets each from the kernel and gives it back at once; the kernel
//! clears it page by page, and that cost a third of all CPU time (docs/performance.md). Told to keep them, it keeps them in an arena for each
//! thread, and the demo held 184 MiB instead of 91. So they are kept, in one arena, and what lies free at its end beyond a bound goes back.
//!
//! Keys and passwords are in it. No core file is written, whoever asks for one, and no other process of the same user may look inside.

/// Called once, before any thread is started.
pub fn settle() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        /// Buffers up to the largest that glibc can be told to keep.
        const KEPT: libc::c_int = 32 << 20;
        const FREE_MAX: libc::c_int = 32 << 20;
        // SAFETY: mallopt changes the allocator's own settings; no other thread exists yet.
        unsafe {
            libc::mallopt(libc::M_ARENA_MAX, 1);
            libc::mallopt(libc::M_MMAP_THRESHOLD, KEPT);
            libc::mallopt(libc::M_TRIM_THRESHOLD, FREE_MAX);
        }
    }
}

/// Called once, before anything is read that is nobody else's business. A limit of nothing stops core files, not being dumpable also
/// those that the kernel hands to a program; debuggers and other readers of a process's memory need root from here on.
pub fn keep_to_itself() {
    use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable).and(setrlimit(Resource::Core, none)) {
        eprintln!("transload: core dumps could not be switched off ({error}); one would hold keys and passwords");
    }
}
