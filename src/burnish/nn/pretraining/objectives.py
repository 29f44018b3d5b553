"""The objectives of pre-training that there are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from annotated_types import Gt, Le

from burnish.core.stage import Share
from burnish.nn.pretraining.base import Pretraining, pretraining

Part = Annotated[float, Gt(0), Le(0.9)]
Mean = Annotated[float, Gt(0)]


@pretraining.part("masked")
@dataclass(frozen=True)
class Masked(Pretraining):
    """Masked language model, masks drawn anew in every step (Devlin et al. 2019; RoBERTa: Liu et al. 2019).

    share: of the tokens that are to be told, special ones never; 0.15 is usual, 0.3 can be better (Wettig et al. 2023).
    masked: of those, how many are read as the mask token; random: as any other token; the rest as they are.
    whole_words: tell all pieces of a word or none; Chinese words too (Cui et al. 2021).
    """

    share: Part = 0.15
    masked: Share = 0.8
    random: Share = 0.1
    whole_words: bool = False

    def objective(self, tokenizer: Any, *, judges: str = "") -> Any:
        from burnish.nn.pretraining_objectives import MaskedTokens, ids_of
        from burnish.nn.word_starts import WordStarts

        return MaskedTokens(
            ids_of(tokenizer, mask=True),
            share=self.share,
            masked=self.masked,
            random=self.random,
            words=WordStarts.of(tokenizer) if self.whole_words else None,
            sentences=bool(judges),
        )


@pretraining.part("next_sentence")
@dataclass(frozen=True)
class NextSentence(Pretraining):
    """Beside masked: does the second text follow the first, or is it of another document (Devlin et al. 2019)?"""

    pairs: ClassVar[str] = "next"


@pretraining.part("sentence_order")
@dataclass(frozen=True)
class SentenceOrder(Pretraining):
    """Beside masked: do two texts that belong together stand in their order (ALBERT: Lan et al. 2020)?"""

    pairs: ClassVar[str] = "order"


@pretraining.part("causal")
@dataclass(frozen=True)
class Causal(Pretraining):
    """Causal language model: every token from those before it (Radford et al. 2018).

    apart: documents that share a window do not see one another.
    """

    kind: ClassVar[str] = "decoder"
    betas: ClassVar[tuple[float, float]] = (0.9, 0.95)
    eps: ClassVar[float] = 1e-8

    apart: bool = False

    def objective(self, tokenizer: Any, *, judges: str = "") -> Any:
        from burnish.nn.pretraining_objectives import CausalTokens

        return CausalTokens(end=int(tokenizer.eos_token_id), apart=self.apart)


@pretraining.part("spans")
@dataclass(frozen=True)
class Spans(Pretraining):
    """Span corruption: runs of tokens become one sentinel each, and are written behind it (T5: Raffel et al. 2020).

    share: of the tokens that are taken out.
    mean: tokens of a run, on average.
    """

    kind: ClassVar[str] = "encoder-decoder"
    betas: ClassVar[tuple[float, float]] = (0.9, 0.98)

    share: Part = 0.15
    mean: Mean = 3.0

    @property
    def sentinels(self) -> int:
        return 100

    def objective(self, tokenizer: Any, *, judges: str = "") -> Any:
        from burnish.nn.pretraining_objectives import CorruptedSpans, ids_of, sentinels_of

        return CorruptedSpans(
            ids_of(tokenizer), share=self.share, mean=self.mean, sentinels=sentinels_of(tokenizer), whole=False
        )


@pretraining.part("denoising")
@dataclass(frozen=True)
class Denoising(Pretraining):
    """Text infilling: runs of tokens become one mask each, and the whole text is written (BART: Lewis et al. 2020).

    share: of the tokens that are taken out.
    mean: tokens of a run, on average.
    """

    kind: ClassVar[str] = "encoder-decoder"

    share: Part = 0.3
    mean: Mean = 3.0

    @property
    def sentinels(self) -> int:
        return 1

    def objective(self, tokenizer: Any, *, judges: str = "") -> Any:
        from burnish.nn.pretraining_objectives import CorruptedSpans, ids_of, sentinels_of

        mask = getattr(tokenizer, "mask_token_id", None)
        marks = (int(mask),) if mask is not None else sentinels_of(tokenizer)[:1]
        return CorruptedSpans(ids_of(tokenizer), share=self.share, mean=self.mean, sentinels=marks, whole=True)
