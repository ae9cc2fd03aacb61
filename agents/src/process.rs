//! Settings of the whole process: libtorch's threads and the C allocator.

/// Sets the number of libtorch's threads, and makes the C allocator keep freed memory for reuse.
///
/// An update allocates and frees dozens of tensors of a quarter of a megabyte. By default glibc maps each of them from
/// the kernel and unmaps it when it is freed, so that every page faults again at the next update. Reusing the memory
/// avoids this (see `docs/performance.md`). The process keeps the peak of one update, so memory does not grow.
pub fn prepare(threads: u64) {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        /// The largest threshold that glibc accepts: half of its heap size.
        const MAP_FROM_BYTES: libc::c_int = 32 << 20;
        const KEEP_BYTES: libc::c_int = 256 << 20;
        // SAFETY: mallopt only changes settings of the allocator, and rejects invalid values.
        unsafe {
            libc::mallopt(libc::M_MMAP_THRESHOLD, MAP_FROM_BYTES);
            libc::mallopt(libc::M_TRIM_THRESHOLD, KEEP_BYTES);
        }
    }
    set_libtorch_threads(threads, false);
}

/// Limits libtorch to one thread for calls from the current thread. OpenMP keeps the number of threads per calling
/// thread, so every new thread has to set it.
pub fn prepare_thread() {
    tch::set_num_threads(1);
}

/// Returns unused memory of the C allocator to the kernel. Called after an evaluation: evaluations and updates allocate
/// blocks of different sizes, and the resulting fragmentation would slowly increase memory.
pub(crate) fn give_back_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: malloc_trim only releases free memory.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Asks the kernel to back `memory` with huge pages, which it may not do. To be called before the memory is first
/// written.
///
/// Sampling reads rows at random. With small pages, each of the hundreds of rows of a batch causes a miss in the TLB.
pub(crate) fn use_huge_pages<T>(memory: &mut [std::mem::MaybeUninit<T>]) {
    #[cfg(target_os = "linux")]
    {
        const HUGE: usize = 2 << 20;
        let bytes = memory.as_mut_ptr_range();
        let start = (bytes.start as usize).next_multiple_of(HUGE);
        let end = bytes.end as usize / HUGE * HUGE;
        if start < end {
            // SAFETY: the range consists of whole pages within `memory`, and madvise does not change their content.
            unsafe {
                libc::madvise(start as *mut libc::c_void, end - start, libc::MADV_HUGEPAGE);
            }
        }
    }
}

/// Sets the number of libtorch's threads: one for a fused agent ([`crate::fused`]), otherwise `threads`. Idle threads
/// of libtorch spin, and would occupy the cores that the fused matrix products run on.
pub fn set_libtorch_threads(threads: u64, agent_is_fused: bool) {
    tch::set_num_threads(if agent_is_fused { 1 } else { threads as i32 });
}

/// The message of a panic.
pub fn panic_message(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("it did not say why")
}
