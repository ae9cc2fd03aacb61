//! What configurations can name: environments in a [`Registry`], custom parts of agents in its [`Catalog`].

use std::{
    collections::BTreeMap,
    ops::{Deref, DerefMut},
};

use sac_agents::{
    AgentSpec,
    critic::{CriticSettings, CriticSpec},
    encoder::{EncoderSettings, EncoderSpec},
    policy::{HeadSettings, PolicySpec},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_path_to_error::Segment;
use toml::{Table, Value};

/// The known environments, which are those of [`sac_envs::Registry`], and the known custom parts of agents.
#[derive(Clone)]
pub struct Registry {
    envs: sac_envs::Registry,
    /// Critics, policy heads and encoders of this program.
    pub catalog: Catalog,
}

impl Registry {
    /// The built-in environments.
    pub fn builtin() -> Self {
        sac_envs::Registry::builtin().into()
    }

    /// No environment.
    pub fn empty() -> Self {
        sac_envs::Registry::empty().into()
    }
}

impl From<sac_envs::Registry> for Registry {
    fn from(envs: sac_envs::Registry) -> Self {
        Registry {
            envs,
            catalog: Catalog::default(),
        }
    }
}

impl Deref for Registry {
    type Target = sac_envs::Registry;

    fn deref(&self) -> &sac_envs::Registry {
        &self.envs
    }
}

impl DerefMut for Registry {
    fn deref_mut(&mut self) -> &mut sac_envs::Registry {
        &mut self.envs
    }
}

/// Critics, policy heads and encoders that a program defines, by the `kind` that names them in configurations.
///
/// Files, `--set`, checkpoints and resuming then work with them as with those that this crate defines. A kind that this
/// crate defines too is replaced.
///
/// ```
/// use sac::agents::{critic::{Critic, CriticSettings, ScalarCritic, ScalarSpec}};
/// use sac::prelude::*;
/// use serde::{Deserialize, Serialize};
///
/// /// The published critic, with a number of members that is easy to type.
/// #[derive(Default, Serialize, Deserialize)]
/// #[serde(default, deny_unknown_fields)]
/// struct Ensemble {
///     size: i64,
/// }
///
/// impl CriticSettings for Ensemble {
///     fn build(&self) -> Box<dyn Critic> {
///         Box::new(ScalarCritic::new(&ScalarSpec { members: self.size, ..ScalarSpec::default() }))
///     }
/// }
///
/// let mut registry = Registry::builtin();
/// registry.catalog.critic::<Ensemble>("ensemble");
/// let critic = "agent.critic={kind='ensemble', size=3}";
/// let config = sac::configure(&registry, "Pendulum-v1", "sac", &[critic])?;
/// assert!(config.to_toml().contains("kind = \"ensemble\""));
/// # Ok::<(), sac::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    critics: Kinds<CriticSpec>,
    heads: Kinds<PolicySpec>,
    encoders: Kinds<EncoderSpec>,
}

/// Why a table cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unread {
    /// Names of tables within tables down to the value, as far as serde knows them; empty for the whole table.
    pub path: Vec<String>,
    /// Serde's message.
    pub message: String,
}

/// How the settings of each kind are read.
type Kinds<S> = BTreeMap<String, fn(&str, Table) -> Result<S, Unread>>;

impl Catalog {
    /// Registers a critic under `kind`, to be named by `agent.critic.kind`.
    pub fn critic<S: CriticSettings + Serialize + DeserializeOwned + 'static>(&mut self, kind: &str) -> &mut Self {
        let read = |kind: &str, table| CriticSpec::custom(kind, settings::<S>(table)?).map_err(refused);
        self.critics.insert(kind.to_string(), read);
        self
    }

    /// Registers a policy head under `kind`, to be named by `agent.policy.kind`.
    pub fn head<S: HeadSettings + Serialize + DeserializeOwned + 'static>(&mut self, kind: &str) -> &mut Self {
        let read = |kind: &str, table| PolicySpec::custom(kind, settings::<S>(table)?).map_err(refused);
        self.heads.insert(kind.to_string(), read);
        self
    }

    /// Registers an encoder under `kind`, to be named by `agent.encoder.kind`.
    pub fn encoder<S: EncoderSettings + Serialize + DeserializeOwned + 'static>(&mut self, kind: &str) -> &mut Self {
        let read = |kind: &str, table| EncoderSpec::custom(kind, settings::<S>(table)?).map_err(refused);
        self.encoders.insert(kind.to_string(), read);
        self
    }

    /// The kinds that can stand at a key, such as `agent.critic.kind`, besides those of this crate.
    pub(crate) fn kinds(&self, key: &str) -> Vec<&str> {
        fn names<S>(kinds: &Kinds<S>) -> Vec<&str> {
            kinds.keys().map(String::as_str).collect()
        }
        match key {
            "agent.critic.kind" => names(&self.critics),
            "agent.policy.kind" => names(&self.heads),
            "agent.encoder.kind" => names(&self.encoders),
            _ => Vec::new(),
        }
    }

    /// Takes the tables of custom parts out of a configuration, and reads them.
    pub(crate) fn take(&self, table: &mut Table) -> Result<CustomParts, Unread> {
        let Some(Value::Table(agent)) = table.get_mut("agent") else {
            return Ok(CustomParts::default());
        };
        Ok(CustomParts {
            critic: take(&self.critics, agent, "critic")?,
            head: take(&self.heads, agent, "policy")?,
            encoder: take(&self.encoders, agent, "encoder")?,
        })
    }
}

/// The custom parts that a configuration names.
#[derive(Default)]
pub(crate) struct CustomParts {
    critic: Option<CriticSpec>,
    head: Option<PolicySpec>,
    encoder: Option<EncoderSpec>,
}

impl CustomParts {
    /// The agent with these parts.
    pub(crate) fn place(self, agent: AgentSpec) -> AgentSpec {
        AgentSpec {
            critic: self.critic.unwrap_or(agent.critic),
            policy: self.head.unwrap_or(agent.policy),
            encoder: self.encoder.unwrap_or(agent.encoder),
            ..agent
        }
    }
}

/// Takes the table `name` if its kind is one of `kinds`, and reads it.
fn take<S>(kinds: &Kinds<S>, agent: &mut Table, name: &str) -> Result<Option<S>, Unread> {
    let kind = agent.get(name).and_then(|part| part.get("kind")?.as_str());
    let Some((kind, read)) = kind.and_then(|kind| kinds.get_key_value(kind)) else {
        return Ok(None);
    };
    let Some(Value::Table(mut part)) = agent.remove(name) else {
        return Ok(None);
    };
    part.remove("kind");
    let within = |unread: Unread| Unread {
        path: ["agent", name]
            .into_iter()
            .map(str::to_string)
            .chain(unread.path)
            .collect(),
        ..unread
    };
    read(kind, part).map(Some).map_err(within)
}

/// Reads settings.
pub(crate) fn settings<S: DeserializeOwned>(table: Table) -> Result<S, Unread> {
    serde_path_to_error::deserialize(Value::Table(table)).map_err(|error| {
        let keys = error.path().iter().map_while(|segment| match segment {
            Segment::Map { key } => Some(key.clone()),
            _ => None,
        });
        Unread {
            path: keys.collect(),
            message: error.into_inner().to_string().trim_end().to_string(),
        }
    })
}

fn refused(error: sac_agents::Error) -> Unread {
    Unread {
        path: Vec::new(),
        message: error.to_string(),
    }
}
