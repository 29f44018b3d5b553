"""Which tokens of a conversation are learnt, for the templates that models carry. Targets are compared token by token."""

from functools import cache

import numpy as np
import pytest

from burnish.nn import conversations
from burnish.nn.conversations import (
    CHATML,
    PLAIN,
    encode_conversations,
    encode_prompts,
    prompt_tokens,
    render,
    tokens_and_targets,
)
from burnish.nn.examples import IGNORED
from burnish.nn.pieces import learn_tokenizer

SMOLLM2 = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nYou are a "
    "helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + message['role'] "
    "+ '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}"
    "{{ '<|im_start|>assistant\n' }}{% endif %}"
)
LLAMA2 = (
    "{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}{% set system_message = messages[0]['content'] %}"
    "{% else %}{% set loop_messages = messages %}{% set system_message = false %}{% endif %}{% for message in loop_messages %}"
    "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Conversation roles must alternate "
    "user/assistant/user/assistant/...') }}{% endif %}{% if loop.index0 == 0 and system_message != false %}"
    "{% set content = '<<SYS>>\n' + system_message + '\n<</SYS>>\n\n' + message['content'] %}{% else %}"
    "{% set content = message['content'] %}{% endif %}{% if message['role'] == 'user' %}"
    "{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}{% elif message['role'] == 'assistant' %}"
    "{{ ' '  + content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}"
)
ZEPHYR = (
    "{% for message in messages %}\n{% if message['role'] == 'user' %}\n{{ '<|user|>\n' + message['content'] + eos_token }}\n"
    "{% elif message['role'] == 'system' %}\n{{ '<|system|>\n' + message['content'] + eos_token }}\n"
    "{% elif message['role'] == 'assistant' %}\n{{ '<|assistant|>\n'  + message['content'] + eos_token }}\n{% endif %}\n"
    "{% if loop.last and add_generation_prompt %}\n{{ '<|assistant|>' }}\n{% endif %}\n{% endfor %}"
)
QWEN25 = (
    "{%- if messages[0]['role'] == 'system' %}\n{{- '<|im_start|>system\\n' + messages[0]['content'] + '<|im_end|>\\n' }}\n"
    "{%- else %}\n{{- '<|im_start|>system\\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\\n' }}\n"
    '{%- endif %}\n{%- for message in messages %}\n{%- if (message.role == "user") or (message.role == "system" and not '
    "loop.first) or (message.role == \"assistant\") %}\n{{- '<|im_start|>' + message.role + '\\n' + message.content + "
    "'<|im_end|>' + '\\n' }}\n{%- endif %}\n{%- endfor %}\n{%- if add_generation_prompt %}\n"
    "{{- '<|im_start|>assistant\\n' }}\n{%- endif %}\n"
)
QWEN3 = (  # its essence: an empty reasoning before the last answer only, so that prompts are no prefixes of the whole
    "{%- if messages[0].role == 'system' %}{{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}{%- endif %}"
    "{%- for message in messages %}{%- if message.role == 'user' %}{{- '<|im_start|>user\\n' + message.content + "
    "'<|im_end|>\\n' }}{%- elif message.role == 'assistant' %}{%- if loop.last %}{{- '<|im_start|>assistant\\n<think>\\n\\n"
    "</think>\\n\\n' + message.content.lstrip('\\n') }}{%- else %}{{- '<|im_start|>assistant\\n' + message.content }}"
    "{%- endif %}{{- '<|im_end|>\\n' }}{%- endif %}{%- endfor %}{%- if add_generation_prompt %}"
    "{{- '<|im_start|>assistant\\n' }}{%- endif %}"
)
GEMMA = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for message in messages %}{% if (message['role'] == 'assistant') %}{% set role = 'model' %}{% else %}"
    "{% set role = message['role'] %}{% endif %}{{ '<start_of_turn>' + role + '\n' + message['content'] | trim + "
    "'<end_of_turn>\n' }}{% endfor %}{% if add_generation_prompt %}{{'<start_of_turn>model\n'}}{% endif %}"
)
MARKED = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}{% if message['role'] == 'assistant' %}"
    "{% generation %}{{ message['content'] }}{% endgeneration %}{% else %}{{ message['content'] }}{% endif %}"
    "{{ '<|im_end|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
CHAT = [
    {"role": "user", "content": "Hello there"},
    {"role": "assistant", "content": "你好！ How are you?"},
    {"role": "user", "content": "Hello there, fine 😀"},
    {"role": "assistant", "content": "Good"},
]
SYSTEM = {"role": "system", "content": "Be brief. 简短"}
# template -> what each assistant turn of CHAT must be, decoded
EXPECTED = {
    "smollm2": (SMOLLM2, ["你好！ How are you?<|im_end|>", "Good<|im_end|>"]),
    "chatml": (CHATML, ["你好！ How are you?<|im_end|>", "Good<|im_end|>"]),
    "llama2": (LLAMA2, [" 你好！ How are you? </s>", " Good </s>"]),
    "zephyr": (ZEPHYR, ["你好！ How are you?</s>", "Good</s>"]),
    "qwen2.5": (QWEN25, ["你好！ How are you?<|im_end|>", "Good<|im_end|>"]),
    "qwen3": (QWEN3, ["你好！ How are you?<|im_end|>", "<think>\n\n</think>\n\nGood<|im_end|>"]),
    "gemma": (GEMMA, ["你好！ How are you?<end_of_turn>", "Good<end_of_turn>"]),
    "generation mark": (MARKED, ["你好！ How are you?<|im_end|>", "Good<|im_end|>"]),
    "plain": (PLAIN, ["你好！ How are you?</s>", "Good</s>"]),
}


@cache
def _learnt() -> str:
    return str(learn_tokenizer([turn["content"] for turn in CHAT] * 3, vocabulary=400).to_str())


def tokenizer_with(template: str | None):
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    made = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(_learnt()), eos_token="</s>", pad_token="<pad>", bos_token="<s>"
    )
    if template == GEMMA:
        made.add_special_tokens({"additional_special_tokens": ["<start_of_turn>", "<end_of_turn>"]})
    made.chat_template = template
    return made


def answers(tokenizer, messages) -> list[str]:
    """The stretches of targets, as text."""
    tokens, written = tokens_and_targets(tokenizer, messages)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], written.astype(int), [0]])))
    return [tokenizer.decode(tokens[a:b].tolist()) for a, b in edges.reshape(-1, 2)]


@pytest.mark.parametrize("name", EXPECTED)
@pytest.mark.parametrize("system", [False, True])
def test_every_answer_and_its_end_are_learnt_and_nothing_else(name: str, system: bool) -> None:
    template, expected = EXPECTED[name]
    tokenizer = tokenizer_with(template)
    messages = [SYSTEM, *CHAT] if system else CHAT
    assert answers(tokenizer, messages) == expected
    tokens, _ = tokens_and_targets(tokenizer, messages)
    assert tokenizer.decode(tokens.tolist()) == render(tokenizer, messages)


@pytest.mark.parametrize("name", EXPECTED)
def test_what_is_learnt_first_is_what_follows_the_prompt(name: str) -> None:
    """The prompt at prediction time is, token by token, what stood before the answer in training."""
    tokenizer = tokenizer_with(EXPECTED[name][0])
    tokens, written = tokens_and_targets(tokenizer, CHAT)
    prompt = prompt_tokens(tokenizer, CHAT[:3], max_length=1000)
    last = tokenizer.decode(tokens[np.flatnonzero(np.diff(written.astype(int)) == 1)[-1] + 1 :].tolist())
    before = tokens[: len(prompt)].tolist()
    assert before == prompt.tolist()
    assert tokenizer.decode(tokens[len(prompt) :].tolist()).lstrip("\n") == last


def test_the_same_words_in_both_roles_are_told_apart() -> None:
    messages = [{"role": role, "content": "Hello there"} for role in ("user", "assistant", "user", "assistant")]
    for template in (CHATML, QWEN3, GEMMA):
        tokenizer = tokenizer_with(template)
        tokens, written = tokens_and_targets(tokenizer, messages)
        said = answers(tokenizer, messages)
        assert [one.replace("<think>\n\n</think>\n\n", "")[:11] for one in said] == ["Hello there"] * 2
        first = int(np.flatnonzero(written)[0])
        assert "Hello there" in tokenizer.decode(tokens[:first].tolist())


def test_a_template_that_trims_still_shows_the_whole_answer() -> None:
    messages = [{"role": "user", "content": " hi "}, {"role": "assistant", "content": "  Good \n"}]
    assert answers(tokenizer_with(GEMMA), messages) == ["Good<end_of_turn>"]
    assert answers(tokenizer_with(CHATML), messages) == ["  Good \n<|im_end|>"]


def test_a_conversation_that_begins_with_the_assistant() -> None:
    messages = [{"role": "assistant", "content": "Good"}, *CHAT]
    assert answers(tokenizer_with(CHATML), messages) == ["Good<|im_end|>", *EXPECTED["chatml"][1]]


def test_without_a_template_there_is_a_default_one() -> None:
    assert conversations.with_template(tokenizer_with(None)).chat_template == CHATML  # it knows ChatML's marks
    with pytest.raises(ValueError, match="refuses"):
        render(tokenizer_with(LLAMA2), [CHAT[0], CHAT[0]])


def test_a_long_conversation_loses_its_oldest_turns_and_keeps_the_last_question() -> None:
    tokenizer = tokenizer_with(CHATML)
    messages = [SYSTEM, *CHAT * 5, CHAT[0]]
    tokens = prompt_tokens(tokenizer, messages, max_length=80)
    text = tokenizer.decode(tokens.tolist())
    assert len(tokens) <= 80 and text.startswith("<|im_start|>system\nBe brief")
    assert text.endswith("<|im_start|>user\nHello there<|im_end|>\n<|im_start|>assistant\n")
    assert len(encode_prompts([messages], tokenizer, max_length=8).tokens) == 8


def test_examples_carry_targets_where_an_assistant_wrote() -> None:
    tokenizer = tokenizer_with(CHATML)
    made = encode_conversations([CHAT, CHAT[:2]], tokenizer, max_length=500)
    told = made.token_targets != IGNORED
    assert np.array_equal(made.token_targets[told], made.tokens[told]) and made.num_truncated == 0
    short = encode_conversations([CHAT * 4], tokenizer, max_length=60)
    assert short.num_truncated == 1 and short.lengths[0] <= 60 and (short.token_targets != IGNORED).any()
    long_answer = [CHAT[0], {"role": "assistant", "content": "Good " * 200}]
    cut = encode_conversations([long_answer], tokenizer, max_length=40)
    assert cut.lengths[0] == 40 and (cut.token_targets != IGNORED).sum() >= 20
    long_question = [{"role": "user", "content": "Good " * 200}, CHAT[1]]
    cut = encode_conversations([long_question], tokenizer, max_length=40)
    written = cut.token_targets[cut.token_targets != IGNORED]
    assert tokenizer.decode(written.tolist()) == EXPECTED["chatml"][1][0]
