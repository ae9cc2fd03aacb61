//! Small pieces of work recorded one by one: where recording updates fails, they tell whether recording works at all,
//! and which kind of work it does not take.

use anyhow::{Result, ensure};
use serde_json::json;
use tch::{Device, Kind, Tensor};

use crate::{
    learner,
    part::Place,
    tell::{caught, newest_panic, tell},
};

const SIZE: i64 = 64;
/// A piece is done so often before it is recorded: libraries choose their algorithms.
const WARM_UPS: usize = 3;

/// A piece of work that writes its result, a number, into a tensor.
type Work = fn(&Tensor) -> Tensor;

/// In the order of what they need.
const PIECES: [(&str, Work); 5] = [
    ("a product", |x| x.matmul(x).sum(Kind::Float)),
    ("a product and its way back through autograd", |x| {
        let x = x.detach().set_requires_grad(true);
        let loss = x.matmul(&x).square().mean(Kind::Float);
        gradient(&loss, &x)
    }),
    ("a batched product and its way back", |x| {
        let x = x.detach().set_requires_grad(true);
        let stack = x.view([4, SIZE / 4, SIZE]);
        let loss = stack.bmm(&stack.transpose(1, 2)).square().mean(Kind::Float);
        gradient(&loss, &x)
    }),
    ("a convolution and its way back", |x| {
        let x = x.detach().set_requires_grad(true);
        let image = x.view([4, 1, SIZE / 2, SIZE / 2]);
        let filter = x.narrow(0, 0, 1).narrow(1, 0, 36).view([4, 1, 3, 3]);
        let out = image.conv2d(&filter, None::<Tensor>, [2, 2], [0, 0], [1, 1], 1);
        gradient(&out.square().mean(Kind::Float), &x)
    }),
    ("numbers in double precision, as Adam's corrections", |x| {
        let steps = x.sum(Kind::Double).abs() + 1.0;
        let correction = -(&steps * 0.999f64.ln()).expm1();
        (x.square().mean(Kind::Float) / correction.to_kind(Kind::Float)).sqrt()
    }),
];

fn gradient(loss: &Tensor, of: &Tensor) -> Tensor {
    Tensor::run_backward(&[loss], &[of], false, false)
        .remove(0)
        .square()
        .sum(Kind::Float)
}

pub fn run(place: Place) -> Result<()> {
    let device = place.device();
    learner::use_recordable_stream(device)?;
    let mut failed = Vec::new();
    let mut check = |name: &str, outcome: Result<(), serde_json::Value>| {
        let result = match outcome {
            Ok(()) => json!("passed"),
            Err(problem) => {
                failed.push(name.to_string());
                problem
            }
        };
        tell(name, result);
    };
    for (name, work) in PIECES {
        check(name, caught(|| repeats(device, work)));
    }
    if place == Place::Gpu {
        // Recording must refuse what waits for the device, say so, and work again afterwards.
        check("what waits is refused", caught(|| is_refused(device)));
        check("after a refusal", caught(|| repeats(device, PIECES[0].1)));
    }
    ensure!(failed.is_empty(), "{}", failed.join("; "));
    Ok(())
}

/// A recorded piece, repeated on other numbers in the same memory, must give what the piece gives on them.
fn repeats(device: Device, work: Work) -> Result<()> {
    let ramp = Tensor::arange(SIZE * SIZE, (Kind::Float, device)).view([SIZE, SIZE]);
    let numbers = |scale: f64| (&ramp * (scale / (SIZE * SIZE) as f64)).sin();
    let mut input = numbers(1.0);
    let mut out = Tensor::zeros([1], (Kind::Float, device));
    let piece = |input: &Tensor, out: &mut Tensor| out.copy_(&work(input).view([1]));
    (0..WARM_UPS).for_each(|_| piece(&input, &mut out));
    let repeat = learner::record(device, &mut || piece(&input, &mut out)).inspect_err(|_| {
        if let Some(panic) = newest_panic() {
            tell("refused_at", panic);
        }
    })?;
    for scale in [1.0, 2.0, 3.0] {
        tch::no_grad(|| input.copy_(&numbers(scale)));
        repeat(&mut || piece(&input, &mut out));
        let (found, expected) = (out.double_value(&[0]), work(&input).double_value(&[]));
        ensure!(
            (found - expected).abs() <= 1e-4 * expected.abs(),
            "repeated it gives {found}, and done anew {expected}"
        );
    }
    Ok(())
}

fn is_refused(device: Device) -> Result<()> {
    let x = Tensor::ones([1], (Kind::Float, device));
    let mut read = 0.0;
    let outcome = learner::record(device, &mut || read = (&x + 1.0).double_value(&[0]));
    newest_panic(); // it was meant to be
    ensure!(outcome.is_err(), "a number was read while recording, and it was {read}");
    Ok(())
}
