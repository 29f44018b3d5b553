"""What a spec can hold, told from the signatures: lists, one stage in full, JSON Schema, the weights there are."""

from __future__ import annotations

import inspect
import json
from typing import Any

from burnish.core.engine import ENGINES, PARALLEL
from burnish.core.errors import UsageError
from burnish.core.spec import DEFAULT_USE, FORMAT
from burnish.core.stage import ROOMS, Setting, Stage, find, nearest, stages
from burnish.core.tasktypes import known_types


def describe(which: str | None = None, *, as_json: bool = False) -> Any:
    """The stages of the house, of a room, one stage (`room.stage`) with its settings, or what may be named in one of its
    settings (`room.stage.setting`)."""
    if which and "." in which:
        room, name, *rest = which.split(".")
        stage = _find(room, name)
        if rest:
            return _named_in(stage, ".".join(rest), as_json=as_json)
        return _facts(stage) if as_json else _in_full(stage)
    if which is not None and which not in ROOMS:
        raise UsageError(f"no room {which!r}", hint=nearest(which, ROOMS, "rooms are"))
    found = stages(which)
    if as_json:
        return [_facts(stage) for stage in found]
    lines: list[str] = []
    for room in ROOMS:
        mine = [stage for stage in found if stage.room == room]
        if mine:
            lines += ["", room, *(f"  {stage.name:<18} {stage.summary}" for stage in mine)]
    return "\n".join(lines).strip("\n") + "\n\n`burnish stages ROOM.STAGE` shows one with its settings."


def _named_in(stage: Stage, name: str, *, as_json: bool) -> Any:
    """The parts that a setting may name, each with its own settings."""
    with_parts = [one for one, setting in stage.settings.items() if setting.family]
    if name not in with_parts:
        hint = nearest(name, with_parts, "those are") if with_parts else ""
        raise UsageError(f"{stage.address}.{name} is no setting that names parts", hint=hint)
    found = parts(stage.settings[name])
    if as_json:
        return found
    lines = [f"{stage.address}.{name}: {_type(stage.settings[name].schema())}"]
    for part in found:
        lines += ["", f"{part['name']}  {part['about']}"]
        for one in part["settings"]:
            lines.append(f"  {one['name']:<16} {one['type']}, {one['default']}: {one['about']}")
    return "\n".join(lines)


def parts(setting: Setting) -> list[dict[str, Any]]:
    """What a setting may name: name, about, settings (name, type, default, about) of each part."""
    made = []
    for name, part in setting.family.parts().items():
        settings = [
            {"name": one.name, "type": _type(one.schema()), "default": _default(one), "about": one.about}
            for one in setting.family.settings(name).values()
        ]
        about = " ".join(inspect.cleandoc(part.__doc__ or "").split("\n\n")[0].split())
        made.append({"name": name, "about": about, "settings": settings})
    return made


def _default(setting: Setting) -> str:
    if setting.required:
        return "required"
    return f"default {json.dumps(setting.default, ensure_ascii=False, default=str)}"


def _find(room: str, name: str) -> Stage:
    if room not in ROOMS:
        raise UsageError(f"no room {room!r}", hint=nearest(room, ROOMS, "rooms are"))
    try:
        return find(room, name)
    except KeyError as error:
        raise UsageError(str(error.args[0])) from error


def _in_full(stage: Stage) -> str:
    takes = ", ".join(
        f"{need.kind}{'…' if need.every else ' (if there is one)' if need.optional else ''}"
        for need in stage.needs
        if need.kind != "Context"
    )
    lines = [
        f"{stage.address} (version {stage.version}): {takes or 'nothing'} -> {stage.makes or 'runs until stopped'}",
        "",
        stage.doc,
    ]
    if stage.settings:
        lines += ["", "settings"]
    for setting in stage.settings.values():
        lines.append(f"  {setting.name:<16} {_type(setting.schema())}, {_default(setting)}")
    named = [name for name, setting in stage.settings.items() if setting.family]
    if named:
        lines += ["", *(f"`burnish stages {stage.address}.{name}` shows what {name} may name." for name in named)]
    return "\n".join(lines)


def _type(schema: dict[str, Any]) -> str:
    if "title" in schema and "anyOf" in schema:
        return str(schema["title"])
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"]))
    if "const" in schema:
        return str(schema["const"])
    if "anyOf" in schema:
        return " | ".join(_type(one) for one in schema["anyOf"])
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    bounds = [
        f"{sign}{schema[key]}"
        for key, sign in (("minimum", ">="), ("exclusiveMinimum", ">"), ("maximum", "<="))
        if key in schema
    ]
    return " ".join([schema.get("format", schema.get("type", "any")), *bounds])


def _facts(stage: Stage) -> dict[str, Any]:
    return {
        "room": stage.room,
        "stage": stage.name,
        "version": stage.version,
        "summary": stage.summary,
        "takes": [vars(need) for need in stage.needs if need.kind != "Context"],
        "makes": stage.makes,
        "settings": {
            name: {**setting.schema(), "required": setting.required} for name, setting in stage.settings.items()
        },
    }


def json_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of a spec: every room with every stage that is installed here."""
    label = {"anyOf": [{"type": ["string", "number"]}, {"type": "object", "additionalProperties": {"type": "string"}}]}
    sections: dict[str, Any] = {
        "burnish": {"const": FORMAT, "description": "format of this file"},
        "name": {"type": "string", "description": "the run lands in runs/NAME"},
        "seed": {"type": "integer", "minimum": 0, "default": 0},
        "task": {
            "type": "object",
            "required": ["type"],
            "properties": {
                "type": {"enum": known_types()},
                "labels": {"type": "array", "items": label},
                "languages": {"type": "array", "items": {"type": "string", "pattern": "^[a-z]{2,3}$"}},
            },
        },
        "engine": {
            "type": "object",
            "description": "where steps are computed, and in how many processes",
            "properties": {
                "use": {"enum": list(ENGINES), "default": "local"},
                "processes": {"type": "integer", "minimum": 1, "default": 1},
                "workers": {"type": "integer", "minimum": 1},
                "address": {"type": "string"},
                "parallel": {"enum": list(PARALLEL), "default": "auto"},
            },
            "additionalProperties": False,
        },
        "store": {"type": "object", "properties": {"path": {"type": "string"}}, "additionalProperties": False},
    }
    for room in ROOMS:
        mine = stages(room)
        if mine:
            step = {"anyOf": [{"enum": [stage.name for stage in mine]}, *(_step_schema(stage) for stage in mine)]}
            sections[room] = {"anyOf": [step, {"type": "array", "items": step}]}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "burnish spec",
        "type": "object",
        "required": ["task", "sources"],
        "properties": sections,
        "additionalProperties": False,
    }


def _step_schema(stage: Stage) -> dict[str, Any]:
    required = [name for name, setting in stage.settings.items() if setting.required]
    named = [] if DEFAULT_USE.get(stage.room) == stage.name else ["use"]
    return {
        "type": "object",
        "description": stage.summary,
        "required": [*named, *required],
        "properties": {
            "use": {"const": stage.name},
            **{name: setting.schema() for name, setting in stage.settings.items()},
        },
        "additionalProperties": False,
    }


def backbones_table(*, as_json: bool = False) -> Any:
    """The pretrained weights that can be had."""
    from burnish.nn.backbones import describe as known

    rows = known()
    if as_json:
        return rows
    lines = [
        f"{'name':<14} {'languages':<12} {'params':>8} {'fetch':>8}  {'here':<5} {'licence':<11} what it is, how far to trust it"
    ]
    for row in rows:
        lines.append(
            f"{row['name']:<14} {','.join(row['languages']):<12} {row['parameters'] / 1e6:>6.1f} M {row['download_mb']:>5.0f} MB"
            f"  {'yes' if row['there'] else 'no':<5} {row['licence']:<11} {row['what']}; {row['trust']}"
        )
    lines += ["", "burnish backbones pull NAME fetches one. `backbone:` in a spec also takes a folder or a hub name."]
    return "\n".join(lines)
