//! Running statistics of a critic: [`Statistics`].

use tch::Tensor;

use crate::{checkpoint::Section, error::Result, nn::ParamBlock};

/// Named tensors that batches move and no gradient does. None has a value before the first update.
#[derive(Default)]
pub struct Statistics(Vec<Statistic>);

struct Statistic {
    name: &'static str,
    shape: Vec<i64>,
    value: Option<Tensor>,
}

impl Statistics {
    /// Without values.
    pub fn new(declared: Vec<(&'static str, Vec<i64>)>) -> Self {
        let empty = |(name, shape)| Statistic {
            name,
            shape,
            value: None,
        };
        Statistics(declared.into_iter().map(empty).collect())
    }

    /// The value of a statistic, once it has one.
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.0.iter().find(|statistic| statistic.name == name)?.value.as_ref()
    }

    /// Sets a declared statistic, into the tensor that is there: a recorded update goes on with that very tensor.
    ///
    /// # Panics
    /// When none was declared by this name.
    pub fn set(&mut self, name: &str, value: &Tensor) {
        let statistic = self.0.iter_mut().find(|statistic| statistic.name == name);
        let statistic = statistic.expect("a critic declares the statistics that it keeps");
        match &mut statistic.value {
            Some(kept) => kept.copy_(value),
            None => statistic.value = Some(value.shallow_clone()),
        }
    }

    /// Writes those that have a value.
    pub(super) fn save(&self, section: &mut Section) {
        for Statistic { name, value, .. } in &self.0 {
            if let Some(value) = value {
                section.put_tensor(*name, value);
            }
        }
    }

    /// Takes back what [`Statistics::save`] wrote, to the device of `block`.
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
