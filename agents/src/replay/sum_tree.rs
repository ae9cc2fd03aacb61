//! A sum tree, for sampling in proportion to weights: [`SumTree`].

/// A complete binary tree over `capacity` numbers in `f64`. Every node is the sum of its two children.
///
/// An update recomputes nodes from their children instead of adding a difference. Sums therefore depend on the leaves
/// alone: rounding errors do not accumulate, and a tree rebuilt from its leaves is identical to the bit.
pub(super) struct SumTree {
    /// Node 1 is the root, and the children of node i are 2i and 2i + 1. The leaves are the upper half.
    nodes: Vec<f64>,
    capacity: usize,
}

impl SumTree {
    /// Size of a tree over `capacity` numbers, bytes.
    pub(super) fn bytes(capacity: u64) -> u64 {
        let leaves = capacity.checked_next_power_of_two().unwrap_or(u64::MAX);
        leaves.saturating_mul(2 * size_of::<f64>() as u64)
    }

    /// A tree of zeros, with all pages touched.
    pub(super) fn new(capacity: usize) -> Self {
        SumTree {
            nodes: super::column::touched(2 * capacity.next_power_of_two(), 0.0),
            capacity,
        }
    }

    fn first_leaf(&self) -> usize {
        self.nodes.len() / 2
    }

    /// The sum of all numbers.
    pub(super) fn total(&self) -> f64 {
        self.nodes[1]
    }

    /// The number at `index`.
    pub(super) fn get(&self, index: usize) -> f64 {
        self.nodes[self.first_leaf() + index]
    }

    /// The first `count` numbers.
    pub(super) fn leaves(&self, count: usize) -> &[f64] {
        &self.nodes[self.first_leaf()..][..count]
    }

    /// Sets the number at `index`. `value` is finite and not negative.
    pub(super) fn set(&mut self, index: usize, value: f64) {
        debug_assert!(index < self.capacity && value.is_finite() && value >= 0.0);
        let mut node = self.first_leaf() + index;
        self.nodes[node] = value;
        while node > 1 {
            node /= 2;
            self.nodes[node] = self.nodes[2 * node] + self.nodes[2 * node + 1];
        }
    }

    /// Sets the first numbers to `values` and the others to zero.
    pub(super) fn fill(&mut self, values: &[f64]) {
        let first_leaf = self.first_leaf();
        self.nodes.fill(0.0);
        self.nodes[first_leaf..][..values.len()].copy_from_slice(values);
        for node in (1..first_leaf).rev() {
            self.nodes[node] = self.nodes[2 * node] + self.nodes[2 * node + 1];
        }
    }

    /// The smallest index at which the cumulative sum exceeds `mass`, in `[0, total]`. Its number is not zero unless
    /// the total is.
    pub(super) fn find(&self, mass: f64) -> usize {
        let (mut node, mut mass) = (1, mass);
        while node < self.first_leaf() {
            let (left, right) = (self.nodes[2 * node], self.nodes[2 * node + 1]);
            // Rounding may make the mass exceed the sum; then the search must not descend into an empty branch.
            node = if mass < left || right == 0.0 {
                2 * node
            } else {
                mass -= left;
                2 * node + 1
            };
        }
        node - self.first_leaf()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_depend_on_the_leaves_alone() {
        let mut tree = SumTree::new(1000);
        for round in 0..50 {
            for index in 0..1000 {
                // From 1e-20 to 1e20: updates by differences would leave rounding errors.
                let exponent = ((index * 7 + round * 13) % 41) as i32 - 20;
                tree.set(index, 10f64.powi(exponent));
            }
        }
        let leaves = tree.leaves(1000).to_vec();
        let mut rebuilt = SumTree::new(1000);
        rebuilt.fill(&leaves);
        assert!(tree.nodes == rebuilt.nodes);
        (0..1000).for_each(|index| tree.set(index, 0.0));
        assert_eq!(tree.total(), 0.0);
    }

    #[test]
    fn a_mass_beyond_the_total_finds_the_last_nonzero_number() {
        let mut tree = SumTree::new(5);
        tree.fill(&[0.0, 0.1, 0.2, 0.0]);
        assert_eq!(tree.find(0.0), 1, "the first number is zero");
        assert_eq!(tree.find(tree.total()), 2);
        assert_eq!(tree.find(tree.total() * 2.0), 2);
    }

    #[test]
    fn a_tree_may_have_a_single_number() {
        let mut tree = SumTree::new(1);
        tree.set(0, 3.0);
        assert_eq!((tree.total(), tree.get(0), tree.find(1.0)), (3.0, 3.0, 0));
    }
}
