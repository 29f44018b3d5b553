"""Which relation a pair of spans has: a head that reads the two opening markers (Zhou & Chen 2021; Soares et al. 2019).

    pair = dense([hidden of <|head|>, hidden of <|tail|>]);  logits = W dropout(tanh(pair)) + b

The markers are found by their ids, which the backbone's configuration keeps as `marker_ids`, so the network takes what
every encoder takes. On disk: the backbone as `AutoModel` loads it, its tokenizer with the markers, and `head.safetensors`.

B pairs, L tokens, D hidden, C classes.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from burnish.core.errors import WeightsError
from burnish.nn.markers import MARKERS, add_markers
from burnish.nn.models import Head
from burnish.nn.quiet import silent_loading

STARTED_AS = ("@", "@", "#", "#")  # whose embeddings MARKERS start from, as the paper marks with these themselves
HEAD_FILE = "head.safetensors"


class PairClassifier(nn.Module):
    """An encoder under a head for marked pairs. forward gives (B, C) logits; each row holds each marker once."""

    exact = ("dense", "out")  # modules that may stay fp32 when the encoder does not

    def __init__(self, encoder: nn.Module, *, labels: Sequence[str], seed: int = 0) -> None:
        super().__init__()
        config: Any = encoder.config
        self.encoder, self.config, self.labels = encoder, config, tuple(labels)
        opening = config.marker_ids
        self.head_id, self.tail_id = int(opening[0]), int(opening[2])
        hidden = int(config.hidden_size)
        with torch.random.fork_rng(devices=[]):  # nn.Linear draws first weights that nobody will see
            self.dense = nn.Linear(2 * hidden, hidden)
            self.out = nn.Linear(hidden, len(labels))
        rate = getattr(config, "hidden_dropout_prob", None)
        self.dropout = nn.Dropout(0.1 if rate is None else rate)
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            self.dense.weight.normal_(0.0, (2 * hidden) ** -0.5, generator=generator)
            self.out.weight.normal_(0.0, 0.02, generator=generator)
            self.dense.bias.zero_()
            self.out.bias.zero_()

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None) -> Tensor:
        more = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
        hidden_BLD = self.encoder(input_ids=input_ids, attention_mask=attention_mask, **more).last_hidden_state
        # a product with a row of one 1: it exports to two operators, and its gradient needs no scatter
        at_B2L = torch.stack([input_ids == self.head_id, input_ids == self.tail_id], 1).to(hidden_BLD.dtype)
        pair_BE = (at_B2L @ hidden_BLD).flatten(1).to(self.dense.weight.dtype)
        logits_BC: Tensor = self.out(self.dropout(torch.tanh(self.dense(pair_BE))))
        return logits_BC


@silent_loading()
def build(folder: str | Path, head: Head, *, seed: int) -> nn.Module:
    """The encoder in `folder`, with rows for the markers, under a fresh head."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    encoder = _encoder(folder)
    ids = add_markers(tokenizer)
    table: Any = encoder.get_input_embeddings()
    # transformers would draw new rows from a fitted Gaussian of the whole table, in seconds for 250,000 rows; ours are set below
    if max(ids) >= table.num_embeddings:
        with torch.random.fork_rng(devices=[]):
            encoder.resize_token_embeddings(max(ids) + 1, mean_resizing=False)
        table = encoder.get_input_embeddings()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        spread = float(table.weight[: min(ids)].std())
        for one, sign in zip(ids, STARTED_AS, strict=True):
            like = [i for i in tokenizer(sign, add_special_tokens=False)["input_ids"] if i != tokenizer.unk_token_id]
            row = table.weight[like].mean(0) if like else table.weight[: min(ids)].mean(0)
            # a little noise: the two sides of a span, and signs the vocabulary has not, would start alike
            noise = torch.randn(row.shape, generator=generator)
            table.weight[one] = row + (0.1 if like else 1.0) * spread * noise
    encoder.config.marker_ids = ids
    return PairClassifier(encoder, labels=head.labels, seed=seed)


def _encoder(folder: str | Path) -> Any:
    """An encoder of transformers without a pooler, where its family can leave that out."""
    from transformers import MODEL_MAPPING, AutoConfig, AutoModel

    family: Any = MODEL_MAPPING[type(AutoConfig.from_pretrained(folder))]
    more = {"add_pooling_layer": False} if "add_pooling_layer" in inspect.signature(family).parameters else {}
    with torch.random.fork_rng(devices=[]):
        return AutoModel.from_pretrained(folder, dtype=torch.float32, **more)


@silent_loading()
def save(model: Any, folder: Path, *, tokenizer: Any) -> None:
    """Write the encoder, the tokenizer with its markers and the head, load them again, and compare.

    Raises WeightsError when what was written does not give the logits of what is in memory.
    """
    from safetensors.torch import save_file

    if add_markers(tokenizer) != list(model.config.marker_ids):
        raise WeightsError(f"{folder}: the tokenizer numbers the markers {MARKERS} otherwise than the network")
    model.encoder.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    save_file(
        {
            name: value.detach().contiguous()
            for name, value in model.state_dict().items()
            if not name.startswith("encoder.")
        },
        folder / HEAD_FILE,
    )
    again = load(folder, Head("markers", model.labels))
    generator = torch.Generator().manual_seed(0)
    ids_BL = torch.randint(5, min(model.config.marker_ids), (4, 12), generator=generator)
    ids_BL[:, 1], ids_BL[:, 4] = model.head_id, model.tail_id
    mask_BL = (torch.arange(12)[None] < torch.tensor([12, 9, 6, 5])[:, None]).long()
    was_training = model.training
    model.eval()
    with torch.no_grad():
        worst = float((model(ids_BL, mask_BL) - again(ids_BL, mask_BL)).abs().max())
    model.train(was_training)
    if not worst <= 1e-3:
        raise WeightsError(f"{folder}: the saved model differs from the trained one by {worst:.3g} in its logits")


@silent_loading()
def load(folder: str | Path, head: Head) -> nn.Module:
    """What `save` wrote, for prediction and further training."""
    from safetensors.torch import load_file

    model = PairClassifier(_encoder(folder), labels=head.labels)
    missing, foreign = model.load_state_dict(load_file(Path(folder) / HEAD_FILE), strict=False)
    if foreign or any(not name.startswith("encoder.") for name in missing):
        raise WeightsError(f"{Path(folder) / HEAD_FILE}: it is not the head of this model")
    return model.eval()
