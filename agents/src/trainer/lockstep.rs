//! Trainers of replicates side by side, whose updates are made together: [`Lockstep`].
//!
//! ```text
//! each, on the threads at hand:   act, step, remember, log, score, save … until an update is due
//! all together:                   one update of the stack
//! ```
//!
//! Where updates go by hand and threads divide the trainers evenly, a stack brings nothing, and every layer of it is something to
//! wait at. There each makes its updates itself, on one thread, to the same bits, and waits for the others only after a leg of
//! many of them.
//!
//! What a trainer does between two updates is its own: it may end, or fail, and leaves then. The clocks of the others go on
//! while one of them is waited for. Where updates are one, time in learning holds that, and the share of every replicate is
//! that of all; between legs nothing does.

use std::{
    cell::Cell,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use super::{Activity, Ending, Point, Trainer};
use crate::{
    agent::Agent,
    batch::Batch,
    error::Result,
    nn::crew,
    process,
    schedule::EnvSteps,
    soft_actor_critic::{SoftActorCritic, Stack},
};

/// After so long a trainer that is not waiting looks whether it is to stop: its warm-up may be long.
const SLICE: Duration = Duration::from_millis(500);

/// How long a leg is to take: long for an update, short for who wants to stop.
const LEG: Duration = Duration::from_millis(100);

/// How a trainer's way ended, or the panic that ended it.
pub type Left = thread::Result<Result<Ending>>;

/// Trainers that have made as many updates each, in lockstep. `T` is what they belong to.
pub struct Lockstep<T> {
    running: Vec<Running<T>>,
    stack: Stack,
    acts_together: bool,
    /// `None` where the stack makes all updates.
    leg: Option<Leg>,
    /// For how many it was decided who makes them.
    arranged_for: usize,
}

/// How often each trainer learns before it waits for the others, and since when. How many updates that makes is the same
/// for all, since their plans are.
struct Leg {
    length: u32,
    began: Instant,
}

impl Leg {
    /// None yet: all are to wait before their next update.
    fn before_the_first() -> Leg {
        Leg {
            length: 0,
            began: Instant::now(),
        }
    }

    /// One that takes about [`LEG`], to judge by this one.
    fn next(&self) -> Leg {
        let fits = LEG.as_secs_f64() / self.began.elapsed().as_secs_f64().max(1e-6);
        Leg {
            length: (f64::from(self.length) * fits).clamp(1.0, 1000.0) as u32,
            began: Instant::now(),
        }
    }
}

struct Running<T> {
    trainer: Trainer,
    began_at: EnvSteps,
    /// How often it has learned in this leg.
    learned: u32,
    owner: T,
}

impl<T: Send> Lockstep<T> {
    /// Of trainers whose agents [`Stack::check`] lets pass; `agent` is one more, made as theirs are. `acts_together`:
    /// whether they also choose actions in one pass, as is worth it where a pass costs more than what it computes.
    ///
    /// # Panics
    /// When there is none, their counts of updates differ, or one is pipelined: its updates are not made where others'
    /// are.
    pub fn new(trainers: Vec<(Trainer, T)>, agent: SoftActorCritic, acts_together: bool) -> Self {
        assert!(
            trainers.iter().all(|(trainer, _)| !trainer.plan.pipelined),
            "trainers in lockstep are not pipelined"
        );
        let running = |(trainer, owner): (Trainer, T)| Running {
            began_at: trainer.env_steps(),
            trainer,
            learned: 0,
            owner,
        };
        let mut running: Vec<Running<T>> = trainers.into_iter().map(running).collect();
        let mut lockstep = Lockstep {
            stack: Stack::new(agent, &mut agents(&mut running)),
            running,
            acts_together,
            leg: None,
            arranged_for: 0,
        };
        lockstep.arrange();
        lockstep
    }

    /// Decides who makes the updates of those that run.
    fn arrange(&mut self) {
        self.arranged_for = self.running.len();
        let mut agents = agents(&mut self.running);
        let in_legs = agents[0].goes_by_hand() && agents.len().is_multiple_of(crew::threads());
        match in_legs {
            true => self.stack.release(&mut agents),
            false => self.stack.hold(&mut agents),
        }
        self.leg = in_legs.then(Leg::before_the_first);
    }

    /// Trains all to their ends, or until `stop` is set. Each leaves through `left` when it ends, by itself; a panic in an
    /// update that is made together ends all that are left.
    pub fn run(mut self, stop: &AtomicBool, mut left: impl FnMut(Trainer, T, Left)) {
        let heard = AtomicBool::new(false);
        while !self.running.is_empty() {
            // All hear it before the same update, or none does.
            let waiting = self
                .running
                .iter()
                .filter(|running| running.trainer.waits_for_an_update())
                .count();
            if waiting == 0 || self.leg.is_some() && waiting == self.running.len() {
                heard.store(stop.load(Ordering::Relaxed), Ordering::Relaxed);
            }
            let outcome = catch_unwind(AssertUnwindSafe(|| {
                self.advance(&heard, &mut left);
                self.serve();
            }));
            if let Err(panic) = outcome {
                let message = process::panic_message(panic.as_ref()).to_string();
                for Running { trainer, owner, .. } in self.running.drain(..) {
                    left(trainer, owner, Err(Box::new(message.clone())));
                }
            }
        }
    }

    /// Every trainer to where it needs the others, on the threads at hand.
    fn advance(&mut self, stop: &AtomicBool, left: &mut impl FnMut(Trainer, T, Left)) {
        let leg_length = self.leg.as_ref().map(|leg| leg.length);
        let acts_together = self.acts_together && leg_length.is_none();
        let began = Instant::now();
        let mut outcomes: Vec<Option<Left>> = self.running.iter().map(|_| None).collect();
        let items = self.running.iter_mut().zip(&mut outcomes).collect();
        crew::each(items, |(running, outcome): (&mut Running<T>, &mut Option<Left>)| {
            process::prepare_thread();
            let _warnings_say = tracing::info_span!("replicate", seed = running.trainer.plan.seed).entered();
            let learned = Cell::new(running.learned);
            let waits = |point| match point {
                Point::Learning => {
                    let is_over = leg_length.is_none_or(|length| learned.get() >= length);
                    learned.set(learned.get() + u32::from(!is_over));
                    is_over
                }
                Point::Acting => acts_together,
                // In the midst of a leg they have not made as many updates.
                Point::BetweenGroups | Point::Chosen => learned.get() == 0 && began.elapsed() > SLICE,
            };
            let way = AssertUnwindSafe(|| {
                let (trainer, began_at) = (&mut running.trainer, running.began_at);
                crew::alone(|| trainer.run_to_pause(began_at, stop, waits))
            });
            *outcome = match catch_unwind(way) {
                Ok(paused_or_ended) => paused_or_ended.transpose().map(Ok),
                Err(panic) => Some(Err(panic)),
            };
            running.learned = learned.get();
        });
        let running = std::mem::take(&mut self.running);
        for (running, outcome) in running.into_iter().zip(outcomes) {
            match outcome {
                None => self.running.push(running),
                Some(outcome) => left(running.trainer, running.owner, outcome),
            }
        }
    }

    /// What all wait for; where some wait to act and some to learn, those act alone. Nothing while one is under way.
    fn serve(&mut self) {
        let is_under_way = |running: &Running<T>| running.trainer.point == Point::BetweenGroups;
        if self.running.is_empty() || self.running.iter().any(is_under_way) {
            return;
        }
        if self.arranged_for != self.running.len() {
            self.arrange();
        }
        self.running.iter_mut().for_each(|running| running.learned = 0);
        if let Some(leg) = &mut self.leg {
            *leg = leg.next();
            return;
        }
        let acting = |running: &Running<T>| running.trainer.point == Point::Acting;
        if !self.running.iter().any(acting) {
            self.update();
        } else if self.running.iter().all(acting) && self.act_alike() {
            self.act();
        } else {
            let waiting = self.running.iter_mut().filter(|running| acting(running));
            waiting.for_each(|running| running.trainer.act_alone());
        }
    }

    /// Whether groups are of one size.
    fn act_alike(&self) -> bool {
        let counts = self.running.iter().map(|running| running.trainer.group().len());
        counts.clone().zip(counts.skip(1)).all(|(one, next)| one == next)
    }

    fn act(&mut self) {
        let (mut agents, mut obs, mut noises, mut actions) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for Running { trainer, .. } in &mut self.running {
            let group = trainer.group();
            let envs = trainer.envs.envs();
            let (width, obs_width) = (envs.action_space().len(), envs.observation_space().len());
            obs.push(&envs.current().obs[group.start * obs_width..group.end * obs_width]);
            actions.push(&mut trainer.actions[..group.len() * width]);
            noises.push(&mut trainer.streams.explore);
            agents.push(trainer.agent.as_soft_actor_critic().expect(STACKABLE));
            trainer.clock.spent_on(Activity::Rest);
        }
        self.stack.explore(&mut agents, &obs, &mut noises, &mut actions);
        for Running { trainer, .. } in &mut self.running {
            trainer.point = Point::Chosen;
            trainer.clock.spent_on(Activity::Acting);
        }
    }

    fn update(&mut self) {
        let mut drawn: Vec<Option<Batch>> = self.running.iter().map(|_| None).collect();
        let items = self.running.iter_mut().zip(&mut drawn).collect();
        crew::each(items, |(running, batch): (&mut Running<T>, &mut Option<Batch>)| {
            let trainer = &mut running.trainer;
            trainer.clock.spent_on(Activity::Rest);
            *batch = trainer.replay.sample(&mut trainer.streams.replay);
        });
        let is_drawn = |batch: Option<Batch>| batch.expect("an update is due where there is something to learn from");
        let batches: Vec<Batch> = drawn.into_iter().map(is_drawn).collect();
        let (mut agents, mut noises) = (Vec::new(), Vec::new());
        for Running { trainer, .. } in &mut self.running {
            agents.push(trainer.agent.as_soft_actor_critic().expect(STACKABLE));
            noises.push(&mut trainer.streams.update);
        }
        let reports = self.stack.update(&mut agents, &batches, &mut noises);
        for (Running { trainer, .. }, report) in self.running.iter_mut().zip(reports) {
            trainer.learned(report);
            trainer.clock.spent_on(Activity::Learning);
        }
    }
}

const STACKABLE: &str = "trainers in lockstep have agents that a stack takes";

fn agents<T>(running: &mut [Running<T>]) -> Vec<&mut SoftActorCritic> {
    let agents = running
        .iter_mut()
        .map(|running| running.trainer.agent.as_soft_actor_critic());
    agents.map(|agent| agent.expect(STACKABLE)).collect()
}

impl Trainer {
    /// [`Trainer::run`] to the next point of those at which it waits; `None` there.
    fn run_to_pause(
        &mut self,
        began_at: EnvSteps,
        stop: &AtomicBool,
        waits: impl Fn(Point) -> bool,
    ) -> Result<Option<Ending>> {
        self.clock.go_on();
        let ending = self.advance(self.plan.total_env_steps, stop, waits)?;
        if let Some(ending) = ending {
            self.conclude(ending, began_at)?;
        }
        Ok(ending)
    }

    /// Whether it stands before an update; after its last one it stands there too, until it goes on.
    fn waits_for_an_update(&self) -> bool {
        self.point == Point::Learning && self.has_update_due()
    }

    /// The environments that act next.
    fn group(&self) -> std::ops::Range<usize> {
        self.next_env..self.next_env + self.group_len(self.plan.total_env_steps)
    }

    fn act_alone(&mut self) {
        self.choose_actions(self.group());
        self.point = Point::Chosen;
    }
}
