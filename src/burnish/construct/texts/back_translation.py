"""Back-translation: texts in the target language become pairs, their source written by a model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from annotated_types import Ge

from burnish.construct.gathering import gathered, grown
from burnish.construct.making import made
from burnish.construct.teachers import TEACHERS, Question, ask, teacher_problems
from burnish.construct.teachers.costing import Estimate, estimate
from burnish.construct.texts.align import language_of, two_languages
from burnish.core.artifacts import Records
from burnish.core.errors import BurnishError
from burnish.core.records import Record, Reject
from burnish.core.stage import Context, Positive, TaskSpec, stage
from burnish.core.tasktypes import open_task

BY = "construct.back_translation"
ASKED = 25  # tokens of a question beside the text
TRUST = 0.5  # in a source nobody checked
Translate = Callable[[Sequence[str]], list[str]]


def _problems(settings: Mapping[str, Any], task: TaskSpec) -> list[tuple[str, str, str]]:
    """For `burnish check`: one model, and two languages."""
    if found := two_languages(settings, task):
        return found
    given = [name for name in ("path", "hub", "teacher") if settings[name]]
    if len(given) != 1:
        said = " and ".join(given) or "none of them"
        return [("path", f"back-translation wants one of path, hub and teacher, it has {said}", "path: runs/NAME")]
    if "{text}" not in settings["prompt"]:
        return [
            ("prompt", "the prompt does not say where the text goes", 'prompt: "translate Chinese to English: {text}"')
        ]
    return teacher_problems(settings["teacher"])


def _estimate(records: int, tokens: int, settings: Mapping[str, Any], task: TaskSpec) -> Estimate | None:
    """For `burnish plan`: what a teacher costs when every text is in the target language."""
    if settings["teacher"] is None:
        return None
    each = tokens / max(records, 1)
    teacher = TEACHERS.one(settings["teacher"])
    return estimate(teacher, requests=records, tokens_in=ASKED + each, tokens_out=1.2 * each)


@stage(BY, check=_problems, estimate=_estimate)
def back_translation(
    records: Records,
    context: Context,
    *,
    path: Path | None = None,
    hub: str = "",
    teacher: Annotated[Any, TEACHERS] = None,
    prompt: str = "{text}",
    tag: str = "<BT>",
    temperature: Annotated[float, Ge(0)] = 0.0,
    beams: Positive = 1,
    max_ratio: Annotated[float, Ge(1)] = 2.5,
) -> Records:
    """Make pairs of texts in the target language alone: a model writes the source, the text is the output.

    path: a run or model folder of burnish that translates from the second language of the task into the first.
    hub: an encoder-decoder by its name on the hub, or a folder of transformers.
    teacher: a model behind an endpoint.
    prompt: what the model of `hub` reads, with {text} ("translate German to English: {text}").
    tag: stands before a source that a machine wrote, so that the model can tell it from a person's (Caswell et al. 2019);
        empty for none.
    temperature: 0 writes the likeliest source; above it words are drawn, which teaches more (Edunov et al. 2018). Of hub.
    beams: of the search at temperature 0. Of hub.
    max_ratio: a source so many times longer or shorter than usual is refused.

    Takes kept records without a target in the second language of the task. What is written must be there, no copy, in
    the first language's script, of a usual length, with the same numbers and placeholders; refusals are counted.
    """
    from burnish.measures.translation_pairs import problem, usual_ratio

    spoken = (context.task.languages[0], context.task.languages[-1])
    read = gathered(records, context)
    mine = [record for record in read if (record.text or "").strip() and language_of(record, spoken) == spoken[1]]
    refused: Counter[str] = Counter()
    refused["another language"] = len(read) - len(mine)
    texts = [record.text or "" for record in mine]
    rejects: list[Reject] = []
    told: dict[str, Any] = {}
    if teacher is not None:
        written, who = _asked(mine, teacher, context, rejects, refused, told), "a teacher"
    else:
        translate, who = _translator(path, hub, prompt, temperature, beams, context)
        written = translate(texts)
    pairs = [(source, text) for source, text in zip(written, texts, strict=True) if source]
    ratio = usual_ratio([a for a, _ in pairs], [b for _, b in pairs])
    born = []
    for record, source in zip(mine, written, strict=True):
        if not source.strip():
            refused["nothing was written"] += teacher is None
            continue
        if wrong := problem(source, record.text or "", spoken=spoken, ratio=ratio, most=max_ratio):
            refused[wrong.split(":")[0]] += 1
            continue
        born.append(
            made(
                record, by=BY, why=f"its source was written by {who}", text=f"{tag} {source}".strip(),
                output=record.text, language=spoken[0], confidence=TRUST, meta={**record.meta, "back_translated": True},
            )
        )  # fmt: skip
    whole = grown(records, born, refused, context, by=BY, what="pairs", seen=len(read), told={**told, "by": who})
    if not rejects:
        return whole
    facts = whole.facts

    def with_rejects() -> Iterator[Any]:
        yield from whole.batches()
        yield from rejects

    made_of = Records.stream(with_rejects())
    made_of.facts = facts
    return made_of


def _translator(
    path: Path | None, hub: str, prompt: str, temperature: float, beams: int, context: Context
) -> tuple[Translate, str]:
    """What translates, and its name."""
    if path is not None:
        from burnish.tasks import predictor

        loaded = predictor.load(path)
        wanted = (context.task.languages[-1], context.task.languages[0])
        if loaded.task.name != open_task(context.task).name or tuple(loaded.task.spec.languages) != wanted:
            raise BurnishError(
                f"it is a {loaded.task.name} of {', '.join(loaded.task.spec.languages)}",
                where=f"{BY}.path", hint=f"a model from {wanted[0]} to {wanted[1]} is wanted: languages: [{', '.join(wanted)}]",
            )  # fmt: skip

        def by_run(texts: Sequence[str]) -> list[str]:
            return [str(answer["text"]) for answer in loaded.predict(list(texts), progress=context.progress)]

        return by_run, loaded.name
    from burnish.nn.backbones import resolve
    from burnish.nn.translating import Translating

    place = context.base / hub
    folder = resolve(str(place) if place.is_dir() else hub, languages=context.task.languages, progress=context.progress)
    model = Translating(folder, prompt=prompt, temperature=temperature, beams=beams)
    return lambda texts: model(texts, seed=context.seed, progress=context.progress), hub


def _asked(
    mine: Sequence[Record],
    teacher: Any,
    context: Context,
    rejects: list[Reject],
    refused: Counter[str],
    told: dict[str, Any],
) -> list[str]:
    """What a teacher wrote, "" where it failed. It is asked as the task asks, the languages the other way round."""
    task = open_task(replace(context.task, languages=(context.task.languages[-1], context.task.languages[0])))
    language = "zh" if context.task.languages[-1] == "zh" else "en"
    questions = [
        Question(
            str(record.id),
            [{"role": "user", "content": task.prompt(record.text or "", language=language)}],
            language=language,
        )
        for record in mine
    ]
    replies = ask(TEACHERS.one(teacher), questions, context=context, name=BY, read=_read, total=len(questions))
    written = []
    for reply in replies:
        written.append("" if reply.problem else str(reply.value))
        if reply.problem:
            refused[f"teacher: {reply.problem.split(':')[0]}"] += 1
    rejects += replies.rejects()
    told["teacher"] = replies.facts
    return written


def _read(text: str, question: Question) -> str:
    """The translation alone."""
    said = text.strip().strip('"“”「」')
    if not said:
        raise ValueError("the answer is empty")
    return said
