"""Searches hyperparameters with Optuna. Trials that fall behind are pruned through the callback.

    pip install optuna
    python examples/python/optuna_search.py [TRIALS] [STEPS]
"""

import sys
import tempfile
from pathlib import Path

import optuna

import sac


def objective(trial, steps, folder):
    """The best mean return of a run with the suggested settings."""

    def report(row):
        if "eval/mean_reward" in row:
            trial.report(row["eval/mean_reward"], int(row["env_steps"]))
            if trial.should_prune():
                # The run writes a checkpoint, and `train` raises it again.
                raise optuna.TrialPruned

    run = sac.train(
        "Pendulum-v1",
        steps=steps,
        seed=trial.number,
        run_dir=folder / f"trial-{trial.number}",
        callback=report,
        agent__learning_rate=trial.suggest_float("learning_rate", 1e-4, 1e-2, log=True),
        agent__gamma=trial.suggest_float("gamma", 0.9, 0.995),
        agent__body__hidden=[trial.suggest_categorical("width", [32, 64, 128])] * 2,
        train__warmup_env_steps=400,
        eval__every__env_steps=max(steps // 5, 1),
        eval__episodes=5,
    )
    return run.best_mean_return


def main():
    trials = int(sys.argv[1]) if len(sys.argv) > 1 else 12
    steps = int(sys.argv[2]) if len(sys.argv) > 2 else 4_000
    pruner = optuna.pruners.MedianPruner(n_startup_trials=3)
    study = optuna.create_study(direction="maximize", pruner=pruner, sampler=optuna.samplers.TPESampler(seed=0))
    with tempfile.TemporaryDirectory() as folder:
        study.optimize(lambda trial: objective(trial, steps, Path(folder)), n_trials=trials)
    pruned = sum(trial.state == optuna.trial.TrialState.PRUNED for trial in study.trials)
    print(f"{trials} trials, {pruned} of them pruned; the best: {study.best_value:.1f} with {study.best_params}")


if __name__ == "__main__":
    main()
