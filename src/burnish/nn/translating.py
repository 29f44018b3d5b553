"""Many texts through an encoder-decoder: each distinct one once, in batches of like length."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from burnish.core.errors import WeightsError
from burnish.core.progress import Progress
from burnish.nn.examples import encode
from burnish.nn.generators import GeneratorEngine


class Translating:
    """A loaded model. prompt: what it reads, with {text}. temperature: 0 is greedy, or a search with `beams`."""

    def __init__(self, folder: Path, *, prompt: str = "{text}", temperature: float = 0.0, beams: int = 1) -> None:
        self.engine = GeneratorEngine(folder)
        if not self.engine.reads_first:
            raise WeightsError("it is a decoder", where=str(folder), hint="name an encoder-decoder that translates")
        card = folder / "burnish.json"  # of a run: it was taught with a prompt of its own, perhaps
        own = json.loads(card.read_text("utf-8")).get("task", {}).get("prompt") if card.is_file() else ""
        self.prompt = own if own and prompt == "{text}" else prompt
        self.settings: dict[str, Any] = {"temperature": temperature, "num_beams": 1 if temperature > 0 else beams}

    def __call__(self, texts: Sequence[str], *, seed: int, progress: Progress) -> list[str]:
        """What is written for each; "" for one that is empty or longer than the model reads."""
        distinct = [text for text in dict.fromkeys(texts) if text.strip()]
        asked = [self.prompt.replace("{text}", text) for text in distinct]
        tokenizer, limit = self.engine.tokenizer, self.engine.max_length
        lengths = [len(ids) for ids in tokenizer(asked)["input_ids"]] if asked else []
        whole = [at for at, length in enumerate(lengths) if length <= limit]
        written: dict[str, str] = {}
        with progress.bar("translating", len(whole), "texts") as bar:
            if whole:
                examples = encode([asked[at] for at in whole], tokenizer, max_length=limit)
                longest = int(examples.lengths.max())
                for rows, tokens in self.engine.stream(
                    examples, seed=seed, max_new_tokens=2 * longest + 8, **self.settings
                ):
                    for row, one in zip(rows, tokens, strict=True):
                        said = tokenizer.decode(one, skip_special_tokens=True)
                        written[distinct[whole[int(row)]]] = " ".join(said.split())
                    bar.advance(len(rows))
        return [written.get(text, "") for text in texts]
