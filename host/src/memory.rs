//! How the process holds on to memory.
//!
//! Bulk buffers are megabytes that live for milliseconds, on many threads. glibc's allocator gives each thread an arena, learns to keep
//! such buffers in them and seldom gives them back: measured in the demo, 184 MiB instead of 91. Large buffers are therefore mapped and
//! unmapped one by one, which the kernel does at a cost that compressing and sealing the same bytes makes invisible.

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
