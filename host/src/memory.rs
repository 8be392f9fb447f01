//! How the process holds on to memory.
//!
//! Bulk buffers are megabytes that live for milliseconds, on many threads. glibc's allocator gives each thread an arena, learns to keep
//! such buffers in them and seldom gives them back: measured in the demo, 184 MiB instead of 91. Large buffers are therefore mapped and
//! unmapped one by one, which the kernel does at a cost that compressing and sealing the same bytes makes invisible.
//!
//! Keys and passwords are in it. No core file is written, whoever asks for one, and no other process of the same user may look inside.

/// Called once, before any thread is started.
pub fn settle() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        const KEPT: libc::c_int = 256 * 1024;
        // SAFETY: mallopt changes the allocator's own settings; no other thread exists yet.
        unsafe {
            libc::mallopt(libc::M_ARENA_MAX, 2);
            libc::mallopt(libc::M_MMAP_THRESHOLD, KEPT);
            libc::mallopt(libc::M_TRIM_THRESHOLD, KEPT);
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
