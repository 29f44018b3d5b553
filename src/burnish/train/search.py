"""Search the settings of `train.tune`: trials on the validation side, the weak ones stopped early, the best one kept."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt

from burnish.core.artifacts import Gold, Model, Pretrained, Records, Split, write_json
from burnish.core.errors import BurnishError, MissingExtra
from burnish.core.stage import Context, Count, Positive, TaskSpec, find, stage
from burnish.nn.strategies.base import strategies
from burnish.train import spaces
from burnish.train.launchers import Launcher, launcher

REDRAWN = 20  # times a trial is drawn again when it is one that was tried
CHEAP = ("head", "frozen")  # strategies whose frozen part is computed once
FROZEN_BEST = 2  # of the frozen trials, tried again with all weights moving


def _cost(records: int, tokens: int, settings: Mapping[str, Any]) -> float:
    """About: of the trials half is stopped early."""
    tune = find("train", "tune")
    fixed = spaces.fixed_settings(settings["tune"] or {})[0]
    one = float(tune.cost(records, tokens, tune.filled(fixed))) if tune.cost else 0.0
    most = 60 * settings["minutes"] if settings["minutes"] else math.inf
    return float(min(most, one * (1 + 0.6 * (settings["trials"] - 1)) / settings["workers"]))


def _check(settings: Mapping[str, Any], task: TaskSpec) -> list[tuple[str, str, str]]:
    return wrong_settings(settings["space"], settings["tune"], settings["frozen_trials"], task)


def wrong_settings(
    space: Any, tune: Mapping[str, Any] | None, frozen_trials: int, task: TaskSpec
) -> list[tuple[str, str, str]]:
    """(key, message, hint) of what is wrong."""
    wrong = list(spaces.problems(space, tune, task))
    if frozen_trials and "frozen" not in strategies.parts():
        wrong.append(("frozen_trials", "it needs the strategy `frozen`, which is not here", "frozen_trials: 0"))
    if frozen_trials and "strategy" in (tune or {}):
        wrong.append(
            ("frozen_trials", "the strategy is fixed under tune, so none is tried frozen first", "leave one out")
        )
    return wrong


@stage("train.search", cost=_cost, check=_check)
def search(
    split: Split,
    gold: Gold | None,
    context: Context,
    pretrained: Pretrained | None = None,
    *,
    space: Annotated[Literal["auto"] | dict[str, Any], spaces.Weights] = "auto",
    tune: Annotated[dict[str, Any] | None, spaces.Identified] = None,
    trials: Positive = 12,
    minutes: Annotated[float, Gt(0)] | None = None,
    together: Positive = 4,
    reduction: Annotated[int, Ge(2)] | None = 2,
    frozen_trials: Count = 0,
    workers: Positive = 1,
    threads: Positive | Literal["auto"] = "auto",
    engine: Literal["local", "ray"] = "local",
) -> Model:
    """Search settings of train.tune and keep the model of the trial that is best on the validation side.

    space: settings of train.tune with values or ranges, `strategy.lora.rank` for those of a part; auto is around the defaults.
    tune: settings of train.tune that are the same in every trial.
    trials: how many in all, the defaults first.
    minutes: no trial begins later than this; unset sets no limit. What is found then depends on the machine's speed.
    together: trials drawn at once, none knowing how the others of them end; the same however many workers there are.
    reduction: after 1, r, r*r, ... epochs a trial goes on only among the best 1 in r of earlier ones; unset stops none.
    frozen_trials: cheap trials first, lower layers frozen and computed once; the best are tried again with all moving.
    workers: processes at a time, each with a model of its own.
    threads: of a worker; auto shares those of this process among them.
    engine: processes of this machine, or actors of a Ray cluster (RAY_ADDRESS; the store on a file system all see).

    Trials are drawn by a tree of Parzen estimators (Bergstra et al. 2011), seeded by their number, and stopped by
    asynchronous successive halving (Li et al. 2020). The first is train.tune as it is, then what others found good for
    a network of this width. A killed search goes on: trials that ended are read back, the others go on from their
    checkpoints. The model is, byte by byte, what train.tune gives with the winner's settings on as many threads.
    Chosen on the validation side alone, so the best score there is optimistic; the test side is not looked at.
    Memory: each worker as train.tune; on disk the best model and one run of each worker.
    """
    try:
        import optuna  # noqa: F401
    except ImportError as error:
        raise MissingExtra("train.search", "search") from error
    import torch

    if wrong := wrong_settings(space, tune, frozen_trials, context.task):
        raise BurnishError(f"{wrong[0][0]}: {wrong[0][1]}", where="train.search", hint=wrong[0][2])
    if not len(split.validation.table()):
        raise BurnishError(
            "the search has no validation side to choose by", hint="give the split one: split: {validation: 0.1}"
        )
    share = max(1, torch.get_num_threads() // workers) if threads == "auto" else threads
    folder = _prepared(split, gold, pretrained, context)
    run = launcher(engine, workers=workers, threads=share, logs=folder / "logs", progress=context.progress)
    fixed = spaces.fixed_settings(tune or {})[0]
    found = Search(folder, context, space, fixed, trials, minutes, together, reduction, frozen_trials)
    with run:
        found.go(run)
    best = found.best()
    model = folder / f"{best['number']:04d}" / "work" / "model"
    info = json.loads((model.parent / "info.json").read_text("utf-8"))
    told = found.told(validation=len(split.validation.table()), workers=workers, threads=share, engine=engine)
    context.progress.tell(f"  {told['why']}")
    return Model(model, info | {"search": told})


def _prepared(split: Split, gold: Gold | None, pretrained: Pretrained | None, context: Context) -> Path:
    """The folder of the trials, with what all of them need. No trial is given the test side."""
    folder = context.scratch / "trials"
    if (folder / "common.json").is_file():
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "split").mkdir(parents=True)
    Split(split.train, split.validation, Records.from_table(split.test.table().slice(0, 0)), split.facts).save(
        folder / "split"
    )
    if gold is not None:
        (folder / "gold").mkdir()
        gold.save(folder / "gold")
    if pretrained is not None:
        (folder / "pretrained").mkdir()
        pretrained.save(folder / "pretrained")
    task = context.task
    plain = {"type": task.type, "labels": task.labels, "descriptions": dict(task.descriptions)}
    plain |= {"languages": task.languages, "options": dict(task.options)}
    common = {"task": plain, "seed": context.seed, "base": str(context.base), "cache": str(context.cache)}
    write_json(folder / "common.json", common | {"key": context.key})
    return folder


class Search:
    """Rounds of trials. What a round draws depends on the results of earlier rounds alone, and those are on disk: so a
    search that was killed, or that has other workers, walks the same way."""

    def __init__(
        self,
        folder: Path,
        context: Context,
        space: Literal["auto"] | Mapping[str, Any],
        fixed: Mapping[str, Any],
        count: int,
        minutes: float | None,
        together: int,
        reduction: int | None,
        frozen: int,
    ) -> None:
        self.folder, self.context, self.fixed = folder, context, dict(fixed)
        self.given = None if space == "auto" else spaces.read(space, fixed)[0]
        self.space: spaces.Space = self.given or {}
        self.count, self.minutes, self.together, self.reduction = count, minutes, together, reduction
        self.frozen = frozen
        self.rows: list[dict[str, Any]] = []  # job and result of every trial of the rounds that ended
        self.ready: list[tuple[dict[str, Any], str]] = []  # values to try before any is drawn, and whose they are
        self.stopped = f"{count} trials"
        self.began = time.monotonic()
        self.before = self._clock()
        self.first = not (self._place(0) / "result.json").is_file()

    # -- walking

    def go(self, run: Launcher) -> None:
        """Walk the rounds until trials, minutes or the space are at their end."""
        run.may_begin = self._may_begin
        first = [({}, "defaults"), *self._cheap()][: self.count]
        self._round(run, [(values, origin, self._settings(values)) for values, origin in first], 0)
        self._settle()
        if self.frozen:
            self._frozen_round(run)
        while (done := len(self.candidates())) < self.count and self._may_begin():
            drawn = list(self._drawn(min(self.together, self.count - done)))
            if not drawn:
                self.stopped = f"all of the space: {done} trials"
                return
            self._round(
                run, [(values, origin, self._settings(values)) for values, origin in drawn], self.rows[-1]["round"] + 1
            )
        if len(self.candidates()) < self.count:
            self.stopped = f"{self.minutes:g} minutes: {len(self.candidates())} of {self.count} trials"

    def _round(self, run: Launcher, jobs: Sequence[tuple[dict[str, Any], str, dict[str, Any]]], at: int) -> None:
        """Run some trials, and take their results in the order of their numbers."""
        alike = [row for row in self.rows if (row["origin"] == "frozen") == (jobs[0][1] == "frozen")]
        earlier = [{"score": row["score"], "rungs": row["rungs"]} for row in alike if row["score"] is not None]
        made: dict[int, dict[str, Any]] = {}
        for number, (values, origin, settings) in enumerate(jobs, len(self.rows)):
            job = {"number": number, "round": at, "origin": origin, "values": values, "settings": settings}
            made[number] = job | {"earlier": earlier, "reduction": self.reduction}
            place = self._place(number)
            place.mkdir(exist_ok=True)
            if not (place / "job.json").is_file():
                write_json(place / "job.json", made[number])
        done = {number: read_json(self._place(number) / "result.json") for number in made}
        left = [self._place(number) for number, result in done.items() if result is None]
        for result in itertools.chain(filter(None, done.values()), run.results(left) if left else ()):
            self._tell(made[result["number"]], result)
            made[result["number"]] |= {**result, "ended": True}
            self._sweep([*self.rows, *made.values()])
            self._clock(self.before + time.monotonic() - self.began)
        self.rows += [row for _, row in sorted(made.items()) if row.pop("ended", False)]

    def _settle(self) -> None:
        """What the first trial, which is the defaults, says: where an automatic space lies, what is tried next."""
        first = self.rows[0] if self.rows else {}
        if first.get("state") != "complete":
            raise BurnishError(
                f"the first trial, train.tune with its defaults, failed: {first.get('reason', 'it was not begun')}",
                hint="run train.tune alone first; what fails there fails in every trial",
            )
        resolved = first["resolved"]
        if self.given is None and not resolved.keys() >= {"learning_rate", "epochs", "batch_tokens"}:
            raise BurnishError(
                "space: auto knows no settings of this strategy", hint="name them: space: {SETTING: [...]}"
            )
        if self.given is None:
            self.space = spaces.automatic(resolved, self.fixed)
        for row in self.rows:
            values = self._defaults(dict(resolved) | (row.get("resolved") or {})) | row["values"]
            row["values"] = {key: values[key] for key in spaces.asked(self.space, values)}
        for known, source in spaces.known_good(first["width"], resolved):
            own = {key: value for key, value in known.items() if key in self.space}
            if own and len(spaces.params_of(self.space, own)) == len(own):
                self.ready.append((first["values"] | own, source))

    def _defaults(self, resolved: Mapping[str, Any]) -> dict[str, Any]:
        """What train.tune takes where a trial says nothing, by the keys of the space."""
        settings, found = find("train", "tune").settings, {}
        for key in self.space:
            name, *inner = key.split(".")
            own = settings[name].family.settings(inner[0])[inner[1]] if inner else settings[name]
            found[key] = resolved.get(key, own.default) if not inner else own.default
        return found

    def _cheap(self) -> Iterator[tuple[dict[str, Any], str]]:
        """Strategies of the space whose frozen part is computed once come right behind the defaults."""
        dimension = self.space.get("strategy")
        for value in dimension.values if isinstance(dimension, spaces.Choice) else ():
            if (value.get("use") if isinstance(value, Mapping) else value) in CHEAP:
                yield {"strategy": value}, "frozen features first"

    def _frozen_round(self, run: Launcher) -> None:
        """Cheap trials with the lower layers frozen; the best are tried again, all weights moving, before others."""
        drawn = []
        for values, _ in self._drawn(self.frozen, again=True):
            others = {key: value for key, value in values.items() if key.split(".")[0] != "strategy"}
            drawn.append((values, "frozen", {**self._settings(others), "strategy": "frozen"}))
        self._round(run, drawn, 1)
        done = [row for row in self.rows if row["origin"] == "frozen" and row["state"] == "complete"]
        best = sorted(done, key=_worth, reverse=True)[:FROZEN_BEST]
        self.ready = [(row["values"], f"best of the frozen trials ({row['number']})") for row in best] + self.ready

    def _may_begin(self) -> bool:
        """Whether there is time left; the first trial, by which all others are judged, begins whatever the clock says."""
        first, self.first = self.first, False
        return first or self.minutes is None or self.before + time.monotonic() - self.began < 60 * self.minutes

    # -- drawing

    def _drawn(self, count: int, *, again: bool = False) -> Iterator[tuple[dict[str, Any], str]]:
        """Up to `count` sets of values that were not tried yet. again: those that wait to be tried stay so."""
        study = self._study()
        tried = {spaces.written(self._settings(row["values"])) for row in self.candidates()}
        waiting = [] if again else self.ready
        for number in range(len(self.rows), len(self.rows) + count):
            for attempt in range(REDRAWN):
                origin = "drawn"
                if waiting:
                    values, origin = waiting.pop(0)
                    study.enqueue_trial(spaces.params_of(self.space, values))
                study.sampler = self._sampler(number, attempt)
                trial = study.ask()
                values = spaces.draw(self.space, trial)
                key = spaces.written(self._settings(values))
                if key not in tried:
                    tried.add(key)
                    yield values, origin
                    break
                study.tell(trial, state=_state("FAIL"))
            else:
                return

    def _study(self) -> Any:
        """What is known of the space: the trials of earlier rounds, as Optuna keeps them."""
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        study = optuna.create_study(direction="maximize")
        for row in self.candidates():
            params = spaces.params_of(self.space, row["values"])
            if params.keys() != set(spaces.asked(self.space, row["values"])):
                continue  # the defaults lie outside of the space
            looks = {at + 1: look["score"] for at, look in enumerate(row["looks"])}
            complete = row["state"] == "complete"
            study.add_trial(
                optuna.trial.create_trial(
                    state=_state("COMPLETE" if complete else "PRUNED"),  # one that failed is worse than any score
                    value=row["score"] if complete else None,
                    params=params,
                    distributions={key: self.space[key].distribution() for key in params},
                    intermediate_values={} if row["state"] == "failed" else looks,
                )
            )
        return study

    def _sampler(self, number: int, attempt: int) -> Any:
        import optuna

        text = f"search/{self.context.seed}/{number}/{attempt}"
        seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")
        if attempt > REDRAWN // 4:  # what the estimators would choose has been tried
            return optuna.samplers.RandomSampler(seed=seed)
        return optuna.samplers.TPESampler(seed=seed, n_startup_trials=self.together + 1)

    def _settings(self, values: Mapping[str, Any]) -> dict[str, Any]:
        return spaces.settings_of(values, self.fixed)

    # -- keeping

    def candidates(self) -> list[dict[str, Any]]:
        """Trials that may win."""
        return [row for row in self.rows if row["origin"] != "frozen"]

    def best(self) -> dict[str, Any]:
        """The trial that is kept."""
        return _best(self.candidates())

    def _place(self, number: int) -> Path:
        return self.folder / f"{number:04d}"

    def _sweep(self, rows: Sequence[dict[str, Any]]) -> None:
        """Of the trials that ended keep one network: that of the best."""
        done = [row for row in rows if row.get("state") == "complete"]
        best = _best([row for row in done if row["origin"] != "frozen"])["number"] if done else None
        for row in done:
            if row["number"] != best:
                shutil.rmtree(self._place(row["number"]) / "work", ignore_errors=True)

    def _clock(self, spent: float | None = None) -> float:
        """Seconds that this search has had, also before it was killed."""
        path = self.folder / "clock.json"
        if spent is not None:
            write_json(path, {"seconds": round(spent, 1)})
        return float((read_json(path) or {"seconds": 0.0})["seconds"])

    def _tell(self, job: Mapping[str, Any], result: Mapping[str, Any]) -> None:
        values = ", ".join(f"{key} {_short(value)}" for key, value in job["values"].items()) or "defaults"
        how = {"complete": f"{result['score'] or 0:.4f}", "pruned": "stopped", "failed": "failed"}[result["state"]]
        why = f" ({result['reason']})" if result.get("reason") else ""
        self.context.progress.tell(f"  trial {job['number']}: {how}{why}, {result['seconds']:.0f} s: {values}")

    def told(self, *, validation: int, workers: int, threads: int, engine: str) -> dict[str, Any]:
        """What the card says of the search."""
        keys = ("number", "round", "origin", "state", "values", "score", "loss", "seconds", "cpu_seconds", "reason")
        rows = [
            {key: row.get(key) for key in keys} | {"looks": [look["score"] for look in row["looks"]]}
            for row in self.rows
        ]
        best, first = self.best(), self.rows[0]
        ended = [row for row in self.candidates() if row["state"] == "complete"]
        luck = optimism(best["score"], len(ended), validation)
        said = f", {best['score'] - first['score']:+.4f} against the defaults" if best["number"] else ", the defaults"
        why = f"trial {best['number']} is best on validation: {first['figure']} {best['score']:.4f}{said}"
        if luck:
            why += f"; were all {len(ended)} equally good, the best would stand {luck:.4f} too high by luck"
        return {
            "figure": first["figure"],
            "best": best["number"],
            "why": why,
            "space": {key: dimension.plain() for key, dimension in self.space.items()},
            "importance": self._importance(),
            "optimism": luck,
            "stopped": self.stopped,
            "validation": validation,
            "workers": workers,
            "threads": threads,
            "engine": engine,
            "seconds": self._clock(),
            "trials": rows,
        }

    def _importance(self) -> dict[str, float]:
        """Share of the spread of scores that each setting explains alone (fANOVA, Hutter et al. 2014); {} from few trials."""
        import optuna

        study = self._study()
        ended = study.get_trials(deepcopy=False, states=(_state("COMPLETE"),))
        shared = set.intersection(*(set(one.params) for one in ended)) if ended else set()
        varied = [key for key in self.space if key in shared and len({str(one.params[key]) for one in ended}) > 1]
        if len(ended) < 4 or not varied or len({one.value for one in ended}) < 2:
            return {}
        judge = optuna.importance.FanovaImportanceEvaluator(seed=0)
        found = optuna.importance.get_param_importances(study, evaluator=judge, params=varied)
        return {key: round(float(value), 4) for key, value in found.items()}


def read_json(path: Path) -> dict[str, Any] | None:
    """What a file holds, None where it is not there."""
    return dict(json.loads(path.read_text("utf-8"))) if path.is_file() else None


def optimism(score: float, count: int, records: int) -> float | None:
    """How far above its worth the best of `count` equally good trials stands by luck: the standard error of a share on so many
    records times the expected largest of so many normal numbers (Blom 1958). Trials share the records, so it is a
    bound; None where the score is no share."""
    if count < 2 or records < 1 or not 0 <= score <= 1:
        return None
    from scipy.stats import norm

    share = (score * records + 1) / (records + 2)  # all right on 50 records is not right for sure
    return round(math.sqrt(share * (1 - share) / records) * float(norm.ppf((count - 0.375) / (count + 0.25))), 4)


def _best(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return max((row for row in rows if row["state"] == "complete"), key=_worth)


def _worth(row: Mapping[str, Any]) -> tuple[float, float, int]:
    return row["score"], -row["loss"], -row["number"]


def _state(name: str) -> Any:
    import optuna

    return optuna.trial.TrialState[name]


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else value if isinstance(value, str) else spaces.written(value)
