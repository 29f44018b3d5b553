"""Another value of the same form for every personal one: the same key and value give the same pseudonym, for ever.

A pseudonym is drawn by HMAC-SHA256 of kind and value under a key, so nobody without the key can find it again or guess by
trying values. Its form stays: digits for digits, letters for letters, the sums of cards, identity numbers and IBANs hold,
names become names of as many parts (first names and surnames each keep theirs, so that "Ms Lopez" is still "Maria Lopez"),
Chinese names stay Chinese. Reversing needs the table of what was replaced, which is kept encrypted (AES-SIV, RFC 5297) and
opens only with the same key. The key comes from a secret in the environment through scrypt (RFC 7914) and is written nowhere.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import random
import re
import string
from collections.abc import Mapping
from datetime import date, timedelta
from functools import cache

from burnish.core.errors import BurnishError, MissingExtra
from burnish.text import checksums
from burnish.text.scripts import HAN_CLASS

SALT = b"burnish.redact.1"
LEAST_SECRET = 16  # characters: shorter secrets are found by trying
MAGIC = b"burnish pseudonyms 1\n"
_HAN = re.compile(f"[{HAN_CLASS}]")
_MAIL_HOSTS = ("gmail.com", "outlook.com", "hotmail.com", "yahoo.com", "icloud.com", "qq.com", "163.com", "126.com", "sina.com", "foxmail.com")  # fmt: skip
_TWO_SIGNS = ("欧阳", "司马", "上官", "诸葛", "东方", "尉迟", "皇甫", "慕容", "令狐", "司徒", "夏侯", "公孙", "端木", "南宫")  # fmt: skip
_ROADS = ("建设", "人民", "解放", "中山", "和平", "新华", "文化", "青年", "光明", "胜利", "长江", "黄河", "朝阳", "向阳", "迎宾", "友谊")  # fmt: skip
_PLACES = ("东城", "西城", "南岭", "北园", "新安", "长宁", "永福", "平安", "兴隆", "清河", "白云", "青山", "金水", "和顺", "安宁", "龙泉")  # fmt: skip
_TAILS = r"省|市|自治区|特别行政区|自治州|地区|区|县|旗|镇|乡|街道|村|大街|大道|胡同|路|街|道|巷|弄|里|小区|花园|大厦|广场|公寓|新村|家园|国际|大楼|宿舍|社区|苑|府|城|园|中心|科技园|工业园|大学|号院|号楼|段"
_UNITS = "号院|号楼|号店|号|楼|栋|幢|座|期|区|单元|层|室|房|户|门|弄|巷|段"
_ADDRESS_PART = re.compile(rf"(?<=[0-9A-Za-z])(?:{_UNITS})|([{HAN_CLASS}]+?)({_TAILS})|[{HAN_CLASS}]+")
_PROVINCES = ("江苏", "浙江", "安徽", "福建", "江西", "山东", "河南", "湖北", "湖南", "广东", "四川", "贵州", "云南", "陕西", "甘肃")  # fmt: skip
_CITIES = ("南京", "杭州", "合肥", "福州", "南昌", "济南", "郑州", "武汉", "长沙", "广州", "成都", "贵阳", "昆明", "西安", "兰州", "苏州", "宁波", "青岛")  # fmt: skip
_KEPT_WORDS = re.compile(
    r"(?i:street|st|road|rd|avenue|ave|boulevard|blvd|lane|ln|drive|dr|court|ct|way|place|pl|square|sq|terrace|highway|hwy|apt|"
    r"apartment|suite|ste|unit|flat|floor|room|rm|p\.?o\.?|box|north|south|east|west|rue|via|de|la|le|van|der|del|[nsew]\.?)\.?"
)


class Key:
    """What pseudonyms are drawn with and the table is encrypted with."""

    def __init__(self, secret: str) -> None:
        """BurnishError where the secret is too short to be one."""
        if len(secret) < LEAST_SECRET:
            raise BurnishError(
                f"the key has {len(secret)} characters, fewer than {LEAST_SECRET}",
                hint="a random one: python -c 'import secrets; print(secrets.token_urlsafe(32))'",
            )
        made = hashlib.scrypt(secret.encode("utf-8"), salt=SALT, n=2**14, r=8, p=1, dklen=96)
        self.drawing, self.locking = made[:32], made[32:]

    @classmethod
    def of(cls, name: str) -> Key:
        """From an environment variable. BurnishError where it is not set."""
        secret = os.environ.get(name)
        if not secret:
            raise BurnishError(f"the environment has no {name}", hint=f"export {name}=... and run again")
        return cls(secret)

    @property
    def fingerprint(self) -> str:
        """Tells two keys apart and nothing else about them."""
        return hmac.digest(self.drawing, b"fingerprint", "sha256").hex()[:12]

    def draw(self, *words: object) -> random.Random:
        """The dice for one value."""
        said = "\x00".join(map(str, words)).encode("utf-8", "surrogatepass")
        return random.Random(hmac.digest(self.drawing, said, "sha256"))

    def lock(self, table: Mapping[str, Mapping[str, str]]) -> bytes:
        """The table encrypted: equal tables give equal bytes. MissingExtra without cryptography."""
        plain = json.dumps(table, ensure_ascii=False, sort_keys=True).encode("utf-8", "surrogatepass")
        locked: bytes = _cipher()(self.locking).encrypt(plain, [MAGIC])
        return MAGIC + locked

    def open(self, locked: bytes) -> dict[str, dict[str, str]]:
        """The table again. BurnishError where the key is another one or the bytes were changed."""
        from cryptography.exceptions import InvalidTag

        if not locked.startswith(MAGIC):
            raise BurnishError("this is no table of pseudonyms", hint="quality/pseudonyms.enc of a run is one")
        try:
            plain = _cipher()(self.locking).decrypt(locked[len(MAGIC) :], [MAGIC])
        except InvalidTag as error:
            raise BurnishError(
                "the table does not open: another key, or a changed file", hint="the key of the run that redacted"
            ) from error
        made: dict[str, dict[str, str]] = json.loads(plain.decode("utf-8", "surrogatepass"))
        return made


@cache
def _cipher():  # type: ignore[no-untyped-def]
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESSIV
    except ImportError as error:
        raise MissingExtra("pseudonyms that can be reversed", "pii") from error
    return AESSIV


class Pseudonyms:
    """Draws a pseudonym for each value and remembers it. table: kind -> pseudonym -> value, for `Key.lock`.

    Two values never share a pseudonym of a kind; where two would, the one met later gets its next draw.
    """

    def __init__(self, key: Key) -> None:
        self.key = key
        self.table: dict[str, dict[str, str]] = {}
        self._given: dict[tuple[str, str], str] = {}
        self._words: dict[str, dict[str, str]] = {}

    def of(self, kind: str, value: str) -> str:
        """The pseudonym of a value: of the same length and form where the kind allows it."""
        if (kind, value) in self._given:
            return self._given[kind, value]
        taken = self.table.setdefault(kind, {})
        for times in range(1000):
            made = self._made(kind, value, times)
            if made not in taken and made != value:
                break
        else:  # a form with fewer values than the data has (one digit, say)
            made = f"{made}~{len(taken)}"
        taken[made] = value
        self._given[kind, value] = made
        return made

    def _made(self, kind: str, value: str, times: int) -> str:
        plain = re.sub(r"[\s()-]", "", value).lower()
        if kind == "name":
            return self._name(value, times)
        draw = self.key.draw(kind, plain, times)
        maker = {
            "bank_card": _card, "id_number": _identity, "iban": _iban, "ssn": _security, "email": _email, "phone": _phone,
            "ip": _machine, "plate": _plate, "address": _address,
        }.get(kind, _shaped)  # fmt: skip
        return maker(value, draw)

    def _name(self, value: str, times: int) -> str:
        if _HAN.search(value):
            size = 2 if value.startswith(_TWO_SIGNS) else 1
            nick = value.startswith(("小", "老", "阿")) and len(value) == 2
            family, given = (value[1:], "") if nick else (value[:size], value[size:])
            families, signs = _chinese()
            surname = self.key.draw("surname", family).choice(families)
            made = "".join(self.key.draw("given", given, times, at).choice(signs) for at in range(len(given)))
            if not given and times:
                surname = self.key.draw("surname", family, times).choice(families)
            return (value[0] if nick else "") + surname + made
        words = re.split(r"(\s+)", value)
        last = len(words) - 1
        parts: list[str] = []
        for at, word in enumerate(words):
            if not word.strip() or re.fullmatch(r"(?i:de|van|der|den|von|da|di|la|bin|al|dos|du|del)", word):
                parts.append(word)
            elif len(word.strip(".")) == 1:
                parts.append(self.key.draw("initial", value, times).choice(string.ascii_uppercase) + word[1:])
            else:
                parts.append(self._word(word, surname=at == last and last > 0))
        whole = "".join(parts)
        return whole if not times else f"{whole} {self.key.draw('more', value, times).choice(_latin()[1])}"

    def _word(self, word: str, *, surname: bool) -> str:
        """A word of a name: the same one for the same word, wherever it stands in names."""
        small = word.lower()
        taken = self._words.setdefault("of", {})
        if small not in taken:
            female, surnames, male = _latin()
            kind = surnames if surname else female if word.capitalize() in _female() else male
            used = self._words.setdefault("used", {})
            for times in range(10_000):
                made = self.key.draw("word", small, times).choice(kind)
                if made.lower() not in used and made.lower() != small:
                    break
            used[made.lower()] = small
            taken[small] = made
        made = taken[small]
        return made.lower() if word.islower() else made.upper() if word.isupper() and len(word) > 1 else made


def reveal(text: str, table: Mapping[str, Mapping[str, str]]) -> str:
    """Put the values back for their pseudonyms, the longest first; words that only look like one come back wrong too."""
    back = {made: value for kind in table.values() for made, value in kind.items()}
    if not back:
        return text
    longest = sorted(back, key=lambda made: (-len(made), made))
    ends = [
        re.escape(made) if _HAN.search(made) else rf"(?<![0-9A-Za-z]){re.escape(made)}(?![0-9A-Za-z])"
        for made in longest
    ]
    return re.sub("|".join(ends), lambda found: back[found[0]], text)


# -- forms


def _shaped(value: str, draw: random.Random) -> str:
    """Digit for digit, letter for letter; all else stays."""
    made = []
    for sign in value:
        if sign.isascii() and sign.isdigit():
            made.append(draw.choice("0123456789"))
        elif sign.isascii() and sign.isalpha():
            made.append(draw.choice(string.ascii_uppercase if sign.isupper() else string.ascii_lowercase))
        elif "０" <= sign <= "９":
            made.append(chr(ord("０") + draw.randrange(10)))
        else:
            made.append(sign)
    return "".join(made)


def _with_digits(value: str, digits: str) -> str:
    """The value with other digits in the places of its own."""
    left = iter(digits)
    return "".join(next(left) if sign.isdigit() or sign in "Xx" else sign for sign in value)


def _card(value: str, draw: random.Random) -> str:
    old = re.sub(r"\D", "", value)
    body = old[0] + "".join(draw.choice("0123456789") for _ in old[2:])
    return _with_digits(value, next(body + last for last in "0123456789" if checksums.luhn(body + last)))


def _identity(value: str, draw: random.Random) -> str:
    old = re.sub(r"[^0-9Xx]", "", value)
    region = draw.choice(("110105", "310104", "440305", "510107", "420111", "330106", "320102", "610113", "370202"))
    day = date(1950, 1, 1) + timedelta(days=draw.randrange(21_000))
    rest = f"{draw.randrange(1000):03d}"
    if len(old) == 15:
        return _with_digits(value, region + day.strftime("%y%m%d") + rest)
    body = region + day.strftime("%Y%m%d") + rest
    return _with_digits(value, next(body + last for last in "0123456789X" if checksums.resident_identity(body + last)))


def _iban(value: str, draw: random.Random) -> str:
    said = value.replace(" ", "")
    rest = _shaped(said[4:], draw)
    check = 98 - int("".join(str(int(sign, 36)) for sign in rest + said[:2] + "00")) % 97
    made = iter(said[:2] + f"{check:02d}" + rest)
    return "".join(sign if sign == " " else next(made) for sign in value)


def _security(value: str, draw: random.Random) -> str:
    digits = f"{draw.choice([one for one in range(1, 900) if one != 666]):03d}{draw.randrange(1, 100):02d}{draw.randrange(1, 10_000):04d}"
    return _with_digits(value, digits)


def _email(value: str, draw: random.Random) -> str:
    name, host = value.rsplit("@", 1)
    return f"{_shaped(name, draw)}@{host if host.lower() in _MAIL_HOSTS else 'example.' + draw.choice(('com', 'org', 'net'))}"


def _phone(value: str, draw: random.Random) -> str:
    """Country and operator stay, as far as the first three digits say them."""
    digits = re.sub(r"\D", "", value)
    kept = 5 if value.lstrip("(").startswith(("+86", "0086")) else 3 if len(digits) >= 10 else 1
    made = digits[:kept] + "".join(draw.choice("0123456789") for _ in digits[kept:])
    return _with_digits(value, made)


def _machine(value: str, draw: random.Random) -> str:
    if ":" in value:
        return ":".join(f"{draw.randrange(1, 65536):x}" for _ in value.split(":"))
    private = re.match(r"(?:10|127|192\.168|172\.(?:1[6-9]|2\d|3[01]))\.", value)
    kept = (
        private[0].rstrip(".").split(".")
        if private
        else [str(draw.choice([one for one in range(11, 223) if one not in (127, 172, 192)]))]
    )
    return ".".join([*kept, *(str(draw.randrange(1, 255)) for _ in range(4 - len(kept)))])


def _plate(value: str, draw: random.Random) -> str:
    if not _HAN.match(value):
        return _shaped(value, draw)
    letters = "ABCDEFGHJKLMNPQRSTUVWXYZ"
    made = [draw.choice("京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼"), draw.choice(letters)]
    for sign in value[2:]:
        made.append(draw.choice("0123456789") if sign.isdigit() else draw.choice(letters) if sign.isalpha() else sign)
    return "".join(made)


def _address(value: str, draw: random.Random) -> str:
    """Other numbers, roads and places; what says that it is a road, a flat, a city stays."""
    if _HAN.search(value):

        def place(found: re.Match[str]) -> str:
            stem, tail = found[1], found[2]
            if re.fullmatch(_UNITS, found[0]):
                return found[0]
            if stem is None:
                return draw.choice(_PLACES)
            if re.fullmatch("[一二三四五六七八九十百]+", stem):
                return draw.choice("一二三四五六七八九") + tail
            known = {"省": _PROVINCES, "市": _CITIES}.get(
                tail, _ROADS if tail in ("路", "街", "道", "大街", "大道", "巷") else _PLACES
            )
            return draw.choice(known) + tail

        return _shaped(_ADDRESS_PART.sub(place, value), draw)
    surnames = _latin()[1]

    def word(said: str) -> str:
        if _KEPT_WORDS.fullmatch(said):
            return said
        if said.isupper() and len(said) == 2:
            return _shaped(said, draw)
        made = draw.choice(surnames)
        return made.upper() if said.isupper() else made if said[0].isupper() else made.lower()

    parts = re.split(r"([^\W\d_][\w'’.-]*[^\W\d_]|[^\W\d_])", value)
    return "".join(word(part) if at % 2 else _shaped(part, draw) for at, part in enumerate(parts))


@cache
def _latin() -> tuple[list[str], list[str], list[str]]:
    """(women's given names, surnames, men's given names), United States, Britain: Faker's lists."""
    from faker.providers.person.en_GB import Provider as British
    from faker.providers.person.en_US import Provider as American

    def of(name: str) -> list[str]:
        return sorted({one for provider in (American, British) for one in getattr(provider, name) if one.isascii()})

    return of("first_names_female"), of("last_names"), of("first_names_male")


@cache
def _female() -> frozenset[str]:
    return frozenset(_latin()[0])


@cache
def _chinese() -> tuple[list[str], list[str]]:
    """(surnames, characters of given names): Faker's lists."""
    from faker.providers.person.zh_CN import Provider

    return sorted({one for one in Provider.last_names if len(one) == 1}), sorted(set("".join(Provider.first_names)))
