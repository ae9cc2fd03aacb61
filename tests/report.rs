//! `sac report`: runs and data files as tables with intervals, pictures and JSON.

use std::{fs, path::Path};

use crate::support::{SMALL, contents, folder, sac, train};

/// Pendulum for 120 steps with three evaluations, two seeds of each of two algorithms: `runs/sac` and `runs/tqc`.
fn trained(here: &Path) {
    for algo in ["sac", "tqc"] {
        let run_dir = format!("runs/{algo}");
        let arguments = [
            &[
                "train",
                "--env",
                "Pendulum-v1",
                "--algo",
                algo,
                "--seeds",
                "1,2",
                "--run-dir",
                &run_dir,
            ],
            &[
                "--steps",
                "120",
                "--config",
                "none",
                "--set",
                "eval.every={env_steps=40}",
            ][..],
            SMALL,
        ];
        sac(here, &arguments.concat()).ok();
    }
}

#[test]
fn a_report_on_runs_has_tables_pictures_and_numbers_that_its_data_file_gives_again() {
    let here = folder();
    trained(here.path());
    let report = sac(here.path(), &["report", "runs", "--json"]).ok().json();
    let task = &report["tasks"][0];
    assert_eq!(
        (&task["env"], report["resamples"].as_u64()),
        (&"Pendulum-v1".into(), Some(10_000))
    );
    for (index, algo) in ["sac", "tqc"].into_iter().enumerate() {
        let row = &task["algorithms"][index];
        assert_eq!((&row["label"], &row["n"]), (&algo.into(), &2.into()));
        // Of three evaluations, the last tenth is the last.
        for (seed, run) in [1, 2].into_iter().zip(row["runs"].as_array().expect("runs")) {
            let evaluations = crate::support::evaluations(&here.path().join(format!("runs/{algo}/seed-{seed}")));
            assert_eq!(
                run["final_return"].as_f64(),
                evaluations.last().map(|(_, value)| *value)
            );
        }
        assert_eq!(row["curve"].as_array().map(Vec::len), Some(3));
    }
    let pair = &task["comparisons"][0];
    assert_eq!((&pair["x"], &pair["y"]), (&"sac".into(), &"tqc".into()));

    let said = sac(here.path(), &["report", "runs", "--out", "out", "--title", "Mine"]).ok();
    assert_eq!(
        said.stdout,
        "out/report.md\nout/report.html\nout/report.json\nout/Pendulum-v1.svg\nout/data.json\n"
    );
    let page = fs::read_to_string(here.path().join("out/report.md")).expect("written");
    for text in [
        "# Mine",
        "IQM [95 % interval]",
        "| sac | 2 | 120 |",
        "sac against tqc",
        "(Pendulum-v1.svg)",
        "2 runs",
    ] {
        assert!(page.contains(text), "`{text}` is missing:\n{page}");
    }
    // The data file alone gives the same files, byte for byte.
    sac(
        here.path(),
        &["report", "out/data.json", "--out", "again", "--title", "Mine"],
    )
    .ok();
    let of = |name: &str| contents(&here.path().join(name));
    assert!(of("out") == of("again"));
}

#[test]
fn labels_make_rows_and_a_run_named_twice_counts_once() {
    let here = folder();
    trained(here.path());
    let arguments = [
        "report",
        "a=runs/sac/seed-1",
        "b=runs/sac/seed-2",
        "runs/sac/seed-2",
        "--json",
    ];
    let report = sac(here.path(), &arguments).ok().json();
    let labels: Vec<_> = report["tasks"][0]["algorithms"]
        .as_array()
        .expect("rows")
        .iter()
        .map(|row| &row["label"])
        .collect();
    assert_eq!(labels, ["a", "b"]);
    fs::rename(here.path().join("runs/tqc/seed-1"), here.path().join("again")).expect("renamed");
    sac(here.path(), &["report", "x=runs/tqc", "x=again", "--json"]).ok();
    sac(here.path(), &["report", "x=runs/sac/seed-1", "x=again"])
        .code(2)
        .says(&[
            "error: x on Pendulum-v1: seed 1 is there twice, in runs/sac/seed-1 and again",
            "LABEL=PATH",
        ]);
}

#[test]
fn runs_of_different_settings_or_code_are_shown_as_such() {
    let here = folder();
    train(
        here.path(),
        "a",
        "120",
        &["--seed", "1", "--set", "eval.every={env_steps=40}"],
    );
    let more = [
        "--seed",
        "2",
        "--set",
        "eval.every={env_steps=40}",
        "--set",
        "agent.gamma=0.9",
    ];
    train(here.path(), "b", "120", &more);
    let provenance = here.path().join("b/provenance.json");
    let text = fs::read_to_string(&provenance).expect("there");
    let commit = text.lines().find(|line| line.contains("\"commit\"")).expect("a line");
    fs::write(&provenance, text.replace(commit, "\"commit\": \"0123456789ab\",")).expect("writable");
    let said = sac(here.path(), &["report", "x=a", "x=b"]).ok();
    assert!(
        said.stdout.contains("Runs of different code (x: 0123456789ab,"),
        "{said}"
    );
    assert!(said.stdout.contains("Runs of x differ in agent.gamma."), "{said}");
    // Without a label, each setting has a row, and so may one seed.
    let said = sac(here.path(), &["report", "a", "b"]).ok();
    for row in ["| sac, gamma=0.99 | 1 |", "| sac, gamma=0.9 | 1 |"] {
        assert!(said.stdout.contains(row), "{row}: {said}");
    }
    assert!(said.stdout.contains("1 run and no interval"), "{said}");
}

#[test]
fn a_report_is_one_page_in_the_form_that_its_name_asks_for() {
    let here = folder();
    trained(here.path());
    fs::write(
        here.path().join("scores.toml"),
        "[Pendulum-v1]\nlow = -2000\nhigh = 0\n",
    )
    .expect("written");
    let scores = ["--reference", "scores.toml"];
    let out = |name: &str| {
        let arguments = [
            &["report", "runs/tqc", "--baseline", "runs/sac", "--out", name],
            &scores[..],
        ]
        .concat();
        assert_eq!(sac(here.path(), &arguments).ok().stdout, format!("{name}\n"));
        fs::read_to_string(here.path().join(name)).expect("written")
    };
    let page = out("pages/report.html");
    for text in [
        "href=\"../runs/tqc/seed-1\"",
        "<svg",
        "tqc against baseline",
        "Optimality gap",
        "<script>",
    ] {
        assert!(page.contains(text), "`{text}` is missing");
    }
    let markdown = out("report.md");
    assert!(
        markdown.contains("## All tasks") && markdown.contains("tqc against baseline"),
        "{markdown}"
    );
    let numbers: serde_json::Value = serde_json::from_str(&out("report.json")).expect("JSON");
    assert_eq!(numbers["overall"]["algorithms"][0]["label"], "baseline");
    let found = numbers["overall"]["algorithms"][1]["mean"]["value"]
        .as_f64()
        .expect("a number");
    let returns = numbers["tasks"][0]["algorithms"][1]["mean"]["value"]
        .as_f64()
        .expect("a number");
    assert!((found - (returns + 2000.0) / 2000.0).abs() < 1e-9);
    let run = &numbers["tasks"][0]["algorithms"][1]["runs"][0];
    assert_eq!(run["folder"], "runs/tqc/seed-1");
    assert!(
        run["seconds"].as_f64() > Some(0.0) && run["peak_memory_mib"].as_f64() > Some(10.0),
        "{run}"
    );

    fs::write(here.path().join("scores.toml"), "[Hopper-v5]\nlow = 0\nhigh = 3000\n").expect("written");
    let arguments = [&["report", "runs"], &scores[..]].concat();
    sac(here.path(), &arguments)
        .code(2)
        .says(&["the reference scores lack Pendulum-v1"]);
}

/// A page in a browser, to which a script is added that puts its findings into the title.
fn title_in_browser(browser: &str, page: &Path, script: &str) -> String {
    let text = fs::read_to_string(page).expect("written");
    let text = text.replace("</body>", &format!("<script>{script}</script></body>"));
    fs::write(page, text).expect("writable");
    let output = std::process::Command::new(browser)
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--enable-logging=stderr",
            "--dump-dom",
        ])
        .arg(format!("file://{}", page.display()))
        .output()
        .unwrap_or_else(|error| panic!("{browser}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!said.contains("CONSOLE"), "the console has messages: {said}");
    let page = String::from_utf8_lossy(&output.stdout);
    let title = page
        .split("<title>")
        .nth(1)
        .and_then(|rest| rest.split("</title>").next());
    title.unwrap_or_else(|| panic!("no title: {page}")).to_string()
}

#[test]
fn a_page_has_no_errors_in_a_browser_and_its_tables_sort() {
    let Some(browser) = std::env::var("SAC_TEST_CHROMIUM").ok().filter(|path| !path.is_empty()) else {
        eprintln!("skipped: SAC_TEST_CHROMIUM names no browser");
        return;
    };
    let here = folder();
    trained(here.path());
    sac(here.path(), &["report", "runs", "--out", "report.html"]).ok();
    // The runs of the task, by final return: up, then down.
    let script = "const table = [...document.querySelectorAll('table')].at(-1); \
                  const heading = table.querySelectorAll('th')[2]; \
                  const column = () => [...table.tBodies[0].rows].map((row) => Number(row.children[2].dataset.value)); \
                  const isSorted = (list) => list.every((value, at) => at === 0 || list[at - 1] <= value); \
                  heading.click(); const up = column(); heading.click(); const down = column(); \
                  document.title = [up.length, isSorted(up), isSorted(down.reverse()), document.scripts[0].src].join();";
    let found = title_in_browser(&browser, &here.path().join("report.html"), script);
    assert_eq!(found, "4,true,true,");
}

#[test]
fn runs_of_different_length_are_aligned_and_those_that_diverged_are_named() {
    let here = folder();
    let every = ["--set", "eval.every={env_steps=40}", "--seed"];
    train(here.path(), "runs/short", "80", &[&every[..], &["1"]].concat());
    train(here.path(), "runs/long", "120", &[&every[..], &["2"]].concat());
    let report = sac(here.path(), &["report", "runs", "--json"]).ok().json();
    let task = &report["tasks"][0];
    let note = task["notes"][0].as_str().expect("a note");
    assert!(
        note.contains("the 2 evaluations that all of them have, up to 80 env steps"),
        "{note}"
    );
    let at_80 = crate::support::evaluations(&here.path().join("runs/long"))[1].1;
    assert_eq!(task["algorithms"][0]["runs"][0]["final_return"].as_f64(), Some(at_80));

    let evaluations = here.path().join("runs/long/eval.csv");
    let text = fs::read_to_string(&evaluations).expect("there");
    let line = text.lines().nth(2).expect("the second evaluation");
    let cells: Vec<&str> = line.split(',').collect();
    let broken = text.replace(line, &line.replace(cells[3], "NaN"));
    fs::write(&evaluations, broken).expect("writable");
    sac(here.path(), &["report", "runs"]).code(2).says(&[
        "error: an evaluation is not a number: runs/long, seed 2 (at env step 80)",
        "--skip-diverged",
    ]);
    let said = sac(here.path(), &["report", "runs", "--skip-diverged"]).ok();
    assert!(
        said.stdout.contains("1 diverged run is left out: runs/long, seed 2"),
        "{said}"
    );
}

#[test]
fn an_unfinished_run_is_refused_or_left_out() {
    let here = folder();
    trained(here.path());
    let config = here.path().join("runs/sac/seed-1/config.toml");
    let text = fs::read_to_string(&config).expect("there");
    fs::write(&config, text.replace("total_env_steps = 120", "total_env_steps = 500")).expect("writable");
    sac(here.path(), &["report", "runs"]).code(2).says(&[
        "error: unfinished: runs/sac/seed-1 (120 of 500 env steps were evaluated)",
        "hint: wait for them, or leave them out with --skip-unfinished",
    ]);
    let said = sac(here.path(), &["report", "runs", "--skip-unfinished"]).ok();
    assert!(
        said.stdout.contains("1 unfinished run is left out: runs/sac/seed-1"),
        "{said}"
    );
    assert!(said.stdout.contains("| sac | 1 |"), "{said}");
    sac(here.path(), &["report", "runs/sac/seed-1", "--skip-unfinished"])
        .code(2)
        .says(&["unfinished"]);
}

#[test]
fn what_cannot_be_read_is_named() {
    let here = folder();
    trained(here.path());
    let report = |path: &str| sac(here.path(), &["report", path]).code(2);
    report("none").says(&["error: none: No such file or directory"]);
    report("none.json").says(&["error: none.json: "]);
    fs::create_dir(here.path().join("empty")).expect("made");
    report("empty").says(&["error: empty: no run in it, expected a run folder, a folder of runs, or a data file"]);

    sac(here.path(), &["report", "runs", "--out", "out"]).ok();
    let data = here.path().join("out/data.json");
    let text = fs::read_to_string(&data).expect("there");
    fs::write(&data, text.replacen("\"mean_return\":[-", "\"mean_return\":[-1", 1)).expect("writable");
    report("out/data.json").says(&[
        "error: out/data.json: its digest does not fit its contents: it was edited by hand or damaged",
        "hint: restore it",
    ]);
    let without: String = text
        .lines()
        .filter(|line| !line.contains("digest"))
        .map(|line| format!("{line}\n"))
        .collect();
    fs::write(&data, without).expect("writable");
    let said = sac(here.path(), &["report", "out/data.json"])
        .ok()
        .says(&["warning: out/data.json has no digest"]);
    assert!(
        said.stdout.contains("has no digest: it was not written by these tools"),
        "{said}"
    );
    fs::write(&data, "{").expect("writable");
    report("out/data.json").says(&["error: out/data.json: is no data file"]);

    let evaluations = here.path().join("runs/sac/seed-1/eval.csv");
    fs::write(&evaluations, "env_steps,mean_return\n120,what\n").expect("writable");
    report("runs").says(&["error: runs/sac/seed-1/eval.csv: `what` under mean_return is no number"]);
    fs::remove_file(&evaluations).expect("removed");
    report("runs").says(&["error: runs/sac/seed-1: nothing was evaluated in this run"]);
    fs::write(here.path().join("runs/tqc/seed-1/provenance.json"), "[]").expect("writable");
    report("runs/tqc").says(&["error: runs/tqc/seed-1/provenance.json: "]);
    sac(here.path(), &["report", "runs/tqc/seed-2", "--against", "sac"])
        .code(2)
        .says(&["no runs of sac to compare with"]);
}
