//! `sac bench`: [`update`], [`fn@train`], [`fn@env`], [`fn@replay`].

mod env;
mod products;
mod rate;
mod replay;
mod train;

use sac_agents::{
    Agent, AgentSpec, Compute, MatmulPrecision, SoftActorCritic, encoder::EncoderSpec, noise::Stream, presets, process,
};
use sac_cli::args::BenchUpdateArgs;
use sac_envs::{Dtype, Space};
use serde_json::json;

use super::output::{print, print_json};
use crate::{
    assemble,
    config::{Issues, Origin, preset_layers},
    error::{Error, Result},
    registry::Catalog,
    run::processor,
};
pub use env::env;
use products::Products;
use rate::rate;
pub use replay::replay;
pub use train::train;

/// `sac bench update`: updates of an agent with random batches, beside the matrix products of the same update.
pub fn update(args: &BenchUpdateArgs) -> Result<()> {
    let (spec, precision) = spec_and_precision(args)?;
    let default_threads = std::thread::available_parallelism().map_or(1, |count| count.get().min(4)) as u64;
    let threads = args.threads.unwrap_or(default_threads);
    process::prepare(threads);

    let (observation, action) = spaces(args, &spec)?;
    let compute = Compute {
        precision,
        ..Compute::with_threads(threads as usize)
    };
    let mut agent = SoftActorCritic::new(&spec, "bench", (&observation, &action), 0, compute)?;
    let mut stream = Stream::derive(0, "bench", 0);
    let b = args.batch as i64;
    let batch = assemble::random_batch((&observation, &action), b, &mut stream);
    let mut products = Products::of(&agent, &spec, b, &mut stream);
    let (mut updates, mut floors) = (Vec::new(), Vec::new());
    // In turn and twice, so that a change of the machine's speed affects both.
    for _ in 0..2 {
        process::set_libtorch_threads(threads, agent.is_fused());
        updates.push(rate(args.seconds / 2.0, || drop(agent.update(&batch, &mut stream))));
        if let Some(products) = &mut products {
            process::set_libtorch_threads(threads, false);
            floors.push(rate(args.seconds / 2.0, || products.update()));
        }
    }
    let mean = |rates: &[f64]| rates.iter().sum::<f64>() / rates.len() as f64;
    let updates = mean(&updates);
    let floor = products.is_some().then(|| mean(&floors));
    if args.json {
        return print_json(&json!({
            "updates_per_second": updates,
            "gemm_floor_updates_per_second": floor,
            "ratio": floor.map(|floor| updates / floor),
            "threads": threads,
            "matmul_precision": precision,
            "algo": args.algo,
            "set": args.sets,
            "batch": args.batch,
            "obs_dim": observation.len(),
            "act_dim": args.act_dim,
            "hidden": spec.body.widths(),
            "processor": processor(),
            "commit": env!("SAC_COMMIT"),
        }));
    }
    let how = match precision {
        MatmulPrecision::Highest => format!("{threads} thread(s)"),
        other => format!("{threads} thread(s), precision {}", other.name()),
    };
    print(&match floor {
        Some(floor) => format!(
            "{updates:.1} updates/s, {:.0} % of the {floor:.1} that libtorch reaches with the matrix products of the update alone in float32 ({how})\n",
            100.0 * updates / floor
        ),
        None => format!(
            "{updates:.3} updates/s, {b} observations {:?} each ({how})\n",
            observation.shape()
        ),
    })
}

/// The agent's settings: those of the preset, changed by the arguments.
fn spec_and_precision(args: &BenchUpdateArgs) -> Result<(AgentSpec, MatmulPrecision)> {
    let mut layers = preset_layers(&args.algo)?;
    args.sets.iter().try_for_each(|setting| layers.set_text(setting))?;
    if let Some(precision) = &args.matmul_precision {
        let flag = Origin::Flag("--matmul-precision");
        layers.set(flag, "train.matmul_precision", precision.clone());
    }
    let (settings, issues) = layers.read(&Catalog::default());
    if !issues.is_empty() {
        return Err(Issues(issues).into());
    }
    let budget = settings.budget();
    let mut spec: AgentSpec = settings.agent.for_budget(budget);
    if let Some(hidden) = &args.hidden {
        if hidden.is_empty() || hidden.iter().any(|width| !(1..=65_536).contains(width)) {
            return Err(Error::Usage(format!(
                "--hidden {hidden:?}: every width between 1 and 65536"
            )));
        }
        for body in [Some(&mut spec.body), spec.critic_body.as_mut()].into_iter().flatten() {
            let Some(body) = body.as_mlp_mut() else {
                let algo = &args.algo;
                return Err(Error::Usage(format!(
                    "--hidden: the networks of {algo} have blocks, not a list of layers"
                )));
            };
            body.hidden.clone_from(hidden);
        }
    }
    Ok((spec, settings.train.matmul_precision))
}

/// Spaces of observations and actions with the sizes of the arguments, which the agent serves.
fn spaces(args: &BenchUpdateArgs, spec: &AgentSpec) -> Result<(Space, Space)> {
    let observation = match &spec.encoder {
        EncoderSpec::Conv(_) => images(&args.image)?,
        _ => Space::unbounded(args.obs_dim as usize),
    };
    let in_box = Space::boxed(args.act_dim as usize, -1.0, 1.0);
    // A policy that cannot act in a box is one for discrete actions.
    let serves_box = presets::serving(&in_box).any(|name| name == args.algo);
    let action = match serves_box {
        true => in_box,
        false => Space::Discrete {
            n: args.act_dim as usize,
        },
    };
    Ok((observation, action))
}

/// Bytes `[C, H, W]`.
fn images(shape: &[u64]) -> Result<Space> {
    let shape: Vec<usize> = shape.iter().map(|extent| *extent as usize).collect();
    if shape.len() != 3 || !shape.iter().all(|extent| (1..=4096).contains(extent)) {
        return Err(Error::Usage(format!(
            "--image {shape:?}: three numbers between 1 and 4096"
        )));
    }
    let len = shape.iter().product();
    Ok(Space::Box {
        shape,
        low: vec![0.0; len],
        high: vec![255.0; len],
        dtype: Dtype::U8,
    })
}
