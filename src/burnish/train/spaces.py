"""What a search may choose: settings of `train.tune`, each with its values or its range.

learning_rate: {low: 1e-5, high: 1e-3, log: true}     a range; `step` for steps, whole numbers where both ends are
strategy: [full, lora, gradual]                       a choice
strategy.lora.rank: [4, 8, 16]                        a setting of a part, asked where the trial names that part
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from burnish.core.stage import Setting, TaskSpec, find, nearest

Mistake = tuple[str, str, str]  # key, message, hint
ENDS = {"low", "high", "log", "step"}
SHAPE = "a list of values, or {low: , high: , log: true}"

SLOWER = {"use": "layer_wise", "decay": 0.8}

# What others found good for a network of at most this width, and where it stands
KNOWN: tuple[tuple[int, dict[str, Any], str], ...] = (
    (512, {"learning_rate": 3e-4, "strategy": SLOWER}, "ELECTRA-small (Clark et al. 2020, table 7)"),
    (1023, {"learning_rate": 1e-4, "strategy": SLOWER}, "ELECTRA-base (Clark et al. 2020, table 7)"),
    (1023, {"learning_rate": 3e-5, "epochs": 4}, "BERT-base (Devlin et al. 2019, A.3)"),
    (1 << 30, {"learning_rate": 5e-5, "strategy": "layer_wise"}, "ELECTRA-large (Clark et al. 2020, table 7)"),
)


@dataclass(frozen=True)
class Range:
    """Numbers from low to high, both included. log: all orders of magnitude are alike. step: None is any number."""

    low: float
    high: float
    log: bool = False
    step: float | None = None

    @property
    def whole(self) -> bool:
        return isinstance(self.low, int) and isinstance(self.high, int)

    def distribution(self) -> Any:
        """As Optuna knows it."""
        from optuna import distributions as d

        if self.whole:
            return d.IntDistribution(int(self.low), int(self.high), log=self.log, step=int(self.step or 1))
        return d.FloatDistribution(self.low, self.high, log=self.log, step=self.step)

    def drawn(self, key: str, trial: Any) -> Any:
        """A param that an Optuna trial suggests."""
        if self.whole:
            return trial.suggest_int(key, int(self.low), int(self.high), log=self.log, step=int(self.step or 1))
        return trial.suggest_float(key, self.low, self.high, log=self.log, step=self.step)

    def param(self, value: Any) -> Any:
        """A setting's value as Optuna has it, or None where it lies outside."""
        if not isinstance(value, int | float) or isinstance(value, bool) or not self.low <= value <= self.high:
            return None
        steps = (value - self.low) / self.step if self.step else 0.0
        return None if abs(steps - round(steps)) > 1e-9 else int(value) if self.whole else float(value)

    def value(self, param: Any) -> Any:
        return param

    def plain(self) -> Any:
        more = ({"log": True} if self.log else {}) | ({"step": self.step} if self.step is not None else {})
        return {"low": self.low, "high": self.high, **more}


@dataclass(frozen=True)
class Choice:
    """One of some values; Optuna knows them as JSON, for a strategy with settings is a mapping."""

    values: tuple[Any, ...]

    def distribution(self) -> Any:
        """As Optuna knows it."""
        from optuna import distributions as d

        return d.CategoricalDistribution([written(value) for value in self.values])

    def drawn(self, key: str, trial: Any) -> Any:
        """A param that an Optuna trial suggests."""
        return trial.suggest_categorical(key, [written(value) for value in self.values])

    def param(self, value: Any) -> Any:
        """A setting's value as Optuna has it, or None where it is no choice."""
        return written(value) if written(value) in map(written, self.values) else None

    def value(self, param: Any) -> Any:
        return json.loads(param)

    def plain(self) -> Any:
        return list(self.values)


Dimension = Range | Choice
Space = dict[str, Dimension]


def written(value: Any) -> str:
    """A value as JSON, always the same."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def read(space: Mapping[str, Any], fixed: Mapping[str, Any]) -> tuple[Space, list[Mistake]]:
    """The dimensions a spec names, and everything that is wrong with them, each mistake with its key."""
    made: Space = {}
    wrong: list[Mistake] = []
    if not space:
        wrong.append(("space", "it names no setting to search", f"name one with {SHAPE}, or write auto"))
    for key, given in space.items():
        setting, problem, hint = _setting(str(key), space, fixed)
        if setting is not None:
            dimension, problem, hint = _dimension(given, setting)
            if dimension:
                made[str(key)] = dimension
        if problem:
            wrong.append(("space", f"{key}: {problem}", hint))
    return made, wrong


def fixed_settings(given: Mapping[str, Any]) -> tuple[dict[str, Any], list[Mistake]]:
    """Settings of train.tune that are the same in every trial, checked."""
    tune = find("train", "tune")
    made: dict[str, Any] = {}
    wrong: list[Mistake] = []
    for written_as, value in given.items():
        key = tune.aliases.get(str(written_as), str(written_as))
        if key not in tune.settings:
            hint = tune.gone.get(key) or nearest(key, tune.settings, "train.tune has")
            wrong.append(("tune", f"train.tune has no setting {key!r}", hint))
            continue
        made[key], problem = tune.settings[key].check(value)
        if problem:
            wrong.append(("tune", f"{key}: {problem}", tune.settings[key].about))
    return made, wrong


def _setting(key: str, space: Mapping[str, Any], fixed: Mapping[str, Any]) -> tuple[Setting | None, str, str]:
    """The setting that a key means: of train.tune, or of a part that one of its settings may name."""
    tune = find("train", "tune")
    name, *inner = key.split(".")
    if name in tune.aliases:
        return None, f"train.tune calls it {tune.aliases[name]!r}", ""
    if name not in tune.settings:
        return (
            None,
            f"train.tune has no setting {name!r}",
            tune.gone.get(name) or nearest(name, tune.settings, "it has"),
        )
    setting = tune.settings[name]
    if not inner:
        return (None, "it is fixed under tune as well", "name it once") if key in fixed else (setting, "", "")
    family = setting.family
    if family is None or len(inner) != 2:
        shape = f"{name}.PART.SETTING" if family else name
        return None, f"{name} has no settings of its own" if family is None else "a part's setting is wanted", shape
    part, own = inner
    if part not in family.parts():
        return None, f"no {family.name} {part!r}", nearest(part, family.parts(), "there are")
    if own not in family.settings(part):
        return None, f"{part} has no setting {own!r}", nearest(own, family.settings(part), "it has")
    values = space.get(name, [fixed.get(name, setting.default)])
    if not isinstance(values, list) or not any(_names(value, part) for value in values):
        return None, f"no trial names {part!r}", f"put {part} among the values of {name}"
    return family.settings(part)[own], "", ""


def _names(value: Any, part: str) -> bool:
    """Whether a value of a family's setting names a part."""
    several = value if isinstance(value, list | tuple) else [value]
    return any(part == (one.get("use") if isinstance(one, Mapping) else one) for one in several)


def _dimension(given: Any, setting: Setting) -> tuple[Dimension | None, str, str]:
    if isinstance(given, list):
        checked = [setting.check(value) for value in given]
        problem = next((problem for _, problem in checked if problem), "")
        if problem or not given:
            return None, problem or "the list is empty", setting.about if problem else SHAPE
        values = {written(value): value for value, _ in checked}
        return Choice(tuple(values.values())), "", ""
    if not isinstance(given, Mapping):
        return None, f"{given!r} is neither values nor a range", SHAPE
    unknown = [key for key in given if key not in ENDS]
    if unknown or not {"low", "high"} <= given.keys():
        said = f"a range has no {unknown[0]!r}" if unknown else "a range needs low and high"
        return None, said, SHAPE
    ends = [setting.check(given[name]) for name in ("low", "high")]
    problem = next((problem for _, problem in ends if problem), "")
    low, high = ends[0][0], ends[1][0]
    if problem or not all(isinstance(end, int | float) and not isinstance(end, bool) for end in (low, high)):
        return None, problem or "it is not a number, so it has no range", setting.about or SHAPE
    return _range(low, high, given)


def _range(low: float, high: float, given: Mapping[str, Any]) -> tuple[Range | None, str, str]:
    log, step = given.get("log", False), given.get("step")
    if isinstance(low, int) != isinstance(high, int):
        low, high = float(low), float(high)
    if low > high:
        return None, f"low {low:g} is above high {high:g}", ""
    if not isinstance(log, bool) or (log and (low <= 0 or step is not None)):
        return None, "log wants true or false, a low above 0, and no step", ""
    if step is not None and (not isinstance(step, int | float) or isinstance(step, bool) or step <= 0):
        return None, f"step must be a number above 0, got {step!r}", ""
    if isinstance(low, int) and step is not None and not isinstance(step, int):
        return None, f"the ends are whole numbers and the step {step:g} is not", ""
    return Range(low, high, log, step), "", ""


def automatic(resolved: Mapping[str, Any], fixed: Mapping[str, Any]) -> Space:
    """What `space: auto` searches: around what `auto` resolves to for this network and this many records.

    Rates from a fifth to four times; half to twice the passes and the batch; and whether lower layers learn slower.
    """
    rate, epochs, tokens = float(resolved["learning_rate"]), int(resolved["epochs"]), int(resolved["batch_tokens"])
    made: Space = {
        "learning_rate": Range(rate / 5, rate * 4, log=True),
        "epochs": Range(max(1, epochs // 2), epochs * 2, log=True),
        "batch_tokens": Choice(tuple(sorted({max(tokens // 2, min(tokens, 256)), tokens, tokens * 2}))),
        "strategy": Choice((resolved.get("strategy", "full"), "layer_wise", SLOWER)),
    }
    return {key: dimension for key, dimension in made.items() if key not in fixed}


def known_good(width: int, resolved: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], str]]:
    """Settings that others found good for a network of this width, with their source; the last stands on `resolved`."""
    limits = [limit for limit, _, _ in KNOWN if width <= limit]
    yield from ((dict(settings), source) for limit, settings, source in KNOWN if limits and limit == limits[0])
    if not resolved.keys() >= {"learning_rate", "epochs"}:
        return
    slower = {"learning_rate": float(resolved["learning_rate"]) / 2, "epochs": 2 * int(resolved["epochs"])}
    yield slower, "slower and longer (Mosbach et al. 2021)"


def params_of(space: Space, values: Mapping[str, Any]) -> dict[str, Any]:
    """What Optuna has for those values that lie in the space. values: by the space's keys."""
    found = {key: dimension.param(values[key]) for key, dimension in space.items() if key in values}
    return {key: param for key, param in found.items() if param is not None}


def draw(space: Space, trial: Any) -> dict[str, Any]:
    """Values by the space's keys, asked of an Optuna trial; a part's setting only where the trial names that part."""
    values: dict[str, Any] = {}
    for key in sorted(space, key=lambda key: key.count(".")):
        if key in asked(space, values):
            values[key] = space[key].value(space[key].drawn(key, trial))
    return values


def asked(space: Space, values: Mapping[str, Any]) -> list[str]:
    """The keys that a trial with these values has: all but those of parts that it does not name."""
    split = {key: key.split(".") for key in space}
    return [
        key
        for key, (name, *inner) in split.items()
        if not inner or name not in space or _names(values.get(name), inner[0])
    ]


def settings_of(values: Mapping[str, Any], fixed: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of train.tune: what is fixed, what was drawn, and what was drawn for the parts these name."""
    settings = dict(fixed) | {key: value for key, value in values.items() if "." not in key}
    for key, value in values.items():
        if "." in key:
            name, part, own = key.split(".")
            default = find("train", "tune").settings[name].default
            settings[name] = _with(settings.get(name, default), part, own, value)
    return settings


def _with(value: Any, part: str, own: str, setting: Any) -> Any:
    """A family's setting with one setting of one of its parts in it."""
    if isinstance(value, list | tuple):
        return [_with(one, part, own, setting) for one in value]
    if not _names(value, part):
        return value
    return {**(value if isinstance(value, Mapping) else {"use": value}), own: setting}


def size(space: Space) -> int | None:
    """How many different trials there are; None without end. Settings of parts count as if always asked."""
    total = 1
    for dimension in space.values():
        if isinstance(dimension, Choice):
            total *= len(dimension.values)
        elif dimension.whole:
            total *= int((dimension.high - dimension.low) // (dimension.step or 1)) + 1
        elif dimension.low < dimension.high:
            return None
    return total


class Identified:
    """An annotation: settings of train.tune, known to the key by what they point at (weights by content)."""

    @staticmethod
    def identify_for(value: Mapping[str, Any] | None, task: TaskSpec) -> str:
        """Settings as JSON, a backbone as its identity; a backbone that is not named is what tune would take."""
        tune = find("train", "tune")
        made, _ = fixed_settings(value or {})
        made.setdefault("backbone", tune.settings["backbone"].default)
        return written({key: tune.settings[key].identity(one, task) or one for key, one in made.items()})


class Weights:
    """An annotation: a space, known to the key by the content of the weights that it names."""

    @staticmethod
    def identify_for(value: Any, task: TaskSpec) -> str:
        """The space as JSON with the identities of its backbones; "" where it names none."""
        if not isinstance(value, Mapping) or not isinstance(value.get("backbone"), list):
            return ""
        setting = find("train", "tune").settings["backbone"]
        return written({**value, "backbone": [setting.identity(str(one), task) or one for one in value["backbone"]]})


def problems(space: Any, tune: Mapping[str, Any] | None, task: TaskSpec) -> Sequence[Mistake]:
    """What is wrong with the settings `space` and `tune` of a search."""
    fixed, wrong = fixed_settings(tune or {})
    stage = find("train", "tune")
    if not wrong and stage.check:
        wrong += [("tune", f"{key}: {said}", hint) for key, said, hint in stage.check(stage.filled(fixed), task)]
    return [*wrong, *(read(space, fixed)[1] if isinstance(space, Mapping) else [])]
