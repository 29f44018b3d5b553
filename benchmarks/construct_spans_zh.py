"""The Chinese side of `construct_spans`: CLUENER with gazetteers of other records' names, and rules a Chinese speaker writes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

SUPERVISION = (
    "Labels of {limit:,} training texts are hidden: they are what is constructed. The names of the other {others:,} training "
    "records (each name with its type and how often, not where it stands) are the gazetteer; {gold} more records, checked, weigh "
    "the labellers and choose among epochs; the {test:,} development records judge. Rules were written without looking at any of them."
)
POSITIONS = (
    "总经理 董事长 总裁 副总裁 总监 经理 主任 主席 部长 局长 厅长 处长 科长 市长 省长 县长 书记 总书记 校长 院长 教授 副教授 讲师 院士 博士 "
    "研究员 分析师 工程师 设计师 律师 记者 编辑 主编 总编辑 导演 副导演 编剧 制片人 演员 歌手 主持人 教练 主教练 助理教练 队长 球员 前锋 后卫 "
    "中场 门将 守门员 总统 副总统 总理 首相 大臣 国务卿 议员 发言人 秘书长 会长 理事长 创始人 首席执行官 CEO CFO COO 老师 医生 护士 警察 "
    "司令 将军 上将 中将 少将 法官 检察官 大使 外长 财长 行长 副行长 客服 老板 店长 馆长 顾问 专家 作家 诗人 画家 翻译 模特 学生 策划 制作人"
).split()
CITIES = (
    "北京 上海 天津 重庆 广州 深圳 杭州 南京 武汉 成都 西安 苏州 长沙 沈阳 大连 青岛 济南 厦门 福州 宁波 无锡 郑州 哈尔滨 长春 合肥 昆明 南昌 "
    "石家庄 太原 贵阳 南宁 兰州 海口 银川 西宁 乌鲁木齐 拉萨 呼和浩特 香港 澳门 台北 高雄 珠海 东莞 佛山 温州 常州 烟台 广东 江苏 浙江 山东 "
    "河南 河北 湖南 湖北 四川 福建 安徽 江西 辽宁 吉林 黑龙江 陕西 山西 云南 贵州 海南 甘肃 青海 台湾 新疆 西藏 内蒙古 广西 宁夏 中国 美国 英国 "
    "法国 德国 日本 韩国 俄罗斯 意大利 西班牙 巴西 印度 澳大利亚 加拿大 纽约 伦敦 巴黎 东京 首尔 莫斯科 华盛顿 洛杉矶 旧金山 柏林 米兰 罗马"
).split()


def prepared(data: Path, folder: Path, *, limit: int) -> dict[str, Any]:
    """Sides and labellers. Draws are by one seed."""
    from sets_zh import cluener

    from burnish.core.stage import TaskSpec

    both = cluener(data)
    order = np.random.default_rng(0).permutation(len(both.train))
    raw = [both.train[at] for at in order[:limit]]
    gold = [both.train[at] for at in order[limit : limit + 200]]
    others = [both.train[at] for at in order[limit + 200 :]]
    labels = sorted({span["label"] for row in both.train for span in row["spans"]})
    names = Counter((row["text"][s["start"] : s["end"]], s["label"]) for row in others for s in row["spans"])
    path = folder / "names.tsv"
    path.write_text("".join(f"{name}\t{label}\t{n}\n" for (name, label), n in sorted(names.items()) if len(name) > 1), "utf-8")
    return {
        "task": TaskSpec("tagging", tuple(labels), languages=("zh",)),
        "raw": raw, "truth": raw, "gold": gold, "test": both.test, "labellers": rules(path),
        "supervision": SUPERVISION.format(limit=limit, others=len(others), gold=len(gold), test=len(both.test)),
    }  # fmt: skip


def rules(path: Path) -> list[dict[str, Any]]:
    """Steps of a construct section."""
    inner = r"《[^《》]{1,25}》"

    def after(label: str, cues: str, most: int, name: str) -> dict[str, Any]:
        return {"use": "neighbours", "label": label, "after": cues.split(), "include": True, "most": most, "name": name}

    return [
        {"use": "dictionary", "path": path, "name": "names of other records"},
        {"use": "keywords", "label": "position", "words": POSITIONS, "name": "positions"},
        {"use": "keywords", "label": "address", "words": CITIES, "name": "places"},
        after("company", "公司 集团 银行 证券 基金公司 保险公司", 8, "companies"),
        after("organization", "俱乐部 协会 联盟 委员会 大学 乐队 队 协会 组织 党", 6, "organisations"),
        after("government", "政府 法院 检察院 公安局 局 部 委 警方", 6, "government"),
        after("scene", "公园 景区 广场 寺 山 博物馆 机场 故宫 长城 湖 岛", 5, "scenes"),
        after("address", "省 市 县 区 镇 村 路 街 街道 州 国", 4, "address words"),
        {"use": "neighbours", "label": "name", "after": ["先生", "女士", "小姐", "教授", "老师"], "most": 3, "name": "先生"},
        {"use": "neighbours", "label": "name", "before": ["记者", "导演", "主帅", "教练", "主席", "总裁", "经理", "演员"], "after": ["说", "表示", "认为", "指出", "介绍", "告诉"], "most": 4, "name": "表示"},
        {"use": "regex", "label": "book", "pattern": rf"(?:小说|著作|一书|作品|图书|新书|著有|出版|阅读){inner}|{inner}(?:一书|小说|作者)", "group": 0, "name": "book titles", "flags": []},
        {"use": "regex", "label": "movie", "pattern": rf"(?:电影|影片|大片|主演|导演|票房|上映|执导)[^《》]{{0,4}}({inner})", "group": 1, "name": "film titles", "flags": []},
        {"use": "regex", "label": "movie", "pattern": rf"({inner})(?:[^《》]{{0,4}}(?:上映|票房|首映|主演|电影|影片))", "group": 1, "name": "film titles before", "flags": []},
        {"use": "regex", "label": "game", "pattern": rf"(?:游戏|网游|玩家|公测|内测|单机|大作|手游|新作)[^《》]{{0,4}}({inner})", "group": 1, "name": "game titles", "flags": []},
        {"use": "regex", "label": "game", "pattern": rf"({inner})[^《》]{{0,6}}(?:游戏|网游|玩家|公测|内测|系列|开发)", "group": 1, "name": "game titles before", "flags": []},
        {"use": "patterns", "label": "name", "kind": "name", "name": "marked names"},
        {"use": "repeated", "within": "all", "least": 3, "share": 0.9, "name": "repeated"},
    ]  # fmt: skip
