//! Where the values of a graph lie in one buffer: [`Plan`].

use crate::{
    graph::{Graph, Value},
    op::Op,
};

/// Where a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The caller's observation.
    Observation,
    /// The caller's noise.
    Noise,
    /// The tensor of the constant at this index of the graph.
    Constant(usize),
    /// An offset in the buffer.
    Buffer(usize),
    /// Nowhere: nothing depends on it.
    Unused,
}

/// Places of all values, so that no operation writes over what is still needed.
pub struct Plan {
    places: Vec<Place>,
    /// Length of the buffer, numbers.
    pub len: usize,
}

impl Plan {
    /// The places of a graph's values. A reshaped value is where its numbers are.
    pub fn of(graph: &Graph) -> Self {
        let nodes = graph.nodes();
        let used = graph.is_used();
        // The value in whose memory a value lies.
        let mut owner: Vec<usize> = (0..nodes.len()).collect();
        for (index, node) in nodes.iter().enumerate() {
            if let Op::Reshape { .. } = node.op {
                owner[index] = owner[node.of[0].index()];
            }
        }
        let mut last_use = vec![0; nodes.len()];
        for (index, node) in nodes.iter().enumerate().filter(|(index, _)| used[*index]) {
            node.of.iter().for_each(|value| last_use[owner[value.index()]] = index);
        }
        last_use[owner[graph.output().index()]] = nodes.len();

        let mut places = vec![Place::Unused; nodes.len()];
        // Ranges in use, with the index after which each is free.
        let mut taken: Vec<(usize, usize, usize)> = Vec::new();
        let mut len = 0;
        for (index, node) in nodes.iter().enumerate().filter(|(index, _)| used[*index]) {
            places[index] = match node.op {
                Op::Observation => Place::Observation,
                Op::Noise { .. } => Place::Noise,
                Op::Constant { .. } => Place::Constant(index),
                Op::Reshape { .. } => places[node.of[0].index()],
                _ => {
                    taken.retain(|(_, _, until)| *until >= index);
                    taken.sort_unstable();
                    let size: usize = graph.shapes()[index].iter().product();
                    let mut start = 0;
                    for (from, to, _) in &taken {
                        if start + size <= *from {
                            break;
                        }
                        start = start.max(*to);
                    }
                    taken.push((start, start + size, last_use[index]));
                    len = len.max(start + size);
                    Place::Buffer(start)
                }
            };
        }
        Plan { places, len }
    }

    /// The place of a value.
    pub fn place(&self, value: Value) -> Place {
        self.places[value.index()]
    }

    /// The place of the result of the operation at an index.
    pub fn place_at(&self, index: usize) -> Place {
        self.places[index]
    }
}
