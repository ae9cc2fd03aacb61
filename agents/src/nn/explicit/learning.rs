//! Forward, the loss, and backward, unit by unit: [`Dense::there_and_back`].

use std::cell::RefCell;

use tch::Tensor;

use super::{
    Dense, Units,
    backward::Pass,
    forward::{Kept, Way, room},
    own, rows_each,
};
use crate::nn::{
    crew,
    numbers::{numbers, numbers_mut},
    params::Params,
    precision::Products,
};

/// Room for what a unit keeps on its way forward: φ'(z) and h of every hidden layer, and the gradient of its result.
#[derive(Default)]
struct Room {
    hidden: Vec<(Vec<f32>, Vec<f32>)>,
    of_out: Vec<f32>,
}

thread_local! {
    static ROOM: RefCell<Room> = RefCell::default();
}

impl Dense {
    /// The gradient of losses of which each is one unit's, written to `of_params` as by [`super::Tape::to_params`]; the
    /// results `[E, R·B, out]` and what `loss` says of each unit. It is given a unit and its results `[B, out]`, and writes
    /// their gradient.
    ///
    /// A unit goes forward and back on one thread before the next is begun, so that what it keeps lies near; threads wait for
    /// each other once. Where there are more threads than units they share each way instead.
    pub(in crate::nn) fn there_and_back<R: Send>(
        &self,
        params: &Params,
        x: &Tensor,
        products: Products,
        of_params: &mut [f32],
        loss: impl Fn(usize, &[f32], &mut [f32]) -> R + Sync,
    ) -> (Tensor, Vec<R>) {
        let units = Units::of(self, params);
        let (count, rows) = (units.count(), super::rows(x) as usize / units.replicates);
        if rows_each(count, rows) < rows {
            let (out, tape) = self.forward(params, x, products, true);
            let mut of_out = vec![0.0; numbers(&out).len()];
            let each = of_out.len() / count;
            let of_units = numbers(&out).chunks_exact(each).zip(of_out.chunks_exact_mut(each));
            let said = of_units
                .enumerate()
                .map(|(unit, (out, of_out))| loss(unit, out, of_out))
                .collect();
            tape.expect("it was to be kept").to_params(params, &of_out, of_params);
            return (out, said);
        }
        let (mut out, input) = (self.room_for_results(x, units.members()), x.contiguous());
        let mut said: Vec<Option<R>> = (0..count).map(|_| None).collect();
        let each = numbers(&out).len() / count;
        let ways = numbers_mut(&mut out)
            .chunks_exact_mut(each)
            .zip(units.gradients(of_params))
            .zip(&mut said)
            .enumerate();
        let from = numbers(&input);
        crew::each(ways.collect(), |(unit, ((out, of_params), said))| {
            ROOM.with_borrow_mut(|Room { hidden, of_out }| {
                let layers = &units.layers[unit];
                let input = units.input(from, unit);
                hidden.resize_with(layers.len() - 1, Default::default);
                let kept = hidden.iter_mut().zip(layers).map(|((slope, h), layer)| Kept {
                    slope: self.has_slopes().then(|| room(slope, rows * layer.outputs)),
                    h: room(h, rows * layer.outputs),
                });
                let way = Way {
                    rows,
                    kept: kept.collect(),
                    out: &mut *out,
                };
                way.go(input, layers, self.activation, products);
                let of_out = room(of_out, out.len());
                *said = Some(loss(unit, out, of_out));
                let kept = hidden.iter().zip(layers).map(|((slope, h), layer)| {
                    let slope = self.has_slopes().then(|| own(slope, 0, rows * layer.outputs));
                    (slope, own(h, 0, rows * layer.outputs))
                });
                let pass = Pass {
                    products,
                    units: Units {
                        replicates: 1,
                        layers: vec![layers.clone()],
                    },
                    rows,
                    input,
                    hidden: kept.collect(),
                    of_out,
                };
                pass.whole_way(0, of_params);
            });
        });
        (out, said.into_iter().flatten().collect())
    }
}
