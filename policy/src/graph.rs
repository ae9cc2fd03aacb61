//! What a policy computes, as data: [`Graph`], and [`Draft`], from which one is made.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, Result},
    op::{Distribution, Op},
    shape::{count, shape_of},
};

/// The most operations of a graph.
const MOST_NODES: usize = 10_000;
/// The most numbers that all values of one observation have together: 1 GB.
const MOST_NUMBERS_OF_ALL: usize = 1 << 28;

/// The result of an operation, by its place in the graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Value(usize);

impl Value {
    /// The place of the operation in [`Graph::nodes`].
    pub fn index(self) -> usize {
        self.0
    }
}

/// An operation and the values that it takes, which are results of earlier ones.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Node {
    /// The operation.
    pub op: Op,
    /// What it takes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub of: Vec<Value>,
}

/// Numbers in row-major order.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// Extents.
    pub shape: Vec<usize>,
    /// The numbers.
    pub data: Vec<f32>,
}

/// The random numbers that a policy takes for a drawn action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Noise {
    /// How many for one action.
    pub len: usize,
    /// Their distribution.
    pub distribution: Distribution,
}

/// A computation from an observation, and perhaps noise, to an action. Every operation fits its inputs and tensors.
#[derive(Clone, Debug, PartialEq)]
pub struct Graph {
    observation: Vec<usize>,
    nodes: Vec<Node>,
    shapes: Vec<Vec<usize>>,
    tensors: BTreeMap<String, Tensor>,
    noise: Option<Noise>,
    output: Value,
}

impl Graph {
    /// The shape of an observation.
    pub fn observation(&self) -> &[usize] {
        &self.observation
    }

    /// The operations, each after those whose results it takes.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The shape of the result of each operation, without the rows of a batch.
    pub fn shapes(&self) -> &[Vec<usize>] {
        &self.shapes
    }

    /// The shape of a value.
    pub fn shape(&self, value: Value) -> &[usize] {
        &self.shapes[value.0]
    }

    /// Number of numbers of a value for one observation.
    pub fn len(&self, value: Value) -> usize {
        self.shapes[value.0].iter().product()
    }

    /// The tensors by name.
    pub fn tensors(&self) -> &BTreeMap<String, Tensor> {
        &self.tensors
    }

    /// The tensor `name` of an operation of this graph.
    ///
    /// # Panics
    /// When no operation has such a tensor.
    pub fn tensor(&self, name: &str) -> &Tensor {
        &self.tensors[name]
    }

    /// The random numbers that it takes, if it takes any.
    pub fn noise(&self) -> Option<Noise> {
        self.noise
    }

    /// The result: actions `[A]` in the environment's units.
    pub fn output(&self) -> Value {
        self.output
    }

    /// The operations that the result depends on.
    pub fn is_used(&self) -> Vec<bool> {
        let mut used = vec![false; self.nodes.len()];
        used[self.output.0] = true;
        for index in (0..self.nodes.len()).rev() {
            if used[index] {
                self.nodes[index].of.iter().for_each(|value| used[value.0] = true);
            }
        }
        used
    }
}

/// A graph in the making.
#[derive(Clone, Debug)]
pub struct Draft {
    graph: Graph,
    numbers: usize,
}

impl Draft {
    /// A graph of observations of a shape.
    ///
    /// # Errors
    /// When there are no such observations.
    pub fn new(observation: &[usize]) -> Result<Self> {
        let graph = Graph {
            observation: observation.to_vec(),
            nodes: Vec::new(),
            shapes: Vec::new(),
            tensors: BTreeMap::new(),
            noise: None,
            output: Value(0),
        };
        let mut draft = Draft { graph, numbers: 0 };
        draft.add(Op::Observation, &[])?;
        Ok(draft)
    }

    /// A graph with these operations, of which the first is the observation, and tensors.
    ///
    /// # Errors
    /// When they do not fit each other.
    pub(crate) fn of(observation: &[usize], nodes: Vec<Node>, tensors: BTreeMap<String, Tensor>) -> Result<Self> {
        let mut nodes = nodes.into_iter();
        match nodes.next() {
            Some(Node {
                op: Op::Observation, ..
            }) => {}
            _ => {
                return Err(Error::Operation {
                    at: 0,
                    problem: "the first operation is not the observation".to_string(),
                });
            }
        }
        let mut draft = Draft::new(observation)?;
        for (name, tensor) in tensors {
            draft.tensor(&name, tensor)?;
        }
        for Node { op, of } in nodes {
            draft.add(op, &of)?;
        }
        Ok(draft)
    }

    /// The raw observation.
    pub fn observation(&self) -> Value {
        Value(0)
    }

    /// The shape of a value of this draft.
    pub fn shape(&self, value: Value) -> &[usize] {
        self.graph.shape(value)
    }

    /// Adds a tensor for operations that are added later; the same tensor may be added twice.
    ///
    /// # Errors
    /// When its shape and numbers do not fit, when a number is not finite, or when there is another one of this name.
    pub fn tensor(&mut self, name: &str, tensor: Tensor) -> Result<()> {
        let refused = |problem: String| Error::Operation {
            at: self.graph.nodes.len(),
            problem: format!("tensor `{name}`: {problem}"),
        };
        if count(&tensor.shape) != Ok(tensor.data.len()) {
            let problem = format!("{} numbers do not have the shape {:?}", tensor.data.len(), tensor.shape);
            return Err(refused(problem));
        }
        if let Some(at) = tensor.data.iter().position(|x| !x.is_finite()) {
            return Err(refused(format!("{} at index {at} is not finite", tensor.data[at])));
        }
        match self.graph.tensors.get(name) {
            Some(other) if *other != tensor => Err(refused("there is another one of this name".to_string())),
            Some(_) => Ok(()),
            None => {
                self.graph.tensors.insert(name.to_string(), tensor);
                Ok(())
            }
        }
    }

    /// Adds an operation, and returns its result.
    ///
    /// # Errors
    /// When it does not fit the values or its tensors.
    pub fn add(&mut self, op: Op, of: &[Value]) -> Result<Value> {
        let at = self.graph.nodes.len();
        let refused = |problem: String| Error::Operation { at, problem };
        if at == MOST_NODES {
            return Err(refused(format!("more than {MOST_NODES} operations")));
        }
        if let Some(value) = of.iter().find(|value| value.0 >= at) {
            return Err(refused(format!("takes the value {}, which is not there yet", value.0)));
        }
        if at > 0 && op == Op::Observation {
            return Err(refused("there is one observation".to_string()));
        }
        let inputs: Vec<&[usize]> = of.iter().map(|value| self.graph.shape(*value)).collect();
        let tensor = |name: &str| self.graph.tensors.get(name).map(|tensor| &tensor.shape[..]);
        let shape = shape_of(&op, &inputs, &self.graph.observation, tensor).map_err(refused)?;
        self.numbers += shape.iter().product::<usize>();
        if self.numbers > MOST_NUMBERS_OF_ALL {
            return Err(refused(format!(
                "all values have more than {MOST_NUMBERS_OF_ALL} numbers"
            )));
        }
        if let Op::Noise { len, distribution } = op {
            if self.graph.noise.is_some() {
                return Err(refused("there is noise already".to_string()));
            }
            self.graph.noise = Some(Noise { len, distribution });
        }
        self.graph.shapes.push(shape);
        self.graph.nodes.push(Node { op, of: of.to_vec() });
        Ok(Value(at))
    }

    /// The graph with this value as its result.
    ///
    /// # Errors
    /// When there is no such value, or it is no vector.
    pub fn finish(mut self, output: Value) -> Result<Graph> {
        match self.graph.shapes.get(output.0).map(Vec::as_slice) {
            Some([_]) => {
                self.graph.output = output;
                Ok(self.graph)
            }
            shape => Err(Error::Operation {
                at: output.0,
                problem: format!("the result is no vector of actions but {shape:?}"),
            }),
        }
    }
}
