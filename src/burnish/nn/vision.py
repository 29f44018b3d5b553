"""Text with an image: a vision encoder, a projector, and the patches put behind the words of a text encoder.

    patches = projector(vision encoder(pixels));  hidden = text encoder([words, patches])
    logits = W2 dropout(tanh(W1 [normalise(mean over words), normalise(mean over patches)] + b1)) + b2

The projector is the two-layer one of LLaVA-1.5 (Liu et al. 2024). Patches stand behind the words and all have position 0 of
the text encoder, since where they are in the image the vision encoder has said already: so words keep the positions they
were pretrained at, padding changes nothing, and an image takes none of the 512 positions (docs/decisions/images.md).

On disk: the text encoder as `AutoModel` loads it, `vision/` with the vision encoder as transformers saves it and its
preprocessor_config.json, and `head.safetensors` with the rest.

B texts, L tokens, P patches, D hidden, V hidden of the vision encoder, S pixels of a side, C classes.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from burnish.core.errors import WeightsError
from burnish.core.progress import Silent
from burnish.nn.heads import FAMILIES
from burnish.nn.models import Head
from burnish.nn.pictures import Sight
from burnish.nn.quiet import silent_loading

SMALL = "small"  # a ViT with random weights, from a configuration
GRID = 8  # patches of a side of the small one
HEAD_FILE, VISION, PREPROCESSOR = "head.safetensors", "vision", "preprocessor_config.json"


class TextWithImage(nn.Module):
    """Two encoders of transformers under a head. forward gives (B, C) logits.

    mean, spread: (3) of the channels 0..1, by which pixels become numbers.
    """

    exact = ("dense", "out")  # modules that may stay fp32 when the encoders do not

    def __init__(
        self,
        encoder: nn.Module,
        vision: nn.Module,
        *,
        labels: Sequence[str],
        mean: Sequence[float],
        spread: Sequence[float],
        seed: int = 0,
    ) -> None:
        super().__init__()
        config: Any = encoder.config
        seen: Any = vision.config
        if config.model_type not in FAMILIES:
            raise WeightsError(
                f"a text encoder of the family {config.model_type} cannot be shown images",
                hint=f"name a backbone of {', '.join(FAMILIES)}",
            )
        self.encoder, self.vision, self.config, self.labels = encoder, vision, config, tuple(labels)
        self.mean, self.spread = tuple(mean), tuple(spread)
        self.size, hidden = int(seen.image_size), int(config.hidden_size)
        self.image_tokens = (self.size // int(seen.patch_size)) ** 2 + 1
        # positions of a family of RoBERTa's start behind that of padding
        self.first_position = int(config.pad_token_id) + 1 if FAMILIES[config.model_type].prefix == "roberta" else 0
        self.typed = "token_type_ids" in inspect.signature(encoder.forward).parameters
        rate = getattr(config, "hidden_dropout_prob", None)
        self.dropout = nn.Dropout(0.1 if rate is None else rate)
        with torch.random.fork_rng(devices=[]):  # nn.Linear draws first weights that nobody will see
            self.projector = nn.Sequential(
                nn.Linear(int(seen.hidden_size), hidden), nn.GELU(), nn.Linear(hidden, hidden)
            )
            self.dense, self.out = nn.Linear(2 * hidden, hidden), nn.Linear(hidden, len(labels))
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for layer in (*self.projector, self.dense):
                if not isinstance(layer, nn.Linear):
                    continue
                layer.weight.normal_(0.0, layer.in_features**-0.5, generator=generator)
                layer.bias.zero_()
            self.out.weight.normal_(0.0, 0.02, generator=generator)
            self.out.bias.zero_()

    @property
    def sight(self) -> Sight:
        """How images become its pixels."""
        return Sight(self.size, self.mean, self.spread, self.image_tokens)

    def pixels(self, images: np.ndarray) -> Tensor:
        """(B, 3, S, S) float32 of a batch's images, decoded now. DataError names one that cannot be read."""
        return torch.from_numpy(self.sight.pixels(images))

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        token_type_ids: Tensor | None = None,
        pixel_values: Tensor | None = None,
    ) -> Tensor:
        if pixel_values is None:
            raise ValueError("an image is wanted for every text")
        words_BLD = self.encoder.get_input_embeddings()(input_ids)  # type: ignore[operator]
        number = next(self.vision.parameters()).dtype
        seen_BPV = self.vision(pixel_values=pixel_values.to(number)).last_hidden_state
        patches_BPD = self.projector(seen_BPV).to(words_BLD.dtype)
        length, count = words_BLD.shape[1], patches_BPD.shape[1]
        mask_BLP = functional.pad(attention_mask, (0, count), value=1)
        position_LP = functional.pad(torch.arange(length, device=input_ids.device), (0, count)) + self.first_position
        more: dict[str, Tensor] = {}
        if self.typed and token_type_ids is not None:
            more["token_type_ids"] = functional.pad(token_type_ids, (0, count))
        hidden_BLD = self.encoder(
            inputs_embeds=torch.cat([words_BLD, patches_BPD], 1),
            attention_mask=mask_BLP,
            position_ids=position_LP.expand(input_ids.shape[0], -1),  # len() would tie an export to one batch size
            **more,
        ).last_hidden_state
        pooled_BE = torch.cat([_mean(hidden_BLD[:, :length], attention_mask), _mean(hidden_BLD[:, length:])], 1)
        logits_BC: Tensor = self.out(self.dropout(torch.tanh(self.dense(pooled_BE.to(self.dense.weight.dtype)))))
        return logits_BC


def _mean(hidden_BLD: Tensor, mask_BL: Tensor | None = None) -> Tensor:
    """(B, D) fp32: normalised mean of the tokens that are not padding."""
    weight_BL1 = torch.ones_like(hidden_BLD[..., :1]) if mask_BL is None else mask_BL.unsqueeze(-1).to(hidden_BLD.dtype)
    mean_BD = (hidden_BLD * weight_BL1).float().sum(1) / weight_BL1.float().sum(1)
    return functional.layer_norm(mean_BD, mean_BD.shape[-1:])


def small(size: int, *, seed: int) -> tuple[nn.Module, dict[str, Any]]:
    """A ViT of 4 layers, 128 wide, with random weights, and how its pixels are made. size: pixels of a side, of GRID."""
    from transformers import ViTConfig, ViTModel

    config = ViTConfig(
        image_size=size,
        patch_size=size // GRID,
        hidden_size=128,
        num_hidden_layers=4,
        num_attention_heads=4,
        intermediate_size=512,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = ViTModel(config, add_pooling_layer=False)
    return made, {"image_mean": [0.5] * 3, "image_std": [0.5] * 3, "size": {"height": size, "width": size}}


@silent_loading()
def build(folder: str | Path, head: Head, *, seed: int) -> nn.Module:
    """The text encoder in `folder` and a vision encoder under a fresh head.

    head.more: encoder, SMALL, or a folder or hub name of one of transformers (ViT, DeiT, DINOv2, the seeing half of CLIP
    or SigLIP); size: pixels of a side of the small one.
    """
    from burnish.nn.backbones import resolve

    named = str(head.more["encoder"])
    if named == SMALL:
        vision, preprocessor = small(int(head.more["size"]), seed=seed)
    else:
        found = resolve(named, languages=(), progress=Silent())
        vision, preprocessor = _vision(found)
    return _joined(_text(folder), vision, preprocessor, head, seed=seed)


def _joined(encoder: nn.Module, vision: nn.Module, preprocessor: dict[str, Any], head: Head, *, seed: int) -> nn.Module:
    made = TextWithImage(
        encoder,
        vision,
        labels=head.labels,
        mean=preprocessor.get("image_mean") or [0.5] * 3,
        spread=preprocessor.get("image_std") or [0.5] * 3,
        seed=seed,
    )
    return made


def _text(folder: str | Path) -> nn.Module:
    from transformers import AutoConfig, AutoModel

    kind = AutoConfig.from_pretrained(folder).model_type
    more = {"add_pooling_layer": False} if kind in FAMILIES else {}
    with torch.random.fork_rng(devices=[]):
        made: nn.Module = AutoModel.from_pretrained(folder, dtype=torch.float32, **more)
    return made


def _vision(folder: Path) -> tuple[nn.Module, dict[str, Any]]:
    """A vision encoder of transformers and its preprocessor_config.json; of a model of text and images, the seeing half."""
    from transformers import MODEL_MAPPING, AutoConfig

    config: Any = AutoConfig.from_pretrained(folder)
    config = getattr(config, "vision_config", config)
    wanted = ("image_size", "patch_size", "hidden_size")
    if not all(isinstance(getattr(config, name, None), int) for name in wanted) or type(config) not in MODEL_MAPPING:
        raise WeightsError(
            f"{folder} is no vision encoder of square patches ({config.model_type})",
            hint="task.image.encoder: small, or a ViT, DeiT, DINOv2, CLIP or SigLIP of transformers",
        )
    family: Any = MODEL_MAPPING[type(config)]
    more = {"add_pooling_layer": False} if "add_pooling_layer" in inspect.signature(family).parameters else {}
    with torch.random.fork_rng(devices=[]):
        made = family.from_pretrained(folder, config=config, dtype=torch.float32, **more)
    file = folder / PREPROCESSOR
    return made, json.loads(file.read_text("utf-8")) if file.is_file() else {}


@silent_loading()
def save(model: Any, folder: Path, *, tokenizer: Any) -> None:
    """Write both encoders, the tokenizer, how pixels are made, and the rest; load them again, and compare.

    Raises WeightsError when what was written does not give the logits of what is in memory.
    """
    from safetensors.torch import save_file

    model.encoder.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    model.vision.save_pretrained(folder / VISION)
    scale = {"image_mean": list(model.mean), "image_std": list(model.spread), "do_resize": True, "do_rescale": True}
    sizes = {"size": {"height": model.size, "width": model.size}, "resample": 3, "rescale_factor": 1 / 255}
    plain = {"image_processor_type": "ViTImageProcessor", "do_normalize": True, **scale, **sizes}
    (folder / VISION / PREPROCESSOR).write_text(json.dumps(plain, indent=2) + "\n", "utf-8")
    state = {name: value.detach().contiguous() for name, value in model.state_dict().items()}
    own = {name: value for name, value in state.items() if not name.startswith(("encoder.", "vision."))}
    save_file(own, folder / HEAD_FILE)
    again = load(folder, Head("vision", model.labels))
    generator = torch.Generator().manual_seed(0)
    ids_BL = torch.randint(5, int(model.config.vocab_size), (3, 12), generator=generator)
    mask_BL = (torch.arange(12)[None] < torch.tensor([12, 9, 3])[:, None]).long()
    pixels = torch.randn(3, 3, model.size, model.size, generator=generator)
    was_training = model.training
    model.eval()
    with torch.no_grad():
        worst = float((model(ids_BL, mask_BL, None, pixels) - again(ids_BL, mask_BL, None, pixels)).abs().max())
    model.train(was_training)
    if not worst <= 1e-3:
        raise WeightsError(f"{folder}: the saved model differs from the trained one by {worst:.3g} in its logits")


@silent_loading()
def load(folder: str | Path, head: Head) -> nn.Module:
    """What `save` wrote, for prediction and further training."""
    from safetensors.torch import load_file

    folder = Path(folder)
    vision, preprocessor = _vision(folder / VISION)
    model = _joined(_text(folder), vision, preprocessor, head, seed=0)
    missing, foreign = model.load_state_dict(load_file(folder / HEAD_FILE), strict=False)
    if foreign or any(not name.startswith(("encoder.", "vision.")) for name in missing):
        raise WeightsError(f"{folder / HEAD_FILE}: it is not the head of this model")
    return model.eval()
