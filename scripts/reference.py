"""Write docs/en/reference.md and docs/zh/reference.md from the signatures: every stage, setting, default and command.

python scripts/reference.py            write both
python scripts/reference.py --check    exit 1 when one of them is not what would be written
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer.main

from burnish import reference
from burnish.cli import app
from burnish.core.stage import ROOMS, Setting, Stage, stages
from burnish.quality.checks import CHECKS

ROOT = Path(__file__).parents[1]
WIDTH = 100

TITLES = {
    "en": (
        "# Reference",
        "Written by `scripts/reference.py` from the signatures and docstrings; do not edit. [Start of the docs](index.md)",
        "Commands",
        "closes its room: added when the spec does not name it",
    ),
    "zh": (
        "# 参考",
        "由 `scripts/reference.py` 按函数签名生成，请勿手改。各项含义写在英文的文档字符串里，点工序名即到。[文档首页](index.md)",
        "命令",
        "房间的收尾工序：配置里不写也会自动加上",
    ),
}


def pages() -> dict[Path, str]:
    """Each file with what belongs in it."""
    return {
        ROOT / "docs" / "en" / "reference.md": "\n".join(_english()) + "\n",
        ROOT / "docs" / "zh" / "reference.md": "\n".join(_chinese()) + "\n",
    }


def own_stages(room: str) -> list[Stage]:
    """Stages of the house; those of plug-ins that happen to be installed are left out."""
    return [stage for stage in stages(room) if stage.run.__module__.startswith("burnish.")]


def _english() -> Iterator[str]:
    title, about, commands, closes = TITLES["en"]
    yield from (title, "", about, "")
    yield "`burnish stages ROOM.STAGE` prints the same for what is installed, plug-ins included; `burnish schema` is JSON Schema."
    for room in ROOMS:
        for number, stage in enumerate(own_stages(room)):
            yield from ("", f"## {room}") if number == 0 else ()
            yield from ("", f"### {stage.address}", "", _flow(stage, closes), "", *_doc(stage))
            yield from _settings(stage)
    yield from (
        "",
        "## Checks of quality.audit",
        "",
        "| check | dimension | `actions: auto` | what it finds |",
        "|---|---|---|---|",
    )
    for check in CHECKS.values():
        yield f"| `{check.name}` | {check.dimension} | {check.auto} | {_cell(check.about)} |"
    yield from ("", f"## {commands}")
    for name, text in helps():
        yield from ("", f"### burnish {name}".rstrip(), "", "```text", text, "```")


def _chinese() -> Iterator[str]:
    title, about, commands, closes = TITLES["zh"]
    yield from (title, "", about)
    for room in ROOMS:
        for number, stage in enumerate(own_stages(room)):
            yield from ("", f"## {room}") if number == 0 else ()
            anchor = stage.address.replace(".", "")
            yield from (
                "",
                f"### {stage.address}",
                "",
                f"[{stage.address}](../en/reference.md#{anchor})，{_flow(stage, closes)}",
                "",
            )
            yield from _settings(stage, heads=("配置项", "类型", "默认值"), required="必填")
    yield from ("", f"## {commands}", "")
    for name, _ in helps():
        yield (
            f"- [burnish {name}](../en/reference.md#burnish-{name})"
            if name
            else "- [burnish](../en/reference.md#burnish)"
        )


def _flow(stage: Stage, closes: str) -> str:
    takes = [
        f"list of {need.kind}" if need.every else f"{need.kind} or nothing" if need.optional else need.kind
        for need in stage.needs
        if need.kind != "Context"
    ]
    made = stage.makes or "runs until stopped"
    return f"`{', '.join(takes) or 'nothing'} -> {made}`, version {stage.version}" + (
        f"; {closes}" if stage.closing else ""
    )


def _doc(stage: Stage) -> Iterator[str]:
    """The docstring without the sentences that stand in the table of settings."""
    for paragraph in stage.doc.split("\n\n"):
        lines = paragraph.splitlines()
        start = next((at for at, line in enumerate(lines) if _is_setting(stage, line)), len(lines))
        if lines[:start]:
            yield from (" ".join(line.strip() for line in lines[:start]), "")


def _is_setting(stage: Stage, line: str) -> bool:
    name, colon, _ = line.strip().partition(":")
    return bool(colon) and name in stage.settings


def _settings(
    stage: Stage, *, heads: tuple[str, str, str] = ("setting", "type", "default"), required: str = "required"
) -> Iterator[str]:
    if not stage.settings:
        return
    meaning = heads[0] == "setting"
    yield from (
        f"| {' | '.join(heads)} |{' meaning |' if meaning else ''}",
        "|---|---|---|---|" if meaning else "|---|---|---|",
    )
    for name, setting in stage.settings.items():
        row = f"| `{name}` | {_cell(reference._type(setting.schema()))} | {_default(setting, required)} |"
        yield row + (f" {_cell(setting.about)} |" if meaning else "")
    for setting in stage.settings.values():
        if setting.family:
            yield from _parts(setting, meaning=meaning)
    if stage.aliases:
        yield from ("", "Other names: " + ", ".join(f"`{other}` is `{name}`" for other, name in stage.aliases.items()))


def _parts(setting: Setting, *, meaning: bool) -> Iterator[str]:
    """What a setting may name, with the settings of each."""
    heads = (f"`{setting.name}:`", "settings", "what it is") if meaning else (f"`{setting.name}:`", "配置项")
    yield from ("", f"| {' | '.join(heads)} |", "|---" * len(heads) + "|")
    for part in reference.parts(setting):
        own = "; ".join(
            f"`{one['name']}` ({_cell(one['type'])}, {_cell(one['default'])})"
            + (f": {_cell(one['about'])}" if meaning else "")
            for one in part["settings"]
        )
        yield f"| `{part['name']}` | {own} |" + (f" {_cell(part['about'])} |" if meaning else "")


def _default(setting: Setting, required: str) -> str:
    return required if setting.required else f"`{_cell(json.dumps(setting.default, ensure_ascii=False, default=str))}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def helps() -> list[tuple[str, str]]:
    """(name of a command, its help) of every command; "" is burnish itself."""
    root: Any = typer.main.get_command(app)
    context = root.make_context("burnish", [], resilient_parsing=True, terminal_width=WIDTH)
    found = [("", _trimmed(root.get_help(context)))]
    for name, command in sorted(root.commands.items()):
        inner = command.make_context(name, [], parent=context, resilient_parsing=True, terminal_width=WIDTH)
        found.append((name, _trimmed(command.get_help(inner))))
    return found


def _trimmed(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.strip("\n").splitlines())


def main(arguments: list[str]) -> int:
    stale = [path for path, text in pages().items() if not path.is_file() or path.read_text("utf-8") != text]
    for path in stale:
        if arguments != ["--check"]:
            path.write_text(pages()[path], encoding="utf-8")
        print(f"{'stale' if arguments else 'wrote'} {path.relative_to(ROOT)}")
    return 1 if arguments == ["--check"] and stale else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
