//! The kinds of bodies and their settings: [`BodySpec`].

use serde::{Deserialize, Deserializer, Serialize, de::Error};

use super::{
    body::Body,
    hypersphere::{Hyperspherical, SimbaV2Spec},
    layout::ParamLayout,
    mlp::{Mlp, MlpSpec},
    residual::{BroNetSpec, FlashSpec, Residual, SimbaSpec},
};
use crate::spec_problems::SpecProblems;

/// The kind of body and its settings. Default: a perceptron with two layers of 256 (SAC 2018b, table 1).
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum BodySpec {
    /// A multi-layer perceptron. The kind of a table without one.
    Mlp(MlpSpec),
    /// Residual blocks with batch normalisation and weights of unit norm (FlashSAC).
    Flash(FlashSpec),
    /// Residual blocks with layer normalisation before them (SimBa).
    Simba(SimbaSpec),
    /// Residual blocks with features and weights of unit norm (SimbaV2).
    #[serde(rename = "simba_v2")]
    SimbaV2(SimbaV2Spec),
    /// Residual blocks with layer normalisation in them (BRO).
    BroNet(BroNetSpec),
}

impl Default for BodySpec {
    fn default() -> Self {
        BodySpec::Mlp(MlpSpec::default())
    }
}

impl From<MlpSpec> for BodySpec {
    fn from(spec: MlpSpec) -> Self {
        BodySpec::Mlp(spec)
    }
}

/// The names of the kinds in files.
const KINDS: &[&str] = &["mlp", "flash", "simba", "simba_v2", "bro_net"];

impl<'de> Deserialize<'de> for BodySpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut table = toml::Table::deserialize(deserializer)?;
        let kind = table.remove("kind").unwrap_or_else(|| "mlp".into());
        let spec = match kind.as_str() {
            Some("mlp") => MlpSpec::deserialize(table).map(BodySpec::Mlp),
            Some("flash") => FlashSpec::deserialize(table).map(BodySpec::Flash),
            Some("simba") => SimbaSpec::deserialize(table).map(BodySpec::Simba),
            Some("simba_v2") => SimbaV2Spec::deserialize(table).map(BodySpec::SimbaV2),
            Some("bro_net") => BroNetSpec::deserialize(table).map(BodySpec::BroNet),
            Some(other) => return Err(D::Error::unknown_variant(other, KINDS)),
            None => return Err(D::Error::custom("the kind of a body is a word")),
        };
        spec.map_err(|error| D::Error::custom(error.message()))
    }
}

impl BodySpec {
    /// A perceptron with hidden layers of the given widths, and defaults otherwise.
    pub fn mlp(hidden: &[i64]) -> Self {
        BodySpec::Mlp(MlpSpec {
            hidden: hidden.to_vec(),
            ..MlpSpec::default()
        })
    }

    /// The settings of a perceptron; `None` for other kinds.
    pub fn as_mlp_mut(&mut self) -> Option<&mut MlpSpec> {
        match self {
            BodySpec::Mlp(spec) => Some(spec),
            _ => None,
        }
    }

    /// Units of every layer before the output, from the first one.
    pub fn widths(&self) -> Vec<i64> {
        let blocks = |width: i64, blocks: usize, inner: i64| -> Vec<i64> {
            let of_blocks = std::iter::repeat_n([inner, width], blocks).flatten();
            [width].into_iter().chain(of_blocks).collect()
        };
        match self {
            BodySpec::Mlp(spec) => spec.hidden.clone(),
            BodySpec::Flash(spec) => blocks(spec.width, spec.blocks, spec.width * spec.expansion),
            BodySpec::Simba(spec) => blocks(spec.width, spec.blocks, spec.width * spec.expansion),
            BodySpec::SimbaV2(spec) => {
                let of_blocks = blocks(spec.width, spec.blocks, spec.width * spec.expansion);
                of_blocks.into_iter().chain([spec.width]).collect() // the head's hidden layer
            }
            BodySpec::BroNet(spec) => blocks(spec.width, spec.blocks, spec.width),
        }
    }

    /// F, the number of features of the last layer before the output; `None` if there is no such layer.
    pub fn features(&self) -> Option<i64> {
        match self {
            BodySpec::Mlp(spec) => spec.hidden.last().copied(),
            BodySpec::Flash(spec) => Some(spec.width),
            BodySpec::Simba(spec) => Some(spec.width),
            BodySpec::SimbaV2(spec) => Some(spec.width),
            BodySpec::BroNet(spec) => Some(spec.width),
        }
    }

    /// Reports values that are out of range, for the body at `key`.
    pub(crate) fn check(&self, p: &mut SpecProblems, key: &str) {
        match self {
            BodySpec::Mlp(spec) => spec.check(p, key),
            BodySpec::Flash(spec) => spec.check(p, key),
            BodySpec::Simba(spec) => spec.check(p, key),
            BodySpec::SimbaV2(spec) => spec.check(p, key),
            BodySpec::BroNet(spec) => spec.check(p, key),
        }
    }

    /// A body with `inputs` and the outputs of all `heads`, one after the other: a single network, or an ensemble of
    /// `members`. Adds its parameters, named `body.…`, to `layout`.
    ///
    /// Heads are numbers of outputs with one meaning each ([`crate::policy::PolicyHead::parts`]). Only SimbaV2's body has
    /// layers of its own for each of them.
    pub fn build(&self, inputs: i64, heads: &[i64], members: Option<i64>, layout: &mut ParamLayout) -> Box<dyn Body> {
        let outputs = heads.iter().sum();
        match self {
            BodySpec::Mlp(spec) => Box::new(Mlp::new(spec, inputs, outputs, members, layout)),
            BodySpec::Flash(spec) => Box::new(Residual::flash(spec, inputs, outputs, members, layout)),
            BodySpec::Simba(spec) => Box::new(Residual::simba(spec, inputs, outputs, members, layout)),
            BodySpec::SimbaV2(spec) => Box::new(Hyperspherical::new(spec, inputs, heads, members, layout)),
            BodySpec::BroNet(spec) => Box::new(Residual::bro_net(spec, inputs, outputs, members, layout)),
        }
    }

    /// Whether hidden layers are normalised over a batch, which needs two rows at least.
    pub fn normalizes_by_batch(&self) -> bool {
        match self {
            BodySpec::Mlp(spec) => spec.batch_norm.is_some(),
            BodySpec::Flash(_) => true,
            BodySpec::Simba(_) | BodySpec::SimbaV2(_) | BodySpec::BroNet(_) => false,
        }
    }
}
