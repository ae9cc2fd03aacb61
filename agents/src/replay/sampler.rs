//! The setting of how rows are sampled: [`SamplerSpec`].

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

use super::PrioritizedSpec;

/// How rows are sampled: `"uniform"`, or `{ kind = "prioritized", … }`. The string of a kind is short for its table
/// with default values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum SamplerSpec {
    /// Uniformly, with replacement.
    Uniform,
    /// With a probability that grows with the TD error.
    Prioritized(PrioritizedSpec),
}

/// The table form of [`SamplerSpec`].
#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
enum SamplerTable {
    Uniform {},
    Prioritized(PrioritizedSpec),
}

impl Serialize for SamplerSpec {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            SamplerSpec::Uniform => "uniform".serialize(serializer),
            SamplerSpec::Prioritized(spec) => SamplerTable::Prioritized(*spec).serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for SamplerSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let table = match toml::Value::deserialize(deserializer)? {
            kind @ toml::Value::String(_) => toml::Table::from_iter([("kind".to_string(), kind)]),
            toml::Value::Table(table) => table,
            _ => return Err(Error::custom("expected \"uniform\" or { kind = \"prioritized\", … }")),
        };
        match SamplerTable::deserialize(table) {
            Ok(SamplerTable::Uniform {}) => Ok(SamplerSpec::Uniform),
            Ok(SamplerTable::Prioritized(spec)) => Ok(SamplerSpec::Prioritized(spec)),
            Err(error) => Err(Error::custom(error.message())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ReplaySpec;

    fn read(text: &str) -> Result<SamplerSpec, String> {
        let spec: Result<ReplaySpec, _> = toml::from_str(&format!("sampler = {text}"));
        spec.map(|spec| spec.sampler).map_err(|error| error.to_string())
    }

    #[test]
    fn strings_and_tables_are_read_and_written_values_read_back() {
        assert_eq!(read("\"uniform\""), Ok(SamplerSpec::Uniform));
        assert_eq!(read("{ kind = \"uniform\" }"), Ok(SamplerSpec::Uniform));
        let defaults = PrioritizedSpec::default();
        assert_eq!(read("\"prioritized\""), Ok(SamplerSpec::Prioritized(defaults)));
        let given = SamplerSpec::Prioritized(PrioritizedSpec {
            exponent: 0.25,
            ..defaults
        });
        assert_eq!(read("{ kind = \"prioritized\", exponent = 0.25 }"), Ok(given));
        for sampler in [SamplerSpec::Uniform, given] {
            let spec = ReplaySpec {
                sampler,
                ..ReplaySpec::default()
            };
            let text = toml::to_string(&spec).expect("it is plain data");
            assert_eq!(toml::from_str(&text), Ok(spec), "{text}");
        }
    }

    #[test]
    fn unknown_kinds_and_keys_are_rejected() {
        assert!(read("\"greedy\"").unwrap_err().contains("unknown variant `greedy`"));
        assert!(
            read("{ kind = \"uniform\", exponent = 0.1 }")
                .unwrap_err()
                .contains("unknown field")
        );
        assert!(
            read("{ kind = \"prioritized\", exponnent = 0.1 }")
                .unwrap_err()
                .contains("unknown field")
        );
        assert!(read("{ exponent = 0.1 }").unwrap_err().contains("kind"));
        assert!(read("3").unwrap_err().contains("expected \"uniform\""));
    }
}
