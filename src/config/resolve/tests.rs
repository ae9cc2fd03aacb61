use super::*;
use crate::config::{Algo, Origin};

#[test]
fn what_only_a_program_can_set_is_refused_with_its_key() {
    let mut settings = Settings::new(Algo::Sac, "Pendulum-v1");
    settings.train.seed = u64::MAX;
    settings.train.threads = Threads::Count(0);
    settings.eval.every = Every::EnvSteps(0);
    settings.agent.gamma = f64::NAN;
    let error = settings.resolve(&Registry::builtin()).expect_err("four problems");
    let ConfigError::Issues(Issues(issues)) = error else {
        panic!("{error}")
    };
    let keys: Vec<&str> = issues.iter().map(|issue| issue.key.as_str()).collect();
    assert_eq!(keys, ["train.seed", "train.threads", "eval.every", "agent.gamma"]);
}

#[test]
fn the_file_of_a_run_over_its_preset_is_the_run_again() {
    let registry = Registry::builtin();
    for algo in Algo::ALL {
        let pixels = r#"env.wrappers=[{kind="pixels", width=48, height=48}, {kind="frame_stack", frames=3}]"#;
        let tasks = [
            ("Pendulum-v1", None),
            ("CartPole-v1", None),
            ("Pendulum-v1", Some(pixels)),
        ];
        let configs = tasks.map(|(env, setting)| {
            let mut layers = crate::config::layers(env, algo.name()).expect("there");
            setting
                .into_iter()
                .for_each(|setting| layers.set_text(setting).expect("TOML"));
            Config::resolve(&layers, &registry)
        });
        let configs: Vec<Config> = configs.into_iter().flatten().collect();
        assert!(!configs.is_empty(), "{algo}");
        for config in configs {
            let mut layers = crate::config::preset_layers(algo.name()).expect("there");
            let file = Origin::File("config.toml".into());
            layers.add_toml(file, &config.to_toml()).expect("TOML");
            let again = Config::resolve(&layers, &registry).unwrap_or_else(|e| panic!("{algo}: {e}"));
            assert_eq!(again, config, "{algo}");
        }
    }
}

#[test]
fn typed_settings_resolve_to_what_a_file_of_them_does() {
    let registry = Registry::builtin();
    for algo in [Algo::Sac, Algo::DsacT, Algo::Redq] {
        let typed = Settings::new(algo, "Pendulum-v1").resolve(&registry).expect("valid");
        let layers = crate::config::layers("Pendulum-v1", algo.name()).expect("there");
        assert_eq!(typed, Config::resolve(&layers, &registry).expect("valid"), "{algo}");
    }
}
