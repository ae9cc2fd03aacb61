//! Threads that share the parts of a piece of work, such as a pass by hand or a step of Adam: [`each`].
//!
//! The parts take tens of microseconds and more, and waking a thread that sleeps takes as long. So the caller does its share, and
//! the others look for the next task for a while before they sleep. libtorch's own threads spin against whatever else
//! runs on their core (docs/performance.md); these sleep after [`PATIENCE`]. The clock decides who waits how, and nothing
//! that is computed.

use std::{
    cell::Cell,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, TryLockError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

/// How long a thread looks for work before it sleeps: longer than what lies between two products of an update.
const PATIENCE: Duration = Duration::from_micros(200);

/// How many threads share a product, if that was said.
static THREADS: AtomicUsize = AtomicUsize::new(0);

/// From now on so many threads share a product, whatever libtorch is allowed.
pub(crate) fn set_threads(threads: usize) {
    THREADS.store(threads, Ordering::Relaxed);
}

thread_local! {
    static ALONE: Cell<bool> = const { Cell::new(false) };
}

/// From now on this thread makes its products alone, and leaves the others to those who share theirs.
pub(crate) fn work_alone() {
    ALONE.set(true);
}

/// Calls `work`, whose products this thread makes alone: those of a part of what [`each`] shares out.
pub(crate) fn alone<T>(work: impl FnOnce() -> T) -> T {
    /// Also when `work` panics.
    struct AsBefore(bool);
    impl Drop for AsBefore {
        fn drop(&mut self) {
            ALONE.set(self.0);
        }
    }
    let _as_before = AsBefore(ALONE.replace(true));
    work()
}

/// How many threads share a product: one on a thread that works alone, otherwise as many as libtorch is allowed, unless something else was said.
pub(crate) fn threads() -> usize {
    match THREADS.load(Ordering::Relaxed) {
        _ if ALONE.get() => 1,
        0 => tch::get_num_threads().max(1) as usize,
        threads => threads,
    }
}

/// Into how many numbers a pass over so many is cut, for [`each`].
pub(super) fn shares(numbers: usize) -> usize {
    /// So few are not worth a thread.
    const LEAST: usize = 8192;
    numbers.div_ceil(threads()).max(LEAST)
}

/// Calls `work` on every item, on several [`threads`], this one included.
///
/// # Panics
/// When `work` does, here or elsewhere.
pub(crate) fn each<T: Send>(items: Vec<T>, work: impl Fn(T) + Sync) {
    static CREW: OnceLock<Mutex<Crew>> = OnceLock::new();
    let threads = threads();
    if threads > 1 && items.len() > 1 {
        match CREW.get_or_init(Mutex::default).try_lock() {
            Ok(mut crew) => return crew.each(threads - 1, items, &work),
            Err(TryLockError::Poisoned(crew)) => return crew.into_inner().each(threads - 1, items, &work),
            // Somebody else's products are under way: there is no thread to spare.
            Err(TryLockError::WouldBlock) => {}
        }
    }
    items.into_iter().for_each(work);
}

/// What has to be done, as far as threads see it.
#[derive(Default)]
struct Shared {
    /// Grows by one when a task begins and when it ends: odd while there is one.
    turn: AtomicUsize,
    /// Only read while `turn` is odd.
    task: Mutex<Option<Task>>,
    sleepers: Mutex<usize>,
    wake: Condvar,
    /// How many threads are to help, those of the lowest numbers; the others rest until more are wanted, and no task wakes
    /// them.
    wanted: AtomicUsize,
    rest: Condvar,
}

#[derive(Clone)]
struct Task {
    /// `work` on the item of that index, for whoever claimed it.
    work: &'static (dyn Fn(usize) + Sync),
    count: usize,
    threads: usize,
    progress: Arc<Progress>,
}

#[derive(Default)]
struct Progress {
    /// One for each item.
    claimed: Vec<AtomicBool>,
    finished: AtomicUsize,
    failed: AtomicBool,
}

impl Task {
    /// Takes what is for this thread, then what nobody has taken. What is for it is the same of every task that has as many
    /// items: as a rule it reads what it wrote before, which lies near its core.
    fn help(&self, thread: usize) {
        let of_thread = |index: &usize| index % self.threads == thread;
        let (own, others): (Vec<usize>, Vec<usize>) = (0..self.count).partition(of_thread);
        for index in own.into_iter().chain(others) {
            if self.progress.claimed[index].swap(true, Ordering::Relaxed) {
                continue;
            }
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| (self.work)(index)));
            if outcome.is_err() {
                self.progress.failed.store(true, Ordering::Relaxed);
            }
            self.progress.finished.fetch_add(1, Ordering::Release);
        }
    }
}

#[derive(Default)]
struct Crew {
    shared: Arc<Shared>,
    threads: usize,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Crew {
    fn each<T: Send>(&mut self, helpers: usize, items: Vec<T>, work: &(impl Fn(T) + Sync)) {
        while self.threads < helpers {
            let (shared, number) = (self.shared.clone(), self.threads + 1);
            let builder = std::thread::Builder::new().name("products".to_string());
            if builder.spawn(move || attend(&shared, number)).is_err() {
                break; // the caller does it all
            }
            self.threads += 1;
        }
        if self.shared.wanted.swap(helpers, Ordering::Relaxed) < helpers {
            let _sleepers = locked(&self.shared.sleepers);
            self.shared.rest.notify_all();
        }
        let items: Vec<Mutex<Option<T>>> = items.into_iter().map(|item| Mutex::new(Some(item))).collect();
        let of_index = |index: usize| {
            if let Some(item) = locked(&items[index]).take() {
                work(item);
            }
        };
        let borrowed: &(dyn Fn(usize) + Sync) = &of_index;
        let task = Task {
            // SAFETY: the borrow outlives the task: `work` is called once for each index, by whoever claims it, and this
            // function returns when all those calls have returned.
            work: unsafe { std::mem::transmute::<&(dyn Fn(usize) + Sync), &'static (dyn Fn(usize) + Sync)>(borrowed) },
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
            // Whoever has the last part may have lost its core to another program: it may have this one.
            match since.elapsed() > PATIENCE {
                true => std::thread::yield_now(),
                false => std::hint::spin_loop(),
            }
        }
        self.shared.turn.fetch_add(1, Ordering::Release);
        *locked(&self.shared.task) = None;
        assert!(
            !task.progress.failed.load(Ordering::Relaxed),
            "a part of a product failed"
        );
    }
}

/// The life of a thread: looks for a task, helps, looks for the next.
fn attend(shared: &Shared, number: usize) {
    let mut seen = 0;
    let is_wanted = || number <= shared.wanted.load(Ordering::Relaxed);
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

    #[test]
    fn every_item_is_worked_on_once_whoever_helps() {
        let mut crew = Crew::default();
        for round in 0..2_000 {
            let mut numbers = vec![0usize; 1 + round % 7];
            let items: Vec<(usize, &mut usize)> = numbers.iter_mut().enumerate().collect();
            crew.each(2, items, &|(index, number): (usize, &mut usize)| {
                *number += index + round
            });
            assert!(
                numbers
                    .iter()
                    .enumerate()
                    .all(|(index, number)| *number == index + round)
            );
            if round % 500 == 0 {
                std::thread::sleep(PATIENCE * 3); // so that they sleep and have to be woken
            }
        }
    }

    #[test]
    fn a_thread_that_works_alone_never_has_help() {
        let alone = || {
            work_alone();
            let own = std::thread::current().id();
            each((0..64).collect(), |_: i32| assert_eq!(std::thread::current().id(), own));
            threads()
        };
        let thread = std::thread::spawn(alone);
        assert_eq!(thread.join().expect("all items on one thread"), 1);
    }

    #[test]
    fn no_more_threads_help_than_are_wanted_now() {
        let mut crew = Crew::default();
        let mut helped_by = |helpers: usize| {
            let seen = Mutex::new(Vec::new());
            for _ in 0..50 {
                crew.each(helpers, (0..16).collect(), &|_: i32| {
                    let own = std::thread::current().id();
                    let mut seen = locked(&seen);
                    if !seen.contains(&own) {
                        seen.push(own);
                    }
                    drop(seen);
                    std::thread::sleep(Duration::from_micros(20));
                });
            }
            seen.into_inner().expect("nobody failed").len()
        };
        for _ in 0..3 {
            assert!((2..=4).contains(&helped_by(3)), "some help");
            assert!(helped_by(1) <= 2, "one helps, and the others rest");
        }
    }

    #[test]
    fn a_failure_elsewhere_is_a_failure_here() {
        let fails = || Crew::default().each(1, vec![0, 1, 2], &|item| assert!(item != 2, "on purpose"));
        assert!(std::panic::catch_unwind(fails).is_err());
    }
}
