"""MLflow: a run of an experiment on a tracking server, or in a folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from burnish.core.errors import MissingExtra
from burnish.core.stage import Positive
from burnish.train.trackers.base import Opened, Story, Tracker, trackers


class _Run(Opened):
    def __init__(self, client: Any, run: str) -> None:
        self.client, self.run = client, run

    def write(self, step: int, figures: Mapping[str, float]) -> None:
        for name, value in figures.items():
            self.client.log_metric(self.run, name, float(value), step=step)

    def close(self) -> None:
        self.client.set_terminated(self.run)


@trackers.part("mlflow")
@dataclass(frozen=True)
class MLflow(Tracker):
    """A run of an MLflow experiment.

    uri: of the tracking server or store; empty takes MLFLOW_TRACKING_URI, else the file runs/mlflow.db beside the spec.
    experiment: its name.
    every: steps between two points.
    """

    uri: str = ""
    experiment: str = "burnish"
    every: Positive = 10

    def open(self, story: Story) -> Opened:
        import os

        try:
            from mlflow import MlflowClient
        except ImportError as error:
            raise MissingExtra("track: mlflow", "mlflow") from error
        uri = self.uri or os.environ.get("MLFLOW_TRACKING_URI", "")
        if not uri:
            (story.base / "runs").mkdir(exist_ok=True)
            uri = f"sqlite:///{story.base / 'runs' / 'mlflow.db'}"
        client: Any = MlflowClient(tracking_uri=uri)
        found = client.get_experiment_by_name(self.experiment)
        number = found.experiment_id if found else client.create_experiment(self.experiment)
        run = client.create_run(number, run_name=story.name).info.run_id
        for name, value in story.settings.items():
            client.log_param(run, name, str(value)[:500])
        return _Run(client, run)
