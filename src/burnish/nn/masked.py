"""A masked language model that puts other words in place of some of a text's.

B texts of a batch, L tokens, V vocabulary, M masked places.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from burnish.core.errors import WeightsError
from burnish.core.progress import Progress
from burnish.nn.quiet import silent_loading
from burnish.text.edits import Edit, Stretch
from burnish.text.words import placed

BATCH_TOKENS = 4096
LONGEST = 512  # tokens of a text that are read
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")


class Passage(Protocol):
    """A text, the dice thrown for it, and which of its stretches may change."""

    @property
    def text(self) -> str: ...

    @property
    def draw(self) -> random.Random: ...

    def free(self, stretches: Sequence[Stretch]) -> list[Stretch]: ...


class Replacing:
    """A loaded model. candidates: the likeliest words that a replacement is drawn from.

    WeightsError where the folder has no masked language model's head: a drawn one would put in anything.
    """

    @silent_loading()
    def __init__(self, folder: Path, *, candidates: int) -> None:
        from transformers import MODEL_FOR_MASKED_LM_MAPPING, AutoConfig, AutoModelForMaskedLM, AutoTokenizer

        config = AutoConfig.from_pretrained(folder)
        hint = "augment masked.model: a folder of AutoModelForMaskedLM, such as train.pretrain makes"
        if type(config) not in MODEL_FOR_MASKED_LM_MAPPING:
            raise WeightsError(f"{config.model_type} is no masked language model", where=str(folder), hint=hint)
        model, said = AutoModelForMaskedLM.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
        if missing := sorted(said["missing_keys"]):
            raise WeightsError(f"no masked language model: {missing[0]} is missing", where=str(folder), hint=hint)
        self.model: Any = model.eval()
        self.tokenizer: Any = AutoTokenizer.from_pretrained(folder)
        if self.tokenizer.mask_token_id is None or not self.tokenizer.is_fast:
            raise WeightsError("its tokenizer has no mask, or no places of tokens", where=str(folder), hint=hint)
        limit = int(getattr(config, "max_position_embeddings", LONGEST)) - (2 if "roberta" in config.model_type else 0)
        self.longest = min(LONGEST, limit, int(self.tokenizer.model_max_length))
        self.candidates = candidates
        self.words = self._whole_words(config.vocab_size)
        self.lowers = self.tokenizer.tokenize("AB") == self.tokenizer.tokenize("ab")

    def __call__(self, passages: Sequence[Passage], *, rate: float, progress: Progress) -> list[list[Edit]]:
        """Edits of each passage: `rate` of its words drawn anew, at least one. The same passages give the same edits."""
        made: list[list[Edit]] = [[] for _ in passages]
        read = self.tokenizer(
            [one.text for one in passages],
            truncation=True,
            max_length=self.longest,
            return_offsets_mapping=True,
            return_special_tokens_mask=True,
        )
        chosen = [self._places(one, read, row, rate) for row, one in enumerate(passages)]
        asked = [row for row, places in enumerate(chosen) if places]
        with progress.bar("masked words", len(asked), "texts") as bar, torch.inference_mode():
            for rows in _batches(asked, [len(read["input_ids"][row]) for row in range(len(passages))]):
                for row, logits_MV in zip(
                    rows, self._asked([read["input_ids"][r] for r in rows], [chosen[r] for r in rows]), strict=True
                ):
                    for (token, place), logits_V in zip(chosen[row], logits_MV, strict=True):
                        old = read["input_ids"][row][token]
                        word = self._drawn(logits_V, old, passages[row].text[slice(*place)], passages[row].draw)
                        made[row] += [Edit(*place, word)] if word else []
                bar.advance(len(rows))
        return made

    def _places(self, passage: Passage, read: Any, row: int, rate: float) -> list[tuple[int, Stretch]]:
        """(token, place) of the words to replace: whole words that are one token, and may change."""
        words = passage.free(placed(passage.text))
        offsets = read["offset_mapping"][row]
        special = read["special_tokens_mask"][row]
        token_at: dict[Stretch, int] = {}
        for token, (start, end) in enumerate(offsets):
            if not special[token] and end > start:
                start += len(passage.text[start:end]) - len(
                    passage.text[start:end].lstrip()
                )  # " word" of byte-level BPE
                token_at[start, end] = token
        can = [
            (token_at[word], word) for word in words if word in token_at and _WORD.fullmatch(passage.text[slice(*word)])
        ]
        count = max(1, int(rate * len(words)))
        return sorted(passage.draw.sample(can, min(count, len(can))))

    def _asked(self, ids: list[list[int]], chosen: list[list[tuple[int, Stretch]]]) -> Iterator[np.ndarray]:
        """(M, V) logits at the masked places of each text."""
        longest = max(map(len, ids))
        pad = self.tokenizer.pad_token_id or 0
        ids_BL = torch.tensor([[*one, *[pad] * (longest - len(one))] for one in ids])
        mask_BL = torch.tensor([[1] * len(one) + [0] * (longest - len(one)) for one in ids])
        for row, places in enumerate(chosen):
            for token, _ in places:
                ids_BL[row, token] = self.tokenizer.mask_token_id
        logits_BLV = self.model(input_ids=ids_BL, attention_mask=mask_BL).logits.float()
        for row, places in enumerate(chosen):
            yield logits_BLV[row, [token for token, _ in places]].numpy()

    def _drawn(self, logits_V: np.ndarray, old: int, said: str, draw: random.Random) -> str:
        """Another word by the chances of the likeliest, written as `said` is; "" where there is none."""
        script = _script(said)
        logits = logits_V.astype(np.float64)
        found: list[tuple[str, float]] = []
        for token in np.argsort(-logits, kind="stable")[: 20 * self.candidates].tolist():
            word = self.words.get(token)
            if word is not None and token != old and word.lower() != said.lower() and _script(word) == script:
                found.append((word, float(logits[token])))
            if len(found) == self.candidates:
                break
        if not found:
            return ""
        top = max(logit for _, logit in found)
        (word,) = draw.choices([word for word, _ in found], [float(np.exp(logit - top)) for _, logit in found])
        return word[:1].upper() + word[1:] if self.lowers and said[:1].isupper() else word

    def _whole_words(self, size: int) -> dict[int, str]:
        """Token -> the word it is, of tokens that begin and end one."""
        special = set(self.tokenizer.all_special_ids)
        tokens = self.tokenizer.convert_ids_to_tokens(list(range(min(size, len(self.tokenizer)))))
        blanks = any(token and token[0] in "Ġ▁" for token in tokens)
        made = {}
        for at, token in enumerate(tokens):
            if at in special or not token or token.startswith("##"):
                continue
            word = self.tokenizer.convert_tokens_to_string([token]).strip()
            begins = not blanks or token[0] in "Ġ▁" or _script(word) == "han"
            if begins and _WORD.fullmatch(word):
                made[at] = word
        return made


def _script(word: str) -> str:
    """What a word is written in, roughly, so that a Latin word is not replaced by a Chinese character."""
    code = ord(word[0])
    return "han" if 0x3400 <= code <= 0x9FFF or code >= 0x20000 else "latin" if code < 0x250 else "other"


def _batches(rows: Sequence[int], lengths: Sequence[int]) -> Iterator[list[int]]:
    """Texts of like length, at most BATCH_TOKENS padded tokens together."""
    batch: list[int] = []
    for row in sorted(rows, key=lambda row: (-lengths[row], row)):
        if batch and (len(batch) + 1) * lengths[batch[0]] > BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch
