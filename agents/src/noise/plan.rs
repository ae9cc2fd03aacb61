//! The random numbers that an update requests, for updates recorded as CUDA graphs: [`Plan`].
//!
//! A recorded update reads its random numbers from fixed memory. Before each replay they are drawn on the host, in the
//! order in which the update requested them, and copied to that memory.

use tch::Tensor;

/// The kind of one request for random numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Draw {
    /// Standard normal numbers.
    Normal,
    /// Numbers uniform in `[0, 1)`.
    Uniform,
    /// A dropout mask: see [`super::Stream::dropout_mask`].
    DropoutMask { dropout: f64 },
    /// Distinct integers from `0..n`: see [`super::Stream::subset`].
    Subset { n: i64 },
}

/// The requests of an update in their order, with the number of elements of each.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    draws: Vec<(Draw, usize)>,
}

impl Plan {
    /// Number of elements of all requests together.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.draws.iter().map(|(_, count)| count).sum()
    }

    pub(super) fn add(&mut self, draw: Draw, count: usize) {
        self.draws.push((draw, count));
    }

    /// The requests in their order, with the number of elements of each.
    pub(super) fn draws(&self) -> &[(Draw, usize)] {
        &self.draws
    }
}

/// Numbers drawn for a plan, which are returned request by request.
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

    /// The numbers of the next request, as a view.
    pub(super) fn take(&mut self, draw: Draw, count: usize) -> Tensor {
        let planned = self.plan.draws.get(self.next);
        assert_eq!(
            planned,
            Some(&(draw, count)),
            "a recorded update repeats the requests of its plan"
        );
        let numbers = self.numbers.narrow(0, self.start as i64, count as i64);
        self.next += 1;
        self.start += count;
        numbers
    }
}
