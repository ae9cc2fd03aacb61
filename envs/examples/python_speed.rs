//! Cost of a step of a Python environment: `python_speed ID STEPS [OPTIONS [NUM_ENVS]]`, where ID begins with `py:` and
//! OPTIONS are TOML. With NUM_ENVS, so many are stepped together and the cost is that of a step of one. Prints the microseconds of a step, for `benches/python_step.py`.

use std::time::Instant;

use sac_envs::{EnvError, NumpyRng, Registry};

#[allow(clippy::print_stdout)]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut words = std::env::args().skip(1);
    let id = words.next().ok_or("expected an id")?;
    let steps: u64 = words.next().ok_or("expected a number of steps")?.parse()?;
    let options: toml::Table = words.next().unwrap_or_default().parse()?;
    if let Some(num_envs) = words.next() {
        return together(&id, steps, &options, num_envs.parse()?);
    }
    let started = Instant::now();
    let mut env = Registry::builtin().make(&id, &options)?;
    let mut obs = vec![0.0; env.observation_space().len()];
    let mut action = vec![0.0; env.action_space().len()];
    let mut rng = NumpyRng::new(0);
    env.action_space().gymnasium_sample(&mut rng, &mut action);
    env.reset(Some(0), &mut obs)?;
    let ready_s = started.elapsed().as_secs_f64();
    let mut run = |steps: u64| -> Result<f64, EnvError> {
        let began = Instant::now();
        for _ in 0..steps {
            if env.step(&action, &mut obs)?.status().is_over() {
                env.reset(None, &mut obs)?;
            }
        }
        Ok(began.elapsed().as_secs_f64() / steps as f64 * 1e6)
    };
    run(steps / 10)?;
    let step_us = run(steps)?;
    let closing = Instant::now();
    drop(env);
    println!(
        "{{\"id\": {id:?}, \"start_s\": {ready_s:.3}, \"step_us\": {step_us:.2}, \"close_s\": {:.3}}}",
        closing.elapsed().as_secs_f64()
    );
    Ok(())
}

#[allow(clippy::print_stdout)]
fn together(id: &str, steps: u64, options: &toml::Table, num_envs: usize) -> Result<(), Box<dyn std::error::Error>> {
    let mut envs = Registry::builtin().make_vec(id, options, num_envs, 1)?;
    let seeds: Vec<u64> = (0..num_envs as u64).collect();
    envs.reset(&seeds)?;
    let actions = vec![0.5; num_envs * envs.action_space().len()];
    let mut run = |steps: u64| -> Result<f64, EnvError> {
        let began = Instant::now();
        for _ in 0..steps {
            envs.step(0..num_envs, &actions)?;
        }
        Ok(began.elapsed().as_secs_f64() / (steps * num_envs as u64) as f64 * 1e6)
    };
    run(steps / 10)?;
    println!(
        "{{\"id\": {id:?}, \"num_envs\": {num_envs}, \"step_us\": {:.2}}}",
        run(steps)?
    );
    Ok(())
}
