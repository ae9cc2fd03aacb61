//! Short learning curves with thresholds on the median of several seeds. The long ones: `cargo xtask curves`.

use std::sync::atomic::AtomicBool;

use sac::{agents::log::Logger, config::Config, prelude::*};

/// Mean return of the last evaluation after training with a small network.
fn final_return(seed: u64) -> f64 {
    let mut layers = sac::config::layers("Pendulum-v1", "sac").expect("a preset");
    for assignment in [
        "train.total_env_steps=5000",
        "train.threads=1",
        "train.batch_size=128",
        "agent.body.hidden=[64, 64]",
        "agent.policy.optimizer.learning_rate=2e-3",
        "agent.critic.optimizer.learning_rate=2e-3",
        "agent.temperature.optimizer.learning_rate=2e-3",
        "replay.capacity=10_000",
        "eval.every={env_steps=5000}",
    ] {
        layers.set_text(assignment).expect("a valid assignment");
    }
    layers
        .set_text(&format!("train.seed={seed}"))
        .expect("a valid assignment");
    let registry = Registry::builtin();
    let config = Config::resolve(&layers, &registry).expect("a valid configuration");
    let mut trainer = sac::assemble::trainer(&config, &registry, Logger::default(), None).expect("it can be assembled");
    trainer.run(&AtomicBool::new(false)).expect("it trains");
    trainer.last_evaluation().expect("it was evaluated at the end").1
}

#[test]
fn a_small_network_swings_the_pendulum_up_in_five_thousand_steps() {
    let mut returns: Vec<f64> = [1, 2, 3].map(final_return).into();
    returns.sort_by(f64::total_cmp);
    // A random policy gets about -1200, a good one -150; the evaluation's ten episodes are mild ones.
    assert!(returns[1] > -300.0, "median of {returns:?}");
}
