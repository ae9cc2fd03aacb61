//! What training asks of the process as a whole.

/// Sets libtorch's threads, and tells the C allocator to keep what libtorch gives back.
///
/// An update allocates and frees dozens of tensors of a quarter of a megabyte. glibc by default maps each from the
/// kernel and returns it at once, and every page of it faults again at the next update; kept, they cost nothing (see
/// `docs/performance.md`). What is kept is what one update needs at its peak, so memory does not grow.
pub fn prepare(threads: u64) {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        /// The largest value that glibc accepts: half of its heap size.
        const MAP_FROM_BYTES: libc::c_int = 32 << 20;
        const KEEP_BYTES: libc::c_int = 256 << 20;
        // SAFETY: mallopt only changes the allocator's own settings; it refuses values that it does not take.
        unsafe {
            libc::mallopt(libc::M_MMAP_THRESHOLD, MAP_FROM_BYTES);
            libc::mallopt(libc::M_TRIM_THRESHOLD, KEEP_BYTES);
        }
    }
    set_libtorch_threads(threads, false);
}

/// One thread for everything that the calling thread asks of libtorch: OpenMP counts its threads for each of its callers,
/// and a new thread would begin with a number of its own.
pub fn prepare_thread() {
    tch::set_num_threads(1);
}

/// Gives memory back to the kernel that the C allocator holds and nobody uses: after an evaluation, whose needs are not
/// an update's. Otherwise what the two leave between them slowly adds up.
pub(crate) fn give_back_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: it touches nothing but what is free.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Asks the kernel for large pages below memory that is read here and there, before it is first written: each of some
/// hundred rows of a batch otherwise costs a walk through the tables of its small ones. A wish, which it may not grant.
pub(crate) fn use_huge_pages<T>(memory: &mut [std::mem::MaybeUninit<T>]) {
    #[cfg(target_os = "linux")]
    {
        const HUGE: usize = 2 << 20;
        let bytes = memory.as_mut_ptr_range();
        let start = (bytes.start as usize).next_multiple_of(HUGE);
        let end = bytes.end as usize / HUGE * HUGE;
        if start < end {
            // SAFETY: whole pages within memory that is ours; nothing in them changes.
            unsafe {
                libc::madvise(start as *mut libc::c_void, end - start, libc::MADV_HUGEPAGE);
            }
        }
    }
}

/// How many threads libtorch may use: one where an agent's products are our own ([`crate::fused`]). libtorch's threads spin
/// while they wait, and would hold the cores that ours want.
pub fn set_libtorch_threads(threads: u64, agent_is_fused: bool) {
    tch::set_num_threads(if agent_is_fused { 1 } else { threads as i32 });
}

/// What a panic says.
pub fn panic_message(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("it did not say why")
}
