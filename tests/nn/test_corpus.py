"""Packed windows on disk: what is in them, what is counted, the same bytes after a kill, damage found."""

import json
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.core.errors import BurnishError, DataError
from burnish.core.records import Record
from burnish.nn.batches import _cut, batches_of, make_batch, training_order
from burnish.nn.corpus import Corpus, Packed, build
from burnish.nn.packing import Frame, Windows, packer
from burnish.nn.pieces import learn

PACKINGS = ("concatenate", "documents", "sentences")


def document(at: int) -> str:
    words = ["film", "room", "staff", "北京", "酒店", "day", "warm"]
    return " ".join(f"The {words[(at + i) % 7]} was {words[(at * i) % 7]} {at}." for i in range(1 + at % 9))


DOCUMENTS = [document(at) for at in range(300)]


@pytest.fixture(scope="module")
def encoder():
    return learn(DOCUMENTS, vocabulary=400, architecture="encoder")


@pytest.fixture(scope="module")
def decoder():
    return learn(DOCUMENTS, vocabulary=400)


def content(packed: Packed, corpus: Corpus) -> list[list[int]]:
    """The tokens of every window without its frame."""
    before, behind = (len(one) for one in corpus.frame)
    windows = [packed.tokens[packed.window(i)].tolist() for i in range(len(packed))]
    return [one[before : len(one) - behind] for one in windows]


@pytest.mark.parametrize("packing", PACKINGS)
def test_every_token_of_every_document_is_in_the_windows_once(packing, encoder, decoder, tmp_path) -> None:
    for name, tokenizer in {"encoder": encoder, "decoder": decoder}.items():
        corpus = build(tmp_path / name, DOCUMENTS, tokenizer, length=32, packing=packing, held_out=0.0, least=1)
        packed = corpus.examples()
        assert isinstance(packed.tokens, np.memmap) and packed.tokens.dtype == np.uint16
        assert int(packed.lengths.max()) <= 32 and corpus.facts["dropped_windows"] == 0
        flow = [number for one in content(packed, corpus) for number in one]
        special = {tokenizer.sep_token_id, tokenizer.eos_token_id}
        assert tokenizer.decode([number for number in flow if number not in special]) == "".join(DOCUMENTS)
        ends = 0 if name == "encoder" and packing != "concatenate" else len(DOCUMENTS)
        assert sum(number in special for number in flow) == ends
        assert corpus.facts["tokens"] == len(flow) - ends
        assert corpus.facts["characters"] == sum(map(len, DOCUMENTS))
        assert corpus.facts["window_tokens"]["train"] == len(packed.tokens) == int(packed.offsets[-1])


def test_windows_of_an_encoder_are_framed_and_of_documents_hold_one_each(encoder, tmp_path) -> None:
    for packing in PACKINGS:
        corpus = build(tmp_path / packing, DOCUMENTS, encoder, length=32, packing=packing, held_out=0.0)
        packed = corpus.examples()
        assert (packed.tokens[packed.offsets[:-1]] == encoder.cls_token_id).all()
        assert (packed.tokens[packed.offsets[1:] - 1] == encoder.sep_token_id).all()
        rows = np.arange(len(packed))
        found_BL = packed.documents_of(rows, length=32)
        assert ((found_BL >= 0) == (np.arange(32) < packed.lengths[:, None])).all()
        several = sum(len(set(one[one >= 0])) > 1 for one in found_BL)
        assert (several > 0) == (packing == "concatenate")
        assert (packed.document_ids == found_BL[:, 0]).all() and (np.diff(packed.document_ids) >= 0).all()
        for row in rows:
            for number in set(found_BL[row].tolist()) - {-1}:
                said = packed.tokens[packed.window(row)][found_BL[row][: packed.lengths[row]] == number]
                assert encoder.decode(said, skip_special_tokens=True) in DOCUMENTS[number]


def test_sentences_begin_where_they_are_said_to(encoder, tmp_path) -> None:
    corpus = build(tmp_path / "c", DOCUMENTS, encoder, length=40, packing="sentences", held_out=0.0, free=1, least=1)
    packed = corpus.examples()
    assert int(packed.lengths.max()) <= 39
    met = 0
    for row in range(len(packed)):
        tokens = packed.tokens[packed.window(row)]
        begins = packed.sentences_of(row)
        assert begins[0] == 1 and (np.diff(begins) > 0).all()
        for start, end in zip(begins, [*begins[1:], len(tokens) - 1], strict=True):
            said = encoder.decode(tokens[start:end]).strip()
            assert said.startswith("The ") and said.endswith(".") and said.count(".") == 1
            met += 1
    assert met == sum(text.count(".") for text in DOCUMENTS)


def held_out(corpus: Corpus, decoder) -> Counter[str]:
    """The documents of the validation side."""
    flow = [number for one in content(corpus.examples("validation"), corpus) for number in one]
    return Counter(decoder.decode(flow).split("<|im_end|>")[:-1])


def test_validation_holds_whole_documents_drawn_by_what_they_say(decoder, tmp_path) -> None:
    settings_ = {"length": 32, "packing": "documents", "held_out": 0.3, "least": 1}
    corpus = build(tmp_path / "a", DOCUMENTS + DOCUMENTS[:50], decoder, **settings_)
    held = held_out(corpus, decoder)
    assert sum(held.values()) == corpus.facts["held_out"] and 60 < len(held) < 120
    assert all(held[text] == 2 for text in DOCUMENTS[:50] if text in held) and set(held) < set(DOCUMENTS)
    backwards = build(tmp_path / "b", DOCUMENTS[::-1], decoder, **settings_)
    assert set(held_out(backwards, decoder)) == set(held), "the order of the documents does not matter"
    other = build(tmp_path / "c", DOCUMENTS, decoder, **settings_, seed=1)
    assert set(held_out(other, decoder)) != set(held)


def test_documents_of_one_group_fall_on_one_side(decoder, tmp_path) -> None:
    records = [Record(text=text, group=f"g{at % 40}") for at, text in enumerate(DOCUMENTS)]
    corpus = build(tmp_path / "c", records, decoder, length=32, packing="documents", held_out=0.3, least=1)
    held = held_out(corpus, decoder)
    sides: dict[str, set[bool]] = {}
    for record in records:
        sides.setdefault(record.group, set()).add(record.text in held)
    assert all(len(side) == 1 for side in sides.values()) and len({True in side for side in sides.values()}) == 2


def test_what_is_dropped_is_counted(decoder, tmp_path) -> None:
    given_ = [*DOCUMENTS, "", " \n", None, {"label": "x"}, "\ud800", "a", {"text": "Not a word of this is dropped."}]
    corpus = build(tmp_path / "c", given_, decoder, length=32, packing="documents", held_out=0.0, least=4)
    assert corpus.facts["dropped"] == {"empty text": 2, "no text": 2, "not Unicode": 1}
    assert corpus.facts["documents"] == len(DOCUMENTS) + 2 and corpus.facts["dropped_windows"] >= 1
    lost = corpus.facts["dropped_tokens"]
    assert lost == corpus.facts["tokens"] + corpus.facts["documents"] - len(corpus.examples().tokens) > 0
    with pytest.raises(DataError, match="no text is left"):
        build(tmp_path / "d", ["", " "], decoder, length=32)


def test_a_text_that_names_special_tokens_is_text(encoder, decoder, tmp_path) -> None:
    said = "He wrote [MASK] and </s> and <|im_end|> and [SEP] here."
    for name, tokenizer in {"e": encoder, "d": decoder}.items():
        corpus = build(tmp_path / name, [said], tokenizer, length=200, packing="documents", held_out=0.0)
        tokens = corpus.examples().tokens
        assert sum(int(number) in tokenizer.all_special_ids for number in tokens) == (2 if name == "e" else 1)
        assert tokenizer.decode(tokens, skip_special_tokens=True) == said


def test_batches_are_those_of_the_same_windows_in_memory(encoder, tmp_path) -> None:
    corpus = build(tmp_path / "c", DOCUMENTS, encoder, length=32, packing="documents", held_out=0.0)
    packed = corpus.examples()
    loaded = packed.take(np.arange(len(packed)))
    assert not isinstance(loaded, Packed)
    order = training_order(packed.lengths, batch_tokens=256, seed=0, epoch=0)
    for a, b in zip(*(batches_of(one, order, pad_token=0) for one in (packed, loaded)), strict=True):
        assert (a.ids_BL == b.ids_BL).all() and (a.mask_BL == b.mask_BL).all() and a.ids_BL.dtype == b.ids_BL.dtype


def test_the_digest_is_of_the_content_and_reads_no_tokens(encoder, tmp_path, monkeypatch) -> None:
    a = build(tmp_path / "a", DOCUMENTS, encoder, length=32)
    b = build(tmp_path / "b", DOCUMENTS, encoder, length=32)
    c = build(tmp_path / "c", [*DOCUMENTS[:-1], "Another one, at the end."], encoder, length=32)
    assert a.digest() == b.digest() != c.digest()
    assert a.examples().digest() == b.examples().digest() != a.examples("validation").digest()
    packed = a.examples()
    weighed = replace(packed, weights=np.ones(len(packed), np.float32))
    assert len({packed.digest(), weighed.digest(), c.examples().digest()}) == 3
    (tmp_path / "a" / "train" / "tokens").chmod(0o000)
    monkeypatch.setattr(np.memmap, "tobytes", lambda self: pytest.fail("tokens were read"))
    assert packed.digest() == b.examples().digest()


KILLED = """
import json, os, signal, sys
from pathlib import Path
from transformers import PreTrainedTokenizerFast
from burnish.nn import corpus
corpus.BATCH_DOCUMENTS = 20
after = int(sys.argv[2])
def stream():
    for at, text in enumerate(json.loads(sys.stdin.read())):
        if at == after:
            os.kill(os.getpid(), signal.SIGKILL)
        yield text
made = corpus.build(Path(sys.argv[1]) / "c", stream(), PreTrainedTokenizerFast.from_pretrained(Path(sys.argv[1]) / "t"),
    length=32, packing=sys.argv[3], shard_tokens=500, held_out=0.1)
print(made.digest())
"""


@pytest.mark.parametrize("packing", ["concatenate", "sentences"])
def test_a_build_that_was_killed_ends_with_the_same_bytes(packing, encoder, tmp_path, monkeypatch) -> None:
    from burnish.nn import corpus

    encoder.save_pretrained(tmp_path / "t")
    run = [sys.executable, "-c", KILLED, str(tmp_path)]
    killed = subprocess.run([*run, "230", packing], input=json.dumps(DOCUMENTS), capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    making = tmp_path / ".making-c"
    noted = (making / "noted.json").read_text("utf-8")
    assert '"read": 0' not in noted and not (tmp_path / "c").exists()
    with (making / "train" / "tokens").open("ab") as file:
        file.write(b"what was written after the last shard and is cut off")
    monkeypatch.setattr(corpus, "BATCH_DOCUMENTS", 20)
    cut = []
    encode = corpus._Tokenise.__call__
    monkeypatch.setattr(corpus._Tokenise, "__call__", lambda self, texts: (cut.extend(texts), encode(self, texts))[1])
    settings_ = {"length": 32, "packing": packing, "shard_tokens": 500, "held_out": 0.1}
    again = corpus.build(tmp_path / "c", DOCUMENTS, encoder, **settings_)
    assert 70 <= len(cut) < len(DOCUMENTS), "what was behind the last shard was not tokenised again"
    whole = corpus.build(tmp_path / "whole", DOCUMENTS, encoder, **settings_)
    assert again.digest() == whole.digest() and again.facts == whole.facts and again.verify() == whole.verify() == []
    for side in ("train", "validation"):
        for name in corpus.FILES:
            assert (tmp_path / "c" / side / name).read_bytes() == (tmp_path / "whole" / side / name).read_bytes()
    assert not (tmp_path / "c" / "noted.json").exists() and not making.exists()


def test_several_processes_write_the_same_bytes(encoder, tmp_path, monkeypatch) -> None:
    from burnish.nn import corpus

    monkeypatch.setattr(corpus, "BATCH_DOCUMENTS", 50)
    one = build(tmp_path / "one", DOCUMENTS, encoder, length=32, packing="sentences")
    two = build(tmp_path / "two", DOCUMENTS, encoder, length=32, packing="sentences", processes=2)
    assert one.digest() == two.digest() and one.facts == two.facts


def test_a_corpus_that_is_there_is_given_back_or_refused(encoder, tmp_path, monkeypatch) -> None:
    from burnish.nn import corpus

    first = build(tmp_path / "c", DOCUMENTS, encoder, length=32)
    monkeypatch.setattr(corpus._Tokenise, "__call__", lambda self, texts: pytest.fail("tokenised again"))
    assert build(tmp_path / "c", iter(DOCUMENTS), encoder, length=32).digest() == first.digest()
    for documents, length in ((DOCUMENTS[1:], 32), (DOCUMENTS, 40)):
        with pytest.raises(BurnishError, match="other documents or settings"):
            build(tmp_path / "c", documents, encoder, length=length)


def test_damage_is_found(encoder, tmp_path, monkeypatch) -> None:
    from burnish.nn import corpus

    monkeypatch.setattr(corpus, "BATCH_DOCUMENTS", 20)
    made = build(tmp_path / "c", DOCUMENTS, encoder, length=32, shard_tokens=500)
    assert len(made.manifest["shards"]["train"]) > 3 and made.verify() == []
    path = tmp_path / "c" / "train" / "tokens"
    damaged = bytearray(path.read_bytes())
    damaged[-1] ^= 1
    path.write_bytes(damaged)
    (found,) = Corpus.open(tmp_path / "c").verify()
    assert found.startswith(f"train/tokens: shard {len(made.manifest['shards']['train']) - 1} ")
    path.write_bytes(damaged[:-2])
    with pytest.raises(DataError, match=r"tokens: is not the [\d,]+ bytes"):
        Corpus.open(tmp_path / "c")
    with pytest.raises(DataError, match="no finished corpus"):
        Corpus.open(tmp_path)


@given(
    st.lists(st.lists(st.integers(1, 9), max_size=4), max_size=12),
    st.sampled_from(PACKINGS),
    st.integers(4, 9),
    st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_packing_loses_and_moves_nothing(documents, packing, length, framed) -> None:
    """documents: sentences given by their lengths. Tokens are numbered, so that order and loss show."""
    frame = Frame((1,), (2,)) if framed else Frame((), (), (), (3,))
    pack, found, number = packer(packing, frame, length=length, least=1), Windows(), 10
    began, expected = [], []
    for sentences in documents:
        arrays = []
        for size in sentences:
            arrays.append(np.arange(number, number + size, dtype=np.uint32))
            number += size
        if arrays:
            began.append(int(arrays[0][0]))
            expected += [int(one) for array in arrays for one in array]
            pack.add(arrays, found)
    pack.finish(found)
    flow = np.concatenate([*found.tokens, np.zeros(0, np.uint32)]).tolist()
    assert [one for one in flow if one >= 10] == expected and sum(found.lengths) == len(flow)
    assert max(found.lengths, default=0) <= length and len(found.documents) == len(began)
    for at, first in zip(found.documents, began, strict=True):
        assert flow[at] == first or flow[at : at + 2] == [1, first]


def test_batches_are_cut_as_row_by_row() -> None:
    """Against the plain loop, on lengths of any kind."""

    def plain(lengths, order, batch_tokens):
        batches, start, longest = [], 0, 0
        for end, row in enumerate(order):
            longer = max(longest, int(lengths[row]))
            if end > start and longer * (end + 1 - start) > batch_tokens:
                batches.append(order[start:end].tolist())
                start, longer = end, int(lengths[row])
            longest = longer
        return [*batches, order[start:].tolist()] if start < len(order) else batches

    random = np.random.default_rng(0)
    for _ in range(300):
        lengths = random.integers(0, random.integers(1, 40) + 1, random.integers(0, 60))
        order = np.argsort(lengths + random.random(len(lengths)) * 1.5, kind="stable")
        budget = int(random.integers(1, 200))
        assert [one.tolist() for one in _cut(lengths, order, budget)] == plain(lengths, order, budget)


def test_a_million_windows_of_one_length_are_ordered_in_a_blink() -> None:
    import time

    lengths = np.full(1_000_000, 128)
    began = time.process_time()
    order = training_order(lengths, batch_tokens=8192, seed=0, epoch=0)
    assert time.process_time() - began < 2 and len(order) == 15_625
    assert (np.sort(np.concatenate(order)) == np.arange(1_000_000)).all()


def test_a_batch_of_a_memory_map_is_int64(encoder, tmp_path) -> None:
    corpus = build(tmp_path / "c", DOCUMENTS, encoder, length=32)
    batch = make_batch(corpus.examples(), np.array([3, 0]), pad_token=0)
    assert str(batch.ids_BL.dtype) == "torch.int64" and batch.ids_BL.shape == (2, 32) and batch.full
