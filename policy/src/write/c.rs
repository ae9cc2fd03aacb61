//! A policy as C99: [`c_files`].

use std::{collections::BTreeSet, fmt::Write};

use super::{
    c_functions::{FOURIER, body_of, needs},
    memory::{Place, Plan},
};
use crate::{
    error::{Error, Result},
    export::{Export, SelfTest},
    graph::{Graph, Node, Tensor, Value},
    op::{Arithmetic, Function, Op, Reduction},
    policy::TOLERANCE,
    space::{Dtype, Space},
};
use sac_kernels::Activation;

/// The two files of a policy in C.
pub struct CFiles {
    /// The header, `<name>.h`.
    pub header: String,
    /// The source, `<name>.c`.
    pub source: String,
}

/// The policy of an export as a pair of files in C99 that use nothing but `math.h`. `name` is the files' name without
/// extension.
///
/// # Errors
/// When the name cannot stand in an `#include`.
pub fn c_files(export: &Export, name: &str) -> Result<CFiles> {
    if name.is_empty() || name.contains(|c: char| c.is_control() || "\"\\<>/".contains(c)) {
        return Err(Error::NotAnExport(format!("\"{name}\" is no name of a C file")));
    }
    // A constant that nothing reads would be a warning.
    let nodes = export.graph().nodes().iter().zip(export.graph().is_used());
    let used: BTreeSet<&str> = nodes
        .filter(|(_, is_used)| *is_used)
        .flat_map(|(node, _)| node.op.tensors())
        .collect();
    let writer = Writer {
        export,
        graph: export.graph(),
        plan: Plan::of(export.graph()),
        tensors: used
            .into_iter()
            .map(|name| (name, export.graph().tensor(name)))
            .collect(),
    };
    Ok(CFiles {
        header: writer.header(),
        source: writer.source(name),
    })
}

struct Writer<'a> {
    export: &'a Export,
    graph: &'a Graph,
    plan: Plan,
    /// In the order of the arrays `w0`, `w1`, ….
    tensors: Vec<(&'a str, &'a Tensor)>,
}

/// A number as a literal of `float`, with the fewest digits that give the same number.
fn literal(number: f32) -> String {
    format!("{number:e}f")
}

/// Adds an array of literals.
fn array(out: &mut String, declaration: &str, numbers: impl Iterator<Item = String>) {
    let _ = write!(out, "{declaration} = {{");
    for (index, number) in numbers.enumerate() {
        let separator = if index % 8 == 0 { "\n    " } else { " " };
        let _ = write!(out, "{separator}{number},");
    }
    out.push_str("\n};\n");
}

/// A text without the end of a comment in it.
fn comment(text: &str) -> String {
    text.replace("*/", "* /").replace(|c: char| c.is_control(), " ")
}

fn int(number: usize) -> String {
    number.to_string()
}

fn product(shape: &[usize]) -> usize {
    shape.iter().product()
}

impl Writer<'_> {
    fn facts(&self) -> String {
        let facts = self.export.facts();
        let json = |value: &Space| serde_json::to_string(value).unwrap_or_default();
        let short = |space: &Space| match json(space) {
            long if long.len() > 400 => format!("{:?} numbers with bounds of their own", space.shape()),
            text => text,
        };
        let lines = [
            format!("environment  {}", facts.env),
            format!("observation  {}", short(&facts.observation_space)),
            format!("action       {}", short(&facts.action_space)),
            format!(
                "algorithm    {}, seed {}, {} env steps",
                facts.algorithm, facts.seed, facts.env_steps
            ),
            format!("checkpoint   sha256 {}", facts.checkpoint_sha256),
            format!("written by   sac {}", facts.version),
        ];
        lines.iter().map(|line| format!(" * {}\n", comment(line))).collect()
    }

    fn memory(&self) -> String {
        let weights: usize = self.tensors.iter().map(|(_, tensor)| 4 * tensor.data.len()).sum();
        format!(
            " * Memory: {weights} bytes of constants (flash), {} bytes of working memory (RAM).\n",
            4 * self.plan.len
        )
    }

    fn header(&self) -> String {
        let facts = self.export.facts();
        let (observation, action) = (facts.observation_space.len(), facts.action_space.len());
        let noise = self.graph.noise().map_or(0, |noise| noise.len);
        let noise_argument = if noise > 0 { "const float *noise, " } else { "" };
        let noise_comment = match self.graph.noise() {
            None => String::new(),
            Some(noise) => format!(
                " * noise is SAC_POLICY_NOISE random numbers, {:?}.\n",
                noise.distribution
            ),
        };
        format!(
            "/* A trained policy.\n *\n{}{} *
 * obs is a raw observation, and action is in the environment's own units; an index is a whole number.
{noise_comment} */
#ifndef SAC_POLICY_H
#define SAC_POLICY_H

#define SAC_POLICY_OBSERVATION {observation}
#define SAC_POLICY_ACTION {action}
#define SAC_POLICY_NOISE {noise}

/* Results of the functions; after an error the action is not written. */
#define SAC_POLICY_OK 0
#define SAC_POLICY_WRONG_LENGTH 1
/* a number of the observation or of the noise is not finite, or is no index of the observation space */
#define SAC_POLICY_WRONG_VALUE 2

#ifdef __cplusplus
extern \"C\" {{
#endif

/* Writes the action for an observation. */
int sac_policy_act(const float *obs, {noise_argument}float *action);

/* The same, for arrays whose lengths are checked. */
int sac_policy_act_checked(const float *obs, int obs_len, {noise_argument}float *action, int action_len);

#ifdef __cplusplus
}}
#endif

#endif
",
            self.facts(),
            self.memory(),
        )
    }

    fn source(&self, name: &str) -> String {
        let (functions, body) = self.body();
        let mut out = format!(
            "/* A trained policy.\n *\n{}{} *
 * Working memory is static, so that only one thread at a time may act. Another storage class can be chosen: with
 * -DSAC_POLICY_STORAGE=_Thread_local in C11, or -DSAC_POLICY_STORAGE=auto for the stack.
 *
 * With -DSAC_POLICY_MAIN this is a program that acts on recorded observations and prints the largest error.
 */
#include \"{name}.h\"

#include <math.h>
#include <stddef.h>

#ifndef SAC_POLICY_STORAGE
#define SAC_POLICY_STORAGE static
#endif

",
            self.facts(),
            self.memory(),
        );
        for (index, (name, tensor)) in self.tensors.iter().enumerate() {
            let _ = writeln!(out, "/* {} {:?} */", comment(name), tensor.shape);
            let declaration = format!("static const float w{index}[{}]", tensor.data.len());
            array(&mut out, &declaration, tensor.data.iter().copied().map(literal));
        }
        out.push('\n');
        for function in functions {
            out.push_str(&function);
            out.push('\n');
        }
        out.push_str(&body);
        out.push_str(&self.main());
        out
    }

    fn tensor(&self, name: &str) -> String {
        let index = self.tensors.iter().position(|(own, _)| *own == name);
        format!("w{}", index.expect("a graph has the tensors of its operations"))
    }

    fn pointer(&self, place: Place) -> String {
        match place {
            Place::Observation => "obs".to_string(),
            Place::Noise => "noise".to_string(),
            Place::Buffer(offset) => format!("s + {offset}"),
            Place::Constant(index) => match &self.graph.nodes()[index].op {
                Op::Constant { tensor } => self.tensor(tensor),
                _ => unreachable!("a constant is one"),
            },
            Place::Unused => unreachable!("what is used has a place"),
        }
    }

    /// The functions that are called, and the function that acts.
    fn body(&self) -> (Vec<String>, String) {
        let facts = self.export.facts();
        let mut names = Vec::new();
        let mut arrays = String::new();
        let mut calls = String::new();
        for (index, node) in self.graph.nodes().iter().enumerate() {
            let Place::Buffer(offset) = self.plan.place_at(index) else {
                continue;
            };
            if let Op::Reshape { .. } = node.op {
                continue;
            }
            let sizes = match &node.op {
                Op::OneHot { sizes } | Op::Greatest { sizes } | Op::Unravel { sizes } => Some(sizes),
                _ => None,
            };
            if let Some(sizes) = sizes {
                let declaration = format!("static const int sizes{index}[{}]", sizes.len());
                array(&mut arrays, &declaration, sizes.iter().map(|size| int(*size)));
            }
            let (function, arguments) = self.call(index, node, &format!("s + {offset}"));
            let _ = writeln!(calls, "    {function}({});", arguments.join(", "));
            names.push(function);
        }
        let has_noise = self.graph.noise().is_some();
        let (parameter, argument) = if has_noise {
            ("const float *noise, ", "noise, ")
        } else {
            ("", "")
        };
        let output = self.pointer(self.plan.place(self.graph.output()));
        let noise_check = match has_noise {
            true => {
                "    for (int i = 0; i < SAC_POLICY_NOISE; i++) {\n        if (!isfinite(noise[i])) {\n            return \
                     SAC_POLICY_WRONG_VALUE;\n        }\n    }\n"
            }
            false => "",
        };
        let sizes = match &facts.observation_space {
            Space::Box { .. } => None,
            Space::Discrete { n } => Some(vec![*n]),
            Space::MultiDiscrete { n } => Some(n.clone()),
        };
        let mut is_wrong = "!isfinite(obs[i])".to_string();
        if let Some(sizes) = sizes {
            let declaration = "static const int choices[SAC_POLICY_OBSERVATION]";
            array(&mut arrays, declaration, sizes.iter().map(|size| int(*size)));
            is_wrong = "!(obs[i] >= 0.0f && obs[i] < (float)choices[i] && floorf(obs[i]) >= obs[i])".to_string();
        }
        let buffer = match self.plan.len {
            0 => String::new(),
            len => format!("    SAC_POLICY_STORAGE float s[{len}];\n"),
        };
        let body = format!(
            "{arrays}
int sac_policy_act(const float *obs, {parameter}float *action)
{{
{buffer}    for (int i = 0; i < SAC_POLICY_OBSERVATION; i++) {{
        if ({is_wrong}) {{
            return SAC_POLICY_WRONG_VALUE;
        }}
    }}
{noise_check}{calls}    for (int i = 0; i < SAC_POLICY_ACTION; i++) {{
        action[i] = ({output})[i];
    }}
    return SAC_POLICY_OK;
}}

int sac_policy_act_checked(const float *obs, int obs_len, {parameter}float *action, int action_len)
{{
    if (obs_len != SAC_POLICY_OBSERVATION || action_len != SAC_POLICY_ACTION) {{
        return SAC_POLICY_WRONG_LENGTH;
    }}
    return sac_policy_act(obs, {argument}action);
}}
"
        );
        (definitions(&names), body)
    }

    /// The function and its arguments that compute an operation.
    fn call(&self, index: usize, node: &Node, out: &str) -> (String, Vec<String>) {
        let shape_of = |place: usize| self.graph.shape(node.of[place]);
        let input = |place: usize| -> String { self.pointer(self.plan.place(node.of[place])) };
        let value = |value: Value| self.graph.len(value);
        let (out, numbers) = (out.to_string(), product(&self.graph.shapes()[index]));
        let x = || shape_of(0);
        let last = || x().last().copied().unwrap_or(1);
        let (name, arguments): (&str, Vec<String>) = match &node.op {
            Op::Observation | Op::Noise { .. } | Op::Constant { .. } | Op::Reshape { .. } => {
                unreachable!("these compute nothing")
            }
            Op::Linear { weight, bias } => {
                let bias = bias.as_ref().map_or("NULL".to_string(), |bias| self.tensor(bias));
                let (k, n) = (last(), self.graph.tensor(weight).shape[1]);
                let rows = product(x()) / k;
                (
                    "linear",
                    vec![input(0), self.tensor(weight), bias, out, int(rows), int(k), int(n)],
                )
            }
            Op::Experts { weight, bias } => {
                let mut arguments = vec![input(0), self.tensor(weight), self.tensor(bias), out];
                arguments.extend(x().iter().map(|extent| int(*extent)));
                arguments.push(int(self.graph.tensor(weight).shape[2]));
                ("experts", arguments)
            }
            Op::MatMul => {
                let (&[m, k], n) = (x().last_chunk().expect("a matrix"), shape_of(1)[x().len() - 1]);
                let count = product(x()) / (m * k);
                (
                    "mat_mul",
                    vec![input(0), input(1), out, int(count), int(m), int(k), int(n)],
                )
            }
            Op::Convolution {
                weight,
                bias,
                stride,
                padding,
            } => {
                let mut arguments = vec![input(0), self.tensor(weight), self.tensor(bias), out];
                arguments.extend(x().iter().map(|extent| int(*extent)));
                let kernel = &self.graph.tensor(weight).shape;
                arguments.extend([kernel[0], kernel[3], *stride, *padding].map(int));
                arguments.extend(self.graph.shapes()[index][1..].iter().map(|extent| int(*extent)));
                ("convolution", arguments)
            }
            Op::MaxPool {
                extent,
                stride,
                padding,
            } => {
                let mut arguments = vec![input(0), out];
                arguments.extend(x().iter().map(|extent| int(*extent)));
                arguments.extend([*extent, *stride, *padding].map(int));
                arguments.extend(self.graph.shapes()[index][1..].iter().map(|extent| int(*extent)));
                ("max_pool", arguments)
            }
            Op::PatchMean { size } => {
                let mut arguments = vec![input(0), out];
                arguments.extend(x().iter().map(|extent| int(*extent)));
                arguments.push(int(*size));
                arguments.extend(self.graph.shapes()[index][1..].iter().map(|extent| int(*extent)));
                ("patch_mean", arguments)
            }
            Op::LayerNorm { gain, shift, eps } => {
                let rows = int(numbers / last());
                let tensors = [self.tensor(gain), self.tensor(shift)];
                let [gain, shift] = tensors;
                (
                    "layer_norm",
                    vec![input(0), gain, shift, out, rows, int(last()), literal(*eps)],
                )
            }
            Op::ImageNorm { gain, shift, eps } => {
                let (channels, area) = (int(x()[0]), int(product(&x()[1..])));
                let tensors = [self.tensor(gain), self.tensor(shift)];
                let [gain, shift] = tensors;
                (
                    "image_norm",
                    vec![input(0), gain, shift, out, channels, area, literal(*eps)],
                )
            }
            Op::UnitNorm { eps } => (
                "unit_norm",
                vec![input(0), out, int(numbers / last()), int(last()), literal(*eps)],
            ),
            Op::Activate(activation) => {
                let name = match activation {
                    Activation::Relu => "relu",
                    Activation::Gelu => "gelu",
                    Activation::Silu => "silu",
                    Activation::Tanh => "tanh_of",
                    Activation::Elu => "elu",
                };
                (name, vec![input(0), out, int(numbers)])
            }
            Op::Map(function) => {
                let name = match function {
                    Function::Exp => "exp_of",
                    Function::Ln => "ln_of",
                    Function::Softplus => "softplus",
                };
                (name, vec![input(0), out, int(numbers)])
            }
            Op::Scale { factor, offset } => (
                "scale",
                vec![input(0), out, int(numbers), literal(*factor), literal(*offset)],
            ),
            Op::Clamp { low, high } => (
                "clamp",
                vec![input(0), out, int(numbers), literal(*low), literal(*high)],
            ),
            Op::Combine(arithmetic) => {
                let name = match arithmetic {
                    Arithmetic::Add => "add",
                    Arithmetic::Subtract => "subtract",
                    Arithmetic::Multiply => "multiply",
                };
                (
                    name,
                    vec![input(0), input(1), out, int(numbers), int(value(node.of[1]))],
                )
            }
            Op::Softmax { axis } => ("softmax", self.along(input(0), out, x(), *axis)),
            Op::Reduce { axis, by } => {
                let name = match by {
                    Reduction::Mean => "mean_of",
                    Reduction::Max => "max_of",
                };
                (name, self.along(input(0), out, x(), *axis))
            }
            Op::Transpose { first, second } => {
                let (first, second) = (*first.min(second), *first.max(second));
                let shape = x();
                let extents = match first == second {
                    true => [1, 1, 1, 1, product(shape)],
                    false => [
                        product(&shape[..first]),
                        shape[first],
                        product(&shape[first + 1..second]),
                        shape[second],
                        product(&shape[second + 1..]),
                    ],
                };
                ("transpose", [vec![input(0), out], extents.map(int).to_vec()].concat())
            }
            Op::Slice { axis, start, len } => {
                let inner = product(&x()[axis + 1..]);
                let size = x()[*axis] * inner;
                let numbers = [product(x()) / size, size, start * inner, len * inner].map(int);
                ("slice", [vec![input(0), out], numbers.to_vec()].concat())
            }
            Op::Concatenate { axis } => {
                let [of_a, of_b] = [0, 1].map(|place| product(&shape_of(place)[*axis..]));
                let numbers = [product(x()) / of_a, of_a, of_b].map(int);
                (
                    "concatenate",
                    [vec![input(0), input(1), out], numbers.to_vec()].concat(),
                )
            }
            Op::OneHot { sizes } => (
                "one_hot",
                vec![input(0), out, format!("sizes{index}"), int(sizes.len())],
            ),
            Op::Greatest { sizes } => (
                "greatest",
                vec![input(0), out, format!("sizes{index}"), int(sizes.len())],
            ),
            Op::Unravel { sizes } => (
                "unravel",
                vec![input(0), out, format!("sizes{index}"), int(sizes.len())],
            ),
            Op::DrawIndex => ("draw_index", vec![input(0), input(1), out, int(product(x()))]),
            Op::FourierPeak(series) | Op::FourierQuantile(series) => {
                let is_peak = matches!(node.op, Op::FourierPeak(_));
                let name = if is_peak { "peak" } else { "quantile" };
                let inputs = if is_peak {
                    vec![input(0)]
                } else {
                    vec![input(0), input(1)]
                };
                let share = literal(series.uniform_share as f32);
                let rest = vec![out, int(numbers), share, literal(series.base_amplitude as f32)];
                return (format!("{name}_{}", series.frequencies), [inputs, rest].concat());
            }
            Op::Rescale { low, high } => (
                "rescale",
                vec![input(0), self.tensor(low), self.tensor(high), out, int(numbers)],
            ),
        };
        (name.to_string(), arguments)
    }

    fn along(&self, input: String, out: String, shape: &[usize], axis: usize) -> Vec<String> {
        let extents = [product(&shape[..axis]), shape[axis], product(&shape[axis + 1..])];
        [vec![input, out], extents.map(int).to_vec()].concat()
    }

    /// The program that runs the self-test.
    fn main(&self) -> String {
        let facts = self.export.facts();
        let SelfTest {
            observations,
            noise,
            actions,
        } = self.export.self_test();
        let rows = observations.len() / facts.observation_space.len();
        let mut out = String::from(
            "\n#ifdef SAC_POLICY_MAIN\n#include <stdint.h>\n#include <stdio.h>\n\n/* Recorded observations with their \
             actions. */\n",
        );
        let bytes = match &facts.observation_space {
            Space::Box { dtype: Dtype::U8, .. } => Some("unsigned char"),
            _ => None,
        };
        let declaration = format!(
            "static const {} test_obs[{}]",
            bytes.unwrap_or("float"),
            observations.len().max(1)
        );
        match bytes {
            Some(_) => array(
                &mut out,
                &declaration,
                observations.iter().map(|x| (*x as u8).to_string()),
            ),
            None => array(&mut out, &declaration, observations.iter().copied().map(literal)),
        }
        let declaration = format!("static const float test_action[{}]", actions.len().max(1));
        array(&mut out, &declaration, actions.iter().copied().map(literal));
        if !noise.is_empty() {
            let declaration = format!("static const float test_noise[{}]", noise.len());
            array(&mut out, &declaration, noise.iter().copied().map(literal));
        }
        let ranges = (0..facts.action_space.len()).map(|index| literal(facts.action_space.range(index)));
        array(&mut out, "static const float action_range[SAC_POLICY_ACTION]", ranges);
        let noise_argument = if self.graph.noise().is_some() {
            "test_noise + row * SAC_POLICY_NOISE, "
        } else {
            ""
        };
        let hashes: String = self
            .tensors
            .iter()
            .enumerate()
            .map(|(index, (_, tensor))| format!("    hash = fingerprint(hash, w{index}, {});\n", tensor.data.len()))
            .collect();
        let _ = write!(
            out,
            "
/* FNV-1a over the bits of the weights */
static uint64_t fingerprint(uint64_t hash, const float *weights, int count)
{{
    for (int i = 0; i < count; i++) {{
        union {{
            float number;
            uint32_t bits;
        }} weight;
        weight.number = weights[i];
        hash = (hash ^ weight.bits) * UINT64_C(1099511628211);
    }}
    return hash;
}}

int main(void)
{{
    static float obs[SAC_POLICY_OBSERVATION];
    float action[SAC_POLICY_ACTION], largest = 0.0f;
    uint64_t hash = UINT64_C(14695981039346656037);
{hashes}    if (hash != UINT64_C({hash})) {{
        printf(\"the weights are not those that were written\\n\");
        return 1;
    }}
    for (int row = 0; row < {rows}; row++) {{
        for (int i = 0; i < SAC_POLICY_OBSERVATION; i++) {{
            obs[i] = test_obs[row * SAC_POLICY_OBSERVATION + i];
        }}
        if (sac_policy_act(obs, {noise_argument}action) != SAC_POLICY_OK) {{
            printf(\"recorded observation %d is refused\\n\", row);
            return 1;
        }}
        for (int i = 0; i < SAC_POLICY_ACTION; i++) {{
            const float error = fabsf(action[i] - test_action[row * SAC_POLICY_ACTION + i]) / action_range[i];
            if (!(error <= largest)) {{
                largest = error;
            }}
        }}
    }}
    printf(\"largest error of {rows} recorded actions: %.3e of the range\\n\", (double)largest);
    return largest <= {tolerance} ? 0 : 1;
}}
#endif
",
            hash = self.fingerprint(),
            tolerance = literal(TOLERANCE),
        );
        out
    }

    /// What `fingerprint` of the file gives.
    fn fingerprint(&self) -> u64 {
        let weights = self.tensors.iter().flat_map(|(_, tensor)| &tensor.data);
        weights.fold(14_695_981_039_346_656_037, |hash: u64, weight| {
            (hash ^ u64::from(weight.to_bits())).wrapping_mul(1_099_511_628_211)
        })
    }
}

/// The definitions of functions, each once, after those that it calls.
fn definitions(names: &[String]) -> Vec<String> {
    let (mut seen, mut definitions) = (BTreeSet::new(), Vec::new());
    let mut define = |name: &str| {
        if !seen.insert(name.to_string()) {
            return;
        }
        if let Some(body) = body_of(name) {
            definitions.push(body.to_string());
        }
    };
    let mut fourier: BTreeSet<(&str, &str)> = BTreeSet::new();
    for name in names {
        match name.rsplit_once('_') {
            Some((kind @ ("peak" | "quantile"), frequencies)) => drop(fourier.insert((frequencies, kind))),
            _ => {
                needs(name).iter().for_each(|needed| define(needed));
                define(name);
            }
        }
    }
    let frequencies: BTreeSet<&str> = fourier.iter().map(|(frequencies, _)| *frequencies).collect();
    for frequencies in frequencies {
        // A function that is not called would be a warning.
        let unused = |part: &str| {
            ["peak", "quantile"].iter().any(|kind| {
                part.contains(&format!("static void {kind}_FREQUENCIES(")) && !fourier.contains(&(frequencies, kind))
            })
        };
        let parts = FOURIER
            .split("\n\nstatic void ")
            .enumerate()
            .map(|(index, part)| match index {
                0 => part.to_string(),
                _ => format!("static void {part}"),
            });
        let kept: Vec<String> = parts.filter(|part| !unused(part)).collect();
        definitions.push(kept.join("\n\n").trim_end().replace("FREQUENCIES", frequencies) + "\n");
    }
    definitions
}
