"""Prompts are files with a version; what they say is part of the key of everything that is made with them.

    version: 1

    # system
    You label texts ...

    # user
    Labels:
    {labels}
    Text: {text}

Without `# user` the whole file is one message. A word in braces is a placeholder; all other braces stand as they are.
Shipped ones are `burnish/construct/prompts/LANGUAGE/NAME.md`; anybody's own is a path from the spec's folder.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from burnish.core.errors import BurnishError
from burnish.core.stage import TaskSpec, nearest

SHIPPED = Path(__file__).parents[1] / "prompts"
ROLES = ("system", "user", "assistant")
_TURN = re.compile(r"^# (system|user|assistant)[ \t]*$", re.MULTILINE)
_HEAD = re.compile(r"\A(?:\s*version:[ \t]*(\S+)[ \t]*(?:\n|\Z))?")
_KEY = re.compile(r'"([A-Za-z_]\w*)"\s*:')
_PLACE = re.compile(r"\{([a-z][a-z0-9_]*)\}")


@dataclass(frozen=True)
class Prompt:
    """name: as the spec says it. turns: (role, text with placeholders)."""

    name: str
    language: str
    version: str
    turns: tuple[tuple[str, str], ...]

    @property
    def called(self) -> str:
        """Its name without folders and ending: what a labeller that asks with it is told by."""
        return Path(self.name).stem

    @property
    def places(self) -> set[str]:
        """The names of its placeholders."""
        return {name for _, text in self.turns for name in _PLACE.findall(text)}

    def form(self, schema: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
        """A schema of an object with what else the prompt asks for: `"reason": "..."` before the label, as text."""
        asked = list(dict.fromkeys(key for _, text in self.turns for key in _KEY.findall(text)))
        extra = [key for key in asked if schema is not None and f'"{key}"' not in json.dumps(schema)]
        if schema is None or not extra:
            return schema
        own = schema["properties"]
        order = sorted([*own, *extra], key=lambda key: asked.index(key) if key in asked else len(asked))
        return {
            **schema,
            "properties": {key: own.get(key, {"type": "string"}) for key in order},
            "required": [key for key in order if key in extra or key in schema["required"]],
        }

    @property
    def digest(self) -> str:
        """Of all it says."""
        return hashlib.sha256(repr(self.turns).encode()).hexdigest()[:16]

    def messages(self, **values: object) -> list[dict[str, str]]:
        """The messages with the placeholders filled; a value of None is nothing. KeyError for one that has no value."""

        def filled(match: re.Match[str]) -> str:
            value = values[match[1]]
            return "" if value is None else str(value)

        return [{"role": role, "content": _PLACE.sub(filled, text)} for role, text in self.turns]


def load_prompt(name: str, *, language: str = "en", base: Path | None = None) -> Prompt:
    """A shipped prompt by its name, in the language or else in English; or the file at a path from `base`.

    BurnishError when there is none, naming the nearest.
    """
    if not _is_path(name):
        for spoken in (language, "en"):
            path = SHIPPED / spoken / f"{name}.md"
            if path.is_file():
                return _read(path, name, spoken)
        hint = nearest(name, shipped(), "there are") + "; or the path of a file of your own"
        raise BurnishError(f"there is no prompt {name!r}", where="prompt", hint=hint)
    path = (base or Path()) / name
    if not path.is_file():
        raise BurnishError(f"there is no file {name}", where="prompt", hint="a path from the folder of the spec")
    return _read(path, name, language)


def shipped() -> list[str]:
    """Names of the prompts that come with burnish."""
    return sorted({path.stem for path in SHIPPED.glob("*/*.md")})


def _is_path(name: str) -> bool:
    return "/" in name or "\\" in name or Path(name).suffix in (".md", ".txt")


@functools.lru_cache(maxsize=256)
def _parsed(text: str, name: str, language: str) -> Prompt:
    head = _HEAD.match(text)
    assert head
    rest = text[head.end() :]
    marks = list(_TURN.finditer(rest))
    if not marks:
        return Prompt(name, language, head[1] or "", (("user", rest.strip()),))
    ends = [mark.start() for mark in marks[1:]] + [len(rest)]
    turns = tuple((mark[1], rest[mark.end() : end].strip()) for mark, end in zip(marks, ends, strict=True))
    return Prompt(name, language, head[1] or "", turns)


def _read(path: Path, name: str, language: str) -> Prompt:
    return _parsed(path.read_text("utf-8").replace("\r\n", "\n"), name, language)


def prompt_problems(
    name: str, places: Collection[str], *, needs: Sequence[str] = (), task: TaskSpec, setting: str = "prompt"
) -> list[tuple[str, str, str]]:
    """For `burnish check`: (key, message, hint) of a prompt that is not there, or whose placeholders nobody fills.

    places: that can be filled. needs: of which it must have one.
    """
    found = []
    for language in task.languages:
        try:
            prompt = load_prompt(name, language=language, base=task.base)
        except BurnishError as error:
            return [(setting, error.message, error.hint)]
        except (OSError, UnicodeDecodeError) as error:
            return [(setting, f"{name} cannot be read: {error}", "a text file in UTF-8")]
        for place in sorted(prompt.places - set(places)):
            found.append(
                (
                    setting,
                    f"{name} has a placeholder {{{place}}} that nobody fills",
                    nearest(place, places, "there are"),
                )
            )
        if needs and not prompt.places & set(needs):
            wanted = " or ".join(f"{{{one}}}" for one in needs)
            found.append((setting, f"{name} never says what it asks about", f"{wanted} stands for it"))
    return list(dict.fromkeys(found))


class _ByContent:
    """Puts what prompts say into the key of a step, in all languages of the task. auto: name of what "auto" means."""

    def __init__(self, auto: Any = None) -> None:
        self._auto = auto

    def identify_for(self, value: Any, task: TaskSpec) -> Any:
        names = [value] if isinstance(value, str) else list(value)
        names = [self._auto(task) if name == "auto" and self._auto else name for name in names]
        said: list[Mapping[str, str]] = []
        for name in names:
            prompts = [load_prompt(name, language=language, base=task.base) for language in task.languages]
            said.append({"name": name, **{one.language: one.digest for one in prompts}})
        return said


def by_content(auto: Any = None) -> _ByContent:
    """What to annotate a setting with that names one or several prompts. auto: (task) -> the name that "auto" stands for."""
    return _ByContent(auto)


PromptFile = Annotated[str, by_content()]
"""A setting that names a prompt: `prompt: PromptFile = "questions"`."""
