//! The classical Runge-Kutta method of fourth order.

/// One step of length `dt_s` from `start`, with the order of operations of Gymnasium's `Acrobot-v1`.
pub(super) fn runge_kutta_4<const N: usize>(
    start: [f64; N],
    dt_s: f64,
    derivative: impl Fn([f64; N]) -> [f64; N],
) -> [f64; N] {
    let ahead = |dt_s: f64, slope: [f64; N]| std::array::from_fn(|i| start[i] + dt_s * slope[i]);
    let half_s = dt_s / 2.0;
    let k1 = derivative(start);
    let k2 = derivative(ahead(half_s, k1));
    let k3 = derivative(ahead(half_s, k2));
    let k4 = derivative(ahead(dt_s, k3));
    std::array::from_fn(|i| start[i] + dt_s / 6.0 * (k1[i] + 2.0 * k2[i] + 2.0 * k3[i] + k4[i]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_the_step_leaves_a_sixteenth_of_the_error() {
        // x' = x from 1 to e.
        let error = |steps: u32| {
            let dt_s = 1.0 / f64::from(steps);
            let end = (0..steps).fold([1.0], |x, _| runge_kutta_4(x, dt_s, |x| x));
            std::f64::consts::E - end[0]
        };
        let ratio = error(20) / error(40);
        assert!((ratio - 16.0).abs() < 0.7, "{ratio}");
    }
}
