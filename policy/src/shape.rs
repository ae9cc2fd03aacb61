//! The shape of the result of an operation, and whether it fits its inputs: [`shape_of`].

use crate::op::{Arithmetic, Fourier, Op};

/// The most numbers of a value of one observation: 256 MB.
pub(crate) const MOST_NUMBERS: usize = 1 << 26;
/// The most dimensions of a value.
const MOST_DIMENSIONS: usize = 6;
/// The most frequencies of a Fourier density.
const MOST_FREQUENCIES: usize = 1024;

/// The product of the extents, if it is between 1 and the limit.
pub(crate) fn count(shape: &[usize]) -> Result<usize, String> {
    if shape.len() > MOST_DIMENSIONS {
        return Err(format!("shape {shape:?} has more than {MOST_DIMENSIONS} dimensions"));
    }
    let product = shape.iter().try_fold(1usize, |product, n| product.checked_mul(*n));
    match product {
        Some(count @ 1..=MOST_NUMBERS) => Ok(count),
        _ => Err(format!("shape {shape:?} has no numbers, or more than {MOST_NUMBERS}")),
    }
}

/// Places of a window along a length.
fn places(length: usize, extent: usize, stride: usize, padding: usize) -> Result<usize, String> {
    let padded = padding.checked_mul(2).and_then(|both| both.checked_add(length));
    match padded.and_then(|padded| padded.checked_sub(extent)) {
        Some(room) if extent > 0 && stride > 0 && padding < extent => Ok(room / stride + 1),
        _ => Err(format!(
            "a window of {extent}, stride {stride}, padding {padding} does not fit into {length}"
        )),
    }
}

fn expect(holds: bool, problem: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(problem()) }
}

fn image(shape: &[usize]) -> Result<[usize; 3], String> {
    shape
        .try_into()
        .map_err(|_| format!("{shape:?} is no image [channels, height, width]"))
}

fn axis_of(shape: &[usize], axis: usize) -> Result<usize, String> {
    let extent = shape.get(axis).copied();
    extent.ok_or_else(|| format!("{shape:?} has no dimension {axis}"))
}

fn sum(sizes: &[usize]) -> Result<usize, String> {
    expect(!sizes.is_empty() && !sizes.contains(&0), || {
        format!("{sizes:?} are no numbers of choices")
    })?;
    let sum = sizes.iter().try_fold(0usize, |sum, n| sum.checked_add(*n));
    sum.filter(|sum| *sum <= MOST_NUMBERS)
        .ok_or_else(|| format!("{sizes:?} are too many choices"))
}

/// The largest joint index is exact in `f32`.
fn combinations(sizes: &[usize]) -> Result<usize, String> {
    sum(sizes)?;
    let product = sizes.iter().try_fold(1usize, |product, n| product.checked_mul(*n));
    product
        .filter(|product| *product <= 1 << 24)
        .ok_or_else(|| format!("{sizes:?} are too many combinations"))
}

fn coordinates(series: Fourier, inputs: &[usize]) -> Result<usize, String> {
    let Fourier {
        frequencies,
        uniform_share,
        base_amplitude,
    } = series;
    expect((1..=MOST_FREQUENCIES).contains(&frequencies), || {
        format!("{frequencies} frequencies, expected 1 to {MOST_FREQUENCIES}")
    })?;
    expect(uniform_share > 0.0 && uniform_share < 1.0, || {
        format!("a uniform share of {uniform_share}")
    })?;
    expect(base_amplitude.is_finite(), || {
        format!("a base amplitude of {base_amplitude}")
    })?;
    match inputs {
        [inputs] if inputs.is_multiple_of(series.inputs()) => Ok(inputs / series.inputs()),
        _ => Err(format!("{inputs:?} are no inputs of {frequencies} frequencies")),
    }
}

/// The shape of the result of `op` for inputs of these shapes; `tensor` gives the shape of a tensor. `observation` is
/// the shape of the observation.
pub(crate) fn shape_of<'a>(
    op: &Op,
    inputs: &[&[usize]],
    observation: &[usize],
    tensor: impl Fn(&str) -> Option<&'a [usize]>,
) -> Result<Vec<usize>, String> {
    expect(inputs.len() == op.arity(), || {
        format!("takes {} values, expected {}", inputs.len(), op.arity())
    })?;
    let tensor = |name: &str| tensor(name).ok_or_else(|| format!("there is no tensor `{name}`"));
    let of_shape = |name: &str, expected: &[usize]| {
        let shape = tensor(name)?;
        expect(shape == expected, || {
            format!("tensor `{name}` is {shape:?}, expected {expected:?}")
        })
    };
    let x = inputs.first().copied().unwrap_or_default();
    let last = || {
        x.last()
            .copied()
            .ok_or_else(|| "a value without dimensions".to_string())
    };
    let eps_fits = |eps: f32| expect(eps > 0.0 && eps.is_finite(), || format!("eps is {eps}"));
    let shape = match op {
        Op::Observation => observation.to_vec(),
        Op::Noise { len, .. } => vec![*len],
        Op::Constant { tensor: name } => tensor(name)?.to_vec(),
        Op::OneHot { sizes } => {
            expect(x == [sizes.len()], || format!("{x:?} are not {} indices", sizes.len()))?;
            vec![sum(sizes)?]
        }
        Op::Linear { weight, bias } => {
            let &[fan_in, out] = tensor(weight)? else {
                return Err(format!("tensor `{weight}` is no matrix"));
            };
            expect(last()? == fan_in, || {
                format!("{x:?} does not end with {fan_in}, `{weight}`")
            })?;
            bias.iter().try_for_each(|bias| of_shape(bias, &[out]))?;
            [&x[..x.len() - 1], &[out]].concat()
        }
        Op::Experts { weight, bias } => {
            let (&[n, fan_in, out], &[experts, slots, inputs]) = (tensor(weight)?, x) else {
                return Err(format!("{x:?} and `{weight}` are no experts"));
            };
            expect((n, fan_in) == (experts, inputs), || {
                format!("{x:?} does not fit `{weight}`")
            })?;
            of_shape(bias, &[n, 1, out])?;
            vec![n, slots, out]
        }
        Op::Convolution {
            weight,
            bias,
            stride,
            padding,
        } => {
            let [channels, height, width] = image(x)?;
            let &[out, inputs, rows, columns] = tensor(weight)? else {
                return Err(format!("tensor `{weight}` is no convolution"));
            };
            expect(inputs == channels && rows == columns, || {
                format!("{x:?} does not fit the convolution `{weight}`")
            })?;
            of_shape(bias, &[out])?;
            let along = |length| places(length, rows, *stride, *padding);
            let (height, width) = (along(height)?, along(width)?);
            count(&[channels, rows, columns, height, width])?; // the interpreter's scratch
            vec![out, height, width]
        }
        Op::MaxPool {
            extent,
            stride,
            padding,
        } => {
            let [channels, height, width] = image(x)?;
            expect(*padding <= extent / 2, || {
                format!("padding {padding} of a window of {extent}")
            })?;
            let along = |length| places(length, *extent, *stride, *padding);
            vec![channels, along(height)?, along(width)?]
        }
        Op::PatchMean { size } => {
            let [channels, height, width] = image(x)?;
            expect((1..=MOST_NUMBERS).contains(size), || format!("patches of {size}"))?;
            vec![channels, height.div_ceil(*size), width.div_ceil(*size)]
        }
        Op::LayerNorm { gain, shift, eps } => {
            let n = last()?;
            eps_fits(*eps)?;
            of_shape(gain, &[n])?;
            of_shape(shift, &[n])?;
            x.to_vec()
        }
        Op::ImageNorm { gain, shift, eps } => {
            let [channels, ..] = image(x)?;
            eps_fits(*eps)?;
            of_shape(gain, &[channels])?;
            of_shape(shift, &[channels])?;
            x.to_vec()
        }
        Op::UnitNorm { eps } => {
            last()?;
            eps_fits(*eps)?;
            x.to_vec()
        }
        Op::Activate(_) | Op::Map(_) => x.to_vec(),
        Op::Scale { factor, offset } => {
            expect(factor.is_finite() && offset.is_finite(), || {
                format!("factor {factor}, offset {offset}")
            })?;
            x.to_vec()
        }
        Op::Clamp { low, high } => {
            expect(low <= high && low.is_finite() && high.is_finite(), || {
                format!("limits {low} and {high}")
            })?;
            x.to_vec()
        }
        Op::Combine(Arithmetic::Add | Arithmetic::Subtract | Arithmetic::Multiply) => {
            expect(x.ends_with(inputs[1]), || {
                format!("{:?} does not repeat to {x:?}", inputs[1])
            })?;
            x.to_vec()
        }
        Op::MatMul => {
            let ([lead_a @ .., m, k], [lead_b @ .., depth, n]) = (x, inputs[1]) else {
                return Err(format!("{x:?} and {:?} are no matrices", inputs[1]));
            };
            expect(lead_a == lead_b && k == depth, || {
                format!("{x:?} and {:?} have no product", inputs[1])
            })?;
            [lead_a, &[*m, *n]].concat()
        }
        Op::Softmax { axis } => {
            axis_of(x, *axis)?;
            x.to_vec()
        }
        Op::Reduce { axis, .. } => {
            axis_of(x, *axis)?;
            [&x[..*axis], &x[axis + 1..]].concat()
        }
        Op::Reshape { shape } => {
            let (from, to) = (count(x)?, count(shape)?);
            expect(from == to, || format!("{x:?} is no {shape:?}"))?;
            shape.clone()
        }
        Op::Transpose { first, second } => {
            axis_of(x, *first)?;
            axis_of(x, *second)?;
            let mut shape = x.to_vec();
            shape.swap(*first, *second);
            shape
        }
        Op::Slice { axis, start, len } => {
            let extent = axis_of(x, *axis)?;
            let end = start.checked_add(*len);
            expect(*len > 0 && end.is_some_and(|end| end <= extent), || {
                format!("{len} from {start} on of {extent}")
            })?;
            [&x[..*axis], &[*len], &x[axis + 1..]].concat()
        }
        Op::Concatenate { axis } => {
            let y = inputs[1];
            let (extent, more) = (axis_of(x, *axis)?, axis_of(y, *axis)?);
            let fits = x.len() == y.len() && x[..*axis] == y[..*axis] && x[axis + 1..] == y[axis + 1..];
            expect(fits, || format!("{x:?} and {y:?} cannot be concatenated"))?;
            [&x[..*axis], &[extent.saturating_add(more)], &x[axis + 1..]].concat()
        }
        Op::Greatest { sizes } => {
            let sum = sum(sizes)?;
            expect(x == [sum], || format!("{x:?} are not the numbers of {sizes:?} choices"))?;
            vec![sizes.len()]
        }
        Op::DrawIndex => {
            expect(x.len() == 1 && inputs[1] == [1], || {
                format!("{x:?} and {:?} draw no index", inputs[1])
            })?;
            vec![1]
        }
        Op::Unravel { sizes } => {
            combinations(sizes)?;
            expect(x == [1], || format!("{x:?} is no joint index"))?;
            vec![sizes.len()]
        }
        Op::FourierPeak(series) => vec![coordinates(*series, x)?],
        Op::FourierQuantile(series) => {
            let coordinates = coordinates(*series, x)?;
            expect(inputs[1] == [coordinates], || {
                format!("{:?} are not the values of {coordinates} coordinates", inputs[1])
            })?;
            vec![coordinates]
        }
        Op::Rescale { low, high } => {
            of_shape(low, x)?;
            of_shape(high, x)?;
            x.to_vec()
        }
    };
    count(&shape)?;
    Ok(shape)
}
