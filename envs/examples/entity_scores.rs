//! A table of the mean returns of the oracle, the averaging and a random policy on the entity tasks.
//!
//! `cargo run --release -p sac-envs --example entity_scores -- 1000`

use std::error::Error;
use std::io::{Write, stdout};

use sac_envs::{EntityReach, EntityTag, Env, EnvError, NumpyRng, Registry, Space};

/// A policy: writes the action for an observation; may draw from the generator.
type Policy<'a> = &'a dyn Fn(&[f32], &mut NumpyRng, &mut [f32]);

fn main() -> Result<(), Box<dyn Error>> {
    let episodes: u64 = std::env::args()
        .nth(1)
        .and_then(|text| text.parse().ok())
        .unwrap_or(100);
    let random: Policy = &|_, rng, action| Space::boxed(2, -1.0, 1.0).sample(rng, action);
    writeln!(
        stdout(),
        "| task | entities | marked | oracle | averaging | random |\n|---|---|---|---|---|---|"
    )?;
    for (entities, fraction) in [
        (8, 0.125),
        (1, 1.0),
        (4, 0.25),
        (16, 0.0625),
        (32, 0.03125),
        (16, 0.25),
        (16, 1.0),
    ] {
        let options: toml::Table = [
            ("entities".to_string(), toml::Value::Integer(entities)),
            ("signal_fraction".to_string(), toml::Value::Float(fraction)),
        ]
        .into_iter()
        .collect();
        let marked = (entities as f64 * fraction).round();
        let reach = EntityReach::default();
        let policies: [Policy; 3] = [&|o, _, a| reach.oracle(o, a), &|o, _, a| reach.averaging(o, a), random];
        report("EntityReach-v0", &options, entities, marked, policies, episodes)?;
        let tag = EntityTag::default();
        let policies: [Policy; 3] = [&|o, _, a| tag.oracle(o, a), &|o, _, a| tag.averaging(o, a), random];
        report("EntityTag-v0", &options, entities, marked, policies, episodes)?;
    }
    Ok(())
}

fn report(
    id: &str,
    options: &toml::Table,
    entities: i64,
    marked: f64,
    policies: [Policy; 3],
    episodes: u64,
) -> Result<(), Box<dyn Error>> {
    let mut line = format!("| `{id}` | {entities} | {marked} |");
    for policy in policies {
        let mut env = Registry::builtin().make(id, options)?;
        let (mean, std) = returns(&mut *env, policy, episodes)?;
        line += &format!(" {mean:.1} ± {:.1} |", std / (episodes as f64).sqrt());
    }
    writeln!(stdout(), "{line}")?;
    Ok(())
}

/// Mean and standard deviation of the returns of episodes `0..episodes`, each with its own seed.
fn returns(env: &mut dyn Env, policy: Policy, episodes: u64) -> Result<(f64, f64), EnvError> {
    let (mut obs, mut action) = (vec![0.0; env.observation_space().len()], [0.0; 2]);
    let mut rng = NumpyRng::new(1);
    let mut all = Vec::new();
    for seed in 0..episodes {
        env.reset(Some(seed), &mut obs)?;
        let mut sum = 0.0;
        loop {
            policy(&obs, &mut rng, &mut action);
            let outcome = env.step(&action, &mut obs)?;
            sum += outcome.reward;
            if outcome.status().is_over() {
                break;
            }
        }
        all.push(sum);
    }
    let mean = all.iter().sum::<f64>() / all.len() as f64;
    let variance = all.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / all.len() as f64;
    Ok((mean, variance.sqrt()))
}
