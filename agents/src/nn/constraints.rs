//! Restoring the constraints of a layout: through libtorch, which is the definition, and over slices on a CPU.

use sac_kernels::norm::columns;
use tch::{Device, Kind, Tensor};

use super::layout::Constraint;
use crate::slices::{as_slice, as_slice_mut};

/// Added to norms before a division. FlashSAC's code: 1e-8.
const NORM_EPS: f64 = 1e-8;

/// Restores `constraint` on `params`, which share memory with a block.
pub(super) fn restore(constraint: &Constraint, params: &[&Tensor]) {
    match params[0].device() {
        Device::Cpu => over_slices(constraint, params),
        _ => through_libtorch(constraint, params),
    }
}

fn through_libtorch(constraint: &Constraint, params: &[&Tensor]) {
    let _guard = tch::no_grad_guard();
    let sum_of_squares =
        |values: &Tensor, dim: i64| values.square().sum_dim_intlist([dim].as_slice(), true, Kind::Float);
    let factor = match constraint {
        Constraint::UnitInputs(_) => sum_of_squares(params[0], -2).sqrt().clamp_min(NORM_EPS).reciprocal(),
        Constraint::RootWidth(_) => {
            let squares = params.iter().map(|values| sum_of_squares(values, -1));
            let squares = squares.reduce(|sum, square| sum + square);
            let squares = squares.expect("a constraint is on at least one parameter");
            (squares + NORM_EPS).rsqrt() * (width(params[0]) as f64).sqrt()
        }
    };
    for values in params {
        let mut values = values.shallow_clone();
        values *= &factor;
    }
}

fn over_slices(constraint: &Constraint, params: &[&Tensor]) {
    let width = width(params[0]);
    match constraint {
        Constraint::UnitInputs(_) => {
            let mut weights = params[0].shallow_clone();
            let inputs = weights.size()[weights.dim() - 2] as usize;
            for matrix in as_slice_mut(&mut weights).chunks_exact_mut(inputs * width) {
                columns::to_unit_norm(matrix, width, NORM_EPS as f32);
            }
        }
        Constraint::RootWidth(_) => {
            for member in 0..as_slice(params[0]).len() / width {
                let range = member * width..(member + 1) * width;
                let values = params.iter().flat_map(|values| &as_slice(values)[range.clone()]);
                let squares: f64 = values.map(|x| f64::from(*x).powi(2)).sum();
                let factor = ((width as f64).sqrt() / (squares + NORM_EPS).sqrt()) as f32;
                for values in params {
                    let mut values = values.shallow_clone();
                    let values = &mut as_slice_mut(&mut values)[range.clone()];
                    values.iter_mut().for_each(|x| *x *= factor);
                }
            }
        }
    }
}

/// The extent of the last dimension.
fn width(values: &Tensor) -> usize {
    values.size().last().map_or(1, |width| *width as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        nn::{Init, ParamLayout},
        noise::Stream,
    };

    #[test]
    fn slices_and_libtorch_restore_the_same_values() {
        let mut layout = ParamLayout::default();
        let index = layout.add("weight", &[1], Init::Constant(0.0));
        let mut stream = Stream::derive(1, "test", 0);
        let mut normal = |shape: &[i64]| stream.normal(shape, Device::Cpu);
        let zero_column = normal(&[3, 17, 21]);
        let _ = zero_column.select(2, 4).zero_();
        for (constraint, params) in [
            (Constraint::UnitInputs(index), vec![normal(&[9, 5])]),
            (Constraint::UnitInputs(index), vec![zero_column]),
            (Constraint::RootWidth(vec![index]), vec![normal(&[19])]),
            (
                Constraint::RootWidth(vec![index; 2]),
                vec![normal(&[2, 1, 19]), normal(&[2, 1, 19])],
            ),
        ] {
            let restored = [over_slices, through_libtorch].map(|restore| {
                let copies: Vec<Tensor> = params.iter().map(Tensor::copy).collect();
                restore(&constraint, &copies.iter().collect::<Vec<_>>());
                copies
            });
            for (a, b) in restored[0].iter().zip(&restored[1]) {
                let error = (a - b).abs().max().double_value(&[]);
                assert!(error < 1e-6, "{constraint:?}: {error}");
            }
            assert_ne!(restored[0][0], params[0], "{constraint:?}: nothing was restored");
        }
    }
}
