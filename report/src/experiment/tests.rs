use super::*;

fn read(text: &str) -> (Experiment, Vec<String>) {
    let mut problems = Vec::new();
    let experiment = from_table("x", &text.parse().expect("TOML"), &mut problems);
    (experiment, problems)
}

fn read_well(text: &str) -> Experiment {
    let (experiment, problems) = read(text);
    assert_eq!(problems, Vec::<String>::new());
    experiment
}

const GROUP: &str = "[[group]]\nlabel = 'A'\nenv = 'E'\nalgo = 'sac'\nenv_steps = 10\n";

#[test]
fn a_table_is_a_group_for_every_environment_algorithm_and_combination() {
    let experiment = read_well(
        "seeds = 3\n[[group]]\nenv = ['E-v1', 'py:F']\nalgo = ['sac', 'tqc']\nenv_steps = 10\nconfig = 'none'\n\
         returns_divided_by = 2\nset = ['train.batch_size=8']\ngrid = { agent.gamma = [0.9, 0.99] }\n",
    );
    assert_eq!((experiment.seeds, experiment.threads), (vec![1, 2, 3], 1));
    let places: Vec<String> = experiment
        .groups
        .iter()
        .map(|group| format!("{} {}", group.env, group.label))
        .collect();
    assert_eq!(
        places,
        [
            "E-v1 sac, gamma=0.9",
            "E-v1 sac, gamma=0.99",
            "E-v1 tqc, gamma=0.9",
            "E-v1 tqc, gamma=0.99",
            "py:F sac, gamma=0.9",
            "py:F sac, gamma=0.99",
            "py:F tqc, gamma=0.9",
            "py:F tqc, gamma=0.99",
        ]
    );
    let last = Group {
        label: "tqc, gamma=0.99".to_string(),
        env: "py:F".to_string(),
        algo: "tqc".to_string(),
        env_steps: 10,
        config: Some("none".to_string()),
        set: ["train.batch_size=8", "agent.gamma=0.99"].map(str::to_string).to_vec(),
        returns_divided_by: Some(2.0),
        same_as: None,
        is_of_listed_envs: true,
    };
    assert_eq!(experiment.groups.last(), Some(&last));
}

#[test]
fn what_concerns_tables_and_pictures_is_read_too() {
    let experiment = read_well(&format!(
        "title = 'T'\nseeds = [4, 2, 9]\nthreads = 2\nstages = [1, 3]\ncheckpoint = 'last'\n\
         threshold = {{ return = -100, label = 'L' }}\n{GROUP}same_as = ['other', 'B']\n\
         [[score]]\nset = ['env.wrappers=[]']\n[[score]]\nset = []\n"
    ));
    let threshold = Threshold {
        at: -100.0,
        label: "L".to_string(),
    };
    assert_eq!(
        (experiment.name.as_str(), experiment.title.as_deref()),
        ("x", Some("T"))
    );
    assert_eq!(
        (experiment.threshold.as_ref(), experiment.threads),
        (Some(&threshold), 2)
    );
    assert_eq!(experiment.checkpoint, "last");
    assert_eq!(experiment.conditions, [vec!["env.wrappers=[]".to_string()], Vec::new()]);
    assert_eq!(experiment.seeds_by_stage(), [&[4][..], &[2, 9]]);
    let group = &experiment.groups[0];
    assert_eq!(group.same_as, Some(("other".to_string(), "B".to_string())));
    assert!(experiment.is_campaign() && !group.is_of_listed_envs);

    let plain = read_well(&format!("seeds = 2\n{GROUP}"));
    assert_eq!((plain.checkpoint.as_str(), plain.is_campaign()), ("best", false));
    assert_eq!(plain.seeds_by_stage(), [&[1, 2]]);
}

#[test]
fn all_that_is_wrong_is_said_at_once() {
    let (_, problems) = read(
        "seed = 3\nthreads = 0\n[[group]]\nenv = 3\nalgo = 'sac'\nenv_step = 10\n\
         [[group]]\nenv = 'E'\nalgo = 'sac'\nenv_steps = 5\n[[group]]\nenv = 'E'\nalgo = 'sac'\nenv_steps = 6\n",
    );
    for problem in [
        "no such key: `seed`; did you mean `seeds`?",
        "`seeds`: expected a number of seeds",
        "`threads` = 0: expected a whole number",
        "group 1: `env`: expected text",
        "group 1: no such key: `env_step`; did you mean `env_steps`?",
        "group 1: `env_steps` is missing",
        "`sac` on E is there twice",
    ] {
        assert!(
            problems.iter().any(|found| found.contains(problem)),
            "{problem}: {problems:#?}"
        );
    }
    assert_eq!(problems.len(), 7, "{problems:#?}");
}

#[test]
fn every_value_that_makes_no_sense_is_one_problem() {
    for (top, in_group, problem) in [
        (
            "stages = [3, 1]",
            "",
            "`stages` = [3, 1]: expected numbers of seeds that grow",
        ),
        ("stages = [0, 3]", "", "expected numbers of seeds that grow"),
        ("stages = 3", "", "expected numbers of seeds that grow"),
        (
            "stages = [1, 2]",
            "",
            "`stages` = [1, 2]: expected the last one to be all 3 seeds",
        ),
        ("stages = [1, 9]", "", "expected the last one to be all 3 seeds"),
        (
            "checkpoint = 'lst'",
            "",
            "`checkpoint` = \"lst\": expected best, last, or",
        ),
        ("score = [{}]", "", "score 1: `set` is missing"),
        ("threshold = 3", "", "`threshold` = 3: expected { return = …"),
        ("threshold = { return = 3 }", "", "`threshold`: `label` is missing"),
        (
            "threshold = { return = inf, label = 'L' }",
            "",
            "`threshold`: `return` = inf: expected a number",
        ),
        ("score = 3", "", "`score`: expected tables [[score]]"),
        ("score = [{ set = [], sett = [] }]", "", "score 1: no such key: `sett`"),
        ("title = 3", "", "`title` = 3: expected text"),
        (
            "",
            "returns_divided_by = 0",
            "group 1: `returns_divided_by` = 0: expected another number",
        ),
        (
            "",
            "same_as = 'A'",
            "group 1: `same_as` = \"A\": expected the name of an experiment and the label",
        ),
        (
            "",
            "same_as = ['x', 'A']\ngrid = { a = [1, 2] }",
            "group 1: `same_as` names one group, and these are 2",
        ),
    ] {
        let (_, problems) = read(&format!("seeds = 3\n{top}\n{GROUP}{in_group}\n"));
        assert!(
            problems.len() == 1 && problems[0].contains(problem),
            "{top}{in_group}: {problems:?}"
        );
    }
    let (_, problems) = read("seeds = 1\n[[group]]\nenv = []\nalgo = 'sac'\nenv_steps = 1\n");
    assert_eq!(problems, ["group 1: `env` = []: expected at least one"]);
}

#[test]
fn more_runs_than_anybody_can_train_are_refused() {
    let (experiment, problems) = read(&format!("seeds = 60000\n{GROUP}{}", GROUP.replace("'A'", "'B'")));
    assert_eq!(problems, ["asks for more than 100000 runs"]);
    assert!(experiment.groups.is_empty());
}

#[test]
fn groups_that_would_train_into_one_folder_are_named() {
    let experiment = read_well(&format!("seeds = 1\n{GROUP}{}", GROUP.replace("'A'", "'B'")));
    let check = |folder: fn(&Group) -> String| {
        let mut problems = Vec::new();
        check_folders(experiment.groups.iter(), folder, &mut problems);
        problems
    };
    assert!(check(|group| group.label.clone()).is_empty());
    assert_eq!(
        check(|group| group.env.clone()),
        ["`A` on E and `B` on E have the same folder; give the groups other labels"]
    );
}
