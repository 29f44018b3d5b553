"""A head that scores every pair of tokens for every type: spans may lie inside one another.

Efficient GlobalPointer (Su Jianlin 2022, after GlobalPointer, Su et al. 2022, arXiv:2208.03054): whether tokens i..j are
a span at all is one product of a query and a key with rotary positions (Su et al. 2021), of which type they are two
sums of a linear layer, so a type costs 4 x SIZE weights and not a product of its own:

    s[c, i, j] = rotate(q_i) . rotate(k_j) / sqrt(SIZE) + (a_c . [q_i, k_i] + b_c . [q_j, k_j]) / 2,   i <= j

On disk: the backbone as transformers saves it, and `head.safetensors`.
B texts, L tokens, D hidden, C types.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from burnish.core.errors import WeightsError
from burnish.nn import samples
from burnish.nn.batches import Batch
from burnish.nn.models import Head
from burnish.nn.quiet import silent_loading

SIZE = 64  # of queries and keys
MASKED = -30.0  # the score of what is no span: padding, an end before its beginning; as a chance 1e-13
HEAD_FILE = "head.safetensors"


class PointerHead(nn.Module):
    """An encoder of transformers under pair scores. forward gives (B, C, L, L) fp32, first token by last token."""

    exact = ("pairs", "types")

    def __init__(self, encoder: Any, *, labels: Sequence[str], seed: int = 0) -> None:
        super().__init__()
        self.encoder, self.labels, self.config = encoder, tuple(labels), encoder.config
        self.dropout = nn.Dropout(float(getattr(encoder.config, "hidden_dropout_prob", 0.1)))
        with torch.random.fork_rng(devices=[]):
            self.pairs = nn.Linear(encoder.config.hidden_size, 2 * SIZE)
            self.types = nn.Linear(2 * SIZE, 2 * len(labels))
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for part in (self.pairs, self.types):
                nn.init.xavier_uniform_(part.weight, generator=generator)
                part.bias.zero_()
        self.typed = "token_type_ids" in inspect.signature(encoder.forward).parameters

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None) -> Tensor:
        more = {} if token_type_ids is None or not self.typed else {"token_type_ids": token_type_ids}
        hidden_BLD = self.encoder(input_ids=input_ids, attention_mask=attention_mask, **more)[0]
        both_BLE = self.pairs(self.dropout(hidden_BLD).to(self.pairs.weight.dtype))
        types_BCL = self.types(both_BLE).float().transpose(1, 2) / 2
        query_BLS, key_BLS = (_rotated(part.float()) for part in both_BLE.chunk(2, -1))
        scores_BLL = query_BLS @ key_BLS.transpose(1, 2) / math.sqrt(SIZE)
        first_BCL, last_BCL = types_BCL.chunk(2, 1)
        scores_BCLL = scores_BLL.unsqueeze(1) + first_BCL.unsqueeze(3) + last_BCL.unsqueeze(2)
        at_L = torch.arange(input_ids.shape[1], device=input_ids.device)
        mask_BL = attention_mask.bool()
        may_BLL = mask_BL.unsqueeze(1) & mask_BL.unsqueeze(2) & (at_L.unsqueeze(1) <= at_L)
        return torch.where(may_BLL.unsqueeze(1), scores_BCLL, torch.full_like(scores_BCLL, MASKED))


def _rotated(x_BLS: Tensor) -> Tensor:
    """Rotary positions: the product of two rotated vectors sees their distance (RoFormer, Su et al. 2021, eq. 34)."""
    half = x_BLS.shape[-1] // 2
    rates_H = 10000.0 ** (-torch.arange(half, dtype=torch.float32, device=x_BLS.device) / half)
    angles_LH = torch.arange(x_BLS.shape[1], device=x_BLS.device).float().unsqueeze(1) * rates_H
    even_BLH, odd_BLH = x_BLS[..., :half], x_BLS[..., half:]
    sin_LH, cos_LH = angles_LH.sin(), angles_LH.cos()
    return torch.cat([even_BLH * cos_LH - odd_BLH * sin_LH, odd_BLH * cos_LH + even_BLH * sin_LH], -1)


@dataclass(frozen=True)
class PairLoss:
    """Every true pair above 0, every other below (Su 2020; Su et al. 2022, arXiv:2208.02955), mean over types.

    log(1 + sum of exp(s) of the false pairs) + log(1 + sum of exp(-s) of the true ones): soft maxima of both, so the few
    true pairs weigh as much as the L x L false ones and no class weight is wanted.
    batch.spans: (M, 4) of window, first token, last token, type. outputs: (B, C, L, L).
    """

    def loss(self, outputs: Tensor, batch: Batch, model: Any) -> Tensor:
        assert batch.spans is not None
        scores_BCLL = outputs.float()
        true_BCLL = torch.zeros_like(scores_BCLL, dtype=torch.bool)
        window, first, last, label = batch.spans.unbind(1)
        true_BCLL[window, label, first, last] = True
        false_BCP = scores_BCLL.masked_fill(true_BCLL, -torch.inf).flatten(2)
        pulled_BCP = (-scores_BCLL).masked_fill(~true_BCLL, -torch.inf).flatten(2)
        loss_BC = sum(torch.logsumexp(functional.pad(part, (0, 1)), -1) for part in (false_BCP, pulled_BCP))
        assert isinstance(loss_BC, Tensor)
        return loss_BC.mean(1)


@silent_loading()
def build(folder: str | Path, head: Head, *, seed: int) -> PointerHead:
    """The encoder in `folder` under fresh pair scores drawn from `seed`. head.labels: the types."""
    with torch.random.fork_rng(devices=[]):
        encoder = _encoder(folder)
    return PointerHead(encoder, labels=head.labels, seed=seed)


def _encoder(folder: str | Path) -> Any:
    """The backbone without a pooler, which nobody here would train."""
    from transformers import AutoConfig, AutoModel

    config = AutoConfig.from_pretrained(folder)
    kind: Any = AutoModel._model_mapping[type(config)]
    pooled = "add_pooling_layer" in inspect.signature(kind).parameters
    return AutoModel.from_pretrained(folder, dtype=torch.float32, **({"add_pooling_layer": False} if pooled else {}))


@silent_loading()
def save(model: PointerHead, folder: Path, *, tokenizer: Any) -> None:
    """Write backbone, tokenizer and `head.safetensors`, load them again, and compare; WeightsError when they differ."""
    from safetensors.torch import save_file

    folder = Path(folder)
    model.encoder.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    save_file(_weights(model), folder / HEAD_FILE)
    again = load(folder, Head("pointer", model.labels))
    ids_BL, mask_BL = samples.tokens(model.config.vocab_size)
    with samples.at_rest(model):
        ours, theirs = model(ids_BL, mask_BL), again(ids_BL, mask_BL)
    if not torch.allclose(ours, theirs, rtol=1e-3, atol=1e-3):
        worst = float((ours - theirs).abs().max())
        raise WeightsError(f"{folder}: the saved model differs from the trained one by {worst:.3g} in its scores")


def _weights(model: PointerHead) -> dict[str, Tensor]:
    return {
        f"{name}.{kind}": value.detach().contiguous()
        for name in model.exact
        for kind, value in model.get_submodule(name).named_parameters()
    }


@silent_loading()
def load(folder: str | Path, head: Head) -> PointerHead:
    """What `save` wrote, ready to predict."""
    from safetensors.torch import load_file

    model = PointerHead(_encoder(folder), labels=head.labels)
    model.load_state_dict(load_file(Path(folder) / HEAD_FILE), strict=False)
    return model.eval()
