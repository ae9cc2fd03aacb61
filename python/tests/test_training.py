"""Training, callbacks, interruption and resuming."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import gymnasium
import numpy as np
import pytest
from conftest import same_runs

import sac


def test_a_run_has_metrics_evaluations_and_a_policy(small, tmp_path):
    rows = []
    run = sac.train("Pendulum-v1", steps=400, seed=3, run_dir=tmp_path / "run", callback=rows.append, **small)
    assert run.path == tmp_path / "run" and run.env_steps == 400 and not run.stopped
    logged = [row for row in rows if "eval/mean_reward" not in row]
    assert [row["env_steps"] for row in logged] == [100, 200, 300, 400]
    evaluated = [row for row in rows if "eval/mean_reward" in row]
    assert [row["env_steps"] for row in evaluated] == [200, 400]
    metrics = run.metrics()
    assert metrics["env_steps"].max() == 400
    assert len(run.evaluations()["env_steps"]) == 2
    assert run.eval_mean_return == evaluated[-1]["eval/mean_reward"]
    assert (tmp_path / "run" / "config.toml").is_file()


def test_settings_are_named_in_three_ways(small, tmp_path):
    names = [{"agent__gamma": 0.9}, {"agent.gamma": 0.9}, {"agent": {"gamma": 0.9}}]
    texts = []
    for i, name in enumerate(names):
        run = sac.train("Pendulum-v1", steps=50, seed=np.int64(1), run_dir=tmp_path / str(i), **{**small, **name})
        texts.append((run.path / "config.toml").read_text())
    assert texts[0] == texts[1] == texts[2] and "gamma = 0.9" in texts[0]


def test_all_problems_of_settings_are_told_at_once(tmp_path):
    with pytest.raises(sac.ConfigError) as caught:
        sac.train("Pendulum-v1", run_dir=tmp_path / "run", agent__gama=0.9, train={"batch_size": 0}, seed=-1)
    keys = {problem["key"] for problem in caught.value.problems}
    assert keys == {"agent.gama", "train.batch_size", "train.seed"}, caught.value.problems
    assert isinstance(caught.value, ValueError) and not (tmp_path / "run").exists()
    with pytest.raises(sac.ConfigError, match="did you mean"):
        sac.train("Pendulum-v1", algo="sacc")
    with pytest.raises(sac.ConfigError, match="leave it out"):
        sac.train("Pendulum-v1", agent__gamma=None)


@pytest.mark.parametrize(
    ("env_id", "num_envs", "extra"),
    [
        ("Pendulum-v1", 1, {}),
        ("CartPole-v1", 1, {"algo": "sac-discrete"}),
        ("Hopper-v5", 3, {}),
        ("HalfCheetah-v5", 1, {}),
    ],
)
def test_an_object_a_worker_and_the_native_task_give_the_same_bits(env_id, num_envs, extra, small, tmp_path):
    def trained(env, name):
        return sac.train(env, steps=300, seed=1, num_envs=num_envs, run_dir=tmp_path / name, **extra, **small)

    native = trained(env_id, "native")
    theirs = gymnasium.make(env_id)
    direct = trained(theirs, "direct")
    worker = trained(f"py:{env_id}", "worker")
    same_runs(native, direct)
    same_runs(native, worker)
    # The run on the object is one of `py:`, which the command line can go on with.
    assert (direct.path / "config.toml").read_text() == (worker.path / "config.toml").read_text()
    theirs.reset(seed=0)  # Not closed: it is the caller's.


def test_a_callable_makes_several_environments(small, puck, tmp_path):
    made = []

    def make():
        made.append(puck())
        return made[-1]

    run = sac.train(make, steps=300, seed=0, num_envs=4, run_dir=tmp_path / "run", **small)
    # Four to train in, three to score in; all are closed.
    assert len(made) == 7 and all(env.closed == 1 for env in made)
    assert min(env.total for env in made) > 0
    assert sac.load(run).predict(np.zeros(2))[0].shape == (1,)


def test_an_importable_class_trains_in_worker_processes_alike(small, importable_puck, tmp_path, monkeypatch):
    (tmp_path / "puck_of_the_tests.py").write_text(
        textwrap.dedent(
            """
            import sys
            sys.path.insert(0, {tests!r})
            from conftest import Puck as ImportablePuck
            """
        ).format(tests=os.path.dirname(__file__))
    )
    monkeypatch.chdir(tmp_path)
    direct = sac.train(importable_puck, steps=300, seed=1, run_dir=tmp_path / "direct", **small)
    assert 'id = "py:puck_of_the_tests:ImportablePuck"' in (direct.path / "config.toml").read_text()
    worker = sac.train("py:puck_of_the_tests:ImportablePuck", steps=300, seed=1, run_dir=tmp_path / "worker", **small)
    same_runs(direct, worker)


def test_an_object_that_nothing_describes_is_copied_for_evaluations(small, puck, tmp_path):
    env = puck()
    run = sac.train(env, steps=300, seed=0, run_dir=tmp_path / "run", **small)
    assert env.total == 300 and env.closed == 0
    assert 'id = "object:Puck"' in (run.path / "config.toml").read_text()
    assert sac.load(run).evaluate(2).lengths.tolist() == [50, 50]
    with pytest.raises(sac.ArgumentError, match="pass it"):
        sac.load(run.path)
    assert sac.load(run.path, env=puck).evaluate(2).lengths.tolist() == [50, 50]


def test_a_native_environment_needs_no_python(small, tmp_path):
    run = sac.train(sac.make("Pendulum-v1", time_limit=40), steps=200, run_dir=tmp_path / "run", **small)
    text = (run.path / "config.toml").read_text()
    assert 'id = "Pendulum-v1"' in text and "time_limit = 40" in text


def test_a_failing_environment_ends_the_run_after_a_checkpoint(small, puck, tmp_path):
    with pytest.raises(sac.EnvError) as caught:
        sac.train(puck(fails_at=250), steps=400, run_dir=tmp_path / "run", **small)
    assert "the puck is lost" in str(caught.value) and "Python at step " in str(caught.value)
    assert "sac.resume goes on" in str(caught.value)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert caught.value.checkpoint is not None and os.path.isdir(caught.value.checkpoint)
    run = sac.resume(tmp_path / "run", env=puck, progress=False)
    assert run.env_steps == 400


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"reset": lambda self, **_: np.zeros(2)}, "before 0.26"),
        ({"step": lambda self, action: (np.zeros(2), 0.0, False, {})}, "expected (observation, reward"),
        ({"step": lambda self, action: (np.zeros(2), np.zeros(1), False, False, {})}, "expected one number"),
        ({"step": lambda self, action: (np.zeros(3), 0.0, False, False, {})}, "has shape (3,)"),
        ({"step": lambda self, action: (np.array([np.nan, 0.0]), 0.0, False, False, {})}, "observation[0] is NaN"),
        ({"step": lambda self, action: (np.zeros(2), float("inf"), False, False, {})}, "reward is inf"),
    ],
)
def test_what_an_environment_does_wrong_is_named(change, message, small, puck, tmp_path):
    kind = type("Wrong", (puck,), change)
    with pytest.raises(sac.EnvError) as caught:
        sac.train(kind, steps=200, run_dir=tmp_path / "run", **small)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("env", "error", "message"),
    [
        ("py:Pendulum-v9", sac.EnvError, "Pendulum"),
        ("Pendulum-v9", sac.EnvError, "did you mean `Pendulum-v1`"),
        (3, sac.ArgumentError, "expected an id"),
        (lambda: 3, sac.ArgumentError, "has no `reset`"),
        (gymnasium.make_vec("CartPole-v1", 2), sac.ArgumentError, "num_envs"),
    ],
)
def test_what_is_no_environment_is_refused(env, error, message, small, tmp_path):
    with pytest.raises(error) as caught:
        sac.train(env, steps=100, run_dir=tmp_path / "run", **small)
    assert message in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_actions_without_bounds_are_refused(small, puck, tmp_path):
    kind = type("Free", (puck,), {"action_space": gymnasium.spaces.Box(-np.inf, np.inf, (1,))})
    with pytest.raises(sac.EnvError, match="no finite bounds"):
        sac.train(kind, steps=100, run_dir=tmp_path / "run", **small)


def test_a_callback_ends_the_run(small, tmp_path):
    run = sac.train(
        "Pendulum-v1", steps=1000, run_dir=tmp_path / "run", callback=lambda row: row["env_steps"] < 300, **small
    )
    assert run.stopped and 300 <= run.env_steps < 1000
    assert sac.resume(run, steps=700, progress=False).env_steps == 700


def test_an_exception_of_a_callback_is_raised_after_a_checkpoint(small, tmp_path):
    class Pruned(Exception):
        pass

    def prune(row):
        raise Pruned

    with pytest.raises(Pruned):
        sac.train("Pendulum-v1", steps=1000, run_dir=tmp_path / "run", callback=prune, **small)
    assert (tmp_path / "run" / "checkpoints" / "latest").exists()


def test_a_resumed_run_is_the_run_that_was_not_stopped(small, puck, tmp_path):
    whole = sac.train(puck, steps=600, seed=4, run_dir=tmp_path / "whole", **small)
    part = sac.train(
        puck, steps=600, seed=4, run_dir=tmp_path / "part", callback=lambda row: row["env_steps"] < 320, **small
    )
    assert part.stopped
    part = sac.resume(part, progress=False)
    same_runs(whole, part)


def test_resuming_refuses_what_cannot_change(small, tmp_path):
    run = sac.train("Pendulum-v1", steps=150, run_dir=tmp_path / "run", **small)
    with pytest.raises(sac.ConfigError, match="agent.gamma"):
        sac.resume(run, agent__gamma=0.5)
    with pytest.raises(sac.RunError, match="no such folder"):
        sac.resume(tmp_path / "none")
    with pytest.raises(sac.RunError, match="exists already"):
        sac.train("Pendulum-v1", steps=150, run_dir=run.path, **small)
    branch = sac.resume(run, steps=250, branch=tmp_path / "branch", progress=False)
    assert branch.env_steps == 250 and len(run.rows()) < len(branch.rows())


def test_the_interpreter_is_free_while_a_run_trains(small, tmp_path):
    counted, done = 0, False

    def count():
        nonlocal counted
        while not done:
            counted += 1
            time.sleep(0.001)

    thread = threading.Thread(target=count)
    thread.start()
    began = time.monotonic()
    sac.train("Pendulum-v1", steps=1500, run_dir=tmp_path / "run", **small)
    elapsed, done = time.monotonic() - began, True
    thread.join()
    assert counted > 50 * elapsed, (counted, elapsed)


INTERRUPTED = """
import sys
sys.path.insert(0, {tests!r})
from conftest import SMALL, Puck
import signal
import sac
# A test that was started in the background has inherited that it is ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)

try:
    sac.train({env}, steps=10_000_000, run_dir={run!r}, callback=lambda row: print("row", flush=True), **SMALL)
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


@pytest.mark.parametrize("env", ["'Pendulum-v1'", "Puck", "'py:Pendulum-v1'"])
def test_ctrl_c_writes_a_checkpoint_and_raises(env, tmp_path):
    run = str(tmp_path / "run")
    script = INTERRUPTED.format(tests=os.path.dirname(__file__), env=env, run=run)
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    for _ in range(3):
        assert process.stdout.readline() == "row\n", process.stderr.read()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert out.endswith("interrupted\n") and process.returncode == 0, err
    assert os.path.exists(os.path.join(run, "checkpoints", "latest"))


def test_ctrl_c_ends_the_command_with_its_code(tmp_path):
    run = tmp_path / "run"
    words = ["train", "--env", "Pendulum-v1", "--steps", "10000000", "--run-dir", str(run), "--config", "none"]
    words += ["--set", "agent.body.hidden=[8]", "--set", "log.every={env_steps=100}", "--threads", "1"]
    process = subprocess.Popen([sys.executable, "-m", "sac", *words], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not (run / "metrics.jsonl").is_file() or not (run / "metrics.jsonl").read_text():
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in err, err
    assert (run / "checkpoints" / "latest").exists()


def test_a_second_ctrl_c_ends_a_step_that_does_not_end(tmp_path):
    script = INTERRUPTED.replace(
        "try:",
        "class Stuck(Puck):\n    def step(self, action):\n        print('row', flush=True)\n        while True: pass\ntry:",
    ).format(tests=os.path.dirname(__file__), env="Stuck", run=str(tmp_path / "run"))
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "row\n", process.stderr.read()
    for _ in range(2):
        process.send_signal(signal.SIGINT)
        time.sleep(0.5)
    out, err = process.communicate(timeout=60)
    assert out.endswith("interrupted\n"), err


def test_warnings_go_to_the_logger(small, puck, tmp_path, caplog):
    kind = type("Outside", (puck,), {"observation_space": gymnasium.spaces.Box(-0.01, 0.01, (2,), np.float64)})
    sac.train(kind, steps=200, run_dir=tmp_path / "run", **small)
    assert any("outside of" in record.getMessage() and record.name == "sac" for record in caplog.records)


def test_progress_is_shown_when_asked_for(small, tmp_path, capfd):
    sac.train("Pendulum-v1", steps=300, run_dir=tmp_path / "run", **{**small, "progress": True})
    assert "300" in capfd.readouterr().err


def test_a_run_is_drawn_and_framed(small, tmp_path):
    matplotlib = pytest.importorskip("matplotlib")
    pandas = pytest.importorskip("pandas")
    matplotlib.use("Agg")
    run = sac.train("Pendulum-v1", steps=400, run_dir=tmp_path / "run", **small)
    axes = run.plot()
    assert {line.get_label() for line in axes.get_lines()} == {"rollout/ep_rew_mean", "eval/mean_reward"}
    assert isinstance(run.frame(), pandas.DataFrame) and run.frame().index.name == "env_steps"
    with pytest.raises(sac.ArgumentError, match="it has"):
        run.plot("loss")
