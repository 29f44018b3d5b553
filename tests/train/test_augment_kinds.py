"""Each kind of augmentation does what it says, in English and in Chinese."""

from __future__ import annotations

import random
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
import tiny_bert

from burnish.core.errors import BurnishError, MissingExtra, WeightsError
from burnish.core.progress import Silent
from burnish.core.records import Record
from burnish.core.stage import TaskSpec
from burnish.core.tasktypes import open_task
from burnish.text.edits import applied
from burnish.text.typos import look_alikes, neighbours, same_sound
from burnish.text.words import words
from burnish.train.augment._cutting import cutter
from burnish.train.augment.base import Ground, Passage, augmentations

TASK = open_task(TaskSpec("classification", ("negative", "positive"), {}, ("en", "zh")))
ENGLISH = "The staff were friendly and the room was very clean, but breakfast was cold."
CHINESE = "酒店房间非常干净，早餐也很丰富，就是前台服务态度一般。"


def said(part, *texts: str, base: Path = Path(), times: int = 40, kept=()) -> list[list[str]]:
    """For each text what it becomes, with different dice."""
    (one,) = augmentations.open(part)
    passages = [Passage(text, tuple(kept), (), random.Random(f"{at} {text}")) for text in texts for at in range(times)]
    write = one.begin(Ground(TASK, passages, base, 0, Silent()))
    made = [applied(passage.text, edits) for passage, edits in zip(passages, write(passages), strict=True)]
    return [made[at : at + times] for at in range(0, len(made), times)]


def test_eda_deletes_words_and_the_blanks_that_parted_them() -> None:
    english, chinese = said({"use": "eda", "operations": ["delete"], "rate": 0.2}, ENGLISH, CHINESE)
    for text, made in ((ENGLISH, english), (CHINESE, chinese)):
        for one in made:
            left = Counter(words(text)) - Counter(words(one))
            assert left and not Counter(words(one)) - Counter(words(text))
            assert "  " not in one and one[0] != " "
    assert said({"use": "eda", "operations": ["delete"], "rate": 1.0}, "one word stays")[0][0].strip() in (
        "one",
        "word",
        "stays",
    )
    assert set(said({"use": "eda", "operations": ["delete"]}, "alone")[0]) == {"alone"}


def test_eda_swaps_words_and_keeps_all_of_them() -> None:
    for text, made in zip(
        (ENGLISH, CHINESE), said({"use": "eda", "operations": ["swap"]}, ENGLISH, CHINESE), strict=True
    ):
        assert all(Counter(words(one)) == Counter(words(text)) for one in made)
        assert sum(one != text for one in made) > 30


def test_eda_inserts_a_word_of_the_text_without_a_dictionary() -> None:
    for text, made in zip(
        (ENGLISH, CHINESE), said({"use": "eda", "operations": ["insert"]}, ENGLISH, CHINESE), strict=True
    ):
        for one in made:
            more = Counter(words(one)) - Counter(words(text))
            assert sum(more.values()) == max(1, int(0.1 * len(words(text)))) and set(more) <= set(words(text))


def test_eda_replaces_by_the_users_synonyms_with_their_capitals(tmp_path) -> None:
    (tmp_path / "s.tsv").write_text("# mine\nfriendly\tkind\nclean\ttidy\tspotless\n干净\t整洁\n\n", "utf-8")
    part = {"use": "eda", "operations": ["replace"], "synonyms": "s.tsv", "rate": 0.2}
    english, chinese, shouted = said(part, ENGLISH, CHINESE, "CLEAN! Friendly", base=tmp_path)
    assert {word for one in english for word in words(one)} - set(words(ENGLISH)) == {"kind", "tidy", "spotless"}
    assert set(chinese) == {CHINESE.replace("干净", "整洁")}
    assert {one for one in shouted} <= {"TIDY! Friendly", "SPOTLESS! Friendly", "CLEAN! Kind"}
    assert len(set(shouted)) == 3


def test_eda_cuts_chinese_into_words_where_it_is_asked_to() -> None:
    pytest.importorskip("rjieba")
    cut = cutter("words")
    text = "emoji🙂我们在北京大学学习, hello world"
    assert [text[slice(*one)] for one in cut(text)] == ["emoji", "我们", "在", "北京大学", "学习", "hello", "world"]
    made = said({"use": "eda", "operations": ["swap"], "chinese": "words"}, "我们在北京大学学习")[0]
    assert all(word in one for one in made for word in ("我们", "北京大学", "学习"))


def test_an_absent_library_is_named_with_its_extra(monkeypatch) -> None:
    import sys

    from burnish.text import segment

    monkeypatch.setitem(sys.modules, "rjieba", None)
    segment._segmenter.cache_clear()
    with pytest.raises(MissingExtra, match="extra 'chinese'"):
        cutter("words")


def test_aeda_adds_marks_and_changes_nothing_else() -> None:
    english, chinese = said("aeda", ENGLISH, CHINESE)
    for text, made in ((ENGLISH, english), (CHINESE, chinese)):
        for one in made:
            assert words(one) == words(text) and len(one) > len(text)
    added = {sign for one in chinese for sign in one}
    assert added - set(CHINESE) <= set("。；？：！，") and not added & set(".;?:!,")
    counts = [len(one) - len(CHINESE) for one in chinese]
    assert min(counts) == 1 and 3 < max(counts) <= int(0.33 * len(words(CHINESE)))


def test_neighbours_are_keys_that_touch() -> None:
    assert set(neighbours()["g"]) == set("ftyhvb") and set(neighbours()["q"]) == set("wa")
    assert set(neighbours()["a"]) == set("qwsz") and set(neighbours()["p"]) == set("ol")
    assert all(letter in neighbours()[other] for letter, others in neighbours().items() for other in others)


def test_characters_are_mistyped_one_way_at_a_time() -> None:
    def only(error: str, text: str) -> list[str]:
        return said({"use": "characters", "errors": [error], "rate": 0.01}, text)[0]

    for one in only("drop", ENGLISH):
        assert len(one) == len(ENGLISH) - 1
    for one in only("swap", CHINESE):
        assert sorted(one) == sorted(CHINESE)
        moved = [at for at, (a, b) in enumerate(zip(one, CHINESE, strict=True)) if a != b]
        assert not moved or moved == [moved[0], moved[0] + 1]
    for one in only("double", ENGLISH):
        assert len(one) == len(ENGLISH) + 1 and any(a == b for a, b in pairwise(one))
    for one in only("neighbour", ENGLISH):
        changed = [(a, b) for a, b in zip(ENGLISH, one, strict=True) if a != b]
        assert len(changed) == 1 and changed[0][1].lower() in neighbours()[changed[0][0].lower()]
    assert set(only("neighbour", CHINESE)) == {CHINESE}, "a Chinese character has no key of its own"
    assert set(only("drop", "🙂 12 !")) == {"🙂 12 !"}


def test_homophones_sound_alike_and_are_in_use() -> None:
    pytest.importorskip("pypinyin")
    from pypinyin import Style, lazy_pinyin

    (made,) = said({"use": "homophones", "rate": 0.2}, CHINESE)
    assert all(one != CHINESE and len(one) == len(CHINESE) for one in made)
    sounds = same_sound(False)
    for one in made:
        for new, old in zip(one, CHINESE, strict=True):
            if new != old:
                assert new in sounds[old] and new.encode("gb2312")[0] < 0xD8
    assert "的" in sounds["地"] or "弟" in sounds["地"]
    for sign in "好是在":
        tone = lazy_pinyin(sign, style=Style.TONE)[0]
        assert all(lazy_pinyin(other, style=Style.TONE)[0] == tone for other in same_sound(True)[sign][:5])
    assert set(same_sound(True)["好"]) < set(sounds["好"])
    assert said("homophones", "no Chinese here")[0][0] == "no Chinese here"


def test_shapes_look_alike() -> None:
    (made,) = said({"use": "homophones", "rate": 1.0, "shapes": 1.0}, "未来己经日本")
    assert all(
        new in look_alikes()[old] for one in made for new, old in zip(one, "未来己经日本", strict=True) if new != old
    )
    assert all("来" in one and "未" not in one for one in made)


def test_counterfactuals_change_who_it_is_about() -> None:
    pairs = {
        "He told his wife that SHE is a King.": "She told her husband that HE is a Queen.",
        "她的爸爸和其他先生弹吉他": "他的妈妈和其他女士弹吉他",
        "The shepherd ate a ham here": "The shepherd ate a ham here",
    }
    for text, wanted in pairs.items():
        assert said("counterfactual", text, times=1)[0][0] == wanted
    assert (
        said({"use": "counterfactual", "about": "groups"}, "a Muslim at the church", times=1)[0][0]
        == "a Christian at the mosque"
    )
    assert said("counterfactual", "he and she", times=1, kept=[(0, 2)])[0][0] == "he and he"


def test_counterfactual_pairs_of_ones_own(tmp_path) -> None:
    (tmp_path / "p.tsv").write_text("cat\tdog\n猫\t狗\n熊猫\t熊猫\n", "utf-8")
    part = {"use": "counterfactual", "pairs": "p.tsv"}
    assert said(part, "Cat, cats, 熊猫和猫", base=tmp_path, times=1)[0][0] == "Dog, cats, 熊猫和狗"
    (tmp_path / "p.tsv").write_text("cat\n", "utf-8")
    with pytest.raises(BurnishError, match=r"p\.tsv:1"):
        said(part, "x", base=tmp_path)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("A good film.", "A bad film."),
        ("这家酒店很干净", "这家酒店很肮脏"),
        ("not a good film", None),  # its opposite may say the same
        ("这家不是很干净", None),
        ("a good film with a terrible end", None),  # two words: who knows
        ("nothing of the kind", None),
    ],
)
def test_invert_turns_text_and_label_round(text: str, wanted: str | None) -> None:
    from burnish.core.records import to_table
    from burnish.train.making import made

    (part,) = augmentations.open({"use": "invert", "flip": {"positive": "negative", "negative": "positive"}})
    table = to_table([Record(text=text, id="a", label="positive", probs=[0.2, 0.8])])
    found = made(part, "invert", table, TASK, judging=(), base=Path(), seed=0, progress=Silent()).table.to_pylist()
    if wanted is None:
        assert found == []
    else:
        (row,) = found
        assert (row["text"], row["label"]) == (wanted, "negative")
        assert row["probs"] == pytest.approx([0.8, 0.2])


@pytest.fixture(scope="module")
def masked_model(tmp_path_factory) -> Path:
    """A masked language model of two layers, taught for a moment on the made sentences."""
    import torch
    from transformers import AutoModelForMaskedLM, AutoTokenizer, BertConfig, BertForMaskedLM

    folder = tiny_bert.make(tmp_path_factory.mktemp("mlm"), big_table=False)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = BertConfig.from_pretrained(folder)
        model = BertForMaskedLM(config).train()
        ids = tokenizer(
            tiny_bert.sentences(64)[0], padding="max_length", max_length=24, truncation=True, return_tensors="pt"
        )
        optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
        for _ in range(60):
            given = ids["input_ids"].clone()
            hidden = (torch.rand(given.shape) < 0.2) & (given > 4)
            given[hidden] = tokenizer.mask_token_id
            labels = ids["input_ids"].masked_fill(~hidden, -100)
            model(input_ids=given, attention_mask=ids["attention_mask"], labels=labels).loss.backward()
            optimiser.step()
            optimiser.zero_grad()
    model.save_pretrained(folder)
    assert isinstance(AutoModelForMaskedLM.from_pretrained(folder), BertForMaskedLM)
    return folder


def test_masked_words_are_whole_words_of_the_model(masked_model) -> None:
    texts = ["The film was lovely and warm", "这 本 书 推荐 🙂 the staff was rude"]
    part = {"use": "masked", "model": str(masked_model), "rate": 0.3, "candidates": 5}
    first, second = said(part, *texts, times=12), said(part, *texts, times=12)
    assert first == second, "the same dice give the same words"
    known = {word for one in tiny_bert.sentences(200)[0] for word in words(one.lower())}
    for text, made in zip(texts, first, strict=True):
        assert sum(one != text for one in made) > 8
        for one in made:
            assert len(words(one)) == len(words(text))
            changed = [(a, b) for a, b in zip(words(text), words(one), strict=True) if a != b]
            assert len(changed) <= max(1, int(0.3 * len(words(text))))
            assert all(b.lower() in known or len(b) == 1 for _, b in changed)
            assert ("🙂" in one) == ("🙂" in text)
    starts = [one.split()[0] for one in first[0]]
    assert all(start[0].isupper() for start in starts), "an uncased model's word takes the capital of the old one"
    kept = said(part, texts[0], times=12, kept=[(0, len(texts[0]))])
    assert set(kept[0]) == {texts[0]}


def test_masked_refuses_what_has_no_such_head(tmp_path, masked_model) -> None:
    encoder = tiny_bert.make(tmp_path / "encoder")
    with pytest.raises(WeightsError, match="no masked language model"):
        said({"use": "masked", "model": str(encoder)}, "the film")
    (part,) = augmentations.open({"use": "masked", "model": str(masked_model)})
    assert part.outside(Path())["model"].startswith("folder@")
    assert "masked needs model" in augmentations_problem("masked")


def augmentations_problem(value) -> str:
    with pytest.raises(ValueError) as refused:
        augmentations.open(value)
    return str(refused.value)


@pytest.fixture(scope="module")
def translators(tmp_path_factory) -> tuple[Path, Path]:
    """Two encoder-decoders of one layer with one tokenizer; what they write is nonsense, but it is theirs."""
    import torch
    from tokenizers import BertWordPieceTokenizer
    from transformers import BartConfig, BartForConditionalGeneration, PreTrainedTokenizerFast

    made = []
    for seed in (2, 5):
        folder = tmp_path_factory.mktemp(f"way{seed}")
        learner = BertWordPieceTokenizer(lowercase=True)
        learner.train_from_iterator(tiny_bert.sentences(200)[0], vocab_size=300, show_progress=False)
        PreTrainedTokenizerFast(
            tokenizer_object=learner._tokenizer, pad_token="[PAD]", unk_token="[UNK]", bos_token="[CLS]", eos_token="[SEP]",
            cls_token="[CLS]", sep_token="[SEP]", mask_token="[MASK]", model_max_length=40,
        ).save_pretrained(folder)  # fmt: skip
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            config = BartConfig(
                vocab_size=300, d_model=32, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2, decoder_attention_heads=2,
                encoder_ffn_dim=32, decoder_ffn_dim=32, max_position_embeddings=48, pad_token_id=0, bos_token_id=2, eos_token_id=3,
                decoder_start_token_id=2, init_std=1.0,
            )  # fmt: skip
            BartForConditionalGeneration(config).save_pretrained(folder)
        made.append(folder)
    return made[0], made[1]


def test_back_translation_goes_there_and_back(translators) -> None:
    from burnish.nn.translating import Translating

    there, back = (Translating(folder) for folder in translators)
    texts = ["the film was lovely", "这 本 书 推荐", "the film was lovely"]
    part = {"use": "back_translation", "there": str(translators[0]), "back": str(translators[1])}
    made = [one for one, *_ in said(part, *texts, times=1)]
    pivot = there(texts, seed=0, progress=Silent())
    assert made == [one or text for one, text in zip(back(pivot, seed=0, progress=Silent()), texts, strict=True)]
    assert made[0] == made[2] != texts[0] and made[0] != pivot[0]
    too_long = " ".join(["film"] * 60)
    assert said(part, too_long, times=1)[0] == [too_long], "its end would be lost"
    drawn = said(part | {"temperature": 1.0}, *texts, times=1)
    assert drawn == said(part | {"temperature": 1.0}, *texts, times=1)


def test_back_translation_refuses_what_makes_no_sense(translators) -> None:
    same = {"use": "back_translation", "there": "a", "back": "b"}
    (part,) = augmentations.open(same | {"copies": 2})
    assert "temperature" in part.problem(TASK)
    (part,) = augmentations.open(same | {"there_prompt": "to German:"})
    assert "{text}" in part.problem(TASK)


def test_a_run_of_burnish_is_asked_as_it_was_taught(translators, tmp_path) -> None:
    import json
    import shutil

    from burnish.nn.translating import Translating
    from burnish.train.augment.base import found

    shutil.copytree(translators[0], tmp_path / "runs" / "there" / "model")
    card = {
        "task": {"type": "translation", "prompt": "to German: {text}"},
        "head": {"kind": "generator"},
        "max_length": 20,
    }
    (tmp_path / "runs" / "there" / "model" / "burnish.json").write_text(json.dumps(card), "utf-8")
    folder = Path(found("runs/there", tmp_path))
    assert folder == tmp_path / "runs" / "there" / "model"
    way = Translating(folder)
    assert way.prompt == "to German: {text}" and way.engine.max_length == 20
    (part,) = augmentations.open({"use": "back_translation", "there": "runs/there", "back": str(translators[1])})
    before = part.outside(tmp_path)
    config = folder / "config.json"
    config.write_text(config.read_text("utf-8").replace('"d_model": 32', '"d_model":  32'), "utf-8")
    assert part.outside(tmp_path) != before, "another model is another key"
