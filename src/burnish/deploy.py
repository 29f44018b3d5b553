"""`burnish serve`: the `serve` section of a run's spec, or its defaults, put behind HTTP."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from burnish.core.artifacts import Model
from burnish.core.errors import UsageError
from burnish.core.pipeline import read_run
from burnish.core.stage import Setting, find, nearest
from burnish.tasks.predictor import model_folder


def serve(folders: Sequence[Path], **over: Any) -> None:
    """Serve models until stopped. over: settings that replace the spec's where they are not None."""
    models = [Model.open(model_folder(folder)) for folder in folders]
    spec = folders[0] / "burnish.yaml"
    section = (yaml.safe_load(spec.read_text("utf-8")) or {}).get("serve") if spec.is_file() else None
    step = section[0] if isinstance(section, list) else section or {"use": "http"}
    step = {"use": step} if isinstance(step, str) else dict(step)
    stage = find("serve", step.pop("use", "http"))
    for name, value in over.items():
        if value is not None:
            step[name] = value
    for name in step.keys() - stage.settings.keys():
        raise UsageError(f"{stage.address} has no setting {name!r}", hint=nearest(name, stage.settings, "it has"))
    settings = stage.filled({name: _checked(stage.settings[name], value) for name, value in step.items()})
    if settings.get("token_file") is not None and over.get("token_file") is None:
        settings["token_file"] = Path(read_run(folders[0])["spec"]).parent / settings["token_file"]
    stage.run(models, **settings)


def _checked(setting: Setting, value: Any) -> Any:
    checked, wrong = setting.check(value)
    if wrong:
        raise UsageError(f"serve.{setting.name}: {wrong}", hint=setting.about)
    return checked
