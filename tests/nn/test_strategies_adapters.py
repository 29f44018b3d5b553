"""What strategies put into a network: what then learns, what is saved, what is loaded, on every kind of head."""

from __future__ import annotations

import copy
import json
import warnings
from dataclasses import replace

import numpy as np
import pytest
import tiny_bert
import torch

from burnish.core.errors import BurnishError, MissingExtra, WeightsError
from burnish.core.progress import Silent
from burnish.nn import adapters, anatomy, checkpoints, four_bits, kernels, loop, models, operators, samples
from burnish.nn.batches import encode
from burnish.nn.fresh import fresh
from burnish.nn.models import Head
from burnish.nn.strategies.auto import LIGHT, Taught, choose, settled
from burnish.nn.strategies.base import check, strategies

peft = pytest.importorskip("peft")

HEADS = {
    "sequence": Head("sequence", ("bad", "good")),
    "token": Head("token", ("O", "B-x", "I-x"), {"crf": True}),
    "borders": Head("token", ("start", "end")),
    "pointer": Head("pointer", ("x", "y")),
    "markers": Head("markers", ("no", "yes")),
    "embedding": Head("embedding"),
    "several": Head(
        "several",
        (),
        {"heads": {"a": Head("sequence", ("p", "q")).plain(), "b": Head("token", ("O", "x"), {"crf": True}).plain()}},
    ),
    "vision": Head("vision", ("no", "yes"), {"encoder": "small", "size": 32}),
    "decoder": Head("generator", (), {"generation": {"max_new_tokens": 8}}),
    "encoder-decoder": Head("generator", (), {"generation": {"max_new_tokens": 8}}),
}
FOLDED = ["lora", "dora", "adalora", "ia3"]
BESIDE = ["prompt", "p_tuning", "prefix", "houlsby", "pfeiffer"]
SMALL = {"prompt": {"tokens": 3}, "p_tuning": {"tokens": 3}, "prefix": {"tokens": 3}, "lora": {"rank": 2}}
SMALL |= {
    "dora": {"rank": 2},
    "adalora": {"initial": 3, "rank": 2},
    "houlsby": {"reduction": 4},
    "pfeiffer": {"reduction": 4},
}
OWN = ("lora_", "ia3_l", "burnish_virtual", "burnish_adapter")  # in the names of what is put in
SETTINGS = {"epochs": 4, "learning_rate": 3e-3, "batch_tokens": 256, "precision": "fp32"}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    place = tmp_path_factory.mktemp("backbones")
    texts = tiny_bert.sentences(60)[0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BURNISH_HOME", str(tmp_path_factory.mktemp("home")))
        kernels._figures.cache_clear()
        yield {
            "bert": tiny_bert.make(place / "bert", big_table=False),
            "xlm-roberta": tiny_bert.make(place / "xlmr", family="xlm-roberta", big_table=False),
            "decoder": fresh(place / "d", texts, architecture="decoder", hidden=32, layers=2, vocabulary=340),
            "encoder-decoder": fresh(place / "e", texts, hidden=32, layers=2, vocabulary=340),
        }
    kernels._figures.cache_clear()


def tokenizer_of(folder):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)


def named(name):
    (part,) = strategies.open({"use": name, **SMALL.get(name, {})})
    return part


def made(folders, kind, name, *, seed=0):
    """A model under a strategy, and the strategy."""
    model = models.build(folders.get(kind, folders["bert"]), HEADS[kind], seed=seed)
    part = named(name)
    part.place(model, seed=seed)
    return model, part


def outputs(model):
    with samples.at_rest(model):
        out = model(**samples.inputs(model))
    return out if isinstance(out, dict) else {"": out}


def near(one, two, *, tolerance=1e-4):
    return all(torch.allclose(value, two[name], atol=tolerance, rtol=tolerance) for name, value in one.items())


def learn(model, *, steps=3):
    """Move all that may move, noticeably."""
    draw = torch.Generator().manual_seed(1)
    moving = [weight for weight in model.parameters() if weight.requires_grad]
    optimiser = torch.optim.Adam(moving, lr=0.03)
    model.train()
    for _ in range(steps):
        optimiser.zero_grad()
        out = model(**samples.inputs(model))
        parts = list(out.values()) if isinstance(out, dict) else [out]
        wanted = [torch.randn(part.shape, generator=draw) for part in parts]
        real = [part.masked_fill(part < -20, 0.0) for part in parts]
        loss = sum(((part - want) ** 2).mean() for part, want in zip(real, wanted, strict=True))
        for crf in (part for part in model.modules() if type(part).__name__ == "Crf"):
            loss = loss + sum(((weight - 1) ** 2).sum() for weight in crf.parameters())
        loss.backward()
        optimiser.step()
    model.eval()


def cases():
    """Every strategy on heads of texts, tokens and on both kinds of generators; the others where one of its kin is."""
    chief = {"sequence", "token", "decoder", "encoder-decoder"}
    kin = {"dora", "adalora", "p_tuning", "pfeiffer"}
    refused = {("encoder-decoder", "prefix"), ("vision", "prompt"), ("vision", "prefix")}
    for kind in HEADS:
        for name in FOLDED + BESIDE:
            if (kind, name) not in refused and (kind in chief or name not in kin):
                yield kind, name


@pytest.mark.parametrize(("kind", "name"), list(cases()))
def test_what_is_put_in_and_the_head_learn_and_come_back(folders, tmp_path, kind, name):
    """Which weights moved and which did not; the folder that is saved; what is loaded from it."""
    plain = models.build(folders.get(kind, folders["bert"]), HEADS[kind], seed=0)
    model, part = made(folders, kind, name)
    if name not in ("prompt", "p_tuning", "prefix"):
        assert near(outputs(model), outputs(plain)), "it begins as it was"
    before = copy.deepcopy(dict(model.named_parameters()))
    learn(model)
    moved = {key for key, value in model.named_parameters() if not torch.equal(value, before[key])}
    heads = anatomy.head_weights(model)
    norms = {key for key in before if "norm" in key.lower()} - heads if name == "houlsby" else set()
    own = {key for key in before if any(word in key for word in OWN)}
    seeing = {key for key in before if key.startswith("vision.")}  # what sees has random weights here: it learns too
    assert moved - heads - norms - seeing <= own and moved & own
    assert moved >= heads, f"these of the head stood still: {heads - moved}"
    assert bool(heads) is (kind not in ("embedding", "decoder", "encoder-decoder"))

    trained = outputs(model)
    assert not near(trained, outputs(plain))
    tokenizer = _with_markers(tokenizer_of(folders.get(kind, folders["bert"])), kind)
    models.save(model, tmp_path / "m", HEADS[kind], tokenizer=tokenizer, strategies=[part])
    assert near(outputs(model), trained), "saving leaves the model as good as it was"
    card = {"head": HEADS[kind].plain(), "strategy": strategies.written([part]), "task": {}}
    (tmp_path / "m" / "burnish.json").write_text(json.dumps(card))
    again = models.load(tmp_path / "m")
    assert near(outputs(again), trained)
    assert part.folds is (name in FOLDED)
    left = [key for key in again.state_dict() if any(word in key for word in OWN)]
    assert bool(left) is not part.folds
    files = "".join((tmp_path / "m").joinpath(one).read_text() for one in _json_files(tmp_path / "m"))
    assert str(folders["bert"].parent) not in files and not (tmp_path / "m" / "adapter" / "README.md").exists()


def _with_markers(tokenizer, kind):
    if kind == "markers":
        from burnish.nn.markers import add_markers

        add_markers(tokenizer)
    return tokenizer


def _json_files(folder):
    return [path.relative_to(folder) for path in folder.rglob("*.json") if "tokenizer" not in path.name]


@pytest.mark.parametrize("kind", ["sequence", "token", "decoder", "encoder-decoder"])
@pytest.mark.parametrize("name", [*FOLDED, "prompt", "p_tuning", "prefix"])
def test_peft_opens_what_is_kept(folders, tmp_path, kind, name):
    """The states that peft's own model gives, on the backbone as it came; prompts begin with the virtual tokens."""
    if (kind, name) == ("encoder-decoder", "prefix"):
        pytest.skip("refused")
    model, part = made(folders, kind, name)
    learn(model)
    part.keep(model, tmp_path / "adapter")
    base = anatomy.body(models.build(folders.get(kind, folders["bert"]), HEADS[kind], seed=5)).eval()
    body, given = anatomy.body(model), samples.inputs(model)
    if kind == "encoder-decoder":
        given["decoder_input_ids"] = given["input_ids"].flip(1)
        if name in ("prompt", "p_tuning"):  # peft forgets that Pegasus multiplies the embeddings of tokens
            for encoder in (base.get_encoder(), body.get_encoder()):
                encoder.embed_scale = 1.0
            again, _ = made(folders, kind, name)
            anatomy.body(again).get_encoder().embed_scale = 1.0
            part.fold(model)
            part.take_up(model, tmp_path / "adapter")
    ours = body(**given)[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        theirs = peft.PeftModel.from_pretrained(base, tmp_path / "adapter").eval()(**given)[0]
    places = 3 if name in ("prompt", "p_tuning") and kind != "encoder-decoder" else 0
    assert theirs.shape[1] == ours.shape[1] + places
    mask = given["attention_mask"].bool()
    assert torch.allclose(ours[mask], theirs[:, places:][mask], atol=1e-4)


@pytest.mark.parametrize("name", ["prompt", "p_tuning", "prefix"])
def test_virtual_tokens_do_not_depend_on_padding(folders, name):
    model, _ = made(folders, "token", name)
    learn(model)
    given = samples.inputs(model)
    with torch.no_grad():
        whole = model(**given)
        assert whole.shape[1] == given["input_ids"].shape[1]
        alone = model(given["input_ids"][2:3, :5], given["attention_mask"][2:3, :5])
    assert torch.allclose(whole[2:3, :5], alone, atol=1e-5)


def test_the_mean_is_over_the_text_alone(folders):
    """With virtual tokens whose states are far off: the pooled mean is that of the text's own states."""
    model, _ = made(folders, "sequence", "prompt")
    with torch.no_grad():
        for weight in anatomy.body(model).burnish_virtual.parameters():
            weight.mul_(100.0)
    given = samples.inputs(model)
    with samples.at_rest(model):
        states = model.encoder(**given).last_hidden_state
        pooled = model.pooled(**given)
    assert states.shape[1] == given["input_ids"].shape[1]
    assert torch.equal(pooled, model.head.pooled(states, given["attention_mask"]))


def test_types_of_tokens_are_kept_under_a_prompt(folders):
    """peft drops them with a warning; the second text of a pair would look like the first."""
    model, _ = made(folders, "sequence", "prompt")
    given = samples.inputs(model)
    types = (torch.arange(12)[None].expand(4, -1) > 3).long()
    with samples.at_rest(model):
        assert not torch.allclose(model(**given), model(**given, token_type_ids=types))


@pytest.mark.parametrize("name", ["prompt", "p_tuning", "prefix", "pfeiffer"])
def test_a_decoder_writes_with_a_cache_what_it_would_without(folders, name):
    from burnish.nn.conversations import encode_prompts
    from burnish.nn.writing import write

    model, _ = made(folders, "decoder", name)
    learn(model, steps=8)
    tokenizer = tokenizer_of(folders["decoder"])
    said = ["the film", "room was very warm and bright", "酒店"]
    prompts = encode_prompts([[{"role": "user", "content": one}] for one in said], tokenizer, max_length=40)

    def written(**settings):
        found = {}
        for rows, some in write(model.plain, prompts, max_new_tokens=6, **settings):
            found |= {int(row): tokens.tolist() for row, tokens in zip(rows, some, strict=True)}
        return [found[at] for at in range(3)]

    by_hand = []
    ends = set(model.plain.generation_config.eos_token_id)
    for at in range(3):
        ids = torch.from_numpy(prompts.tokens[prompts.window(at)].astype(np.int64))[None]
        begin = ids.shape[1]
        with torch.no_grad():
            for _ in range(6):
                logits = model(ids, torch.ones_like(ids))
                if int(logits[0, -1].argmax()) in ends:
                    break
                ids = torch.cat([ids, logits[:, -1:].argmax(-1)], 1)
        by_hand.append(ids[0, begin:].tolist())
    assert written(temperature=0.0) == by_hand
    assert written(temperature=0.0, batch_tokens=1) == by_hand
    assert len(written(num_beams=2)) == 3


@pytest.mark.parametrize("name", ["prompt", "prefix", "houlsby", "lora"])
def test_examples_that_share_a_row_learn_as_they_would_alone(folders, name):
    from burnish.nn.batches import make_batch
    from burnish.nn.conversations import encode_conversations
    from burnish.nn.generation_objectives import NextToken, packed_rows

    model, _ = made(folders, "decoder", name)
    learn(model)
    tokenizer = tokenizer_of(folders["decoder"])
    told = [
        [{"role": "user", "content": "film " * at}, {"role": "assistant", "content": "warm day " * (8 - at)}]
        for at in range(1, 8)
    ]
    told.append([{"role": "user", "content": "a"}, {"role": "assistant", "content": "book " * 60}])
    batch = make_batch(encode_conversations(told, tokenizer, max_length=300), np.arange(8), pad_token=0)
    rows = packed_rows(batch.mask_BL[:, :-1].sum(1).tolist(), room=batch.ids_BL.shape[1] - 1)
    assert len(rows) < 8, "this test should pack something"
    with torch.no_grad():
        packed, apart = (
            objective.loss(objective.forward(model, batch), batch, model)
            for objective in (NextToken(packing=True), NextToken(packing=False))
        )
    assert torch.allclose(packed, apart, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ["prompt", "p_tuning", "pfeiffer"])
def test_an_encoder_decoder_writes_what_its_logits_say(folders, name):
    from burnish.nn.examples import encode as encoded
    from burnish.nn.writing import write

    model, _ = made(folders, "encoder-decoder", name)
    learn(model, steps=8)
    tokenizer, network = tokenizer_of(folders["encoder-decoder"]), model.plain
    ((rows, (tokens, _)),) = write(
        network, encoded(["the film was", "room"], tokenizer, max_length=20), max_new_tokens=4
    )
    first = list(rows).index(0)
    tokens = [tokens, _][first]
    ids = torch.tensor([tokenizer("the film was")["input_ids"]])
    out = torch.full((1, 1), network.config.decoder_start_token_id)
    ends = network.generation_config.eos_token_id
    with torch.no_grad():
        for _ in range(4):
            logits = network(input_ids=ids, attention_mask=torch.ones_like(ids), decoder_input_ids=out).logits
            if int(logits[0, -1].argmax()) in (ends if isinstance(ends, list) else [ends]):
                break
            out = torch.cat([out, logits[:, -1:].argmax(-1)], 1)
    assert tokens.tolist() == out[0, 1:].tolist()


# -- training


def examples(folder, count, *, seed=0):
    texts, targets = tiny_bert.sentences(count, seed=seed)
    return encode(texts, tokenizer_of(folder), max_length=32).with_targets(targets)


def trained(folders, name, data, *, scratch=None, precision="fp32", backbone="bert", validation=None, **settings):
    model = models.build(folders[backbone], HEADS["sequence"], seed=0)
    part = named(name)
    part.place(model, seed=0)
    given = {**SETTINGS, **settings, "precision": precision}
    history = loop.fit(
        model,
        data,
        validation,
        settings=loop.Training(**given),
        scratch=scratch,
        progress=Silent(),
        seed=0,
        strategies=[part],
    )
    return model, history


@pytest.mark.parametrize(
    ("name", "precision"),
    [*((name, "bf16") for name in FOLDED + BESIDE), ("lora", "fp32"), ("adalora", "fp32"), ("prefix", "fp32")],
)
def test_the_loop_teaches_it(folders, name, precision):
    """On the chosen operators, in both formats; the body's own weights keep their bits."""
    model, history = trained(folders, name, examples(folders["bert"], 120), precision=precision, learning_rate=2e-2)
    assert history.epochs[-1].loss < 0.9 * history.epochs[0].loss
    plain = dict(models.build(folders["bert"], HEADS["sequence"], seed=0).encoder.named_parameters())
    own = {
        key.replace(".base_layer.", "."): value
        for key, value in model.encoder.named_parameters()
        if not any(word in key for word in OWN) and "ranknum" not in key
    }
    assert own.keys() == plain.keys()
    norms = {key for key in own if "LayerNorm" in key and key.startswith("encoder.")} if name == "houlsby" else set()
    changed = {key for key, value in own.items() if not torch.equal(value, plain[key])}
    assert changed == norms
    assert all(weight.dtype == torch.float32 for weight in model.parameters())


@pytest.mark.parametrize(
    "written",
    [
        {"use": "lora", "dropout": 0.2, "rank_stabilised": True, "targets": ["query", "value"]},
        {"use": "adalora", "dropout": 0.2, "every": 2},
        {"use": "p_tuning", "network": "LSTM", "hidden": 16},
        {"use": "prefix", "projection": True, "hidden": 16},
    ],
)
def test_other_settings_learn_and_come_back(folders, tmp_path, written):
    (part,) = strategies.open(written)
    model = models.build(folders["bert"], HEADS["sequence"], seed=0)
    part.place(model, seed=0)
    before = copy.deepcopy(dict(model.named_parameters()))
    loop.fit(
        model,
        examples(folders["bert"], 40),
        None,
        settings=loop.Training(**{**SETTINGS, "precision": "bf16", "epochs": 1}),
        scratch=None,
        progress=Silent(),
        seed=0,
        strategies=[part],
    )
    own = {key for key in before if any(word in key for word in OWN) and "ranknum" not in key}
    assert own and any(not torch.equal(dict(model.named_parameters())[key], before[key]) for key in own)
    models.save(model, tmp_path / "m", HEADS["sequence"], tokenizer=tokenizer_of(folders["bert"]), strategies=[part])


def test_lora_runs_as_one_operator(folders):
    model, _ = made(folders, "sequence", "lora")
    assert sum(operators.is_lora(part) for part in model.modules()) == 12  # six linear layers in each of two
    assert not any(operators.is_lora(part) for part in made(folders, "sequence", "dora")[0].modules())


@pytest.mark.parametrize("name", ["adalora", "prefix", "houlsby"])
def test_a_killed_run_ends_with_the_same_bytes(folders, tmp_path, name, monkeypatch):
    data = examples(folders["bert"], 80)
    settings = {"precision": "bf16", "epochs": 3, "checkpoint_every_s": 0.0}
    whole, _ = trained(folders, name, data, **settings)

    class Killed(Exception):
        pass

    written, original = [], checkpoints.write

    def dies(*args, **more):
        original(*args, **more)
        written.append(1)
        if len(written) == 5:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "write", dies)
        with pytest.raises(Killed):
            trained(folders, name, data, scratch=tmp_path, **settings)
    model, history = trained(folders, name, data, scratch=tmp_path, **settings)
    assert history.resumed
    theirs = whole.state_dict()
    assert all(torch.equal(value, theirs[key]) for key, value in model.state_dict().items())


def test_adalora_ends_at_its_budget(folders, tmp_path):
    """12 matrices of 3 directions each: 36 at first, 24 in the end, spread as the importance says."""
    model, history = trained(folders, "adalora", examples(folders["bert"], 200), epochs=6)
    left = {key: int((value != 0).sum()) for key, value in model.named_parameters() if ".lora_E." in key}
    assert len(left) == 12 and sum(left.values()) == 24 and len(set(left.values())) > 1
    assert len(history.losses) > 20
    before = outputs(model)
    named("adalora").keep(model, tmp_path)
    from safetensors.torch import load_file

    kept = load_file(tmp_path / "adapter_model.safetensors")
    assert sum(int((value != 0).sum()) for key, value in kept.items() if "lora_E" in key) == 24
    base = models.build(folders["bert"], HEADS["sequence"], seed=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        peft.PeftModel.from_pretrained(base.encoder, tmp_path)
    base.head.load_state_dict(model.head.state_dict())
    assert near(outputs(base), before)


def test_adalora_keeps_its_directions_in_a_second_run(folders):
    data = examples(folders["bert"], 100)
    model = models.build(folders["bert"], HEADS["sequence"], seed=0)
    part = named("adalora")
    part.place(model, seed=0)
    common = {"scratch": None, "progress": Silent(), "seed": 0, "strategies": [part]}
    settings = loop.Training(**SETTINGS)
    off = []
    for _ in range(2):
        loop.fit(model, data, None, settings=settings, **common)
        off.append({key: (value == 0) for key, value in model.named_parameters() if ".lora_E." in key})
    assert any(one.any() for one in off[0].values())
    assert all(torch.equal(off[1][key], one) for key, one in off[0].items())


def test_the_orthogonal_penalty_is_that_of_peft(folders):
    from burnish.nn.rank_allocation import Allocation

    model, part = made(folders, "sequence", "adalora")
    run = type("R", (), {"model": model})()
    body = anatomy.body(model)
    wanted = [
        torch.norm((w @ w.T if "lora_A" in key else w.T @ w) - torch.eye(3))
        for key, w in body.named_parameters()
        if "lora_A" in key or "lora_B" in key
    ]
    assert torch.allclose(Allocation(part, run).penalty(), sum(wanted) / len(wanted))


# -- what auto is, what it costs, what is refused


def test_auto_is_lora_for_a_large_pretrained_decoder_alone(folders):
    class Large(torch.nn.Module):
        reads_first, start = False, "pretrained"

        def __init__(self, count):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.empty(count, device="meta"))

    many = Taught(records=1000, labels=2, one_label=True, plain=True)

    def name(model, taught=many, memory=1e12):
        (part,), why = choose(model, taught, memory=memory)
        assert "million weights" in why or "texts for" in why
        return part.name

    assert name(Large(LIGHT + 1)) == "lora" and name(Large(LIGHT)) == "full"
    grown = Large(LIGHT + 1)
    grown.start = "nothing"
    assert name(grown) == "full"
    assert name(models.build(folders["bert"], HEADS["sequence"], seed=0)) == "full"
    assert settled(strategies.open("ia3"), grown, many)[1] == "asked for"


def test_auto_follows_the_number_of_texts_and_the_memory(folders):
    model, token = (models.build(folders["bert"], HEADS[kind], seed=0) for kind in ("sequence", "token"))
    few = Taught(records=128, labels=2, one_label=True, plain=True)

    def name(model, taught, memory=1e12):
        return choose(model, taught, memory=memory)[0][0].name

    assert name(model, few) == "contrastive" and name(model, replace(few, records=129)) == "full"
    assert name(model, replace(few, one_label=False)) == "full" and name(model, replace(few, plain=False)) == "full"
    assert name(token, few) == "full"
    weights = sum(weight.numel() for weight in model.parameters())
    assert name(model, replace(few, records=999), memory=16 * weights) == "lora"
    assert name(model, replace(few, records=999), memory=21 * weights) == "full"


def test_adapters_learn_faster_and_prompts_faster_still(folders):
    data = examples(folders["bert"], 100)
    rates = {}
    for name in ("full", "lora", "prompt"):
        model = models.build(folders["bert"], HEADS["sequence"], seed=0)
        part = named(name)
        part.place(model, seed=0)
        chosen = loop.settle(loop.Training(), train=data, hidden=32, layers=2, start=part.start or "pretrained")[0]
        factors = part.factors(model)
        own = [key for key, _ in model.named_parameters() if any(word in key for word in OWN)]
        rates[name] = float(chosen.learning_rate) * (factors.get(own[0], 1.0) if own else 1.0)
        assert all(key in own for key in factors), "the head learns at the plain rate"
    assert rates["full"] < rates["lora"] < rates["prompt"]
    (part,) = strategies.open({"use": "prefix", "projection": True, "hidden": 16})
    part.place(model := models.build(folders["bert"], HEADS["sequence"], seed=0), seed=0)
    assert set(part.factors(model).values()) == {2.0}


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (["lora", "prompt"], "both put weights into the network"),
        (["auto", "lora"], "write it alone"),
        (["prompt", "frozen"], "changes with what stands before the text"),
        ({"use": "adalora", "rank": 12}, "adalora.rank: 12 is not below"),
        ({"use": "adalora", "warm": 0.5, "last": 0.5}, "no steps for the budget"),
        ({"use": "ia3", "keys_values": False, "feed_forward": False}, "learns nothing"),
    ],
)
def test_what_does_not_go_together_is_said(written, said):
    assert said in check(strategies.open(written))


def test_a_layer_that_is_not_there(folders):
    model = models.build(folders["bert"], HEADS["sequence"], seed=0)
    (part,) = strategies.open({"use": "lora", "targets": ["q_proj"]})
    with pytest.raises(BurnishError) as caught:
        part.place(model, seed=0)
    assert "q_proj" in str(caught.value) and "dense, key, query, value" in str(caught.value)


def test_targets_name_the_layers(folders):
    model = models.build(folders["bert"], HEADS["sequence"], seed=0)
    (part,) = strategies.open({"use": "lora", "targets": ["query", "value"]})
    part.place(model, seed=0)
    assert sum(hasattr(one, "lora_A") for one in model.modules()) == 4


def test_a_prefix_is_refused_where_there_is_no_room_for_it(folders):
    with pytest.raises(BurnishError, match="encoders and decoders"):
        made(folders, "encoder-decoder", "prefix")
    with pytest.raises(BurnishError, match="reads images"):
        made(folders, "vision", "prompt")


def test_without_peft_the_extra_is_named(folders, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(MissingExtra) as caught:
        made(folders, "sequence", "lora")
    assert "burnish[peft]" in str(caught.value)


def test_a_model_whose_adapters_lie_beside_it_is_no_backbone(folders, tmp_path):
    model, part = made(folders, "sequence", "pfeiffer")
    models.save(model, tmp_path / "m", HEADS["sequence"], tokenizer=tokenizer_of(folders["bert"]), strategies=[part])
    (tmp_path / "m" / "burnish.json").write_text(json.dumps({"strategy": "pfeiffer"}))
    with pytest.raises(WeightsError, match="tuned by pfeiffer"):
        models.build(tmp_path / "m", HEADS["sequence"], seed=0)
    card = {"strategy": "pfeiffer", "head": HEADS["sequence"].plain()}
    (tmp_path / "m" / "burnish.json").write_text(json.dumps(card))
    (tmp_path / "m" / "adapter" / "bottleneck.safetensors").unlink()
    with pytest.raises(WeightsError, match="copy the whole model folder"):
        models.load(tmp_path / "m")


@pytest.mark.parametrize("name", ["lora", "prompt", "pfeiffer"])
def test_a_folder_that_lost_what_was_learnt_is_refused(folders, tmp_path, name, monkeypatch):
    """Merging that does not merge, adapters that are not read back: the comparison after saving sees it."""
    model, part = made(folders, "sequence", name)
    learn(model)
    if part.folds:
        monkeypatch.setattr(adapters, "merge", _unmerged)
    else:
        monkeypatch.setattr(type(part), "take_up", lambda *_: None)
    with pytest.raises(WeightsError, match="differs"):
        models.save(model, tmp_path, HEADS["sequence"], tokenizer=tokenizer_of(folders["bert"]), strategies=[part])


def _unmerged(model):
    body = anatomy.body(model)
    adapters.held(body).unload()
    adapters.forget(body)


@pytest.mark.parametrize("family", ["distilbert", "electra", "albert"])
@pytest.mark.parametrize("name", ["lora", "prompt", "houlsby", "ia3"])
def test_other_families_under_their_stock_head(tmp_path, folders, family, name):
    """A pooler in the body is a part of the head, an embedding may be narrower than the network."""
    import transformers

    kinds = {"distilbert": ("DistilBert", {"dim": 32, "hidden_dim": 64, "n_layers": 2, "n_heads": 2})}
    sizes = {"hidden_size": 32, "embedding_size": 16, "intermediate_size": 64, "num_hidden_layers": 2}
    kinds |= {one: (one.capitalize(), {**sizes, "num_attention_heads": 2}) for one in ("electra", "albert")}
    prefix, more = kinds[family]
    config = getattr(transformers, f"{prefix}Config")(vocab_size=300, max_position_embeddings=64, **more)
    torch.manual_seed(0)
    getattr(transformers, f"{prefix}Model")(config).save_pretrained(tmp_path / "b")
    tokenizer_of(folders["bert"]).save_pretrained(tmp_path / "b")
    model = models.build(tmp_path / "b", HEADS["sequence"], seed=0)
    part = named(name)
    part.place(model, seed=0)
    before = copy.deepcopy(dict(model.named_parameters()))
    learn_logits(model)
    moved = {key for key, value in model.named_parameters() if not torch.equal(value, before[key])}
    wanted = anatomy.head_weights(model) | {key for key in before if ".pooler." in key and "lora_" not in key}
    assert moved >= wanted
    models.save(model, tmp_path / "m", HEADS["sequence"], tokenizer=tokenizer_of(folders["bert"]), strategies=[part])


def learn_logits(model):
    optimiser = torch.optim.Adam([weight for weight in model.parameters() if weight.requires_grad], lr=0.03)
    for _ in range(2):
        optimiser.zero_grad()
        ((model(**samples.inputs(model)).logits - 3.0) ** 2).mean().backward()
        optimiser.step()


@pytest.mark.parametrize("name", ["prompt", pytest.param("prefix", marks=pytest.mark.slow), "pfeiffer"])
def test_what_lies_beside_is_in_the_exported_network(folders, tmp_path, name):
    """The export compares itself with the network; here the network differs from the one without."""
    from burnish.nn.export import export_onnx

    model, _ = made(folders, "sequence", name)
    learn(model)
    model.eval()
    path = export_onnx(model, tokenizer_of(folders["bert"]), tmp_path, max_length=32)
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    given = samples.inputs(model)
    given["token_type_ids"] = torch.zeros_like(given["input_ids"])
    with samples.at_rest(model):
        ours = model(**given)
    (found,) = session.run(None, {key: value.numpy() for key, value in given.items()})
    assert np.allclose(found, ours.numpy(), atol=1e-4)
    plain = models.build(folders["bert"], HEADS["sequence"], seed=0).eval()
    plain.head.load_state_dict(model.head.state_dict())
    assert not np.allclose(found, outputs(plain)[""].numpy(), atol=1e-2)


def test_qlora_is_refused_without_a_gpu_and_without_its_extra(folders, monkeypatch):
    import sys

    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(BurnishError, match="needs an NVIDIA GPU"):
        made(folders, "decoder", "qlora")
    monkeypatch.setattr(four_bits, "device", lambda: torch.device("cpu"))
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(MissingExtra) as caught:
        made(folders, "decoder", "qlora")
    assert "burnish[qlora]" in str(caught.value)


def test_four_bits_learn_and_become_plain_weights(folders, tmp_path, monkeypatch):
    """On the processor, where bitsandbytes can do it too, slowly."""
    pytest.importorskip("bitsandbytes")
    monkeypatch.setattr(four_bits, "device", lambda: torch.device("cpu"))
    _learns_in_four_bits(folders, tmp_path)


@pytest.mark.gpu
def test_four_bits_learn_on_a_gpu(folders, tmp_path):
    pytest.importorskip("bitsandbytes")
    if not torch.cuda.is_available():
        pytest.skip("no GPU")
    _learns_in_four_bits(folders, tmp_path)


def _learns_in_four_bits(folders, tmp_path):
    import bitsandbytes

    from burnish.nn.conversations import encode_conversations
    from burnish.nn.generation_objectives import NextToken

    head, tokenizer = HEADS["decoder"], tokenizer_of(folders["decoder"])
    plain = models.build(folders["decoder"], head, seed=0)
    model, part = made(folders, "decoder", "qlora")
    assert sum(isinstance(one, bitsandbytes.nn.Linear4bit) for one in model.modules()) == 14  # 7 in each of 2 layers
    for one in model.modules():
        if isinstance(one, bitsandbytes.nn.Linear4bit):
            one.support_avx512bf16_for_cpu = False  # a layout of its own, for layers of 64 numbers and more
    moving = {key for key, weight in model.named_parameters() if weight.requires_grad}
    assert moving and all("lora_" in key for key in moving)
    told = [
        [{"role": "user", "content": one}, {"role": "assistant", "content": "warm day"}] for one in ("film", "room")
    ]
    data = encode_conversations(told * 8, tokenizer, max_length=40)
    history = loop.fit(
        model,
        data,
        None,
        settings=loop.Training(epochs=6, learning_rate=2e-2, batch_tokens=128, precision="fp32"),
        scratch=None,
        progress=Silent(),
        seed=0,
        objective=NextToken(),
        strategies=[part],
    )
    assert history.losses[-1] < 0.9 * history.losses[0]
    trained_ = outputs(model)[""].cpu()
    models.save(model, tmp_path / "m", head, tokenizer=tokenizer, strategies=[part])
    from transformers import AutoModelForCausalLM

    given = samples.inputs(model)
    with torch.no_grad():
        stock = AutoModelForCausalLM.from_pretrained(tmp_path / "m").eval()(**given).logits
    mask = given["attention_mask"].bool()
    far = (stock - outputs(plain)[""])[mask].norm()
    assert (stock - trained_)[mask].norm() < 0.1 * far, "up to the rounding of bf16"
    assert (tmp_path / "m" / "adapter" / "adapter_config.json").is_file()
