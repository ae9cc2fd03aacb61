//! The support of a categorical distribution of returns: [`Support`].

use tch::{Device, Kind, Tensor};

/// Equally spaced returns from `min` to `max`, value units.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Support {
    /// The lowest return.
    pub min: f64,
    /// The highest return.
    pub max: f64,
    /// K, the number of returns, at least 2.
    pub atoms: i64,
}

impl Support {
    /// The returns z `[K]`.
    pub fn values(self, device: Device) -> Tensor {
        Tensor::linspace(self.min, self.max, self.atoms, (Kind::Float, device))
    }

    /// The returns one after the other.
    pub(crate) fn iter(self) -> impl Iterator<Item = f32> {
        (0..self.atoms).map(move |index| (self.min + index as f64 * self.spacing()) as f32)
    }

    /// Distance between neighbouring returns.
    pub fn spacing(self) -> f64 {
        (self.max - self.min) / (self.atoms - 1) as f64
    }

    /// The expectations `[…]` of distributions `[…, K]`.
    pub fn expectation(self, probability: &Tensor) -> Tensor {
        probability.matmul(&self.values(probability.device()))
    }

    /// The distributions `[B, K]` on the support for probabilities `[B, J]` at the returns `at` `[B, J]`, which are clipped
    /// to the support. The probability of a return is divided between its two neighbours so that its mean is kept.
    ///
    /// Source: Bellemare et al. 2017 (arXiv 1707.06887), equation 7.
    pub fn project(self, probability: &Tensor, at: &Tensor) -> Tensor {
        let last = self.atoms - 1;
        let position = ((at.clamp(self.min, self.max) - self.min) / self.spacing()).clamp(0.0, last as f64); // [B, J]
        let lower = position.floor();
        let share = &position - &lower; // that of the upper neighbour
        let lower = lower.to_kind(Kind::Int64);
        let upper = (&lower + 1).clamp_max(last);
        Tensor::zeros([at.size()[0], self.atoms], (Kind::Float, at.device()))
            .scatter_add(1, &lower, &(probability * (1.0 - &share)))
            .scatter_add(1, &upper, &(probability * share))
    }

    /// Normal distributions with the means `at` `[B]`, clipped to the support, and standard deviation `std`, discretised
    /// to the bins around the support's returns: `[B, K]`.
    ///
    /// Source: Farebrother et al. 2024, "Stop Regressing" (arXiv 2403.03950), equation 3.
    pub fn histogram(self, at: &Tensor, std: f64) -> Tensor {
        let half = 0.5 * self.spacing();
        let options = (Kind::Float, at.device());
        let edges = Tensor::linspace(self.min - half, self.max + half, self.atoms + 1, options); // [K + 1]
        let distance = (edges - at.clamp(self.min, self.max).unsqueeze(-1)) / (std * std::f64::consts::SQRT_2);
        let below = distance.erf(); // [B, K + 1]
        let mass = below.narrow(1, 1, self.atoms) - below.narrow(1, 0, self.atoms);
        let total = below.narrow(1, self.atoms, 1) - below.narrow(1, 0, 1);
        mass / total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUPPORT: Support = Support {
        min: -1.0,
        max: 1.0,
        atoms: 5,
    };

    fn rows(tensor: &Tensor) -> Vec<Vec<f32>> {
        Vec::try_from(tensor).unwrap()
    }

    #[test]
    fn a_return_between_two_atoms_is_divided_between_them_and_one_outside_is_clipped() {
        let at = Tensor::from_slice(&[-0.25f32, 0.5, -7.0, 1.5]).view([4, 1]);
        let projected = SUPPORT.project(&Tensor::ones([4, 1], (Kind::Float, Device::Cpu)), &at);
        assert_eq!(
            rows(&projected),
            [
                [0.0, 0.5, 0.5, 0.0, 0.0],
                [0.0, 0.0, 0.0, 1.0, 0.0],
                [1.0, 0.0, 0.0, 0.0, 0.0],
                [0.0, 0.0, 0.0, 0.0, 1.0]
            ]
        );
    }

    #[test]
    fn probabilities_at_one_atom_add_up_and_the_mean_is_kept() {
        let probability = Tensor::from_slice(&[0.2f32, 0.3, 0.5]).view([1, 3]);
        let at = Tensor::from_slice(&[0.1f32, 0.2, -0.6]).view([1, 3]);
        let projected = SUPPORT.project(&probability, &at);
        let mean = SUPPORT.expectation(&projected).double_value(&[0]);
        assert!((mean - (0.02 + 0.06 - 0.3)).abs() < 1e-6, "{mean}");
        assert!((projected.sum(Kind::Float).double_value(&[]) - 1.0).abs() < 1e-6);
    }

    #[test]
    fn a_histogram_has_mass_one_and_its_mode_at_the_mean() {
        let histogram = SUPPORT.histogram(&Tensor::from_slice(&[0.5f32, -9.0]), 0.4);
        let total = histogram.sum_dim_intlist([1i64].as_slice(), false, Kind::Float);
        assert!((total - 1.0).abs().max().double_value(&[]) < 1e-6);
        let modes: Vec<i64> = histogram.argmax(1, false).try_into().unwrap();
        assert_eq!(modes, [3, 0]);
        // erf gives the mass between the edges 0.25 and 0.75 around a mean of 0.5 within [-1.25, 1.25].
        let expected = 0.517_2;
        let actual = histogram.double_value(&[0, 3]);
        assert!((actual - expected).abs() < 0.05, "{actual}");
    }
}
