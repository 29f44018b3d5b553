"""The words of the page of the quality room, in English and Chinese."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from burnish.core.chinese import named_in

DIMENSIONS = ("distribution", "noise", "diversity", "timeliness", "ethics")


def title_of(check: str, language: str) -> str:
    """What a check is called on the page; one that nobody has named here goes by its own name."""
    named = named_in(language, "check", check)
    return named if named != check else TITLES.get(check, check.replace("_", " ").capitalize())


def figure_of(name: str, language: str) -> str:
    named = named_in(language, "figure", name)
    return named if named != name else FIGURES.get(name, name.replace("_", " "))


def fact_of(name: str, language: str) -> str:
    """A fact of a check, or a column of one, as the page names it."""
    named = named_in(language, "fact", name)
    return named if named != name else name.replace("_", " ")


def limit_of(name: str, language: str) -> str:
    """What a gate asks for: its name in the spec, and what that is."""
    named = named_in(language, "figure", name)
    return name if named == name else f"{named}（{name}）"


def action_of(action: str, language: str) -> str:
    """drop, relabel:LABEL, reweigh:0.5 ... in words."""
    kind, _, what = action.partition(":")
    said = ACTIONS.get(kind, (kind, kind))[language == "zh"]
    return f"{said}{'：' if language == 'zh' else ' '}{what}" if what else said


def chief(effect: Mapping[str, Any]) -> str:
    """The figure that an effect is ordered by."""
    return str(effect.get("figure") or next((one for one in ("accuracy", "macro_f1", "f1") if one in effect), ""))


# what a check is called, where that is not its own name; Chinese: zh/words.txt
TITLES = {
    "exact_duplicates": "Exact copies", "near_duplicates": "Near copies", "semantic_duplicates": "Same in meaning",
    "conflicting_duplicates": "Conflicting copies", "slice_balance": "Balance of slices",
    "joint_balance": "Labels by slice", "length": "Unusual lengths", "spurious_tokens": "Give-away tokens",
    "artefacts": "Shortcuts", "contamination": "Test set contamination", "label_errors": "Suspected label errors",
    "neighbour_disagreement": "Neighbours disagree", "training_dynamics": "Never learnt",
    "area_under_margin": "Learnt like wrong labels", "entity_errors": "Suspected entity errors",
    "relation_errors": "Suspected relation errors", "answer_errors": "Suspected answer errors",
    "pair_errors": "Mismatched outputs", "empty": "Empty texts", "encoding": "Damaged encoding",
    "language": "Other languages", "markup": "Markup left in", "truncation": "Cut off",
    "machine_translated": "Machine translation", "pii": "Personal data", "memorisation": "Memorisation risk",
    "licences": "Licences and consent", "toxicity": "Toxic language", "groups": "Groups of people",
    "label_drift": "Labels that moved", "usefulness": "Usefulness by age",
}  # fmt: skip

FIGURES = {
    "macro_f1": "macro F1",
    "micro_f1": "micro F1",
    "f1": "F1",
    "ece": "calibration error",
    "gap": "gap between groups",
    "as_labelled": "by the labels as they stand",
}
SMALLER_IS_BETTER = ("log_loss", "ece", "gap", "absolute_error", "privacy")

ACTIONS = {
    "drop": ("set aside", "搁置"), "relabel": ("relabel", "改标"), "soften": ("share the label", "软化标签"),
    "redact": ("redact", "脱敏"), "reweigh": ("weigh", "加权"), "review": ("look at it", "人工查看"), "keep": ("keep", "保留"),
}  # fmt: skip

WORDS: dict[str, dict[str, Any]] = {
    "en": {
        "title": "Data quality", "records": "records", "kept": "kept", "labelled": "labelled", "flagged": "with a finding",
        "languages": "languages", "noise_tile": "wrong labels, estimated", "glance": "At a glance",
        "and": ", ", "remark": "{check}: {said}",
        "gate": "gate", "measured": "measured", "limit": "limit", "holds": "holds", "yes": "yes", "no": "no",
        "effects": "Findings by effect", "points": "points",
        "effects_lead": "What happens to {figure} on held-out records when the finding's remedy is applied: the dot is the mean over "
        "repeated splits, the line its 95% interval. Green helps, red harms, grey shows no difference.",
        "by_probe": "Measured with a probe on frozen vectors.", "by_tune": "Measured by training the encoder with and without.",
        "no_effect": "Not measured: {why}",
        "no_effect_task": "the probe learns class labels, and {task} has none. What curation sets aside is judged by training "
        "with it and without (quality.curate.actions: report).",
        "no_effect_few": "no remedy touches enough labelled records, or the audit was told not to (effect: none).",
        "touches": "{remedy}, {count:,} records", "remedy": "remedy", "finding": "finding", "touched": "records touched", "held_out": "judged on", "other_figures": "All figures, with the remedy minus without",
        "curation": "Before and after curation", "before": "before", "after": "after", "figure": "figure", "why": "why", "check": "check", "done": "done",
        "reason": "reason", "set_aside": "set aside", "changed": "changed", "left": "These classes are doubted as a whole and left to a person: {labels}.",
        "nothing_done": "No record was set aside or changed.", "held_lead": "A probe on held-out records, trained on the data before and after.",
        "map": "Where the texts lie", "map_lead": "Each point is a text, laid out by meaning; texts close to each other say similar things. "
        "Names are the words most typical of a cluster. Point at a dot to read it, follow it to its row below.",
        "map_note": "{shown:,} of {all:,} labelled records, drawn evenly; the plane keeps {share} of the spread, so far apart here is far apart, and near may not be near.",
        "map_rows": "The texts of the map", "suspect": "has a finding of noise", "cluster": "cluster", "text": "text", "label": "label", "id": "id", "findings": "findings",
        "distribution": "Distribution", "noise": "Noise", "diversity": "Diversity", "timeliness": "Timeliness", "ethics": "Ethics",
        "dimension_lead": {
            "distribution": "How the data is spread, and where that misleads a model.", "noise": "What is wrong, broken or not meant to be there.",
            "diversity": "What is said more than once, and what is not said at all.", "timeliness": "How old the data is, and what that costs.",
            "ethics": "Who could be harmed: people in the data, and people it is used on.",
        },
        "share": "share", "suggested": "suggested", "effect": "effect", "looks_for": "what it looks for", "none_found": "nothing found", "skipped": "not judged: {why}",
        "kept_records": "records that were kept", "mistaken": "Labels most often mistaken", "given": "labelled", "probably": "probably", "of_all": "of all records",
        "imbalance": "largest class over smallest", "effective": "effective classes", "by": "Records by {name}", "heat": "Labels by {name}",
        "heat_caption": "records; shade: share of the row", "lengths": "Lengths", "length_axis": "words (Chinese: characters); the longest 1% in the last",
        "language": "language", "half": "half", "longest": "longest", "times": "Records by time", "records_of": "{name}: {shown} of {count}, worst first",
        "score": "score", "place": "from", "aside": "set aside", "beside": "the other record", "this": "this record", "figures_of": "All figures of this check",
        "other_checks": "Figures of the checks that found nothing", "look": "How to look at a record",
        "look_said": "Every finding of every record stands in {file}, a line each, and beside the record in records.parquet. The story of one record, from its source to the model:",
        "methods": "How each check works, and where it comes from", "more": "and {count:,} more", "source": "source", "licence": "licence",
        "unsaid": "(not said)", "no_labels": "{task} has no labels of its own; {count:,} records have a target.", "next": "Next: ", "distributions": "Sources and languages",
        "ledger": "The ledger of this data version", "ledger_lead": "Version {version}: {records:,} kept records, judged by a probe before any training. Another version of the data has the same table to lay beside it.",
        "performance": "performance", "fairness": "fairness", "safety": "safety", "reliability": "reliability", "value": "value", "where": "where", "not_measured": "Not measured",
        "verdict_none": "No audit has looked at these records.", "next_none": "write {use: audit} in the quality section.",
        "verdict_gate": "The gate does not hold: {names}.", "next_gate": "mend what it names, or agree on another limit, and run again.",
        "verdict_bad": "These labels should not be trained on before somebody has looked at them.", "next_bad": "`burnish review` shows the doubted ones first.",
        "verdict_look": "Usable, but worth a look: {share} of {records:,} records have a finding.", "verdict_good": "Good data: {share} of {records:,} records have no finding.",
        "verdict_empty": "Curation left no record to train on.", "next_empty": "set fewer actions in quality.curate.",
        "next_help": "act on “{check}” ({remedy}): {figure} {gain} points ({low} to {high}) on held-out records.", "next_review": "`burnish review` shows the {count:,} doubted records, those first whose answer is worth most.",
        "next_label": "add labellers or labelled records; only {labelled:,} of {records:,} records have a target.", "next_train": "train; nothing found here is known to help more.", "ground_noise": "About {share} of the labels are probably wrong ({low} to {high}, the probe's own mistakes included).",
        "ground_taught": "That estimate is too low: labellers made {share} of the labels, and a probe taught by them learns their mistakes. Checked records tell more: burnish certify.",
        "ground_copies": "{count:,} records ({share}) are copies of others.", "ground_skipped": "{check}: not judged, {why}.", "ground_others": "Not for this task, because its targets are no class labels: {names}.",
        "ground_aside": "Set aside: {said}.", "for": "{count:,} for {name}", "ground_helps": "Curation helped: {figure} {before} before, {after} after, on held-out records.", "ground_note": "{check}: {note}.",
    },
    "zh": {
        "title": "数据质量", "records": "记录", "kept": "保留", "labelled": "有标签", "flagged": "有问题的记录",
        "languages": "语言", "noise_tile": "估计的错误标签", "glance": "一览",
        "and": "、", "remark": "{check}：{said}",
        "gate": "门槛", "measured": "实测", "limit": "限值", "holds": "是否达到", "yes": "是", "no": "否",
        "effects": "按效果排列的问题", "points": "百分点",
        "effects_lead": "对每类问题采取补救之后，留出记录上的{figure}如何变化：圆点是多次划分的均值，横线是 95% 区间。绿色有益，红色有害，灰色看不出差别。",
        "by_probe": "用冻结向量上的探针测得。", "by_tune": "用真实训练（有与没有补救各一次）测得。",
        "no_effect": "没有测量：{why}", "no_effect_task": "探针学习的是类别标签，而 {task} 没有类别标签。可以分别用与不用被搁置的记录训练来比较（quality.curate.actions: report）。",
        "no_effect_few": "没有哪种补救涉及足够多的有标签记录，或审查被要求不测（effect: none）。",
        "touches": "{remedy}，{count:,} 条", "remedy": "补救", "finding": "问题", "touched": "涉及记录", "held_out": "评判记录", "other_figures": "全部指标：补救之后减去之前",
        "curation": "整理前后", "before": "之前", "after": "之后", "figure": "指标", "why": "原因", "check": "检查", "done": "措施",
        "reason": "原因", "set_aside": "搁置", "changed": "修改", "left": "这些类别整体可疑，留给人判断：{labels}。",
        "nothing_done": "没有记录被搁置或修改。", "held_lead": "探针分别在整理前后的数据上训练，在留出记录上评判。",
        "map": "文本分布图", "map_lead": "每个点是一条文本，按语义排列；相近的点意思相近。文字是各簇最有代表性的词。把指针停在点上可读原文，点击跳到下方的记录。",
        "map_note": "均匀抽取 {all:,} 条有标签记录中的 {shown:,} 条；此平面保留 {share} 的差异：图上远则确实远，图上近则未必近。",
        "map_rows": "图中的文本", "suspect": "有噪声问题", "cluster": "簇", "text": "文本", "label": "标签", "id": "编号", "findings": "问题",
        "distribution": "分布", "noise": "噪声", "diversity": "多样性", "timeliness": "时效", "ethics": "伦理",
        "dimension_lead": {
            "distribution": "数据如何分布，哪里会误导模型。", "noise": "错误、损坏或不该出现的内容。", "diversity": "重复说了什么，又缺了什么。",
            "timeliness": "数据有多旧，代价是什么。", "ethics": "谁可能受到伤害：数据中的人，以及被它影响的人。",
        },
        "share": "占比", "suggested": "建议", "effect": "效果", "looks_for": "检查内容", "none_found": "没有发现", "skipped": "未判断：{why}",
        "kept_records": "保留的记录", "mistaken": "最常混淆的标签", "given": "标注为", "probably": "很可能是", "of_all": "占全部记录",
        "imbalance": "最大类别与最小类别之比", "effective": "有效类别数", "by": "按{name}统计的记录", "heat": "标签与{name}",
        "heat_caption": "记录数；颜色深浅：占该行的比例", "lengths": "长度", "length_axis": "词数（中文为字数）；最长的 1% 计入最后一格",
        "language": "语言", "half": "中位", "longest": "最长", "times": "按时间统计的记录", "records_of": "{name}：{count} 条中的 {shown} 条，最严重的在前",
        "score": "得分", "place": "出处", "aside": "已搁置", "beside": "另一条记录", "this": "本条记录", "figures_of": "此检查的全部数字",
        "other_checks": "没有发现问题的检查：全部数字", "look": "如何查看一条记录", "look_said": "每条记录的每个问题都在 {file} 中（每行一个），也在 records.parquet 的记录旁。一条记录从来源到模型的经历：",
        "methods": "各检查的方法与出处", "more": "另有 {count:,} 条", "source": "来源", "licence": "许可",
        "unsaid": "（未注明）", "no_labels": "{task} 没有标签；{count:,} 条记录有目标。", "next": "下一步：", "distributions": "来源与语言",
        "ledger": "本数据版本的总账", "ledger_lead": "版本 {version}：保留 {records:,} 条记录，在任何训练之前由探针评判。其他数据版本有同样的表，可并排比较。",
        "performance": "性能", "fairness": "公平", "safety": "安全", "reliability": "可靠", "value": "数值", "where": "所在", "not_measured": "没有测量",
        "verdict_none": "尚未审查这些记录。", "next_none": "在 quality 一节写入 {use: audit}。",
        "verdict_gate": "未达到门槛：{names}。", "next_gate": "改正所列问题，或商定别的限值，然后重新运行。",
        "verdict_bad": "在有人查看之前，不应使用这些标签训练。", "next_bad": "`burnish review` 会先给出最可疑的记录。",
        "verdict_look": "可用，但值得查看：{records:,} 条记录中有 {share} 存在问题。", "verdict_good": "数据良好：{records:,} 条记录中有 {share} 没有问题。",
        "verdict_empty": "整理之后没有可供训练的记录。", "next_empty": "在 quality.curate 中减少措施。",
        "next_help": "处理“{check}”（{remedy}）：留出记录上的{figure} {gain} 个百分点（{low} 至 {high}）。", "next_review": "`burnish review` 列出 {count:,} 条可疑记录，最值得回答的在前。",
        "next_label": "增加标注者或有标签的记录：{records:,} 条记录中只有 {labelled:,} 条有目标。", "next_train": "可以训练；没有已知更有益的处理。", "ground_noise": "约 {share} 的标签可能有误（{low} 至 {high}，含探针自身的错误）。",
        "ground_taught": "此估计偏低：{share} 的标签出自标注函数，由它们教出的探针也学会了它们的错误。核对过的记录更可靠：burnish certify。",
        "ground_copies": "{count:,} 条记录（{share}）是其他记录的副本。", "ground_skipped": "{check}：未判断，{why}。", "ground_others": "不适用于本任务（目标不是类别标签）：{names}。",
        "ground_aside": "已搁置：{said}。", "for": "因“{name}” {count:,} 条", "ground_helps": "整理有效：留出记录上的{figure}由 {before} 变为 {after}。", "ground_note": "{check}：{note}。",
    },
}  # fmt: skip
