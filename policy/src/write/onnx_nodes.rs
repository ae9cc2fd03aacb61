//! Nodes and initializers of an ONNX graph in the making: [`Nodes`].

use super::onnx_proto::{AttributeProto, NodeProto, TensorProto, attribute, element};

/// The name of a value in an ONNX graph.
pub type Name = String;

/// Nodes and initializers of an ONNX graph in the making.
#[derive(Default)]
pub struct Nodes {
    pub nodes: Vec<NodeProto>,
    pub initializers: Vec<TensorProto>,
}

/// An attribute that is a whole number.
pub fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto {
        name: Some(name.to_string()),
        i: Some(value),
        r#type: Some(attribute::INT),
        ..AttributeProto::default()
    }
}

/// An attribute that is a list of whole numbers.
pub fn ints(name: &str, values: &[i64]) -> AttributeProto {
    AttributeProto {
        name: Some(name.to_string()),
        ints: values.to_vec(),
        r#type: Some(attribute::INTS),
        ..AttributeProto::default()
    }
}

/// An attribute that is a real number.
pub fn float(name: &str, value: f32) -> AttributeProto {
    AttributeProto {
        name: Some(name.to_string()),
        f: Some(value),
        r#type: Some(attribute::FLOAT),
        ..AttributeProto::default()
    }
}

impl Nodes {
    fn push(&mut self, op: &str, inputs: &[&str], outputs: Vec<Name>, attributes: Vec<AttributeProto>) {
        self.nodes.push(NodeProto {
            input: inputs.iter().map(ToString::to_string).collect(),
            output: outputs,
            op_type: Some(op.to_string()),
            attribute: attributes,
        });
    }

    /// Adds an operator, and returns its result.
    pub fn op(&mut self, op: &str, inputs: &[&str]) -> Name {
        self.op_with(op, inputs, Vec::new())
    }

    /// Adds an operator with attributes, and returns its result.
    pub fn op_with(&mut self, op: &str, inputs: &[&str], attributes: Vec<AttributeProto>) -> Name {
        let output = format!("{}_{}", op.to_lowercase(), self.nodes.len());
        self.push(op, inputs, vec![output.clone()], attributes);
        output
    }

    /// Adds an operator whose second result is wanted.
    pub fn second_of(&mut self, op: &str, inputs: &[&str], attributes: Vec<AttributeProto>) -> Name {
        let output = format!("{}_{}", op.to_lowercase(), self.nodes.len());
        self.push(op, inputs, vec![format!("{output}_first"), output.clone()], attributes);
        output
    }

    /// Adds an operator whose result has a given name.
    pub fn named(&mut self, op: &str, inputs: &[&str], output: &str) {
        self.push(op, inputs, vec![output.to_string()], Vec::new());
    }

    fn initializer(&mut self, name: Name, data_type: i32, dims: &[usize], bytes: Vec<u8>) -> Name {
        self.initializers.push(TensorProto {
            dims: dims.iter().map(|extent| *extent as i64).collect(),
            data_type: Some(data_type),
            name: Some(name.clone()),
            raw_data: Some(bytes),
        });
        name
    }

    fn fresh(&self) -> Name {
        format!("constant_{}", self.initializers.len())
    }

    /// Adds a tensor of the graph under its own name.
    pub fn tensor(&mut self, name: &str, dims: &[usize], numbers: &[f32]) -> Name {
        let bytes = numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
        self.initializer(name.to_string(), element::FLOAT, dims, bytes)
    }

    /// Adds numbers in single precision.
    pub fn floats(&mut self, dims: &[usize], numbers: &[f32]) -> Name {
        let name = self.fresh();
        self.tensor(&name, dims, numbers)
    }

    /// Adds a number in single precision.
    pub fn scalar(&mut self, number: f32) -> Name {
        self.floats(&[], &[number])
    }

    /// Adds numbers in double precision.
    pub fn doubles(&mut self, dims: &[usize], numbers: &[f64]) -> Name {
        let bytes = numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
        self.initializer(self.fresh(), element::DOUBLE, dims, bytes)
    }

    /// Adds a number in double precision.
    pub fn double(&mut self, number: f64) -> Name {
        self.doubles(&[], &[number])
    }

    /// Adds a vector of whole numbers.
    pub fn indices(&mut self, numbers: &[i64]) -> Name {
        self.index_tensor(&[numbers.len()], numbers)
    }

    /// Adds whole numbers.
    pub fn index_tensor(&mut self, dims: &[usize], numbers: &[i64]) -> Name {
        let bytes = numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
        self.initializer(self.fresh(), element::INT64, dims, bytes)
    }

    /// Another type of the same numbers.
    pub fn cast(&mut self, x: &str, to: i32) -> Name {
        self.op_with("Cast", &[x], vec![int("to", i64::from(to))])
    }

    /// The same numbers, with rows of another shape.
    pub fn reshape(&mut self, x: &str, shape: &[usize]) -> Name {
        let extents: Vec<i64> = [-1]
            .into_iter()
            .chain(shape.iter().map(|extent| *extent as i64))
            .collect();
        let shape = self.indices(&extents);
        self.op("Reshape", &[x, &shape])
    }

    /// A range of a dimension, which counts from 0 with the batch.
    pub fn slice(&mut self, x: &str, axis: usize, start: usize, len: usize) -> Name {
        let [starts, ends, axes] = [start, start + len, axis].map(|number| self.indices(&[number as i64]));
        self.op("Slice", &[x, &starts, &ends, &axes])
    }

    /// A reduction of a dimension, by an operator that takes dimensions as an input.
    pub fn reduce(&mut self, op: &str, x: &str, axes: &[i64], keeps: bool) -> Name {
        let axes = self.indices(axes);
        self.op_with(op, &[x, &axes], vec![int("keepdims", i64::from(keeps))])
    }
}
