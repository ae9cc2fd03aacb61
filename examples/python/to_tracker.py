"""Copies runs into Weights & Biases or MLflow: settings, and every row of metrics, at its env step.

    python examples/python/to_tracker.py wandb RUN... [--project NAME]
    python examples/python/to_tracker.py mlflow RUN... [--project NAME]

RUN is the folder of a run. Needs Python 3.11 and the package `wandb` or `mlflow`, and nothing else. Run it again when a run has
gone on: W&B continues the run with the same id; MLflow gets it once more.
"""

import argparse
import json
import tomllib
from pathlib import Path


def settings_of(table, prefix=""):
    """The leaves of a configuration by their dotted keys."""
    for name, value in table.items():
        if isinstance(value, dict):
            yield from settings_of(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def rows_of(run):
    """Env steps and metrics of every row; a number that is not finite is left out."""
    for line in (run / "metrics.jsonl").read_text().splitlines():
        row = json.loads(line)
        yield row["env_steps"], {key: value for key, value in row.items() if isinstance(value, (int, float))}


def to_wandb(name, settings, rows, project):
    import wandb

    identity = name.replace("/", "-")
    run = wandb.init(project=project, id=identity, name=name, config=settings, resume="allow")
    run.define_metric("*", step_metric="env_steps")
    for _, metrics in rows:
        run.log(metrics)
    run.finish()


def to_mlflow(name, settings, rows, project):
    import mlflow

    mlflow.set_experiment(project)
    with mlflow.start_run(run_name=name):
        mlflow.log_params(settings)
        for env_steps, metrics in rows:
            mlflow.log_metrics(metrics, step=env_steps)


def main():
    trackers = {"wandb": to_wandb, "mlflow": to_mlflow}
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tracker", choices=trackers)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--project", default="sac")
    arguments = parser.parse_args()
    for run in arguments.runs:
        settings = dict(settings_of(tomllib.loads((run / "config.toml").read_text())))
        # `runs/<env>/<algo>/<time>-s<seed>` is `<env>/<algo>/<time>-s<seed>`.
        name = "/".join(run.resolve().parts[-3:])
        trackers[arguments.tracker](name, settings, rows_of(run), arguments.project)
        print(f"{run}: copied as {name}")


if __name__ == "__main__":
    main()
