"""A real BERT small enough to train in a second, with a WordPiece tokenizer trained here, on sentences made here."""

from __future__ import annotations

import random
from pathlib import Path

WORDS = {
    "good": ["lovely", "bright", "warm", "clever", "推荐", "喜欢"],
    "bad": ["awful", "dull", "broken", "rude", "退货", "失望"],
}
OTHERS = ["the", "film", "room", "was", "and", "staff", "very", "a", "day", "酒店", "房间", "这", "本", "书"]


def sentences(count: int, *, seed: int = 0) -> tuple[list[str], list[int]]:
    """Texts of 4 to 20 words with one word or two that decide; classes alternate."""
    draw = random.Random(seed)
    texts, targets = [], []
    for i in range(count):
        target = i % 2
        words = draw.choices(OTHERS, k=draw.randint(3, 18))
        for word in draw.choices(WORDS["good" if target else "bad"], k=2):
            words.insert(draw.randrange(len(words) + 1), word)
        texts.append(" ".join(words))
        targets.append(target)
    return texts, targets


def make(folder: Path, *, family: str = "bert", big_table: bool = True) -> Path:
    """A folder that AutoModel and AutoTokenizer load: 2 layers, 32 hidden, 2 heads."""
    import torch
    from tokenizers import BertWordPieceTokenizer
    from transformers import AutoModel, BertConfig, BertTokenizerFast, XLMRobertaConfig

    learner = BertWordPieceTokenizer(lowercase=True)
    learner.train_from_iterator(sentences(200)[0], vocab_size=300, show_progress=False)
    folder.mkdir(parents=True, exist_ok=True)
    learner.save_model(str(folder))
    tokenizer = BertTokenizerFast(vocab=str(folder / "vocab.txt"))
    tokenizer.save_pretrained(folder)
    sizes = {
        "vocab_size": 5000 if big_table else 300,  # over kernels.BIG_TABLE, so that its rows learn one by one
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "max_position_embeddings": 64,
    }
    config = BertConfig(**sizes) if family == "bert" else XLMRobertaConfig(**sizes, pad_token_id=0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        AutoModel.from_config(config).save_pretrained(folder)
    return folder
