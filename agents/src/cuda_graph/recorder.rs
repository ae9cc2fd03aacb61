//! The interface of recorders of device work: [`Recorder`], [`Recording`].

/// Records work on a device.
pub trait Recorder: Send {
    /// Runs `work` exactly once, and records the operations that it runs on the device.
    ///
    /// # Errors
    /// When the work cannot be recorded. The device has then executed none of it.
    fn record(&mut self, work: &mut dyn FnMut()) -> std::result::Result<Box<dyn Recording>, String>;
}

/// Recorded work.
pub trait Recording: Send {
    /// Repeats the work on the same memory. A recorder without a faster way calls `work`, the closure that was
    /// recorded.
    fn repeat(&self, work: &mut dyn FnMut());
}
