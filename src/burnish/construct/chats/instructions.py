"""What instructions and answers of a teacher must be before they are believed: the filters of Self-Instruct and Evol-Instruct,
for English and Chinese."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from burnish.core.records import Record
from burnish.measures.generation import rouge_tokens
from burnish.text.language import UNKNOWN, languages
from burnish.text.normalise import normalise
from burnish.text.scripts import HAN_CLASS

# Wang et al. 2022, section 2.2: what a language model cannot handle. Matched as words in English, anywhere in Chinese.
_UNABLE = re.compile(
    r"\b(?:image|images|graph|graphs|picture|pictures|photo|photos|file|files|map|maps|draw|drawing|plot|video|videos|audio|music|"
    r"flowchart|diagram|attached|attachment|hyperlink|remind me|phone call)\b"
    r"|图片|图像|照片|截图|画一[张幅个]|画出|绘制|视频|音频|录音|播放|流程图|附件|打开链接|提醒我|打电话给"
)
_HAN = re.compile(f"[{HAN_CLASS}]")
_HAN_PER_WORD = 1.6  # characters of a Chinese word
# Xu et al. 2023, section 3.3: words of the prompt in what should be an instruction.
_COPIED = re.compile(
    r"given (?:prompt|instruction)|rewritten (?:prompt|instruction)|created prompt|new instruction|old instruction"
    r"|(?:给定|改写后|原|新|上述|以下)的?(?:指令|提示)[:：]?"
)
_SORRY = re.compile(
    r"\b(?:i['’]?m sorry|i am sorry|sorry, (?:but )?i|i apologi[sz]e|as an ai|as a language model|i (?:cannot|can['’]?t|am unable to))\b"
    r"|抱歉|对不起|作为一个?(?:人工智能|ai|语言模型|大模型)|我(?:无法|不能)(?:提供|回答|完成|满足|帮助)"
)
LEAST_WORDS, MOST_WORDS = 3, 150  # fewer or more are refused: Self-Instruct's own limits
SHORT_ANSWER = 80  # words below which an apology is no answer (Evol-Instruct)


def size(text: str) -> float:
    """Words; a Chinese character counts as a part of one."""
    tokens = rouge_tokens(text)
    han = sum(bool(_HAN.match(one)) for one in tokens)
    return len(tokens) - han + han / _HAN_PER_WORD


def instruction_problem(text: str, *, language: str | None = None, banned: Sequence[str] = ()) -> str | None:
    """Why a text is no instruction to learn from; None when it may be one. language: the one it should be in."""
    said = normalise(text)
    if not said:
        return "empty instruction"
    if size(said) < LEAST_WORDS:
        return "instruction too short"
    if size(said) > MOST_WORDS:
        return "instruction too long"
    if not (said[0].isalnum() or said[0] in "\"'“‘《「『(（【["):
        return "instruction begins with a mark"
    if _UNABLE.search(said) or any(normalise(word) in said for word in banned):
        return "asks for what a text cannot do"
    if _COPIED.search(said):
        return "holds words of the prompt"
    if language and languages([text], among=("en", "zh")).code[0] not in (language, UNKNOWN):
        return "instruction in another language"
    return None


def answer_problem(answer: str, instruction: str) -> str | None:
    """Why an answer is none to learn from."""
    said = normalise(answer)
    if not rouge_tokens(said):
        return "empty answer"
    if _SORRY.search(said) and size(said) < SHORT_ANSWER:
        return "the teacher apologises"
    if said == normalise(instruction):
        return "answer repeats the instruction"
    words = rouge_tokens(said)
    if len(words) >= 40 and len(set(words)) < 0.15 * len(words) and _goes_round(words):
        return "answer goes round in circles"
    return None


def _goes_round(words: Sequence[str]) -> bool:
    """Whether the last third is a phrase of up to 20 words again and again."""
    tail = words[-(len(words) // 3) :]
    return any(all(a == b for a, b in zip(tail, tail[step:], strict=False)) for step in range(1, min(21, len(tail))))


def instruction_of(record: Record) -> str | None:
    """What a record asks: the first turn of its user, or its text; None where it asks nothing."""
    if record.messages:
        return next(
            (one["content"] for one in record.messages if one["role"] == "user" and one["content"].strip()), None
        )
    return record.text if record.text and record.text.strip() else None


def language_of(record: Record, spoken: Sequence[str]) -> str:
    """The language in which a teacher is asked about a record: its own where the task speaks it, else the task's first."""
    return record.language if record.language and record.language in spoken else spoken[0]


def as_turns(instruction: str, answer: str | None) -> list[dict[str, str]]:
    """A conversation of one question, and its answer where there is one."""
    asked: list[dict[str, str]] = [{"role": "user", "content": instruction}]
    return asked if answer is None else [*asked, {"role": "assistant", "content": answer}]


def with_input(item: Mapping[str, object] | str) -> str:
    """A teacher's {"instruction", "input"} as one text; ValueError when there is no instruction."""
    if isinstance(item, str):
        return item.strip()
    said = next((item[name] for name in ("instruction", "task", "question", "指令", "任务") if item.get(name)), None)
    if not isinstance(said, str):
        raise ValueError('every item needs an "instruction"')
    given = item.get("input") or item.get("输入") or ""
    rest = str(given).strip()
    rest = "" if rest.lower().strip("<>() ") in ("", "noinput", "none", "n/a", "无", "空") else rest
    return f"{said.strip()}\n\n{rest}" if rest else said.strip()
