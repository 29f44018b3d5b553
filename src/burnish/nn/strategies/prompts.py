"""Learnt tokens before the text (peft; the extra `peft`). The network stands still; the head learns.

They cannot be folded into weights: they lie beside the saved model in peft's layout (`adapter/`) and are taken up when it
is loaded. They take places of the text: a window is that much shorter where the network's positions end.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from burnish.core.stage import Positive
from burnish.nn.strategies.base import Strategy, strategies

# Times the rate of adapters, which the head has. Prompts: 0.3 (Lester et al. 2021), 3e-2 (peft's examples); SST-2 with
# MiniLM, 300 texts: 81.3% at 1e-2, 80.3% at 4e-2; prefixes 5e-3 to 1e-2 and more (P-tuning v2, peft's examples); a network that makes them as adapters.
FASTER, THROUGH = 10.0, 2.0


@dataclass(frozen=True)
class Virtual(Strategy):
    """What stands before a text."""

    adds: ClassVar[bool] = True
    start: ClassVar[str] = "adapters"
    refuses: ClassVar[tuple[str, ...]] = ("frozen",)
    why_alone: ClassVar[str] = "what the lower layers give changes with what stands before the text"
    faster: ClassVar[float] = FASTER

    tokens: Positive = 20

    def config(self, body: Any) -> Any:
        """peft's configuration for this body."""
        raise NotImplementedError

    def first(self, part: Any, body: Any, generator: Any) -> None:
        """Set the first weights of peft's module."""

    def place(self, model: Any, *, seed: int) -> None:
        from burnish.nn import adapters, anatomy, virtual_tokens

        adapters.library(f"the strategy {self.name}")
        virtual_tokens.put_in(model, self.config(anatomy.body(model)), seed=seed, first=self.first)

    def factors(self, model: Any) -> dict[str, float]:
        from burnish.nn.virtual_tokens import PART

        own = [name for name, _ in model.named_parameters() if f"{PART}." in name]
        return dict.fromkeys(own, THROUGH if any(f"{PART}.default.transform." in name for name in own) else self.faster)

    def keep(self, model: Any, folder: Path) -> None:
        from burnish.nn import adapters

        adapters.keep(model, folder)

    def fold(self, model: Any) -> None:
        from burnish.nn import virtual_tokens

        virtual_tokens.take_out(model)

    def take_up(self, model: Any, folder: Path) -> None:
        from burnish.nn import virtual_tokens

        virtual_tokens.take_up(model, folder)

    @property
    def folds(self) -> bool:
        return False

    @property
    def beside(self) -> int:
        return self.tokens


def shape(body: Any) -> dict[str, int]:
    """What peft asks of a network's configuration, by the names that all families answer to."""
    layers = int(body.config.num_hidden_layers)
    return {"num_transformer_submodules": 1, "num_layers": layers, "num_attention_heads": _heads(body.config)}


def _heads(config: Any) -> int:
    return int(getattr(config, "num_attention_heads", 0) or getattr(config, "encoder_attention_heads", 1))


@strategies.part("prompt")
@dataclass(frozen=True)
class Prompt(Virtual):
    """Learnt embeddings before the text, started as words of the vocabulary (Lester et al. 2021, arXiv:2104.08691).

    tokens: how many (peft: num_virtual_tokens).
    """

    tokens: Positive = 20

    def config(self, body: Any) -> Any:
        from burnish.nn import adapters

        return adapters.library(self.name).PromptTuningConfig(
            task_type=adapters.task_type(body),
            num_virtual_tokens=self.tokens,
            **shape(body),
            token_dim=body.get_input_embeddings().weight.shape[1],
        )

    def first(self, part: Any, body: Any, generator: Any) -> None:
        import torch

        table = body.get_input_embeddings().weight
        drawn = torch.randint(0, len(table), (self.tokens,), generator=generator)
        with torch.no_grad():
            part.embedding.weight.copy_(table[drawn.to(table.device)])


@strategies.part("p_tuning")
@dataclass(frozen=True)
class PTuning(Virtual):
    """Learnt embeddings before the text, made by a small network while learning (Liu et al. 2021, arXiv:2103.10385).

    tokens: how many (peft: num_virtual_tokens).
    network: what makes them: MLP, or LSTM as in the paper.
    hidden: width of that network; null is the model's.
    """

    faster: ClassVar[float] = THROUGH

    tokens: Positive = 20
    network: Literal["MLP", "LSTM"] = "MLP"
    hidden: Positive | None = None

    def config(self, body: Any) -> Any:
        from burnish.nn import adapters

        return adapters.library(self.name).PromptEncoderConfig(
            task_type=adapters.task_type(body),
            num_virtual_tokens=self.tokens,
            **shape(body),
            token_dim=body.get_input_embeddings().weight.shape[1],
            encoder_reparameterization_type=self.network,
            encoder_hidden_size=self.hidden or body.get_input_embeddings().weight.shape[1],
        )

    def first(self, part: Any, body: Any, generator: Any) -> None:
        import torch

        table = body.get_input_embeddings().weight
        last = part.mlp_head[-1]
        with torch.no_grad():  # so that the tokens begin with the spread of words
            made = part(torch.arange(self.tokens, device=table.device))
            last.weight.mul_(table.std() / made.std())
            last.bias.mul_(table.std() / made.std())


@strategies.part("prefix")
@dataclass(frozen=True)
class Prefix(Virtual):
    """Learnt keys and values before those of every layer's attention (Li & Liang 2021, arXiv:2101.00190), as in P-tuning
    v2 (Liu et al. 2022). For encoders and decoders whose attention takes a cache.

    tokens: how many in each layer (peft: num_virtual_tokens).
    projection: make them by a two-layer network while learning (prefix_projection), as Li & Liang do.
    hidden: width of that network; null is the model's.
    """

    modules: ClassVar[bool] = True

    tokens: Positive = 20
    projection: bool = False
    hidden: Positive | None = None

    def problem(self, shape: str) -> str:
        known = "prefix is for encoders and decoders, not for an encoder-decoder: prompt, p_tuning or lora"
        return known if shape == "encoder-decoder" else ""

    def config(self, body: Any) -> Any:
        from burnish.nn import adapters

        return adapters.library(self.name).PrefixTuningConfig(
            task_type=adapters.task_type(body),
            num_virtual_tokens=self.tokens,
            **shape(body),
            prefix_projection=self.projection,
            encoder_hidden_size=self.hidden or body.get_input_embeddings().weight.shape[1],
        )

    def first(self, part: Any, body: Any, generator: Any) -> None:
        import torch

        if self.projection:
            return
        with torch.no_grad():  # peft's own spread of 1 drowns what the network has learnt
            part.embedding.weight.normal_(0.0, 0.02, generator=generator)
