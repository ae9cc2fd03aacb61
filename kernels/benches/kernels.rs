//! How long the kernels take at the sizes of an update of Soft Actor-Critic: a batch of 256, layers of 256 units, 17
//! observations.
//!
//! ```text
//! cargo bench -p sac-kernels                 # everything
//! cargo bench -p sac-kernels -- product      # what has `product` in its name
//! ```
//!
//! Items are multiply-adds of a product and values of everything else.

use divan::{Bencher, black_box, counter::ItemsCount};
use sac_kernels::{
    Activation, AdamStep, ThreadPool,
    bfloat16::{Bfloat16, Packed, product_packed},
    polyak,
    product::{Finish, Matrix, few_rows, product, sum_rows},
};

fn main() {
    divan::main();
}

/// Values in [−1, 1], the same ones every time.
fn values(count: usize) -> Vec<f32> {
    (0..count).map(|index| (index as f32 * 0.7).sin()).collect()
}

/// A product of an update: its shape, and which factors are transposed.
#[derive(Clone, Copy)]
struct Shape {
    name: &'static str,
    m: usize,
    k: usize,
    n: usize,
    transposed: (bool, bool),
}

impl std::fmt::Display for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}x{}x{}", self.name, self.m, self.k, self.n)
    }
}

impl Shape {
    const fn new(name: &'static str, (m, k, n): (usize, usize, usize), transposed: (bool, bool)) -> Self {
        Shape {
            name,
            m,
            k,
            n,
            transposed,
        }
    }

    fn multiply_adds(self) -> ItemsCount {
        ItemsCount::new(self.m * self.k * self.n)
    }

    /// Calls `run` with both factors.
    fn with_factors(self, run: impl FnOnce(Matrix, Matrix)) {
        let (a, b) = (values(self.m * self.k), values(self.k * self.n));
        let matrix = |data, rows, cols, is_transposed| match is_transposed {
            false => Matrix::new(data, rows, cols),
            true => Matrix::new(data, cols, rows).transposed(),
        };
        let (a_transposed, b_transposed) = self.transposed;
        run(
            matrix(&a, self.m, self.k, a_transposed),
            matrix(&b, self.k, self.n, b_transposed),
        );
    }
}

/// Forward, the gradient of the weights and the gradient of the inputs, of the first and of a hidden layer; the last
/// layer of a critic.
const SHAPES: [Shape; 6] = [
    Shape::new("x W", (256, 17, 256), (false, false)),
    Shape::new("x W", (256, 256, 256), (false, false)),
    Shape::new("xT g", (17, 256, 256), (true, false)),
    Shape::new("xT g", (256, 256, 256), (true, false)),
    Shape::new("g WT", (256, 256, 256), (false, true)),
    Shape::new("x W", (256, 256, 1), (false, false)),
];

#[divan::bench(args = SHAPES)]
fn product_f32(bencher: Bencher, shape: Shape) {
    let (bias, mut out) = (values(shape.n), vec![0.0; shape.m * shape.n]);
    let finish = Finish::Bias {
        bias: &bias,
        relu: true,
    };
    shape.with_factors(|a, b| {
        bencher
            .counter(shape.multiply_adds())
            .bench_local(|| product(black_box(a), black_box(b), &mut out, finish));
    });
}

#[divan::bench(args = SHAPES.iter().filter(|shape| Bfloat16::detect().is_some_and(|processor| processor.serves(shape.k, shape.n))))]
fn product_bfloat16(bencher: Bencher, shape: &Shape) {
    let Some(processor) = Bfloat16::detect() else {
        return;
    };
    let (bias, mut out, mut space) = (values(shape.n), vec![0.0; shape.m * shape.n], Vec::new());
    let finish = Finish::Bias {
        bias: &bias,
        relu: true,
    };
    shape.with_factors(|a, b| {
        bencher.counter(shape.multiply_adds()).bench_local(|| {
            let packed = Packed::new(processor, black_box(b), &mut space);
            product_packed(black_box(a), packed, &mut out, finish);
        });
    });
}

/// The products of a residual block of FlashSAC's critic: 1,024 rows, 256 units, 1,024 hidden units.
const WIDE: [Shape; 6] = [
    Shape::new("x W", (1024, 256, 1024), (false, false)),
    Shape::new("x W", (1024, 1024, 256), (false, false)),
    Shape::new("xT g", (256, 1024, 1024), (true, false)),
    Shape::new("xT g", (1024, 1024, 256), (true, false)),
    Shape::new("g WT", (1024, 1024, 256), (false, true)),
    Shape::new("g WT", (1024, 256, 1024), (false, true)),
];

#[divan::bench(args = &WIDE)]
fn wide_product_bfloat16(bencher: Bencher, shape: &Shape) {
    product_bfloat16(bencher, shape);
}

#[divan::bench(args = [(1, 17, 256), (1, 256, 256), (8, 256, 256), (1, 256, 12)])]
fn product_few_rows(bencher: Bencher, (m, k, n): (usize, usize, usize)) {
    let (a, b, mut out) = (values(m * k), values(k * n), vec![0.0; m * n]);
    bencher
        .counter(ItemsCount::new(m * k * n))
        .bench_local(|| few_rows(black_box(&a), black_box(&b), k, &mut out));
}

#[divan::bench]
fn sum_256_rows_of_256(bencher: Bencher) {
    let (rows, mut sums) = (values(256 * 256), vec![0.0; 256]);
    bencher
        .counter(ItemsCount::new(rows.len()))
        .bench_local(|| sum_rows(black_box(&rows), &mut sums));
}

const ACTIVATIONS: [Activation; 5] = [
    Activation::Relu,
    Activation::Gelu,
    Activation::Silu,
    Activation::Tanh,
    Activation::Elu,
];

#[divan::bench(args = ACTIVATIONS)]
fn activation(bencher: Bencher, activation: Activation) {
    let (mut z, mut h) = (values(256 * 256), vec![0.0; 256 * 256]);
    bencher
        .counter(ItemsCount::new(h.len()))
        .bench_local(|| activation.apply(black_box(&mut z), &mut h));
}

#[divan::bench(args = ACTIVATIONS)]
fn activation_with_derivative(bencher: Bencher, activation: Activation) {
    let (start, mut h) = (values(256 * 256), vec![0.0; 256 * 256]);
    bencher
        .counter(ItemsCount::new(h.len()))
        .with_inputs(|| start.clone()) // derivatives replace the inputs
        .bench_local_refs(|z| activation.apply_with_derivative(black_box(z), &mut h));
}

/// Parameters of two critics with two layers of 256 units at 17 observations and 6 actions.
const PARAMETERS: usize = 2 * (23 * 256 + 256 + 256 * 256 + 256 + 256 + 1);

#[divan::bench(args = [1, 2])]
fn adam(bencher: Bencher, threads: usize) {
    let pool = ThreadPool::new(threads);
    let (mut parameters, gradient) = (values(PARAMETERS), values(PARAMETERS));
    let (mut first, mut second) = (vec![0.0; PARAMETERS], vec![0.0; PARAMETERS]);
    let step = AdamStep::new(3e-4, 0.9, 0.999, 1e-8, 1_000);
    bencher
        .counter(ItemsCount::new(PARAMETERS))
        .bench_local(|| step.apply(&pool, &mut parameters, &mut first, &mut second, black_box(&gradient)));
}

#[divan::bench(args = [1, 2])]
fn polyak_averaging(bencher: Bencher, threads: usize) {
    let pool = ThreadPool::new(threads);
    let (mut target, source) = (vec![0.0; PARAMETERS], values(PARAMETERS));
    bencher
        .counter(ItemsCount::new(PARAMETERS))
        .bench_local(|| polyak(&pool, &mut target, black_box(&source), 0.005));
}

/// The time that the pool itself takes, while its workers spin.
#[divan::bench(args = [1, 2])]
fn thread_pool_of_empty_items(bencher: Bencher, threads: usize) {
    let pool = ThreadPool::new(threads);
    bencher.bench_local(|| {
        pool.for_each((0..threads).collect(), |item| {
            black_box(item);
        })
    });
}
