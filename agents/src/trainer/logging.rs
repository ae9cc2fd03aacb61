//! A row of metrics.

use std::borrow::Cow;

use sac_envs::Warning;

use super::{Trainer, clock::Activity};
use crate::{
    error::{Error, Result},
    log::Row,
    memory::peak_memory_bytes,
    metrics,
};

/// Share of targets outside of a critic's support above which there is a warning.
const MOST_CLIPPED: f64 = 0.05;

impl Trainer {
    /// The number of warnings of the environments, if there are any. The first one of each kind is reported.
    fn warnings(&mut self) -> Option<(&'static str, f64)> {
        let warnings = self.envs.envs().warnings();
        for Warning { kind, first, .. } in &warnings {
            if self.reported_warnings.insert(*kind) {
                tracing::warn!("{first}; training goes on, and others of this kind are only counted");
            }
        }
        let count: u64 = warnings.iter().map(|warning| warning.count).sum();
        (count > 0).then_some((metrics::ENV_WARNINGS, count as f64))
    }

    /// Warns once when a categorical critic cannot hold its targets.
    fn warn_of_clipping(&mut self, of_update: &[(&'static str, f64)]) {
        let value = |name| {
            of_update
                .iter()
                .find(|(other, _)| *other == name)
                .map(|(_, value)| *value)
        };
        let of_support = [metrics::TARGET_CLIPPED, metrics::TARGET_MIN, metrics::TARGET_MAX].map(value);
        let [Some(share), Some(lowest), Some(highest)] = of_support else {
            return;
        };
        if share > MOST_CLIPPED && self.reported_warnings.insert(metrics::TARGET_CLIPPED) {
            tracing::warn!(
                "{:.0} % of the targets lie outside of the critic's support; the expected targets of the last update go from \
                 {lowest:.3} to {highest:.3}: agent.critic.min and agent.critic.max should hold them, or agent.reward_scaling \
                 shrink them; training goes on",
                100.0 * share
            );
        }
    }

    /// Writes a row of metrics.
    ///
    /// # Errors
    /// [`Error::Diverged`] when one of them is not finite.
    pub(super) fn write_row(&mut self) -> Result<()> {
        let mut values = Vec::new();
        if let Some((mean_return, mean_length)) = self.recent.means() {
            values.push((metrics::EPISODE_REWARD_MEAN, mean_return));
            values.push((metrics::EPISODE_LENGTH_MEAN, mean_length));
        }
        values.extend(self.recent.success_rate().map(|rate| (metrics::SUCCESS_RATE, rate)));
        if let Some(speed) = self.clock.env_steps_per_second(self.env_steps) {
            values.push((metrics::FPS, speed));
        }
        values.extend(self.clock.take_shares());
        values.extend(peak_memory_bytes().map(|bytes| (metrics::PEAK_MEMORY, bytes as f64 / f64::from(1 << 20))));
        values.extend(self.replay.metrics());
        values.extend(self.warnings());
        values.push((metrics::UPDATES, self.grad_steps.0 as f64));
        if self.env_steps.0 > self.train.warmup_env_steps {
            let learning_env_steps = self.env_steps.0 - self.train.warmup_env_steps;
            values.push((
                metrics::UPDATE_RATIO,
                self.grad_steps.0 as f64 / learning_env_steps as f64,
            ));
        }
        if let Some(report) = &self.last_report {
            let of_update = report.read();
            self.warn_of_clipping(&of_update);
            values.extend(of_update);
        }
        let values = values.into_iter().map(|(name, value)| (Cow::Borrowed(name), value));
        let row = Row {
            env_steps: self.env_steps,
            grad_steps: self.grad_steps,
            seconds: self.seconds(),
            values: values.collect(),
        };
        self.logger.row(&row);
        self.last_row = Some(self.env_steps);
        self.clock.spent_on(Activity::Rest);
        match row.values.iter().find(|(_, value)| !value.is_finite()) {
            None => Ok(()),
            Some((what, _)) => Err(Error::Diverged {
                what: what.to_string(),
                grad_steps: self.grad_steps.0,
                checkpoint: self.last_checkpoint_path(),
            }),
        }
    }
}
