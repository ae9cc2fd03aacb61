//! What an update draws, so that the same can be drawn again for one that was recorded: [`Plan`].
//!
//! A recorded update reads its random numbers where it read them the first time. So they are drawn here, in the order in
//! which the update asked for them, and put there.

use tch::Tensor;

/// One request for numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Draw {
    /// Standard normal.
    Normal,
    /// In `[0, 1)`.
    Uniform,
    /// What becomes of units: see [`super::Stream::kept_units`].
    KeptUnits { dropout: f64 },
    /// Different ones of `0..n`: see [`super::Stream::subset`].
    Subset { n: i64 },
}

/// Requests in their order, and how many numbers each.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    draws: Vec<(Draw, usize)>,
}

impl Plan {
    /// Numbers of all requests together.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.draws.iter().map(|(_, count)| count).sum()
    }

    pub(super) fn add(&mut self, draw: Draw, count: usize) {
        self.draws.push((draw, count));
    }

    /// Requests in their order, and how many numbers each.
    pub(super) fn draws(&self) -> &[(Draw, usize)] {
        &self.draws
    }
}

/// Numbers that were drawn for a plan, handed out as they are asked for.
pub(super) struct Planned {
    plan: Plan,
    numbers: Tensor,
    next: usize,
    start: usize,
}

impl Planned {
    pub(super) fn new(plan: &Plan, numbers: &Tensor) -> Self {
        Planned {
            plan: plan.clone(),
            numbers: numbers.shallow_clone(),
            next: 0,
            start: 0,
        }
    }

    /// A view of the numbers of the next request.
    pub(super) fn take(&mut self, draw: Draw, count: usize) -> Tensor {
        let planned = self.plan.draws.get(self.next);
        assert_eq!(
            planned,
            Some(&(draw, count)),
            "an update asks for what it asked for before"
        );
        let numbers = self.numbers.narrow(0, self.start as i64, count as i64);
        self.next += 1;
        self.start += count;
        numbers
    }
}
