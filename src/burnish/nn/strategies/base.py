"""A strategy says which weights of a network learn, and how fast; a spec names one or several.

Files of this folder declare strategies as parts (`core.parts`) and wake torch only inside functions. A run goes

    place          freezes what shall not move, puts in what moves instead          once, before the optimiser exists
    factors        what each weight's rate is times                                 once
    begin          takes part in the steps, where it must                           once, and what it gives in every step
    opens          whether a weight moves by now                                    before every epoch
    fold           folds what was put in into the network's own weights, or takes it out    once, before saving
    keep, take_up  write and read back beside the model what cannot be folded       saving, loading

of every strategy in the order of the spec. Names of weights are those of `model.named_parameters()` after all have placed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from burnish.core.errors import BurnishError
from burnish.core.parts import Family
from burnish.core.progress import Progress

strategies = Family("strategy", "burnish.nn.strategies")
ADDING, OTHERS = "(adding)", "(others)"  # in `Strategy.refuses`


@dataclass(frozen=True)
class Strategy:
    """What does nothing: all weights learn at the same rate. adds: it puts weights of its own into the network, which
    only one strategy of a run may do. start: what `nn.loop.settle` is told of them, "adapters", "head" or ""; it
    decides the rate that "auto" means, which `factors` multiply. exact: folding changes outputs by rounding alone.
    modules: it hooks single layers, so they must run as modules and not as one operator (`nn.stack`).
    refuses: names of strategies that make no sense beside it, ADDING for all that add, OTHERS for any. caches: what
    it freezes at the bottom may be computed once (`nn.frozen`). idle: nothing learns, on purpose. solves: where a text has
    one class, what it starts with is the result, unless passes are asked for."""

    name: ClassVar[str] = ""
    adds: ClassVar[bool] = False
    start: ClassVar[str] = ""
    exact: ClassVar[bool] = True
    modules: ClassVar[bool] = False
    idle: ClassVar[bool] = False
    solves: ClassVar[bool] = False
    refuses: ClassVar[tuple[str, ...]] = ()
    why_alone: ClassVar[str] = "each says which weights move"  # the rest of the sentence where it refuses

    def place(self, model: Any, *, seed: int) -> None:
        """Change what learns: set `requires_grad`, put modules in. seed: for first weights."""

    def factors(self, model: Any) -> dict[str, float]:
        """Name -> what the learning rate of that weight is times; a weight that is not named has 1."""
        return {}

    def problem(self, shape: str) -> str:
        """What is wrong with its settings, or with it on a network of this shape, or "".

        shape: encoder, decoder, encoder-decoder, or "" where a spec does not tell.
        """
        return ""

    def ready(self, model: Any, train: Any, objective: Any, *, seed: int) -> bool:
        """Set first weights by a look at what will be learnt, before the first step; a run that goes on takes up its
        checkpoint afterwards. train: `Examples` with targets; objective: what the loop will minimise. True: what learns is
        at its best for it already (`solves`)."""
        return False

    def begin(self, run: Any) -> Any:
        """Take part in the steps of a run (`nn.loop.Run`): a `nn.regularisers.base.Working`, or None."""
        return None

    def opens(self, model: Any, *, share: float) -> set[str] | None:
        """Names of the weights that move in the epoch that begins at this share of all epochs, 0..1; None is all. The
        names of all weights that learn are asked of `model.named_parameters()`, whatever learns at the moment."""
        return None

    def teach(self, model: Any, train: Any, *, settings: Any, seed: int, scratch: Path, progress: Progress) -> Any:
        """Teach in another way than the task's loss in the loop; the `History` of it, or None to leave it to the loop.

        train: `Examples` with targets; settings: `nn.loop.Training`; scratch: for checkpoints.
        """
        return None

    def paced(self, settings: Any, *, count: int, longest: int) -> Any:
        """What `teach` makes of the settings for `count` examples, the longest of so many tokens; a plan asks it too."""
        return settings

    def fold(self, model: Any) -> None:
        """After training: fold what was put in into the network, exactly, so that the saved model is a stock one.
        What cannot be folded is taken out, and put back by `take_up`."""

    def keep(self, model: Any, folder: Path) -> None:
        """Write what was put in, into `folder` beside the model (peft's layout where it is peft's), folded or not."""

    def take_up(self, model: Any, folder: Path) -> None:
        """Put back into a freshly loaded network what `keep` wrote and `fold` could not fold."""

    @property
    def folds(self) -> bool:
        """Whether the saved network is whole without `take_up`."""
        return True

    @property
    def caches(self) -> bool:
        """Whether lower layers that do not learn are computed once a text and without dropout."""
        return False

    @property
    def beside(self) -> int:
        """Places of a text that it takes for tokens of its own."""
        return 0


@strategies.part("full")
@dataclass(frozen=True)
class Full(Strategy):
    """All weights learn."""


def check(parts: Sequence[Strategy], *, shape: str = "") -> str:
    """What is wrong with strategies, alone and together, or ""; shape as in `Strategy.problem`."""
    names = [one.name for one in parts]
    twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    if twice:
        return f"{twice[0]} is named twice"
    if len(parts) > 1 and "auto" in names:
        return "auto names the strategies itself; write it alone"
    adding = [one.name for one in parts if one.adds]
    if len(adding) > 1:
        return f"{' and '.join(adding)} both put weights into the network; name one of them"
    for one in parts:
        for other in parts:
            if other is not one and _refuses(one, other):
                return f"{one.name} and {other.name} do not go together: {one.why_alone}"
    return next((found for one in parts if (found := one.problem(shape))), "")


def _refuses(one: Strategy, other: Strategy) -> bool:
    return OTHERS in one.refuses or other.name in one.refuses or (ADDING in one.refuses and other.adds)


def placed(parts: Sequence[Strategy], model: Any, *, seed: int) -> list[Strategy]:
    """Let each change what of `model` learns: first those that put weights in, so that what the others freeze is frozen.

    Raises BurnishError where nothing is left that learns.
    """
    for one in sorted(parts, key=lambda part: not part.adds):
        one.place(model, seed=seed)
    if not any(weight.requires_grad for weight in model.parameters()) and not any(one.idle for one in parts):
        raise BurnishError(
            f"the strategy {' with '.join(one.name for one in parts)} leaves nothing in this network to learn",
            where="train.tune.strategy",
            hint="name one that moves more: full moves all",
        )
    return list(parts)


def combined(parts: Sequence[Strategy], model: Any) -> dict[str, float]:
    """Name -> the product of what all strategies make of its rate."""
    made: dict[str, float] = {}
    for one in parts:
        for name, factor in one.factors(model).items():
            made[name] = made.get(name, 1.0) * factor
    return made
