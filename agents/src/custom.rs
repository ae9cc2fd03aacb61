//! Parts of an agent that are defined outside this crate, with their settings: [`Custom`].

use std::{fmt, sync::Arc};

use serde::{Serialize, Serializer};

use crate::error::{Error, Result};

/// Settings of a part that this crate does not define, under the kind that names them in a file.
///
/// `P` is a trait object that builds the part: `dyn CriticSettings`, `dyn HeadSettings` or `dyn EncoderSettings`.
pub struct Custom<P: ?Sized> {
    kind: String,
    settings: toml::Table,
    part: Arc<P>,
}

impl<P: ?Sized> Custom<P> {
    /// `settings` and `part` are the same value. `key` is where it stands in a file, such as `agent.critic`.
    pub(crate) fn new(key: &str, kind: &str, settings: &impl Serialize, part: Arc<P>) -> Result<Self> {
        let refused = |problem: String| Error::Spec {
            key: key.to_string(),
            value: format!("\"{kind}\""),
            problem,
        };
        let mut settings = toml::Table::try_from(settings).map_err(|error| refused(error.to_string()))?;
        if settings.contains_key("kind") {
            return Err(refused(
                "a setting is named `kind`, which is the name of the part".to_string(),
            ));
        }
        settings.insert("kind".to_string(), kind.into());
        Ok(Custom {
            kind: kind.to_string(),
            settings,
            part,
        })
    }

    /// The name in a file.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// What builds the part.
    pub fn part(&self) -> &P {
        &self.part
    }
}

impl<P: ?Sized> Clone for Custom<P> {
    fn clone(&self) -> Self {
        Custom {
            kind: self.kind.clone(),
            settings: self.settings.clone(),
            part: Arc::clone(&self.part),
        }
    }
}

/// Equal when the settings are: the same kind is the same code.
impl<P: ?Sized> PartialEq for Custom<P> {
    fn eq(&self, other: &Self) -> bool {
        self.settings == other.settings
    }
}

impl<P: ?Sized> fmt::Debug for Custom<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Custom").field(&self.settings).finish()
    }
}

/// The settings as a table with their kind.
impl<P: ?Sized> Serialize for Custom<P> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        self.settings.serialize(serializer)
    }
}

/// A choice between the parts that this crate defines and custom ones.
pub(crate) trait Choice: Serialize {
    /// What builds a custom part.
    type Part: ?Sized;

    /// The custom part, if it is one.
    fn custom(&self) -> Option<&Custom<Self::Part>>;
}

/// Serialises a choice. Serde's tagged enums cannot: the tag of a custom part is only known at run time.
pub(crate) fn serialize<C: Choice, S: Serializer>(choice: &C, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    match choice.custom() {
        Some(custom) => custom.serialize(serializer),
        None => choice.serialize(serializer),
    }
}
