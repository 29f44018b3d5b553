"""A pattern with a hole, and words that may stand in it: a language model classifies by what it would write there.

Pattern-exploiting training (Schick & Schütze 2021) and LM-BFF (Gao, Fisch & Chen 2021), for masked models (the hole is the
mask) and for decoders (the hole is what comes next). Nothing is drawn at random, so it answers before it has learnt
anything. The score of a class is the log of the mean of exp(logit) over its words, less its score for a pattern without a
text (contextual calibration: Zhao et al. 2021), which a language model prefers for reasons of its own.

Head.more: words, for each class the tokens that stand for it; neutral, token sequences of patterns without a text, or [].
On disk it is the stock language model; the scores without a text stand on the card (`offset`).
B texts, L tokens, C classes, D hidden, V vocabulary.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from burnish.core.errors import WeightsError
from burnish.nn import samples
from burnish.nn.models import Head
from burnish.nn.quiet import silent_loading


class PatternClassifier(nn.Module):
    """forward gives (B, C). network: of transformers, with its language head; mask_token: None for a decoder."""

    exact = ()
    words_CW: Tensor
    there_CW: Tensor
    offset_C: Tensor

    def __init__(
        self, network: Any, labels: Sequence[str], words: Sequence[Sequence[int]], mask_token: int | None
    ) -> None:
        super().__init__()
        self.network, self.labels, self.mask_token = network, tuple(labels), mask_token
        self.config: Any = network.config
        longest = max(map(len, words))
        padded = [[*tokens, *[tokens[0]] * (longest - len(tokens))] for tokens in words]
        there = [[1.0] * len(tokens) + [0.0] * (longest - len(tokens)) for tokens in words]
        self.register_buffer("words_CW", torch.tensor(padded), persistent=False)
        self.register_buffer("there_CW", torch.tensor(there), persistent=False)
        self.register_buffer("offset_C", torch.zeros(len(words)), persistent=False)

    @property
    def plain(self) -> Any:
        """The model of transformers; adapters are inside its layers."""
        return self.network

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None) -> Tensor:
        return self.scores(input_ids, attention_mask) - self.offset_C

    def scores(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """(B, C) before what the classes have without a text is taken off."""
        logits_BV = self._at_hole(input_ids, attention_mask).float()
        logits_BCW = logits_BV[:, self.words_CW] + torch.log(self.there_CW)
        return torch.logsumexp(logits_BCW, -1) - torch.log(self.there_CW.sum(-1))

    def _at_hole(self, ids_BL: Tensor, mask_BL: Tensor) -> Tensor:
        """(B, V): only the row of the hole goes through the language head, where that is one module."""
        at_B = mask_BL.sum(1) - 1 if self.mask_token is None else (ids_BL == self.mask_token).long().argmax(1)
        base = self.network.base_model
        others = [part for part in self.network.children() if part is not base]
        if len(others) != 1:
            logits_BLV = self.network(input_ids=ids_BL, attention_mask=mask_BL).logits
            return _rows(logits_BLV, at_B)
        hidden_BLD = base(input_ids=ids_BL, attention_mask=mask_BL).last_hidden_state
        made: Tensor = others[0](_rows(hidden_BLD, at_B))
        return made

    @torch.no_grad()
    def calibrate(self, neutral: Sequence[Sequence[int]]) -> None:
        """Take off what the classes score for these patterns without a text, from now on."""
        if not neutral:
            return
        found = []
        with samples.at_rest(self):
            for tokens in neutral:
                ids_1L = torch.tensor([list(tokens)])
                found.append(torch.log_softmax(self.scores(ids_1L, torch.ones_like(ids_1L)), -1)[0])
        self.offset_C.copy_(torch.stack(found).mean(0))

    def facts(self) -> dict[str, Any]:
        """For the model's card."""
        return {"offset": [round(float(value), 6) for value in self.offset_C]}


def _rows(values_BLX: Tensor, at_B: Tensor) -> Tensor:
    """(B, X): of each text the row at its place."""
    at_B1X = at_B.view(-1, 1, 1).expand(-1, 1, values_BLX.shape[-1])
    return values_BLX.gather(1, at_B1X).squeeze(1)


@silent_loading()
def build(folder: str | Path, head: Head, *, seed: int = 0) -> PatternClassifier:
    """The language model in `folder`, asked by the words of `head`; it has no fresh weights."""
    model = _classifier(folder, head)
    model.calibrate(head.more.get("neutral", []))
    return model


def _classifier(folder: str | Path, head: Head) -> PatternClassifier:
    from transformers import AutoModelForCausalLM, AutoModelForMaskedLM

    family: Any = AutoModelForCausalLM if head.more["mask_token"] is None else AutoModelForMaskedLM
    with torch.random.fork_rng(devices=[]):
        network, told = family.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
    if missing := sorted(told["missing_keys"]):
        raise WeightsError(
            f"no language head: {', '.join(missing[:3])} {'is' if len(missing) == 1 else 'are'} not in the weights",
            where=str(folder),
            hint="task.pattern needs a model that predicts tokens: a decoder (smollm2), or a masked model that "
            "train.pretrain made or a hub has",
        )
    return PatternClassifier(network, head.labels, head.more["words"], head.more["mask_token"])


@silent_loading()
def save(model: PatternClassifier, folder: Path, *, tokenizer: Any) -> None:
    """Write the language model as save_pretrained does, load it again, and compare; WeightsError when it differs."""
    model.network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    words = [[int(token) for token in row] for row in model.words_CW]
    again = _classifier(folder, Head("pattern", model.labels, {"words": words, "mask_token": model.mask_token}))
    ids_BL, mask_BL = samples.tokens(model.config.vocab_size)
    if model.mask_token is not None:
        ids_BL[:, 0] = model.mask_token
    with samples.at_rest(model), samples.at_rest(again):
        ours, theirs = (torch.log_softmax(one._at_hole(ids_BL, mask_BL).float(), -1) for one in (model, again))
    if not torch.allclose(ours, theirs, rtol=1e-3, atol=1e-3):
        worst = float((ours - theirs).abs().max())
        raise WeightsError(f"{folder}: the saved model differs from the trained one by {worst:.3g} in its logits")


@silent_loading()
def load(folder: str | Path, head: Head) -> PatternClassifier:
    """What `save` wrote, with the scores without a text that stand on its card."""
    model = _classifier(folder, head)
    card = json.loads((Path(folder) / "burnish.json").read_text("utf-8"))
    model.offset_C.copy_(torch.tensor(card["offset"]))
    return model.eval()
