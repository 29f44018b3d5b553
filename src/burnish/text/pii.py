"""What tells who somebody is: phones, e-mail, identity numbers, cards, addresses, names, in English and Chinese.

Rules with checksums, no model: a number that cannot be a card is none, a name is one where the text marks it as one ("my
name is", 收货人, Mr, 女士). `likely` names are found by lists as well (`text.people`), at the price of some that are none.
What no mark, form or list gives away (a village) stays unseen; `names` that somebody knows already are found wherever they
stand. Positions are characters, end exclusive.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from burnish.text import checksums
from burnish.text.people import chinese_names, english_names
from burnish.text.scripts import HAN_CLASS
from burnish.text.secrets import secrets

KINDS = (
    "email", "id_number", "passport", "bank_card", "iban", "phone", "ssn", "ip", "account", "plate", "secret", "address",
    "name",
)  # fmt: skip


class Found(NamedTuple):
    """text[start:end] is of `kind`, one of KINDS."""

    start: int
    end: int
    kind: str


# Full-width signs as their narrow twins, one for one, so that positions stay.
_NARROW = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {0x3000: 0x20}
_HAN = f"[{HAN_CLASS}]"
# An end of words for texts of both kinds: \b does not stand between 电话 and 138.
_ALONE = (r"(?<![0-9A-Za-z])", r"(?![0-9A-Za-z])")


def _alone(pattern: str) -> str:
    return f"{_ALONE[0]}(?:{pattern}){_ALONE[1]}"


# -- numbers

_EMAIL = re.compile(r"[A-Za-z0-9][\w.+%-]*@(?:[\w-]+\.)+[A-Za-z]{2,}", re.ASCII)
_RESIDENT = re.compile(_alone(r"\d{17}[\dXx]|\d{6} \d{8} \d{3}[\dXx]|\d{15}"))
_CARD = re.compile(r"(?<![\d.-])\d(?:[ -]?\d){11,18}(?![\d-])")
_CARD_MARK = re.compile(r"(?:card|卡)[^\d\n]{0,16}$", re.IGNORECASE)
# What is said just before a number of an order, so that one in ten of them is not taken for a card by chance.
_OTHER_NUMBER = re.compile(
    r"(?:order|invoice|tracking|ticket|purchase|parcel|ref(?:erence)?|serial|imei|订单|单号|快递|运单|物流|发票|流水|序列|编号|工单)"
    r"[^\d\n,.;!?。]{0,12}$",
    re.IGNORECASE,
)
_IBAN = re.compile(_alone(r"[A-Za-z]{2}\d{2}(?: ?[A-Za-z0-9]){11,30}"))
_SSN = re.compile(r"(?<![\d-])\d{3}([- ])\d{2}\1\d{4}(?![\d-])")
_SSN_MARK = re.compile(_alone(r"(?i:ssn|social security)") + r"[^\d\n]{0,24}?(?P<value>\d{9})(?!\d)")
_IP = re.compile(r"(?<![\d.])(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)(?![\d.])")
_IP6 = re.compile(r"(?<![\w:])(?:[0-9A-Fa-f]{1,4}:){7}[0-9A-Fa-f]{1,4}(?![\w:])")
_PLATE = re.compile(
    r"[京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼][A-HJ-NP-Z][·• ]?(?:[A-HJ-NP-Z0-9]{5,6})(?![A-Za-z0-9])"
)
_PLATE_MARKED = re.compile(
    r"(?i:licen[cs]e plates?|number plates?|plate (?:number|no\.?)|registration (?:number|plate|no\.?)|车牌号?)"
    r"(?:\s*(?i:is|was|number|no\.?|reads?)|是|为|[:=：#])*\s*(?P<value>[A-Z0-9]{1,4}[ -]?[A-Z0-9]{2,5}(?:[ -][A-Z0-9]{1,3})?)(?![A-Za-z0-9])"
)
# China: E, G, D, S, P, H and eight signs; others: six to nine letters and figures after the word.
_PASSPORT = re.compile(
    r"(?i:passports?|travel document|护照|通行证)(?:[^\w\n]|(?i:\b(?:is|was|number|no|id|my|with|holder|the)\b)|号码|号|编号|是|为){0,12}"
    r"(?P<value>(?=[A-Z]{0,2}\d|[A-Z]\d)[A-Z0-9]{6,9})(?![A-Za-z0-9])"
)
_PASSPORT_ZONE = re.compile(r"P[A-Z<][A-Z]{3}[A-Z<]{39}\s*\n?[A-Z0-9<]{44}")  # the lines that machines read (ICAO 9303)
_ACCOUNT = re.compile(
    r"(?:(?i:qq|wechat|weixin|vx)|微信|扣扣|支付宝)(?:号码|号|账号|帐号)?\s*(?:(?i:is|id)|是|为|[:=])?\s*[:]?\s*"
    r"(?P<value>[A-Za-z][\w-]{5,19}|[1-9]\d{4,11})(?![\w@])",
    re.ASCII,
)

_MOBILE = r"(?:\(?\+?(?:00)?86\)?[ -]?)?1[3-9]\d[ -]?\d{4}[ -]?\d{4}"
_LANDLINE = r"(?:\(0\d{2,3}\)|0\d{2,3})[ -]?[2-9]\d{6,7}(?:(?:-|转)\d{1,6})?"
_ABROAD = r"(?:\+|00)[1-9]\d{0,2}(?:[ .-]?\(?\d{1,5}\)?){2,6}"
_AMERICAN = r"(?:1[ .-])?(?:\([2-9]\d{2}\) ?|[2-9]\d{2}[ .-])\d{3}[ .-]\d{4}(?: ?(?:x|ext\.?) ?\d{1,5})?"
_NATIONAL = r"\(?0\d{1,4}\)?(?:[ .-]\d{2,6}){1,4}"
_PHONE = re.compile(
    r"(?<![\d.,/#-])(?<![A-Za-z])(?:"
    + "|".join((_MOBILE, _LANDLINE, _ABROAD, _AMERICAN, _NATIONAL))
    + r")(?![\d/])(?!-\d)"
)
_PHONE_MARKED = re.compile(
    r"(?:\b(?:phone|tel(?:ephone)?|mobile|cell|fax|call(?:ed|ing)?|dial|ring|text|reach|answering|contact|messages? to|sms)\b|电话|手机|联系方式|拨打|致电|座机)"
    r"(?:[^\d\n+(]{0,40}?|\W{0,3}\n\s*)(?P<value>[+(]?\d(?:[ .()/-]{0,2}\d){6,14})(?:x\d{1,5})?(?!\d)",
    re.IGNORECASE,
)
_HOTLINE = re.compile(
    r"[48]00[ -]?\d{3}[ -]?\d{4}|1?[ .-]?8(?:00|88|77|66)[ .-]\d{3}[ .-]\d{4}"
)  # a firm's, not a person's


def _digits(text: str) -> str:
    return re.sub(r"\D", "", text)


def _emails(text: str) -> Iterable[Found]:
    return (Found(one.start(), one.end(), "email") for one in _EMAIL.finditer(text))


def _identities(text: str) -> Iterable[Found]:
    for one in _RESIDENT.finditer(text):
        number = one[0].replace(" ", "")
        marked = re.search(r"身份|证件|identity|\bID\b", text[max(0, one.start() - 16) : one.start()])
        # 15 digits hold by chance too often (a day of birth is one in thirty), so they need the word before them
        if checksums.resident_identity(number) and (len(number) == 18 or marked):
            yield Found(one.start(), one.end(), "id_number")


def _cards(text: str) -> Iterable[Found]:
    for one in _CARD.finditer(text):
        number, before = _digits(one[0]), text[max(0, one.start() - 30) : one.start()]
        if _OTHER_NUMBER.search(before):
            continue
        issued = (
            number[0] in "23456" and len(set(number)) > 1 and (len(number) >= 13 or number[:2] in ("50", "56", "58"))
        )
        if (issued and checksums.luhn(number)) or (_CARD_MARK.search(before) and len(number) >= 12):
            yield Found(one.start(), one.end(), "bank_card")


def _ibans(text: str) -> Iterable[Found]:
    for one in _IBAN.finditer(text):
        # a blank and a word in capitals may follow: the longest part that holds is the number
        for end in range(one.end(), one.start() + 14, -1):
            if text[end - 1] != " " and checksums.iban(text[one.start() : end]):
                yield Found(one.start(), end, "iban")
                break


def _phones(text: str) -> Iterable[Found]:
    for one in _PHONE.finditer(text):
        number = _digits(one[0])
        other = _OTHER_NUMBER.search(text[max(0, one.start() - 24) : one.start()])
        if 7 <= len(number) <= 17 and not _HOTLINE.fullmatch(one[0]) and not other:
            yield Found(one.start(), one.end(), "phone")
    for one in _PHONE_MARKED.finditer(text):
        start, end = one.span("value")
        if not _HOTLINE.fullmatch(one["value"]) and not _OTHER_NUMBER.search(text[max(0, start - 24) : start]):
            yield Found(start, end, "phone")


def _securities(text: str) -> Iterable[Found]:
    for one in _SSN.finditer(text):
        if checksums.social_security(one[0]):
            yield Found(one.start(), one.end(), "ssn")
    for one in _SSN_MARK.finditer(text):
        yield Found(*one.span("value"), "ssn")


def _machines(text: str) -> Iterable[Found]:
    for pattern in (_IP, _IP6):
        yield from (Found(one.start(), one.end(), "ip") for one in pattern.finditer(text))


def _accounts(text: str) -> Iterable[Found]:
    return (Found(*one.span("value"), "account") for one in _ACCOUNT.finditer(text))


def _plates(text: str) -> Iterable[Found]:
    yield from (Found(one.start(), one.end(), "plate") for one in _PLATE.finditer(text))
    for one in _PLATE_MARKED.finditer(text):
        if any(map(str.isdigit, one["value"])):
            yield Found(*one.span("value"), "plate")


def _passports(text: str) -> Iterable[Found]:
    yield from (Found(one.start(), one.end(), "passport") for one in _PASSPORT_ZONE.finditer(text))
    for one in _PASSPORT.finditer(text):
        if sum(map(str.isdigit, one["value"])) >= 5:
            yield Found(*one.span("value"), "passport")


def _secrets(text: str) -> Iterable[Found]:
    return (Found(start, end, "secret") for start, end in secrets(text))


# -- addresses

_REGIONS = (
    "北京|天津|上海|重庆|河北|山西|辽宁|吉林|黑龙江|江苏|浙江|安徽|福建|江西|山东|河南|湖北|湖南|广东|海南|四川|贵州|云南|陕西|甘肃|青海|"
    "台湾|内蒙古|广西|西藏|宁夏|新疆|香港|澳门"
)
# A character of a place's name: none that rather belongs to the sentence around it.
_PLACE = rf"(?:(?![我你他她您它们的了在到是住寄送发给把从往这那去来吗呢吧呀请问就和与或及想能可没不个叫为离过走坐位])[{HAN_CLASS}])"
_NUMBER = r"(?:\d{1,5}|[一二三四五六七八九十百]{1,4}|[A-Za-z])(?:[-之]\d{1,4})?"
_PROVINCE = rf"(?:(?:{_REGIONS})(?:省|市|壮族自治区|回族自治区|维吾尔自治区|自治区|特别行政区)?)"
_TOWN = rf"{_PLACE}{{1,6}}?(?:自治州|地区|市|区|县|旗|镇|乡|街道|村)"
_ROAD = rf"(?:{_PLACE}|[东南西北中]|\d){{1,8}}?(?:大街|大道|胡同|路|街|道|巷|弄|里)(?:[东南西北中]段|[东南西北])?"
_HOUSE = rf"{_NUMBER}(?:号院|号楼|号店|号|弄)"
_ESTATE = rf"(?:{_PLACE}|[A-Za-z0-9]){{1,10}}?(?:小区|花园|大厦|广场|公寓|新村|家园|国际|大楼|宿舍|社区|苑|府|城|园|中心|科技园|工业园|大学)"
_UNIT = rf"(?:{_NUMBER}|[东南西北])(?:号楼|栋|幢|座|期|区|单元|楼|层|室|房|户|门)"
_INSIDE = rf"(?:[ ,]?(?:{_ROAD})?[ ]?(?:{_HOUSE})?(?:[ ]?{_ESTATE})?(?:[ ]?(?:{_UNIT}))*(?:[ -]?\d{{2,4}}(?:室|房|号)?(?!\d))?)"
_CHINESE = re.compile(
    "|".join(
        (
            rf"{_PROVINCE}[ ]?(?:{_TOWN}[ ]?){{0,4}}{_ROAD}[ ]?(?:{_HOUSE}){_INSIDE}",
            rf"{_PROVINCE}[ ]?(?:{_TOWN}[ ]?){{0,4}}{_ESTATE}(?:[ ]?{_UNIT})+(?:[ -]?\d{{2,4}}(?:室|房|号)?(?!\d))?",
            rf"{_PROVINCE}[ ]?(?:{_TOWN}[ ]?){{2,4}}(?:{_ROAD})?",
            rf"(?:{_TOWN}[ ]?){{0,4}}{_ROAD}[ ]?(?:{_HOUSE}){_INSIDE}",
            rf"(?:{_TOWN}[ ]?){{0,4}}{_ESTATE}(?:[ ]?{_UNIT})+(?:[ -]?\d{{2,4}}(?:室|房|号)?(?!\d))?",
        )
    )
)
# What every Chinese address has, and few texts: a province, or a number before a sign of a house or a flat.
_CHINESE_SIGN = re.compile(
    rf"{_REGIONS}|[\d一二三四五六七八九十百A-Za-z](?:号|弄)|[\d一二三四五六七八九十百A-Za-z东南西北](?:栋|幢|座|期|区|单元|楼|层|室|房|户|门)"
)
_WAYS = (
    "Street|St|Road|Rd|Avenue|Ave|Boulevard|Blvd|Lane|Ln|Drive|Dr|Court|Ct|Way|Place|Pl|Square|Sq|Terrace|Ter|Parkway|Pkwy|"
    "Highway|Hwy|Circle|Cir|Crescent|Close|Trail|Alley|Row|Loop|Plaza"
)
_CAPITAL = r"[A-ZÀ-ÖØ-Þ][\w'’.-]*"
_SPACE = r"(?: |, ?|,? ?\n *)"
_FLAT = rf"(?:{_SPACE}(?i:Apt|Apartment|Suite|Ste|Unit|Flat|Floor|Room|Rm|Bldg)\b\.? ?#?\w+|{_SPACE}#\d+\w?)"
_POSTCODE = r"(?:[A-Z]{2} )?(?:\d{4,6}(?:-\d{4})?|[A-Z]{1,2}\d[A-Z\d]? \d[A-Z]{2})\b"
_PLACES = rf"(?:{_SPACE}(?:{_CAPITAL})(?: {_CAPITAL}){{0,3}}){{0,3}}?(?:{_SPACE}[A-Z]{{2}})?(?:{_SPACE}{_POSTCODE})"
_NAMED = rf"(?:,(?: ?\n)? ?{_CAPITAL}(?: {_CAPITAL}){{0,2}}){{0,2}}"
_START = r"(?<![\w#.-])\d{1,6}[A-Za-z]?(?:-\d+)?(?: \d{1,5})?"
# A word of a street's name written small: none of a sentence about streets ("20 minutes down the road").
_SMALL = (
    r"(?!(?:the|a|an|down|up|off|on|in|at|of|to|from|by|with|for|my|our|your|this|that|and|or|minutes?|miles?|km|metres?|meters?|"
    r"blocks?|hours?|people|gb|tb|hard|test|long|per)\b)[^\W\d_][\w'’.-]*"
)
_WAY = rf"(?:(?:{_WAYS})\b\.?|(?i:street|road|avenue|boulevard|lane|drive|square|terrace|highway)\b)"
_ENGLISH = re.compile(
    "|".join(
        (
            # 12 Baker Street, Flat 2, London NW1 6XE
            rf"{_START} (?:(?:[NSEW]|North|South|East|West)\.? )?(?:(?:{_CAPITAL}|\d+(?:st|nd|rd|th)) ){{1,4}}{_WAY}{_FLAT}{{0,2}}(?:{_PLACES}|{_NAMED})",
            # 27534 Þorsteinsgata 63 Apt. 004, Moss: whatever the street is called, a flat says what it is
            rf"{_START}(?: (?:{_CAPITAL}|d[aeiou]s?|del|la|u\.|ul\.|\d{{1,4}}\.?)){{1,6}}{_FLAT}{{1,2}}(?:{_PLACES}|{_NAMED})",
            rf"(?<![\w#.-])\d{{2,6}}(?: \d{{1,5}})?(?: {_SMALL}){{1,2}} {_WAY}(?:{_FLAT})?(?:{_PLACES}|{_NAMED})",
            rf"\b(?:P\.? ?O\.? Box|PSC|Unit) \d+(?:,? Box \d+)?(?:{_PLACES})?",
            # a ship's post office, and FPO AA 68422
            rf"\b(?:US[NC]S|USNV|USS|USCGC|HMS) {_CAPITAL}{_SPACE}(?:[FAD]PO A[AEP] \d{{5}})",
            # 376 Rákóczi út 13. Suite 104: a number, words, a number, and a flat, however the words are written
            rf"(?<![\w#.-])\d{{2,6}}(?: \d{{1,5}})?(?: {_SMALL}){{1,5}} (?:\d{{1,4}}[A-Za-z]?[.,]? ){{0,1}}(?i:Apt\.|Apartment|Suite|Ste\.) ?#?\w+(?:{_SPACE}(?i:Apt\.|Suite) ?\w+)?(?:{_PLACES}|{_NAMED})",
            # a line of an address book, its flat on the next one
            rf"{_START} (?:[^\W\d_][\w'’.-]* ){{1,5}}?\d{{1,4}}[A-Za-z]?(?= ?\n)(?:{_FLAT})?(?:{_PLACES}|{_NAMED})",
        )
    )
)
# "Hammarvägen 15", "23 rue de Rivoli": forms of other countries, only where the text says that an address comes.
_ADDRESS_MARKED = re.compile(
    r"(?:\b(?:my|our|home|shipping|delivery|billing|street|new|the) address(?: is| to|:| has changed to)?|\b(?:I|we|he|she|they|[A-Z]\w+) lives? (?:at|on|on the \w+ side of)|\b(?:meet|pick) (?:me|us|you|up)[^.!?\n]{0,20} at|\bcorner of"
    r"|\b(?:I|we)(?:['’]ve| have)? moved to|\bship(?:ped)? (?:it )?to|\bdeliver(?:ed)? (?:it )?to|\baddress[:=])[ :\n]*"
    rf"(?P<value>(?:{_CAPITAL}(?: (?:{_CAPITAL}|de|du|la|van|der|di|da|y))* \d{{1,5}}[a-zA-Z]?|\d{{1,5}}[a-zA-Z]?,? [\w'’.-]+(?: {_CAPITAL}){{1,4}})"
    rf"(?:, ?{_CAPITAL}(?: {_CAPITAL}){{0,2}}){{0,2}}(?:,? \d{{4,6}}\b)?)"
)


def _addresses(text: str) -> Iterable[Found]:
    if _CHINESE_SIGN.search(text):
        for one in _CHINESE.finditer(text):
            start, end = one.span()
            while text[end - 1] in " ,":
                end -= 1
            if end - start >= 5:
                yield Found(start, end, "address")
    for one in _ENGLISH.finditer(text):
        yield Found(one.start(), one.end(), "address")
    for one in _ADDRESS_MARKED.finditer(text):
        yield Found(*one.span("value"), "address")


# -- names

# The hundred commonest and some more (Ministry of Public Security, 2020); two-character ones stand first.
_SURNAMES = (
    "欧阳|司马|上官|诸葛|东方|尉迟|皇甫|慕容|令狐|司徒|夏侯|公孙|端木|南宫|"
    "[王李张刘陈杨黄赵吴周徐孙马朱胡郭何林罗高郑梁谢宋唐许韩冯邓曹彭曾肖田董袁潘于蒋蔡余杜叶程苏魏吕丁任沈姚卢姜崔钟谭陆汪范金石廖贾夏韦付方白邹孟熊秦邱江"
    "尹薛闫段雷侯龙史陶黎贺顾毛郝龚邵万钱严覃武戴莫孔向汤常温康施文牛樊葛邢安齐易乔伍庞颜倪庄聂章鲁岳翟殷詹申欧耿关兰焦俞左柳甘祝包宁尚符舒阮柯纪梅童凌毕单季裴霍涂"
    "成苗谷盛曲翁冉骆蓝路游辛靳管柴蒙鲍华喻祁蒲房滕屈饶解牟艾尤阳时穆农司卓古吉缪简车项连芦麦褚娄窦戚岑景党宫费卜冷晏席卫米柏宗瞿桂全佟应臧闵苟邬边卞姬师和仇栾隋商刁沙荣巫寇桑郎甄丛仲虞敖巩明佘池查麻苑迟邝]"
)
_NAME_MARK = re.compile(
    rf"(?:我叫|名叫|名字(?:叫|是|为)?|姓名|户名|持卡人|开户人|收件人|收货人|寄件人|联系人|经办人|投保人|客户名|本人叫|乘客|入住人)(?:是|为|叫|姓名)?\s*[:]?\s*"
    rf"(?P<value>(?:{_SURNAMES})[{HAN_CLASS}]{{1,2}}?)(?=[^{HAN_CLASS}]|$|电话|手机|身份|地址|联系|先生|女士|小姐|的|要|想|在|住|是|，)"
)
_NAME_TITLE = re.compile(
    rf"(?:(?<![{HAN_CLASS}])|(?<=[是叫找给跟和与请问让对为帮由向的位好谢]))"  # not inside a word: 订单经理
    rf"(?P<value>(?:{_SURNAMES})(?:[{HAN_CLASS}]{{1,2}}(?=先生|女士|小姐|同志))?)(?=先生|女士|小姐|太太|师傅|阿姨|大哥|老师|经理|医生|同志)"
)
_NAME_AGENT = re.compile(
    rf"(?:客服|专员|顾问|管家|经理)(?P<value>小(?:{_SURNAMES})|(?:{_SURNAMES})[{HAN_CLASS}]{{1,2}})(?=[^{HAN_CLASS}]|$|为您|很高兴|竭诚|在线|正在)"
)
_ENGLISH_NAME = rf"{_CAPITAL}(?: (?:[A-Z]\.|{_CAPITAL}|de|van|der|von|da|bin|al))*? ?(?:{_CAPITAL})?"
_FULL = rf"(?P<value>{_CAPITAL}(?:(?: [A-Z]\.?)?(?: (?:de|van|der|den|von|da|di|la|bin|al))*[ -]{_CAPITAL}){{0,3}})"
_ENGLISH_NAMES = (
    re.compile(rf"\b(?:[Mm]y (?:full |first |last |maiden )?name(?:['’]s| is)|[Nn]ame(?: is)?\s?[:=]|[Cc]all me|[Ii] am called|[Tt]his is(?= {_CAPITAL}(?: {_CAPITAL})? (?:speaking|here|from|calling))|[Cc]ardholder[:]?|[Rr]ecipient:|[Cc]ontact:|[Ss]igned,?)\s+{_FULL}"),
    re.compile(rf"\b(?:Mr|Mrs|Ms|Miss|Mx|Dr|Prof|MR|MRS|MS|DR)\.? {_FULL}"),
    re.compile(rf"(?:^|[.!?\n] ?|, )(?:Hi|Hello|Hey|Dear|Good (?:morning|afternoon|evening)|Thanks|Thank you|Welcome)(?: there)?,? {_FULL}(?=[,.!?:;\n]|$| [-–—])", re.MULTILINE),
    re.compile(rf"\b(?:I['’]?m|I am) {_FULL}(?=,? (?:from|and (?:I|my)|calling|your|with|here)\b|[.,!]? (?:and )?(?:how|what) (?:can|may) I)"),
    re.compile(rf"(?:^|\n)(?:[Kk]ind |[Bb]est |[Ww]arm )?(?:[Rr]egards|[Ss]incerely|[Yy]ours|[Cc]heers|[Bb]est)[, ]*\n\s*{_FULL}(?=\s*$|\n)", re.MULTILINE),
)  # fmt: skip
# What stands where a name may stand and is none.
_NO_NAMES = (
    "there all everyone everybody team customer customers sir madam sirs support service agent user "
    "friend friends guys folks again you valued client clients member i we this that the it thanks thank "
    "so very what how please yes no ok okay hi hello dear good morning afternoon evening sorry happy glad "
    "sure not interested looking trying having unable january february march april may june july august "
    "september october november december monday tuesday wednesday thursday friday saturday sunday"
)


def _names(text: str) -> Iterable[Found]:
    if re.search(_HAN, text):
        for pattern in (_NAME_MARK, _NAME_TITLE, _NAME_AGENT):
            yield from (Found(*one.span("value"), "name") for one in pattern.finditer(text))
    for pattern in _ENGLISH_NAMES:
        for one in pattern.finditer(text):
            start, end = one.span("value")
            while end > start and text[end - 1] in ".,'’-":
                end -= 1
            words = text[start:end].lower().split()
            if words and words[0].strip(".") not in _NO_NAMES.split():
                yield Found(start, end, "name")


# In this order: what an earlier one takes, a later one cannot have.
_FINDERS: tuple[tuple[str, Callable[[str], Iterable[Found]]], ...] = (
    ("secret", _secrets),
    ("email", _emails),
    ("id_number", _identities),
    ("passport", _passports),
    ("iban", _ibans),
    ("ssn", _securities),
    ("bank_card", _cards),
    ("ip", _machines),
    ("account", _accounts),
    ("phone", _phones),
    ("plate", _plates),
    ("address", _addresses),
    ("name", _names),
)


# Names that are words of every day: masked where a mark stands before them, not wherever they stand.
_WORD_NAMES = (
    "will may mark grace hope joy bill rose june april august art dean page price best major rich summer dawn faith guy frank "
    "grant chase drew jack king long young white black brown green sunny angel christian ray gene miles penny ruby crystal"
)


_SURNAME = re.compile(f"(?:{_SURNAMES})")


def _likely(text: str) -> Iterable[Found]:
    yield from (Found(*place, "name") for place in english_names(text))
    if re.search(_HAN, text):
        yield from (Found(*place, "name") for place in chinese_names(text, _SURNAME))


def find(text: str, kinds: Sequence[str] = KINDS, *, names: Iterable[str] = (), likely: bool = False) -> list[Found]:
    """What of the given kinds stands in a text, in order and without overlap.

    names: of people known from elsewhere (a field of the log); found wherever they stand as words of their own.
    likely: names that nothing marks as well (`text.people`); Chinese ones need the extra "chinese" (MissingExtra).
    ValueError for a kind that is none. About 10,000 messages a CPU-second.
    """
    if unknown := set(kinds) - set(KINDS):
        raise ValueError(f"no kind {sorted(unknown)[0]!r}; there are {', '.join(KINDS)}")
    narrow = text.translate(_NARROW)
    taken = [False] * len(narrow)
    found: list[Found] = []
    for one in _known(narrow, names) if "name" in kinds else ():
        _take(one, taken, found)
    for kind, finder in _FINDERS:
        if kind in kinds:
            for one in finder(narrow):
                _take(one, taken, found)
    if likely and "name" in kinds:
        for one in sorted(_likely(narrow), key=lambda one: (one.start - one.end, one.start)):
            _take(one, taken, found)
    return sorted(found)


def _take(one: Found, taken: list[bool], found: list[Found]) -> None:
    if one.end > one.start and not any(taken[one.start : one.end]):
        taken[one.start : one.end] = [True] * (one.end - one.start)
        found.append(one)


def _known(text: str, names: Iterable[str]) -> Iterable[Found]:
    for name in sorted({one.translate(_NARROW).strip() for one in names}, key=lambda one: (-len(one), one)):
        if len(name) < 2 or name.lower() in _WORD_NAMES.split():
            continue
        pattern = re.escape(name) if re.match(_HAN, name) else _alone(re.escape(name))
        yield from (Found(one.start(), one.end(), "name") for one in re.finditer(pattern, text))


class Masker:
    """Puts a placeholder for what tells who somebody is: the same value the same one, as far as one masker is used.

    The first phone is [PHONE], another one [PHONE 2]. Names met once are masked wherever they stand afterwards. counts: how
    many of each kind were masked.
    """

    def __init__(self, kinds: Sequence[str] = KINDS, *, names: Iterable[str] = ()) -> None:
        self.kinds, self.names = tuple(kinds), {one for one in names if one}
        self.counts: dict[str, int] = {}
        self._said: dict[str, dict[str, str]] = {}

    def learn(self, text: str) -> None:
        """Remember the names a text marks, so that `mask` finds them in texts before it as well."""
        if "name" in self.kinds:
            for one in find(text, ("name",)):
                self.names.add(text[one.start : one.end])

    def mask(self, text: str) -> str:
        parts, at = [], 0
        for one in find(text, self.kinds, names=self.names):
            parts += [text[at : one.start], self.placeholder(one.kind, text[one.start : one.end])]
            at = one.end
            self.counts[one.kind] = self.counts.get(one.kind, 0) + 1
        return "".join([*parts, text[at:]])

    def placeholder(self, kind: str, value: str) -> str:
        """What stands for a value: [PHONE], [PHONE 2]."""
        said = self._said.setdefault(kind, {})
        plain = re.sub(r"[\s()-]", "", value.translate(_NARROW)).lower()
        if plain not in said:
            name = kind.upper().replace("_", " ")
            said[plain] = f"[{name}]" if not said else f"[{name} {len(said) + 1}]"
        return said[plain]


PLACEHOLDER = re.compile(r"\[(?:" + "|".join(kind.upper().replace("_", " ") for kind in KINDS) + r")(?: \d+)?\]")
