//! Running statistics of a critic: [`Statistics`].

use tch::Tensor;

use crate::{checkpoint::Section, error::Result, nn::ParamBlock};

/// Named running statistics, which are not updated by gradients. They have no value before the first update.
#[derive(Default)]
pub struct Statistics(Vec<Statistic>);

struct Statistic {
    name: &'static str,
    shape: Vec<i64>,
    value: Option<Tensor>,
}

impl Statistics {
    /// Statistics with the given names and shapes, without values.
    pub fn new(declared: Vec<(&'static str, Vec<i64>)>) -> Self {
        let empty = |(name, shape)| Statistic {
            name,
            shape,
            value: None,
        };
        Statistics(declared.into_iter().map(empty).collect())
    }

    /// The value of a statistic; `None` before the first update.
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.0.iter().find(|statistic| statistic.name == name)?.value.as_ref()
    }

    /// Sets a statistic. An existing tensor is overwritten in place, because recorded updates refer to it.
    ///
    /// # Panics
    /// When there is no statistic of this name.
    pub fn set(&mut self, name: &str, value: &Tensor) {
        let statistic = self.0.iter_mut().find(|statistic| statistic.name == name);
        let statistic = statistic.expect("a critic declares the statistics that it sets");
        match &mut statistic.value {
            Some(kept) => kept.copy_(value),
            None => statistic.value = Some(value.shallow_clone()),
        }
    }

    /// Writes the statistics that have a value to `section`.
    pub(super) fn save(&self, section: &mut Section) {
        for Statistic { name, value, .. } in &self.0 {
            if let Some(value) = value {
                section.put_tensor(*name, value);
            }
        }
    }

    /// Restores the state written by [`Statistics::save`], on the device of `block`.
    ///
    /// # Errors
    /// When a tensor has another shape.
    pub(super) fn load(&mut self, section: &Section, block: &ParamBlock) -> Result<()> {
        for Statistic { name, shape, value } in &mut self.0 {
            *value = match section.tensor_names().any(|saved| saved == *name) {
                false => None,
                true => Some(section.tensor(name, shape)?.to_device(block.device())),
            };
        }
        Ok(())
    }
}
