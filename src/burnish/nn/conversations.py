"""Conversations as tokens: what a model reads, and exactly which tokens it should learn to write.

A chat template is a program that the tokenizer carries; it says how turns are put into text and not which part of the
text was written by whom. That is found here in three ways, the first that holds:
1. the template marks it ({% generation %});
2. rendering the conversation up to a turn, with the opening of an answer, gives a prefix of the whole: the answer is what
   the next turn adds to it;
3. templates that treat the last turn or the first otherwise (they drop old reasoning, they add an empty one): the answer is
   found between the scaffolding that stays when its words are replaced.
Targets are the words of each assistant turn and the token that ends the turn; nothing before and nothing after it.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from burnish.nn.examples import IGNORED, Examples

Messages = Sequence[Mapping[str, str]]
ROLES = ("system", "user", "assistant", "tool")
ANSWERS = "assistant"
_SENTINEL = "\u2983burnish turn {}\u2984"
CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
# for a tokenizer that has no marks of turns: plain words for the roles, and its end of text for the end of a turn
PLAIN = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>\n' + message['content'] + eos_token + '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"
)


def with_template(tokenizer: Any) -> Any:
    """The tokenizer, with a chat template where it has none: ChatML if it knows its marks, else roles in plain words."""
    if not tokenizer.chat_template:
        if "<|im_end|>" in tokenizer.get_vocab():
            tokenizer.chat_template = CHATML
        elif tokenizer.eos_token:
            tokenizer.chat_template = PLAIN
        else:
            raise ValueError("the tokenizer has neither a chat template nor a token that ends a text")
    return tokenizer


def problem(messages: Messages | None) -> str | None:
    """What is wrong with a conversation, None when it can be read."""
    if not messages:
        return "messages are missing"
    for at, turn in enumerate(messages):
        if turn.get("role") not in ROLES:
            return f"messages[{at}].role must be one of {', '.join(ROLES)}, not {turn.get('role')!r}"
        if not isinstance(turn.get("content"), str):
            return f"messages[{at}].content must be a string"
    return None


def render(tokenizer: Any, messages: Messages, *, opened: bool = False) -> str:
    """The text of a conversation; opened: with the opening of an answer behind it.

    A template that refuses a system turn gets it at the head of the first user turn.
    """
    from jinja2 import TemplateError

    turns = [dict(turn) for turn in messages]
    try:
        return str(tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=opened))
    except TemplateError as error:
        if len(turns) < 2 or turns[0]["role"] != "system":
            raise ValueError(f"the chat template refuses this conversation: {error}") from error
        merged = {**turns[1], "content": f"{turns[0]['content']}\n\n{turns[1]['content']}"}
        return render(tokenizer, [merged, *turns[2:]], opened=opened)


def tokens_and_targets(tokenizer: Any, messages: Messages) -> tuple[np.ndarray, np.ndarray]:
    """(tokens int32, written bool) of a whole conversation: what is read, and which of it an assistant wrote."""
    full = render(tokenizer, messages)
    tokens, starts, ends = _tokenised(tokenizer, full)
    written = np.zeros(len(tokens), dtype=bool)
    for start, end in _spans(tokenizer, messages, full):
        inside = (ends > start) & (starts < end) & (ends > starts)
        written |= inside
    return tokens, _ended(tokenizer, tokens, written)


def _tokenised(tokenizer: Any, text: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    encoding = getattr(tokenizer, "backend_tokenizer", tokenizer)
    if encoding.truncation is not None:
        encoding.no_truncation()
    made = encoding.encode(text, add_special_tokens=False)
    offsets = np.array(made.offsets, dtype=np.int64).reshape(-1, 2)
    return np.array(made.ids, dtype=np.int32), offsets[:, 0], offsets[:, 1]


def prompt_tokens(tokenizer: Any, messages: Messages, *, max_length: int) -> np.ndarray:
    """int32 tokens to be continued by an answer. Too long a conversation loses its oldest turns, never its system turn.

    When the last turn alone is too long, it loses its beginning.
    """
    turns = list(messages)
    first = 1 if turns and turns[0]["role"] == "system" else 0
    while True:
        tokens = _tokenised(tokenizer, render(tokenizer, turns, opened=True))[0]
        dropped = next((at for at in range(first + 1, len(turns)) if turns[at]["role"] == "user"), None)
        if len(tokens) <= max_length or dropped is None:
            return tokens[-max_length:]
        turns = turns[:first] + turns[dropped:]


def encode_prompts(conversations: Sequence[Messages], tokenizer: Any, *, max_length: int) -> Examples:
    """Conversations to be answered, as Examples."""
    return gathered([prompt_tokens(tokenizer, messages, max_length=max_length) for messages in conversations])


def encode_conversations(conversations: Sequence[Messages], tokenizer: Any, *, max_length: int) -> Examples:
    """Whole conversations as Examples with `token_targets`: the tokens that an assistant wrote, IGNORED elsewhere.

    One that is too long loses its oldest turns, and then the end of its last answer.
    """
    rows, targets, truncated = [], [], 0
    for messages in conversations:
        tokens, written = tokens_and_targets(tokenizer, messages)
        if len(tokens) > max_length:
            truncated += 1
            tokens, written = _shortened(tokenizer, messages, max_length)
        rows.append(tokens)
        targets.append(np.where(written, tokens, IGNORED))
    return gathered(rows, targets, num_truncated=truncated)


def _shortened(tokenizer: Any, messages: Messages, max_length: int) -> tuple[np.ndarray, np.ndarray]:
    turns = list(messages)
    first = 1 if turns[0]["role"] == "system" else 0
    while True:
        tokens, written = tokens_and_targets(tokenizer, turns)
        dropped = next((at for at in range(first + 1, len(turns) - 1) if turns[at]["role"] == "user"), None)
        if len(tokens) <= max_length:
            return tokens, written
        if dropped is None:
            break
        turns = turns[:first] + turns[dropped:]
    answer = int(np.flatnonzero(written)[0]) if written.any() else 0
    room = max(max_length // 2, max_length - (len(tokens) - answer))  # of what is read before the answer
    begin = max(0, answer - room)
    return tokens[begin : begin + max_length], written[begin : begin + max_length]


def gathered(
    rows: Sequence[np.ndarray], targets: Sequence[np.ndarray] | None = None, *, num_truncated: int = 0
) -> Examples:
    """Sequences of tokens, with or without targets, as Examples."""
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
    return Examples(
        tokens=np.concatenate(rows).astype(np.int32) if rows else np.zeros(0, np.int32),
        offsets=offsets,
        token_targets=None if targets is None else np.concatenate([np.zeros(0, np.int64), *targets]).astype(np.int64),
        num_truncated=num_truncated,
    )


def _spans(tokenizer: Any, messages: Messages, full: str) -> list[tuple[int, int]]:
    """(start, end) in characters of what each assistant turn adds to the rendered text."""
    turns = [at for at, turn in enumerate(messages) if turn["role"] == ANSWERS]
    if not turns:
        return []
    marked = _marked(tokenizer, messages) if "generation %}" in str(tokenizer.chat_template) else None
    if marked is not None:
        return marked
    added = [_added(tokenizer, messages, at, full) for at in turns]
    if any(span is None for span in added):
        found = _between(tokenizer, messages, turns, full)
        return [one or other for one, other in zip(added, found, strict=True)]
    return [span for span in added if span is not None]


def _marked(tokenizer: Any, messages: Messages) -> list[tuple[int, int]] | None:
    """What the template itself says was generated; None when it says nothing."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = tokenizer.apply_chat_template(
            [dict(turn) for turn in messages], tokenize=True, return_dict=True, return_assistant_tokens_mask=True
        )
    full = render(tokenizer, messages)
    tokens, starts, ends = _tokenised(tokenizer, full)
    mask = np.asarray(made["assistant_masks"], dtype=bool)
    if len(mask) != len(tokens) or not mask.any():
        return None
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(int), [0]])))
    return [(int(starts[a]), int(ends[b - 1])) for a, b in edges.reshape(-1, 2)]


def _added(tokenizer: Any, messages: Messages, at: int, full: str) -> tuple[int, int] | None:
    """The answer at turn `at` where prompts are prefixes of the whole; None where they are not."""
    if at == 0:
        return None
    try:
        before, after = render(tokenizer, messages[:at], opened=True), render(tokenizer, messages[: at + 1])
    except ValueError:
        return None
    content = messages[at]["content"].strip()
    if not full.startswith(after):
        after = after.rstrip()  # blanks that only the last turn has behind it
    if full.startswith(before) and full.startswith(after) and content in full[len(before) : len(after)]:
        return len(before), len(after)
    return None


def _between(tokenizer: Any, messages: Messages, turns: Sequence[int], full: str) -> list[tuple[int, int]]:
    """Each answer found between the scaffolding around it, which is what stays when other words stand there."""
    marks = {at: _SENTINEL.format(at) for at in turns}
    masked = [{**turn, "content": marks[at]} if at in marks else dict(turn) for at, turn in enumerate(messages)]
    skeleton = render(tokenizer, masked)
    spans, cursor, rest = [], 0, skeleton
    for at in turns:
        head, found, rest = rest.partition(marks[at])
        content = messages[at]["content"]
        here = -1
        if found:
            # behind the scaffolding before it, so that the same words in an earlier turn are not taken for it
            anchor = full.find(head[-40:], cursor) if head else cursor
            here = full.find(content.strip(), anchor + len(head[-40:]) if anchor >= 0 else cursor)
        if here < 0:
            raise ValueError(f"the chat template does not show what messages[{at}] says: it cannot be learnt from it")
        end = here + len(content.strip())
        tail = rest.partition(_SENTINEL[0])[0]
        stop = len(tail) - len(tail.lstrip())
        cursor = end
        spans.append((here, end + stop))
    return spans


def _ended(tokenizer: Any, tokens: np.ndarray, written: np.ndarray) -> np.ndarray:
    """Move each answer's end to the token that ends its turn: blanks behind that are not written, itself always is."""
    special = np.isin(tokens, sorted(set(tokenizer.all_special_ids) | _control(tokenizer)))
    out = written.copy()
    edges = np.flatnonzero(np.diff(np.concatenate([[0], written.astype(int), [0]])))
    for start, end in edges.reshape(-1, 2):
        inside = np.flatnonzero(special[start:end])
        if len(inside):
            last = start + int(inside[-1])
            if not _text(tokenizer, tokens[last + 1 : end]).strip():
                out[last + 1 : end] = False
            continue
        behind = end
        while (
            behind < len(tokens) and not special[behind] and not _text(tokenizer, tokens[behind : behind + 1]).strip()
        ):
            behind += 1
        if behind < len(tokens) and special[behind]:
            out[end : behind + 1] = True
    return out


def _control(tokenizer: Any) -> set[int]:
    """Tokens that are never made from text, whatever the tokenizer's settings call them."""
    return {number for number, token in tokenizer.added_tokens_decoder.items() if token.special}


def _text(tokenizer: Any, tokens: np.ndarray) -> str:
    return str(tokenizer.decode(tokens.tolist(), skip_special_tokens=False))
