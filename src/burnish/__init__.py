"""burnish: from a pile of raw text to an audited data set, a fine-tuned model and a watched service.

import burnish
burnish.run(burnish.load_spec("burnish.yaml"))
burnish.load("runs/reviews").predict(["It broke after two days."])
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_WHERE = {
    "BurnishError": "core.errors",
    "Context": "core.stage",
    "Gold": "core.artifacts",
    "Model": "core.artifacts",
    "Record": "core.records",
    "Records": "core.artifacts",
    "Report": "core.artifacts",
    "Split": "core.artifacts",
    "Votes": "core.artifacts",
    "lineage": "lineage",
    "load": "tasks.predictor",
    "load_spec": "core.spec",
    "plan": "core.pipeline",
    "run": "core.pipeline",
    "stage": "core.stage",
    "why": "core.pipeline",
}
__all__ = sorted(_WHERE)


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'burnish' has no attribute {name!r}")
    module = importlib.import_module(f"burnish.{_WHERE[name]}")
    return getattr(module, "load" if name == "load_spec" else name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
