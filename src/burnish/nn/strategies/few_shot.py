"""Strategies for few labels, or none: they teach in another way than step after step on the task's own loss."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Gt

from burnish.core.progress import Progress
from burnish.core.stage import Positive
from burnish.nn.strategies.base import OTHERS, Strategy, strategies


@strategies.part("none")
@dataclass(frozen=True)
class Untouched(Strategy):
    """Nothing learns: the model answers as it is, by a pattern or a prompt (zero-shot), with demonstrations from the
    training side where the task asks for them (in-context learning: Brown et al. 2020).
    """

    refuses: ClassVar[tuple[str, ...]] = (OTHERS,)
    why_alone: ClassVar[str] = "nothing learns"
    idle: ClassVar[bool] = True

    def place(self, model: Any, *, seed: int) -> None:
        model.requires_grad_(False)

    def teach(self, model: Any, train: Any, *, settings: Any, seed: int, scratch: Path, progress: Progress) -> Any:
        from burnish.nn.training import History

        progress.tell("  nothing learns: the model answers as it is")
        model.eval()
        return History()

    def paced(self, settings: Any, *, count: int, longest: int) -> Any:
        return replace(settings, steps=0)


@strategies.part("contrastive")
@dataclass(frozen=True)
class Contrastive(Strategy):
    """For a few labels a class: texts of one class are drawn together and others apart, all pairs of a batch at once, then
    a linear layer learns the classes (SetFit, Tunstall et al. 2022; supervised contrastive loss, Khosla et al. 2020).

    loss: cosine is SetFit's (squared distance of each pair's cosine from 1 or 0), supervised finds partners among all; auto is
        cosine for up to 16 texts a class.
    steps: of the optimiser in which the encoder learns; auto is by the number of texts.
    learning_rate: of the encoder; auto is a third of what full tuning takes.
    temperature: of the supervised loss.
    """

    loss: Literal["auto", "cosine", "supervised"] = "auto"
    steps: Positive | Literal["auto"] = "auto"
    learning_rate: Annotated[float, Gt(0)] | Literal["auto"] = "auto"
    temperature: Annotated[float, Gt(0)] = 0.1
    refuses: ClassVar[tuple[str, ...]] = (OTHERS,)
    why_alone: ClassVar[str] = "contrastive teaches the encoder and then its last layer in its own two steps"

    def teach(self, model: Any, train: Any, *, settings: Any, seed: int, scratch: Path, progress: Progress) -> Any:
        from burnish.nn import contrastive

        kind = contrastive.loss_for(train.targets) if self.loss == "auto" else self.loss
        pairs = contrastive.Pairs(kind, self.temperature)
        common: dict[str, Any] = {"settings": settings, "seed": seed, "scratch": scratch, "progress": progress}
        steps = self._steps(len(train))
        return contrastive.teach(model, train, pairs=pairs, steps=steps, learning_rate=self.learning_rate, **common)

    def paced(self, settings: Any, *, count: int, longest: int) -> Any:
        from burnish.nn import contrastive

        return contrastive.paced(settings, steps=self._steps(count), longest=longest)

    def _steps(self, count: int) -> int:
        from burnish.nn import contrastive

        return contrastive.steps_for(count) if self.steps == "auto" else self.steps
