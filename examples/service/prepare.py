"""Logs of a shop's customer service, made up: what a help desk exports, with all that must go before a model learns of it.

    python examples/service/prepare.py              writes examples/service/data/log.jsonl
    python examples/service/prepare.py --language zh --out examples/service-zh/data

One line a message: conversation, speaker, text, time, whether it was solved, stars. Names, phones, addresses, cards and
notices of the system are invented by a seed; questions are asked in several wordings, and agents answer well or badly.
"""

from __future__ import annotations

import argparse
import json
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

# (wordings, good answer, poor answer)
TOPICS = {
    "en": [
        (["How do I return the shoes?", "how can i return a pair of shoes", "I want to send the shoes back, how?", "what do I do to return my shoes"], "You can return them within 30 days: open Orders, choose Return, and print the label.", "No idea, look it up on the page."),
        (["Where is my parcel?", "where's my package", "My parcel has not come yet, where is it?", "can you tell me where my parcel is"], "It left our warehouse yesterday; the tracking link in your mail shows where it is.", "It will come when it comes."),
        (["How do I get an invoice?", "can I have an invoice please", "i need an invoice for my order", "where can I download the invoice"], "Open the order and choose Invoice; it is sent to your mail within a minute.", "We do not do that in the chat."),
        (["Can I pay by card?", "do you take credit cards", "which cards can I pay with?", "is it possible to pay by card"], "Yes, all common cards are taken, and nothing is charged before we ship.", "Maybe, try it."),
        (["I forgot my password", "how do I reset my password?", "my password does not work any more, how to reset it", "forgot the password, what now"], "Choose Forgot password on the sign-in page; the link we send is good for an hour.", "Then make a new account."),
        (["Do you ship to Norway?", "can you deliver to norway", "is shipping to Norway possible?", "what does shipping to norway cost"], "Yes, it takes five days and costs nine euros.", "We ship to some countries."),
    ],
    "zh": [
        (["鞋子怎么退？", "我想把鞋子退了，怎么操作", "怎么退鞋", "鞋子不合适想退货怎么退"], "30天内都可以退：在“我的订单”里点“退货”，打印运单贴在盒子上就行。", "自己看页面。"),
        (["我的快递到哪了？", "包裹怎么还没到，到哪了", "查一下我的快递到哪里了", "快递现在到哪了"], "昨天已经从仓库发出了，点短信里的链接可以看到实时位置。", "该到的时候就到了。"),
        (["怎么开发票？", "发票怎么开", "我要开一张发票", "订单的发票在哪里开"], "打开订单点“开发票”，一分钟内会发到您的邮箱。", "这里不管开票。"),
        (["可以刷信用卡吗？", "能用信用卡付款吗", "支持信用卡付款吗", "可不可以用信用卡支付"], "可以的，常见的卡都支持，发货之前不会扣款。", "您试试看。"),
        (["忘记密码了怎么办？", "密码忘了怎么找回", "怎么重置密码", "密码登不上去了，怎么找回密码"], "在登录页点“忘记密码”，我们发的链接一小时内有效。", "那就重新注册一个。"),
        (["能寄到西藏吗？", "西藏可以发货吗", "请问可以寄到西藏吗", "寄到西藏要多少钱"], "可以的，五天左右到，运费九元。", "有些地方不寄。"),
    ],
}  # fmt: skip
WORDS = {
    "en": {
        "user": "Customer", "agent": "Agent {}", "system": "System", "agents": ["Anna", "Tom", "Ruth"],
        "notice": ["Agent {} has joined the chat", "The conversation has been closed", "Please rate this conversation"],
        "greeting": "Thank you for contacting the Blue Shop! We will be with you shortly.", "wait": "One moment please",
        "who": ["My name is {name}, ", "", "", ""], "reach": [" You can call me at {phone}.", " My mail is {mail}.", " I live at {address}.", "", "", ""],
        "to": "Dear {name}, ", "thanks": ["Thanks!", "ok thank you", ""], "solved": ["yes", "no"], "short": ["anybody there?", ""],
    },
    "zh": {
        "user": "客户", "agent": "客服{}", "system": "系统", "agents": ["小李", "小周", "小唐"],
        "notice": ["客服{}进入了会话", "会话已结束", "系统邀请您对本次服务评价"],
        "greeting": "您好，欢迎光临蓝店，很高兴为您服务", "wait": "请稍等",
        "who": ["我叫{name}，", "", "", ""], "reach": ["我的电话是{phone}。", "邮箱{mail}。", "地址是{address}。", "", "", ""],
        "to": "{name}您好，", "thanks": ["谢谢", "好的，谢谢啦", ""], "solved": ["已解决", "未解决"], "short": ["在吗？", ""],
    },
}  # fmt: skip
NAMES = {"en": ["Vera Holm", "Paul Nkosi", "Ines Duarte", "Kim Larsen"], "zh": ["王小明", "李晓华", "张建国", "陈思雨"]}
ADDRESSES = {"en": ["12 Baker Street, London", "500 Oak Avenue, Springfield"], "zh": ["北京市海淀区中关村大街27号", "上海市徐汇区淮海中路1045号3单元501室"]}  # fmt: skip


def phone(language: str, draw: random.Random) -> str:
    digits = "".join(draw.choice("0123456789") for _ in range(8))
    return "139" + digits if language == "zh" else f"(415) 555-{digits[:4]}"


def conversation(number: int, language: str, draw: random.Random) -> list[dict[str, object]]:
    """Messages of one conversation; some are empty or one-sided, as in real logs."""
    words, agent = WORDS[language], draw.choice(WORDS[language]["agents"])
    wordings, good, poor = draw.choice(TOPICS[language])
    helped = draw.random() < 0.75
    facts = {"name": draw.choice(NAMES[language]), "phone": phone(language, draw), "mail": f"user{number}@example.com", "address": draw.choice(ADDRESSES[language])}  # fmt: skip
    opening = draw.choice(words["who"])
    asked = opening.format(**facts) + draw.choice(wordings) + draw.choice(words["reach"]).format(**facts)
    said = [("system", words["notice"][0].format(agent)), ("agent", words["greeting"]), ("user", asked)]
    if draw.random() < 0.12:
        said = draw.choice([said[:3], [("user", draw.choice(words["short"]))], said[:2]])
    else:
        answer = (words["to"].format(**facts) if opening else "") + (good if helped else poor)
        said += [("agent", words["wait"])] if draw.random() < 0.5 else []
        said += [("agent", answer), ("user", draw.choice(words["thanks"])), ("system", words["notice"][1])]
        said += [("system", words["notice"][2])]
    began = datetime(2024, 3, 1, tzinfo=UTC) + timedelta(minutes=17 * number)
    return [
        {
            "conversation": f"c{number:04d}",
            "speaker": words[role].format(agent),
            "text": text or "…",
            "time": (began + timedelta(seconds=20 * at)).isoformat(),
            "solved": words["solved"][not helped],
            "stars": draw.choice([4, 5] if helped else [1, 2]),
        }
        for at, (role, text) in enumerate(said)
    ]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--language", choices=list(TOPICS), default="en")
    parser.add_argument("--count", type=int, default=400, help="conversations")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "data")
    args = parser.parse_args()
    draw = random.Random(0)
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / "log.jsonl"
    with path.open("w", encoding="utf-8") as file:
        for number in range(args.count):
            for message in conversation(number, args.language, draw):
                file.write(json.dumps(message, ensure_ascii=False) + "\n")
    print(f"{args.count} conversations: {path}")


if __name__ == "__main__":
    main()
