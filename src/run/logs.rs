//! Where the metrics of a run go: `metrics.jsonl`, `eval.csv` and TensorBoard's events.

use sac_agents::{
    EnvSteps,
    log::{EvalCsv, Hparam, Logger, MetricsJsonl, Sink, TensorBoard},
};

use super::folder::RunFolder;
use crate::{
    config::Config,
    error::{Error, Result},
};

const METRICS_FILE: &str = "metrics.jsonl";
const EVALUATIONS_FILE: &str = "eval.csv";

/// The logger of a run, with `sinks` behind its files.
pub(super) fn logger(
    run: &RunFolder,
    config: &Config,
    resumed_at: Option<EnvSteps>,
    sinks: Vec<Box<dyn Sink>>,
) -> Result<Logger> {
    let mut logger = Logger::default();
    let path = run.path().join(METRICS_FILE);
    logger.add(Box::new(MetricsJsonl::open(&path).map_err(Error::io(&path))?));
    let path = run.path().join(EVALUATIONS_FILE);
    logger.add(Box::new(EvalCsv::open(&path).map_err(Error::io(&path))?));
    let purge_from = resumed_at.map(|at| EnvSteps(at.0 + 1));
    let mut board = TensorBoard::create(run.path(), purge_from).map_err(Error::io(run.path()))?;
    if resumed_at.is_none() {
        let mut hparams = Vec::new();
        flatten(&config.to_table(), "", &mut hparams);
        let described = board
            .hparams(&hparams)
            .and_then(|()| board.text("config", &format!("```toml\n{}```\n", config.to_toml())));
        described.map_err(Error::io(run.path()))?;
    }
    logger.add(Box::new(board));
    sinks.into_iter().for_each(|sink| logger.add(sink));
    Ok(logger)
}

/// Removes what was logged after a count, and returns the wall time that the run had taken by then, seconds.
pub(super) fn rewind(run: &RunFolder, at: EnvSteps) -> Result<f64> {
    let metrics = run.path().join(METRICS_FILE);
    let seconds_before = MetricsJsonl::rewind(&metrics, at).map_err(Error::io(&metrics))?;
    let evaluations = run.path().join(EVALUATIONS_FILE);
    EvalCsv::rewind(&evaluations, at).map_err(Error::io(&evaluations))?;
    Ok(seconds_before)
}

fn flatten(table: &toml::Table, prefix: &str, out: &mut Vec<(String, Hparam)>) {
    for (name, value) in table {
        let key = match prefix {
            "" => name.clone(),
            prefix => format!("{prefix}.{name}"),
        };
        match value {
            toml::Value::Table(table) => flatten(table, &key, out),
            toml::Value::Integer(number) => out.push((key, Hparam::Number(*number as f64))),
            // TensorBoard serves them as JSON, which has no infinity.
            toml::Value::Float(number) if !number.is_finite() => out.push((key, Hparam::Text(number.to_string()))),
            toml::Value::Float(number) => out.push((key, Hparam::Number(*number))),
            toml::Value::Boolean(flag) => out.push((key, Hparam::Bool(*flag))),
            toml::Value::String(text) => out.push((key, Hparam::Text(text.clone()))),
            other => out.push((key, Hparam::Text(other.to_string()))),
        }
    }
}
