"""A small world to rank in: each query asks for a colour and a thing, one candidate names both by other words."""

from __future__ import annotations

import itertools
import random
from pathlib import Path

import pyarrow as pa

from burnish.core.records import Record, to_table

COLOURS = {"红": "chi", "绿": "lv", "蓝": "lan", "黑": "hei", "白": "bai", "黄": "huang"}
THINGS = {"car": "auto", "cup": "mug", "coat": "jacket", "lamp": "light", "boat": "ship", "book": "tome"}
ASKING = ["want", "need", "where", "find", "请问", "哪里"]
TELLING = ["our", "fine", "sale", "今天", "shop"]


def asked(colour: str, thing: str, draw: random.Random) -> str:
    words = [colour, thing, *draw.sample(ASKING, 2)]
    draw.shuffle(words)
    return " ".join(words)


def entry(colour: str, thing: str, draw: random.Random) -> str:
    return f"{COLOURS[colour]} {THINGS[thing]} {draw.choice(TELLING)}"


def world(*, queries: int, candidates: int, seed: int) -> pa.Table:
    """`queries` queries, each with one relevant candidate and `candidates` - 1 others, shuffled among one another."""
    draw = random.Random(seed)
    pairs = list(itertools.product(COLOURS, THINGS))
    made: list[Record] = []
    for number in range(queries):
        colour, thing = draw.choice(pairs)
        query = asked(colour, thing, draw)
        others = draw.sample([pair for pair in pairs if pair != (colour, thing)], candidates - 1)
        for value, pair in [(1.0, (colour, thing)), *((0.0, pair) for pair in others)]:
            made.append(Record(query, text_b=entry(*pair, draw), value=value, group=f"q{number}"))
    draw.shuffle(made)
    return to_table(made)


def pairs_only(count: int, *, seed: int) -> pa.Table:
    """Queries with their relevant candidate and nothing else; a candidate has one wording."""
    draw = random.Random(seed)
    fixed = {pair: entry(*pair, random.Random(str(pair))) for pair in itertools.product(COLOURS, THINGS)}
    chosen = [draw.choice(list(fixed)) for _ in range(count)]
    return to_table(Record(asked(*pair, draw), text_b=fixed[pair], label="1") for pair in chosen)


def backbone(folder: Path, *, hidden: int = 32) -> Path:
    """A BERT of two layers with random weights whose vocabulary is the words of this world."""
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    said = [*COLOURS, *COLOURS.values(), *THINGS, *THINGS.values(), *"请问哪里今天", *ASKING, *TELLING]
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *dict.fromkeys(said)]
    tokenizer = Tokenizer(models.WordLevel({word: at for at, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    folder.mkdir(parents=True, exist_ok=True)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]",
        model_max_length=32, model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    ).save_pretrained(folder)  # fmt: skip
    config = BertConfig(
        vocab_size=len(words), hidden_size=hidden, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        max_position_embeddings=32, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    return folder
