"""Who speaks in a log, and what in it nobody says: role words, notices of the system, replies that are sent by themselves.

English and Chinese. A speaker is a role word ("agent", 客服), or holds one ("agent_012", 客服小王, "Ann (support)").
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from burnish.measures.generation import rouge_tokens
from burnish.text.normalise import normalise
from burnish.text.scripts import HAN_CLASS

ROLES = ("user", "assistant", "system", "skip")

_USERS = (
    "user usr customer client visitor buyer guest human consumer caller member patient student passenger traveler traveller "
    "用户 客户 顾客 买家 访客 会员 咨询者 来访者 提问者 患者 病人 家长 消费者 游客 乘客 业主 学生 网友 客人"
)
_ASSISTANTS = (
    "assistant agent support staff operator representative rep csr advisor adviser service seller shop merchant store vendor "
    "gpt model bot robot chatbot sys clerk doctor teacher helpdesk "
    "客服 坐席 座席 商家 卖家 店铺 店家 顾问 助手 助理 专员 机器人 店小二 小二 客户服务 用户服务 客户经理 智能助理 医生 老师 管家 接线员 话务员"
)
_SYSTEMS = "system notification notice event 系统 系统消息 系统提示 通知"
KNOWN: Mapping[str, str] = (
    dict.fromkeys(_USERS.split(), "user")
    | dict.fromkeys(_ASSISTANTS.split(), "assistant")
    | dict.fromkeys(_SYSTEMS.split(), "system")
)
_HAN = re.compile(f"[{HAN_CLASS}]")
_ROLE_WORD = re.compile(
    "|".join(
        re.escape(word) if _HAN.match(word) else rf"(?<![A-Za-z]){re.escape(word)}(?![A-Za-z])"
        for word in sorted(KNOWN, key=len, reverse=True)
    ),
    re.IGNORECASE,
)


def role_of(speaker: str, given: Mapping[str, str]) -> str | None:
    """The role of a speaker: as the spec says, else by the role words in it (of Chinese ones the longest, for 客户服务 holds 客户);
    None where words contradict or lack.

    given: normalised speaker -> role.
    """
    said = normalise(speaker)
    if said in given:
        return given[said]
    if said in KNOWN:
        return KNOWN[said]
    found = [(len(word) if _HAN.match(word) else 99, KNOWN[word]) for word in _words_in(said)]
    longest = max((size for size, _ in found), default=0)
    roles = {role for size, role in found if size == longest}
    return roles.pop() if len(roles) == 1 else None


def name_of(speaker: str) -> str | None:
    """What is left of a speaker when role words, figures and marks are gone, where it reads like a person's name."""
    rest = _ROLE_WORD.sub(" ", speaker.strip())
    rest = " ".join(re.sub(r"[\d_()（）\[\]【】#:：/-]+", " ", rest).split())
    english = re.fullmatch(r"[A-Z][\w'’.]+(?: [A-Z][\w'’.]*){0,3}", rest)
    chinese = re.fullmatch(f"[{HAN_CLASS}]{{2,4}}", rest)
    return rest if english or chinese else None


def _words_in(said: str) -> list[str]:
    tokens = set(re.findall(r"[a-z]+", said))
    return [word for word in KNOWN if (word in said if _HAN.match(word) else word in tokens)]


# -- what nobody says. All are matched against a whole message, normalised.

_NOTICES = (
    r"(?:本次|当前|该)?(?:会话|对话|聊天|服务|咨询)(?:已经|已)?(?:开始|结束|关闭|超时|转接|转移|断开|建立)[^，。]{0,20}",
    r".{0,20}(?:加入|进入|离开|退出)(?:了)?(?:会话|对话|聊天|聊天室|房间|咨询)",
    r".{0,20}撤回(?:了)?(?:一条)?消息",
    r"(?:系统)?(?:正在|已)(?:为您)?(?:转接|分配|接入|转人工).{0,20}",
    r".{0,12}(?:接入|转接)(?:成功|人工(?:客服)?)",
    r"(?:您)?(?:当前)?(?:正在)?排队.{0,30}",
    r".{0,10}邀请您?.{0,14}(?:评价|打分|评分).{0,10}",
    r"请(?:您)?对(?:我|本次|此次|客服).{0,14}(?:评价|打分|评分).{0,10}",
    r"(?:对方)?正在输入.{0,3}",
    r"以上(?:是|为)历史(?:消息|记录)",
    r"(?:由于)?(?:您|用户|访客)?长时间(?:未|没有?)(?:回复|响应|发言|操作).{0,30}",
    r"\[(?:图片|表情|语音|视频|链接|文件|位置|名片|红包|商品|订单)\]",
    r"(?:the )?(?:chat|conversation|session|call)(?: session)?(?: has| was| is)?(?: been)? (?:started|ended|closed|transferred|disconnected|timed out|resolved|opened|assigned).{0,60}",
    r".{1,40} (?:has |have )?(?:joined|left|entered|ended)(?: the| this)? (?:chat|conversation|session|room)\.?",
    r"you are now (?:chatting|connected|speaking|talking) (?:with|to) .{1,40}",
    r"(?:please wait while )?(?:we|i)?(?: are| am|'m|'re)? ?transferr(?:ing|ed) .{0,60}",
    r".{1,30} is typing\.*",
    r"(?:please )?(?:rate|leave a rating for) (?:this|your|our|the) (?:chat|conversation|agent|experience|service).{0,40}",
    r"(?:you are )?number \d+ in (?:the )?(?:queue|line).{0,60}",
    r"(?:ticket|case|conversation) .{0,30}(?:has been |was )?(?:assigned|created|closed|opened|merged).{0,40}",
    r"\[(?:image|photo|picture|sticker|video|audio|voice|file|attachment|link|location)\]|<(?:image|attachment|media omitted)>",
)
_AUTOMATIC = (
    r"\[?(?:自动回复|自动应答|系统自动回复)\]?.*",
    r"您好[,，!！。 ]*(?:欢迎|感谢)(?:您)?(?:光临|咨询|使用|来到|致电|联系|关注).{0,60}",
    r"(?:您好[,，!！。 ]*)?(?:当前|现在|目前)?(?:人工)?(?:客服|坐席|咨询(?:人数|量)?|咨询的人数)(?:人数)?(?:正|均|都|比)?(?:忙|繁忙|较多|过多|在忙).{0,60}",
    r"(?:您好[,，!！。 ]*)?(?:现在是|目前是|当前为)?(?:非工作时间|客服(?:已经|已)?(?:下班|不在线)).{0,80}",
    r"(?:您好[,，!！。 ]*|好的?[,，]?)?(?:请(?:您)?(?:稍等|稍候|稍后|耐心等待|等一下|等待一下)|稍等(?:一下|片刻)?)(?:一下|片刻|哦|哈|呢|几分钟)?[,，。.!！~]*(?:正在)?(?:为您|帮您)?(?:查询|核实|查看)?(?:中|一下)?[。.!！~]*",
    r"感谢您?的?(?:咨询|来电|来访|耐心等待|等待|留言)[,，。!！].{0,50}|感谢您?的?(?:咨询|来电|来访|耐心等待|等待|留言)",
    r"(?:您好[,，!！。 ]*)?我们(?:已经|已)?收到(?:了)?您的(?:消息|留言|邮件|咨询|问题|反馈).{0,60}(?:尽快|稍后|回复|联系).{0,30}",
    r"\[?(?:this is an )?auto(?:mated|matic|matically generated)?[ -]?(?:reply|response|message|answer)\]?.*",
    r"(?:hi|hello|hey)?[,!. ]*(?:and )?thank(?:s| you) for (?:contacting|reaching out to|calling|writing to|getting in touch with|messaging|choosing|visiting|your message|your patience|waiting|holding).{0,160}",
    r"(?:hi|hello)?[,!. ]*welcome to [^.!?]{2,60}(?:chat|support|help(?: ?desk| center)?|customer (?:service|care))[.!]*(?: how (?:can|may) (?:i|we) (?:help|assist)(?: you)?(?: today)?\??)?",
    r"all (?:of )?our (?:agents|representatives|operators|advisors) are (?:currently |all )?(?:busy|unavailable|assisting|helping).{0,120}",
    r"(?:i am|i'm|we are|our team is|our office is)? ?(?:currently )?out of (?:the )?office.{0,160}",
    r"(?:we|one of our agents|an agent|someone) will (?:get back to|be with|reply to|respond to|contact) you (?:as soon as|shortly|within|soon|in a).{0,80}",
    r"your (?:call|chat|message|business|inquiry|enquiry) is (?:very )?important to us.{0,120}",
    r"we(?: have|'ve) received your (?:message|request|email|inquiry|enquiry|ticket).{0,160}",
    r"(?:ok(?:ay)?[,. ]*|sure[,. ]*)?(?:please )?(?:hold on|hold|wait|bear with me|one moment|just a (?:moment|minute|second|sec)|one (?:minute|second|sec)|give me a (?:moment|minute|second))(?: (?:for )?(?:a|one) (?:moment|minute|second|while))?(?: please)?(?: while i (?:check|look)(?: that| this| it)?(?: for you| up)*)?[,. !]*",
)


class Silence:
    """What is not said by anybody: `why(text, role)` names the kind of it, or None for what somebody said."""

    def __init__(self, more: Iterable[str] = ()) -> None:
        self.notices = [re.compile(pattern, re.IGNORECASE | re.DOTALL) for pattern in (*_NOTICES, *more)]
        self.automatic = [re.compile(pattern, re.IGNORECASE | re.DOTALL) for pattern in _AUTOMATIC]
        self.canned: frozenset[str] = frozenset()

    def why(self, text: str, role: str | None) -> str | None:
        said = normalise(text)
        if not said:
            return "blank message"
        bare = said.strip(" 【】[]*-=—~")
        if role == "system" or any(one.fullmatch(said) or one.fullmatch(bare) for one in self.notices):
            return "system notice"
        if role == "assistant" and (said in self.canned or any(one.fullmatch(said) for one in self.automatic)):
            return "automatic reply"
        return None


def canned_answers(conversations: Sequence[Iterable[str]], *, share: float, least: int = 5) -> frozenset[str]:
    """Normalised messages of assistants that stand word for word in more than `share` of the conversations (at least
    `least` of them): nobody types the same sentence that often. Courtesies of under six words (Chinese: characters) are
    typed that often and stay. conversations: the assistants' messages of each."""
    counts: dict[str, int] = {}
    for said in conversations:
        for text in {normalise(one) for one in said}:
            counts[text] = counts.get(text, 0) + 1
    counts = {text: count for text, count in counts.items() if len(rouge_tokens(text)) >= 6}
    limit = max(share * len(conversations), least - 1)
    return frozenset(text for text, count in counts.items() if count > limit)
