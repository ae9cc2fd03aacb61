//! Updates with matrix products in bfloat16: close to `f32`, independent of the number of threads, and rejected where
//! they are not supported.

use sac_agents::{
    ActMode, Agent, AgentSpec, Batch, Compute, Error, MatmulPrecision, SoftActorCritic,
    compute::bfloat16_instructions,
    encoder::{EncoderSpec, TokenizationSpec, TokensSpec},
    nn::{BatchNormSpec, BodySpec, MlpSpec, SimbaSpec},
    noise::Stream,
};
use sac_envs::Space;
use tch::{Device, Kind, Tensor};

fn multiplies_bfloat16() -> bool {
    bfloat16_instructions().is_some()
}

const UPDATES: usize = 100;
const OBS: usize = 5;
const ACTIONS: usize = 3;
const ROWS: i64 = 48;

fn spec(body: BodySpec) -> AgentSpec {
    AgentSpec {
        body,
        ..AgentSpec::default()
    }
}

fn body(hidden: &[i64]) -> BodySpec {
    BodySpec::mlp(hidden)
}

/// Bodies with normalisations, dropout and residual blocks.
fn normalised() -> [BodySpec; 3] {
    let hidden = vec![32, 32];
    [
        BodySpec::Mlp(MlpSpec {
            hidden: hidden.clone(),
            layer_norm: true,
            ..MlpSpec::default()
        }),
        BodySpec::Mlp(MlpSpec {
            hidden,
            batch_norm: Some(BatchNormSpec::default()),
            unit_weights: true,
            ..MlpSpec::default()
        }),
        BodySpec::Simba(SimbaSpec {
            width: 16,
            ..SimbaSpec::default()
        }),
    ]
}

fn on(threads: usize, precision: MatmulPrecision) -> Compute {
    Compute {
        precision,
        ..Compute::with_threads(threads)
    }
}

fn agent(spec: &AgentSpec, compute: Compute) -> Result<SoftActorCritic, Error> {
    let spaces = (&Space::unbounded(OBS), &Space::boxed(ACTIONS, -1.0, 1.0));
    SoftActorCritic::new(spec, "test", spaces, 3, compute)
}

fn batch(stream: &mut Stream) -> Batch {
    let mut numbers = |columns: usize| stream.normal(&[ROWS, columns as i64], Device::Cpu);
    let (obs, action) = (numbers(OBS), numbers(ACTIONS).tanh());
    let next_obs = &obs + numbers(OBS) * 0.1;
    let reward = obs.square().mean_dim([-1i64].as_slice(), false, Kind::Float).neg();
    let discount = Tensor::full([ROWS], 0.97, (Kind::Float, Device::Cpu));
    Batch::new(obs, action, reward, discount, next_obs)
}

/// Parameters of policy and critic after [`UPDATES`] updates.
fn learned(spec: &AgentSpec, compute: Compute) -> Vec<f32> {
    let mut agent = agent(spec, compute).expect("the agent can be built");
    let (mut data, mut stream) = (Stream::derive(1, "data", 0), Stream::derive(2, "update", 0));
    for _ in 0..UPDATES {
        agent.update(&batch(&mut data), &mut stream);
    }
    assert!(agent.is_finite());
    let blocks = [&agent.policy().trainable.params, agent.critic().encoder_block()];
    let numbers = blocks.map(|block| Vec::<f32>::try_from(block.data()).expect("numbers"));
    numbers.concat()
}

fn root_mean_square(numbers: impl Iterator<Item = f32>) -> f64 {
    let (sum, count) = numbers.fold((0.0, 0), |(sum, count), x| (sum + f64::from(x).powi(2), count + 1));
    (sum / f64::from(count)).sqrt()
}

#[test]
fn a_hundred_updates_in_bfloat16_stay_close_to_f32() {
    if !multiplies_bfloat16() {
        return eprintln!("this processor has no bfloat16");
    }
    for body in [body(&[32, 32]), body(&[17, 33, 1, 20])]
        .into_iter()
        .chain(normalised())
    {
        let spec = spec(body.clone());
        let [start, exact, rounded] = [
            agent(&spec, on(1, MatmulPrecision::Highest)).map(|agent| {
                let blocks = [&agent.policy().trainable.params, agent.critic().encoder_block()];
                blocks
                    .map(|block| Vec::<f32>::try_from(block.data()).expect("numbers"))
                    .concat()
            }),
            Ok(learned(&spec, on(1, MatmulPrecision::Highest))),
            Ok(learned(&spec, on(1, MatmulPrecision::Medium))),
        ]
        .map(|numbers| numbers.expect("valid"));
        let distance = |from: &[f32]| root_mean_square(exact.iter().zip(from).map(|(a, b)| a - b));
        let (change, error) = (distance(&start), distance(&rounded));
        eprintln!("{body:?}: change {change:.1e}, error {error:.1e}");
        assert!(error > 1e-6, "rounding has an effect: {error}");
        assert!(error < 0.2 * change, "{body:?}: change {change}, error {error}");
    }
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    if !multiplies_bfloat16() {
        return eprintln!("this processor has no bfloat16");
    }
    for body in [body(&[32, 40])].into_iter().chain(normalised()) {
        let with_threads = |threads| learned(&spec(body.clone()), on(threads, MatmulPrecision::Medium));
        assert_eq!(with_threads(1), with_threads(3), "{body:?}");
    }
}

#[test]
fn acting_is_in_f32_for_every_precision() {
    if !multiplies_bfloat16() {
        return eprintln!("this processor has no bfloat16");
    }
    let obs = vec![0.3; ROWS as usize * OBS];
    for mode in [ActMode::Explore, ActMode::Evaluate] {
        let actions = |precision| {
            let mut actions = vec![0.0; ROWS as usize * ACTIONS];
            let mut agent = agent(&spec(body(&[32, 32])), on(1, precision)).expect("valid");
            agent.act(&obs, mode, &mut Stream::derive(4, "explore", 0), &mut actions);
            actions
        };
        assert_eq!(
            actions(MatmulPrecision::Highest),
            actions(MatmulPrecision::Medium),
            "{mode:?}"
        );
    }
}

#[test]
fn medium_is_rejected_without_fused_networks() {
    let nothing = AgentSpec {
        encoder: EncoderSpec::Tokens(TokensSpec {
            tokenization: TokenizationSpec::PerDimension {},
            ..TokensSpec::default()
        }),
        ..spec(body(&[32, 32]))
    };
    let share = |spec: &AgentSpec| {
        let agent = agent(spec, on(1, MatmulPrecision::Highest)).expect("valid");
        let all: i64 = agent.costs().iter().map(|cost| cost.multiply_adds).sum();
        agent.fused_multiply_adds() as f64 / all as f64
    };
    assert_eq!(share(&nothing), 0.0);
    for body in [body(&[32, 32])].into_iter().chain(normalised()) {
        assert_eq!(share(&spec(body.clone())), 1.0, "{body:?}");
    }

    let Err(Error::Spec { key, value, problem }) = agent(&nothing, on(1, MatmulPrecision::Medium)) else {
        panic!("an agent without fused networks must be rejected");
    };
    assert_eq!((key.as_str(), value.as_str()), ("train.matmul_precision", "\"medium\""));
    let missing = if multiplies_bfloat16() { "fused" } else { "AVX512-BF16" };
    assert!(problem.contains(missing), "{problem}");
}
