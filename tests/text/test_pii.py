"""What tells who somebody is, found where it stands, and not where it only looks like it."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from burnish.text.pii import KINDS, PLACEHOLDER, Masker, find


def values(text: str, *kinds: str, names: tuple[str, ...] = ()) -> list[tuple[str, str]]:
    return [(one.kind, text[one.start : one.end]) for one in find(text, kinds or KINDS, names=names)]


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("电话13812345678，谢谢", "phone", "13812345678"),
        ("请拨打 +86 139-1234-5678", "phone", "+86 139-1234-5678"),
        ("手机：１３９１２３４５６７８", "phone", "１３９１２３４５６７８"),
        ("座机010-62165588", "phone", "010-62165588"),
        ("call me at (415) 555-0132 today", "phone", "(415) 555-0132"),
        ("reach me on +44 20 7946 0958.", "phone", "+44 20 7946 0958"),
        ("mail a.b-c@mail.example.co.uk!", "email", "a.b-c@mail.example.co.uk"),
        ("邮箱zhang_3@qq.com谢谢", "email", "zhang_3@qq.com"),
        ("身份证11010519491231002X", "id_number", "11010519491231002X"),
        ("卡号6222 0212 3456 7890 128", "bank_card", "6222 0212 3456 7890 128"),
        ("paid with 4111-1111-1111-1111 yesterday", "bank_card", "4111-1111-1111-1111"),
        ("to GB82 WEST 1234 5698 7654 32 please", "iban", "GB82 WEST 1234 5698 7654 32"),
        ("SSN 078-05-1120", "ssn", "078-05-1120"),
        ("from 192.168.10.254 at noon", "ip", "192.168.10.254"),
        ("加我微信wx_zhang88吧", "account", "wx_zhang88"),
        ("车牌京A12345", "plate", "京A12345"),
        ("寄到北京市海淀区中关村大街27号3单元501室", "address", "北京市海淀区中关村大街27号3单元501室"),
        ("上海浦东新区世纪大道100号", "address", "上海浦东新区世纪大道100号"),
        ("住在幸福小区3号楼2单元", "address", "幸福小区3号楼2单元"),
        ("I live at 12 Baker Street, London", "address", "12 Baker Street, London"),
        (
            "ship it to 500 Oak Ave, Apt 4, Springfield, IL 62704",
            "address",
            "500 Oak Ave, Apt 4, Springfield, IL 62704",
        ),
        ("meet me at 27534 Sondergade 63, Apt. 4, Oslo", "address", "27534 Sondergade 63, Apt. 4, Oslo"),
        ("it is 3911 fourth avenue, please", "address", "3911 fourth avenue"),
        ("我叫王小明，想退货", "name", "王小明"),
        ("收货人：欧阳锋 电话", "name", "欧阳锋"),
        ("王女士您好", "name", "王"),
        ("您好，李晓明先生", "name", "李晓明"),
        ("My name is Anna Maria Schmidt and", "name", "Anna Maria Schmidt"),
        ("Dear Mr. Jones, thanks", "name", "Jones"),
        ("Hi Vanessa, how are you", "name", "Vanessa"),
    ],
)
def test_what_is_personal_is_found(text: str, kind: str, value: str) -> None:
    assert (kind, value) in values(text)


@pytest.mark.parametrize(
    "text",
    [
        "订单号2023111312345678什么时候发货",  # sixteen digits, no card
        "order 4532015112830366 is late",  # Luhn holds by chance
        "客服热线400-820-8820",  # a firm's
        "价格是12345678元，型号XJ-2000",
        "今天是2024-01-15，温度23.5度",
        "我是学生，在路上，请问怎么走",
        "订单经理说明天到",
        "version 10.2.3 of the app, 100,000 users",
        "Hi there, how can I help you?",
        "Good morning, Thank you, I am Happy",
        "110105194912310021",  # an identity number whose check sign is wrong
        "it is 20 minutes down the road, 2 guests in suite 5, 100 people on floor 3, a 500 GB hard drive",
        "这条路很长，城市里有很多区",
    ],
)
def test_what_only_looks_personal_stays(text: str) -> None:
    assert values(text) == []


def test_a_mask_is_the_same_for_the_same_and_another_for_another() -> None:
    masker = Masker()
    assert masker.mask("打13812345678或138 1234 5678，不行就打13987654321") == "打[PHONE]或[PHONE]，不行就打[PHONE 2]"
    assert masker.counts == {"phone": 3}


def test_a_name_that_was_marked_once_is_known_before_and_after() -> None:
    masker = Masker()
    for text in ("My name is Zoe Brown", "what now"):
        masker.learn(text)
    assert masker.mask("Zoe Brown asked; Zoe Browning did not") == "[NAME] asked; Zoe Browning did not"


def test_only_what_was_asked_for() -> None:
    text = "我叫王小明，电话13812345678"
    assert values(text, "name") == [("name", "王小明")]
    with pytest.raises(ValueError, match="no kind 'names'; there are email"):
        find(text, ("names",))


def test_a_known_name_is_found_without_a_mark() -> None:
    assert values("昨天小芳没来", "name", names=("小芳",)) == [("name", "小芳")]
    assert values("Ann and Annette", "name", names=("Ann",)) == [("name", "Ann")]
    assert values("Will you come in May? I am Mr. Will", "name", names=("Will", "May")) == [("name", "Will")]


@given(st.text("王李我叫先生电话路号省市区栋Aa1389 -.,:：，@()+\n", max_size=120))
def test_finds_are_in_order_apart_and_inside(text: str) -> None:
    found = find(text)
    assert all(0 <= one.start < one.end <= len(text) for one in found)
    assert all(a.end <= b.start for a, b in itertools.pairwise(found))
    masked = Masker().mask(text)
    assert len(PLACEHOLDER.findall(masked)) >= len(found)


def test_long_runs_of_digits_and_names_take_no_time() -> None:
    import time

    began = time.perf_counter()
    for text in ("1" * 20000, "王" * 20000, "A" * 20000, "1 " * 10000, "路" * 20000, "Aa " * 6000, "北京" * 8000):
        find(text)
    assert time.perf_counter() - began < 10


SECRETS = [
    "AKIAIOSFODNN7EXAMPLE", "ghp_" + "a1B2" * 9, "sk-ant-api03-Zk9x2Lm4Qw8Rt6Yu1Io", "xoxb-123456789012-abcdefGHIJKL",
    "AIza" + "Sy4b" * 8 + "abc", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.SflKxwRJSMeKKF2QT4",
]  # fmt: skip


@pytest.mark.parametrize("value", SECRETS)
def test_secrets_are_found_by_their_makers_prefix(value: str) -> None:
    text = f"please use {value} for now"
    assert [(one.kind, text[one.start : one.end]) for one in find(text)] == [("secret", value)]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("password: hunter2!Xq9", "hunter2!Xq9"), ('api_key = "9f8aK2mQ7xLpW4zT"', "9f8aK2mQ7xLpW4zT"), ("密码是Tr0ub4dor&3", "Tr0ub4dor&3"),
        ("postgres://app:s3cr3tPw@db/x", "s3cr3tPw"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----", "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----"),
    ],
)  # fmt: skip
def test_secrets_are_found_behind_their_name(text: str, value: str) -> None:
    assert [text[one.start : one.end] for one in find(text) if one.kind == "secret"] == [value]


@pytest.mark.parametrize("text", ["I forgot my password yesterday", "password: ********", "api_key: your_api_key_here", "the secret is patience and kindness", "token: <TOKEN>"])  # fmt: skip
def test_words_about_secrets_are_none(text: str) -> None:
    assert [one for one in find(text) if one.kind == "secret"] == []


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("My passport number is K12345678.", "passport", "K12345678"), ("护照号码：E12345678，", "passport", "E12345678"),
        ("license plate 7ABC123 seen", "plate", "7ABC123"), ("the registration number is AB12 CDE", "plate", "AB12 CDE"),
    ],
)  # fmt: skip
def test_passports_and_plates_behind_their_word(text: str, kind: str, value: str) -> None:
    assert [(one.kind, text[one.start : one.end]) for one in find(text)] == [(kind, value)]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("Yesterday Maria Lopez met Giovanni Rossi in Paris.", ["Maria Lopez", "Giovanni Rossi"]),
        ("Judy! Where is the key?", ["Judy"]),
        ("In May we will visit Austin Street and Jordan.", []),
        ("Will Smith and April Jones came", ["Will Smith", "April Jones"]),
        ("The Baker Street Theatre opens on Sunday", []),
        ("张晓东说他明天来", ["张晓东"]),
        ("高峰时段请绕行，荣誉属于陆军", []),
    ],
)
def test_likely_names_stand_without_a_mark(text: str, names: list[str]) -> None:
    assert [text[one.start : one.end] for one in find(text, ("name",), likely=True)] == names
    assert find(text, ("name",)) == [] or not names
