//! Threads that share the items of one piece of work: [`ThreadPool`].
//!
//! A piece of work here takes tens of microseconds, about as long as waking a sleeping thread. So the caller does its
//! share, and each worker spins for a while after its work before it sleeps. libtorch's own threads spin for much
//! longer, against whatever else runs on their core. Timing decides which thread does what, never what is computed.

use std::{
    any::Any,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError, TryLockError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// How long a worker spins before it sleeps. Longer than the time between two pieces of work of an update.
const PATIENCE: Duration = Duration::from_micros(200);

/// The shortest chunk of values that is worth a thread.
const MIN_CHUNK: usize = 8192;

/// A handle on worker threads, with a limit on how many threads work for it.
///
/// Clones share the workers. Workers start when they are first needed and end when the last handle is dropped. A handle
/// for one thread never starts any.
#[derive(Clone)]
pub struct ThreadPool {
    workers: Arc<Mutex<Workers>>,
    threads: usize,
}

impl ThreadPool {
    /// A pool of up to `threads` threads, the caller included; 0 counts as 1.
    pub fn new(threads: usize) -> Self {
        ThreadPool {
            workers: Arc::default(),
            threads: threads.max(1),
        }
    }

    /// A pool without workers: the caller does everything.
    pub fn single() -> Self {
        ThreadPool::new(1)
    }

    /// Another handle on the same workers, for up to `threads` threads, the caller included; 0 counts as 1.
    pub fn with_threads(&self, threads: usize) -> Self {
        ThreadPool {
            workers: self.workers.clone(),
            threads: threads.max(1),
        }
    }

    /// How many threads work for this handle at most, the caller included.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// The length of the chunks into which a pass over `values` values is cut for [`ThreadPool::for_each`]; at least 1.
    pub fn chunk_len(&self, values: usize) -> usize {
        values.div_ceil(self.threads).max(MIN_CHUNK)
    }

    /// Calls `work` once for each item, on up to [`ThreadPool::threads`] threads, and returns when all calls have.
    ///
    /// The caller does everything by itself while another thread uses these workers, and in a call from within `work`.
    ///
    /// # Panics
    /// When `work` does, with its payload (one of them, if several calls panic).
    pub fn for_each<T: Send>(&self, items: Vec<T>, work: impl Fn(T) + Sync) {
        if self.threads > 1 && items.len() > 1 {
            match self.workers.try_lock() {
                Ok(mut workers) => return workers.for_each(self.threads - 1, items, &work),
                // A panic of `work` poisons the lock, and leaves the workers as they should be.
                Err(TryLockError::Poisoned(workers)) => {
                    return workers.into_inner().for_each(self.threads - 1, items, &work);
                }
                Err(TryLockError::WouldBlock) => {}
            }
        }
        items.into_iter().for_each(work);
    }
}

impl Default for ThreadPool {
    fn default() -> Self {
        ThreadPool::single()
    }
}

impl fmt::Debug for ThreadPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThreadPool").field("threads", &self.threads).finish()
    }
}

/// The worker threads that were started. Worker number i, counted from 1, is `handles[i - 1]`.
#[derive(Default)]
struct Workers {
    shared: Arc<Shared>,
    handles: Vec<JoinHandle<()>>,
}

/// What the workers see.
#[derive(Default)]
struct Shared {
    /// Grows by one when a task begins and when it ends, and when the pool ends: odd while there is a task.
    turn: AtomicUsize,
    /// The task; only read while `turn` is odd.
    task: Mutex<Option<Task>>,
    /// How many workers sleep, waiting for `wake`.
    sleepers: Mutex<usize>,
    wake: Condvar,
    /// How many workers are to help. Those with higher numbers wait for `rest`, and no task wakes them.
    wanted: AtomicUsize,
    rest: Condvar,
    /// Set once, when the last handle is dropped.
    has_ended: AtomicBool,
}

/// `work` for one call of [`ThreadPool::for_each`], by index of the item.
#[derive(Clone)]
struct Task {
    work: Work,
    count: usize,
    threads: usize,
    progress: Arc<Progress>,
}

/// A pointer to the caller's closure. A worker may hold it for longer than the closure lives, so it is no reference.
#[derive(Clone, Copy)]
struct Work(*const (dyn Fn(usize) + Sync));

// SAFETY: the closure is `Sync`, so threads may share a pointer to it.
unsafe impl Send for Work {}
// SAFETY: as above.
unsafe impl Sync for Work {}

#[derive(Default)]
struct Progress {
    /// For each item, whether a thread has taken it.
    claimed: Vec<AtomicBool>,
    finished: AtomicUsize,
    /// The payload of the first panic.
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

impl Task {
    /// Does the items of this thread, then those that nobody has taken yet. Tasks with equally many items assign them
    /// to threads in the same way: usually a thread reads what it wrote before, which is in the caches of its core.
    fn help(&self, thread: usize) {
        let is_own = |index: &usize| index % self.threads == thread;
        let (own, others): (Vec<usize>, Vec<usize>) = (0..self.count).partition(is_own);
        for index in own.into_iter().chain(others) {
            if self.progress.claimed[index].swap(true, Ordering::Relaxed) {
                continue;
            }
            let outcome = catch_unwind(AssertUnwindSafe(|| {
                // SAFETY: the closure lives until all items are finished (`Workers::for_each` waits for that), and this
                // one is not: it was claimed just now, by this thread.
                let work = unsafe { &*self.work.0 };
                work(index);
            }));
            if let Err(payload) = outcome {
                locked(&self.progress.panic).get_or_insert(payload);
            }
            self.progress.finished.fetch_add(1, Ordering::Release);
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Workers {
    fn for_each<T: Send>(&mut self, helpers: usize, items: Vec<T>, work: &(impl Fn(T) + Sync)) {
        self.start(helpers);
        if self.shared.wanted.swap(helpers, Ordering::Relaxed) < helpers {
            let _sleepers = locked(&self.shared.sleepers);
            self.shared.rest.notify_all();
        }
        let items: Vec<Mutex<Option<T>>> = items.into_iter().map(|item| Mutex::new(Some(item))).collect();
        let work_on = |index: usize| {
            let item = locked(&items[index]).take();
            if let Some(item) = item {
                work(item);
            }
        };
        let borrowed: &(dyn Fn(usize) + Sync) = &work_on;
        let task = Task {
            // SAFETY: only the lifetime changes. `Task::help` says why the pointer is never followed too late.
            work: Work(unsafe {
                std::mem::transmute::<*const (dyn Fn(usize) + Sync + '_), *const (dyn Fn(usize) + Sync + 'static)>(
                    borrowed,
                )
            }),
            count: items.len(),
            threads: helpers + 1,
            progress: Arc::new(Progress {
                claimed: items.iter().map(|_| AtomicBool::new(false)).collect(),
                ..Progress::default()
            }),
        };
        *locked(&self.shared.task) = Some(task.clone());
        self.shared.turn.fetch_add(1, Ordering::Release);
        if *locked(&self.shared.sleepers) > 0 {
            self.shared.wake.notify_all();
        }
        task.help(0);
        let since = Instant::now();
        while task.progress.finished.load(Ordering::Acquire) < task.count {
            // The thread that has the last item may have lost its core to another program: after a while, offer this
            // one.
            match since.elapsed() > PATIENCE {
                true => std::thread::yield_now(),
                false => std::hint::spin_loop(),
            }
        }
        self.shared.turn.fetch_add(1, Ordering::Release);
        *locked(&self.shared.task) = None;
        let panic = locked(&task.progress.panic).take();
        if let Some(payload) = panic {
            resume_unwind(payload);
        }
    }

    /// Starts workers until there are `helpers`. Where the system refuses one, the others and the caller do its items.
    fn start(&mut self, helpers: usize) {
        while self.handles.len() < helpers {
            let (shared, number) = (self.shared.clone(), self.handles.len() + 1);
            let builder = std::thread::Builder::new().name("sac-kernels".to_string());
            match builder.spawn(move || serve(&shared, number)) {
                Ok(handle) => self.handles.push(handle),
                Err(_) => break,
            }
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        {
            // Under the lock, so that no worker falls asleep between its last look and this.
            let _sleepers = locked(&self.shared.sleepers);
            self.shared.has_ended.store(true, Ordering::Relaxed);
            self.shared.turn.fetch_add(1, Ordering::Release);
            self.shared.wake.notify_all();
            self.shared.rest.notify_all();
        }
        for handle in self.handles.drain(..) {
            // A worker catches the panics of `work`; it has nothing else to report.
            let _ = handle.join();
        }
    }
}

/// The life of a worker: waits for a task, helps, waits for the next, until the pool ends.
fn serve(shared: &Shared, number: usize) {
    let mut seen = 0;
    let has_ended = || shared.has_ended.load(Ordering::Relaxed);
    let is_wanted = || number <= shared.wanted.load(Ordering::Relaxed) || has_ended();
    loop {
        if !is_wanted() {
            let mut sleepers = locked(&shared.sleepers);
            while !is_wanted() {
                sleepers = shared.rest.wait(sleepers).unwrap_or_else(PoisonError::into_inner);
            }
        }
        let since = Instant::now();
        let turn = loop {
            let turn = shared.turn.load(Ordering::Acquire);
            if has_ended() {
                return;
            }
            if turn != seen && turn % 2 == 1 {
                break turn;
            }
            if since.elapsed() > PATIENCE {
                let mut sleepers = locked(&shared.sleepers);
                *sleepers += 1;
                while shared.turn.load(Ordering::Acquire) == turn {
                    sleepers = shared.wake.wait(sleepers).unwrap_or_else(PoisonError::into_inner);
                }
                *sleepers -= 1;
            }
            std::hint::spin_loop();
        };
        seen = turn;
        let task = locked(&shared.task).clone();
        if let Some(task) = task.filter(|task| number < task.threads) {
            task.help(number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Adds `round + index` to each of `count` zeros, and checks that it happened once.
    fn assert_each_once(pool: &ThreadPool, count: usize, round: usize) {
        let mut sums = vec![0; count];
        let items: Vec<(usize, &mut usize)> = sums.iter_mut().enumerate().collect();
        pool.for_each(items, |(index, sum)| *sum += index + round);
        let expected: Vec<usize> = (0..count).map(|index| index + round).collect();
        assert_eq!(sums, expected);
    }

    #[test]
    fn every_item_is_worked_on_once_whoever_helps() {
        let pool = ThreadPool::new(3);
        for round in 0..500 {
            assert_each_once(&pool, round % 7, round);
            if round % 125 == 0 {
                std::thread::sleep(PATIENCE * 3); // so that workers sleep and have to be woken
            }
        }
    }

    #[test]
    fn two_threads_may_use_one_pool_at_once() {
        let pool = ThreadPool::new(2);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                let pool = pool.clone();
                scope.spawn(move || (0..500).for_each(|round| assert_each_once(&pool, 1 + round % 7, round)));
            }
        });
    }

    #[test]
    fn the_caller_works_alone_while_another_thread_uses_the_workers() {
        let pool = ThreadPool::new(3);
        pool.for_each(vec![(), ()], |()| {
            // The lock is held by the caller of this very `for_each`.
            let own = std::thread::current().id();
            pool.for_each((0..16).collect(), |_: i32| assert_eq!(std::thread::current().id(), own));
        });
    }

    #[test]
    fn a_pool_of_one_thread_starts_none() {
        for pool in [ThreadPool::single(), ThreadPool::default(), ThreadPool::new(0)] {
            assert_eq!(pool.threads(), 1);
            let own = std::thread::current().id();
            pool.for_each((0..16).collect(), |_: i32| assert_eq!(std::thread::current().id(), own));
            assert!(locked(&pool.workers).handles.is_empty());
        }
    }

    /// How many threads work for this handle, given time to.
    fn threads_seen(pool: &ThreadPool) -> usize {
        let seen = Mutex::new(std::collections::HashSet::new());
        for _ in 0..30 {
            pool.for_each((0..16).collect(), |_: i32| {
                locked(&seen).insert(std::thread::current().id());
                std::thread::sleep(Duration::from_micros(20));
            });
        }
        locked(&seen).len()
    }

    #[test]
    fn handles_on_the_same_workers_keep_their_own_limits() {
        let pool = ThreadPool::new(2);
        let more = pool.with_threads(4);
        assert_eq!((pool.threads(), more.threads()), (2, 4));
        for _ in 0..3 {
            assert!((2..=4).contains(&threads_seen(&more)), "some help");
            assert!(threads_seen(&pool) <= 2, "one helps, and the others rest");
            assert_eq!(threads_seen(&pool.with_threads(1)), 1);
        }
        assert_eq!(
            locked(&pool.workers).handles.len(),
            3,
            "workers are shared and started once"
        );
    }

    #[test]
    fn workers_end_with_the_last_handle_whether_they_spin_sleep_or_rest() {
        for wait in [Duration::ZERO, PATIENCE * 5] {
            let pool = ThreadPool::new(4);
            assert_each_once(&pool, 16, 0);
            let clone = pool.with_threads(2); // two of three workers rest
            assert_each_once(&clone, 16, 0);
            let shared = Arc::downgrade(&locked(&pool.workers).shared);
            drop(pool);
            assert_each_once(&clone, 16, 1);
            std::thread::sleep(wait);
            drop(clone);
            assert_eq!(shared.strong_count(), 0, "every worker has let go");
        }
    }

    #[test]
    fn a_panic_elsewhere_is_a_panic_here_and_the_pool_goes_on() {
        let pool = ThreadPool::new(2);
        for failing in 0..3 {
            let panics = || pool.for_each(vec![0, 1, 2], |item| assert!(item != failing, "on purpose"));
            let payload = catch_unwind(AssertUnwindSafe(panics)).expect_err("it panics");
            assert_eq!(payload.downcast_ref::<&str>(), Some(&"on purpose"));
            assert_each_once(&pool, 7, failing);
        }
    }

    #[test]
    fn a_pass_is_cut_into_a_chunk_a_thread_unless_that_is_short() {
        let pool = ThreadPool::new(3);
        let found = [0, 1, 8_192, 24_576, 24_577, 100_000].map(|values| pool.chunk_len(values));
        assert_eq!(found, [8_192, 8_192, 8_192, 8_192, 8_193, 33_334]);
        assert_eq!(ThreadPool::single().chunk_len(100_000), 100_000);
    }
}
