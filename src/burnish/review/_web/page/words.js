// Every word of the page, in English and in Chinese. {0} stands for a value.
export const WORDS = {
  en: {
    language: "中文", other: "zh",
    who: "Who is reviewing?", whoWhy: "Your name goes beside every decision, so that agreement can be measured.", start: "Start", name: "Name", reviewer: "Reviewer",
    queues: {review: "Worth a look", certificate: "Certificate", disputed: "Disputed", mine: "Mine", all: "All"},
    queueWhy: {
      review: "Records whose look is worth most, by disagreement, uncertainty, suspicion, slice and novelty.",
      certificate: "Drawn at random: these alone say how good the data is. Look at every one.",
      disputed: "Reviewers do not agree on these. Your decision settles them.",
      mine: "What you decided.", all: "Every record.",
    },
    label: "label", slice: "slice", labeller: "labeller", any: "any", none: "(none)", suspects: "suspects", open: "still open", done: "done", everything: "all", search: "Search  /", state: "state",
    of: "{0} of {1}", left: "{0} left", pace: "{0} s each, about {1} to go", records: "{0} records", minutes: "{0} min", hours: "{0} h", nothing: "Nothing here.", allDone: "This queue is done.", more: "more",
    accept: "Accept", save: "Save change", reject: "Reject", skip: "Skip", undo: "Undo", help: "Help", guidelines: "Guidelines", agreement: "Agreement", filters: "Filters",
    votes: "Votes", noVotes: "Nobody voted on it.", why: "Why it is here", findings: "Findings", facts: "Where it comes from", trail: "What was done to it", belief: "Belief", opinions: "What reviewers said",
    blind: "{0} other reviewer(s) looked at it; you see what they said after you have decided.", adopt: "take", take: "take this", setAside: "set aside by curation", drawn: "drawn at random, speaks for {0} records", stratum: "stratum {0}",
    fields: {text: "Text", text_b: "Second text", question: "Question", context: "Context", query: "Query", candidate: "Candidate", source: "Source", messages: "Conversation", output: "Output"},
    pair: ["First text", "Second text"],
    kinds: {label: "Label", labels: "Labels", spans: "Spans", relations: "Relations", answer: "Answer", value: "Value", output: "Output", messages: "Answer of the assistant"},
    roles: {user: "user", assistant: "assistant", system: "system", tool: "tool"},
    find: "find a label …  l", noAnswer: "No answer in this context", noSpans: "No spans: that is an answer too", head: "head", tail: "tail", flip: "turn round", remove: "remove", addAnswer: "write an answer", type: "type", newType: "new type …",
    spanHelp: "Drag over words to mark them; number keys choose the label.", relationHelp: "Choose a span (Tab or click) and press h, another and t, then a number; or drag from label to label.", answerHelp: "Drag over the answer, or press n where there is none.", target: "target", was: "was", edited: "changed, not saved yet",
    columns: {label: "label", language: "language", source: "source", label_from: "label from", confidence: "confidence", file: "file", time: "time", group: "group", licence: "licence"},
    states: {open: "open", decided: "decided", disputed: "disputed", skipped: "skipped"}, said: {accept: "accepted", change: "changed", reject: "rejected", skip: "skipped"},
    saved: "On disk: {0}", undone: "Taken back", nothingToUndo: "There is nothing to take back", lost: "The server does not answer. Nothing that you decided before is lost.", oops: "{0}", unreadable: "{0} lines of the verdict file cannot be read",
    noGuidelines: "No guidelines yet. Name a Markdown file: review: {use: queue, guidelines: guidelines.md}",
    agreementOn: "{0} records that two reviewers or more looked at", noAgreement: "No record has two opinions yet.", pairs: "pair", count: "records", same: "the same", kappa: "kappa", weighted: "weighted kappa", fleiss: "Fleiss' kappa", alpha: "Krippendorff's alpha", alphaChar: "alpha by character", f1: "F1", close: "Close", each: "decisions",
    keys: [["1 … 9", "choose a label; where one label is all, that decides"], ["a  Enter", "accept what is shown, or save what you changed"], ["r", "reject: the record is no good"], ["s", "skip"], ["u", "undo the last decision"], ["j  k", "next, previous"], ["/", "search"], ["l", "find a label"], ["e", "edit a text; Esc leaves it, Ctrl+Enter saves"], ["g", "guidelines"], ["q", "next queue"], ["w", "next target, where a record has several"], ["?", "this help"]],
    spanKeys: [["Tab", "next span"], ["← →", "move the cursor by words"], ["Shift ← →", "extend it; with a span chosen, move its end"], ["Alt ← →", "with a span chosen, move its start"], ["Enter", "mark what the cursor holds"], ["x  Delete", "remove the chosen span"]],
    relationKeys: [["h  t", "the chosen span is head, tail"], ["↓ ↑", "next, previous relation"], ["f", "turn the relation round"]], answerKeys: [["n", "no answer in this context"]],
  },
  zh: {
    language: "English", other: "en",
    who: "谁在审核？", whoWhy: "每个决定旁都会记下你的名字，这样才能计算一致性。", start: "开始", name: "姓名", reviewer: "审核者",
    queues: {review: "值得一看", certificate: "质量证书", disputed: "有分歧", mine: "我的", all: "全部"},
    queueWhy: {
      review: "最值得查看的记录：依据投票分歧、不确定性、可疑程度、切片与新颖性排序。",
      certificate: "随机抽取：只有它们能说明数据的质量，请逐条查看。",
      disputed: "审核者对这些记录意见不一，由你裁定。",
      mine: "你决定过的记录。", all: "所有记录。",
    },
    label: "标签", slice: "切片", labeller: "标注者", any: "不限", none: "（无）", suspects: "可疑", open: "未看", done: "已看", everything: "全部", search: "搜索  /", state: "状态",
    of: "{0} / {1}", left: "剩余 {0}", pace: "每条 {0} 秒，约还需 {1}", records: "{0} 条记录", minutes: "{0} 分钟", hours: "{0} 小时", nothing: "这里没有记录。", allDone: "这个队列已完成。", more: "更多",
    accept: "接受", save: "保存修改", reject: "拒绝", skip: "跳过", undo: "撤销", help: "帮助", guidelines: "标注规范", agreement: "一致性", filters: "筛选",
    votes: "投票", noVotes: "没有任何投票。", why: "为什么要看它", findings: "质检发现", facts: "来源", trail: "处理经过", belief: "置信度", opinions: "审核者的意见",
    blind: "另有 {0} 位审核者看过；在你决定之后才显示他们的意见。", adopt: "采用", take: "采用此意见", setAside: "已被数据整理搁置", drawn: "随机抽取，代表 {0} 条记录", stratum: "层：{0}",
    fields: {text: "文本", text_b: "第二段文本", question: "问题", context: "上下文", query: "查询", candidate: "候选", source: "原文", messages: "对话", output: "输出"},
    pair: ["第一段文本", "第二段文本"],
    kinds: {label: "标签", labels: "标签（可多选）", spans: "片段", relations: "关系", answer: "答案", value: "数值", output: "输出", messages: "助手的回答"},
    roles: {user: "用户", assistant: "助手", system: "系统", tool: "工具"},
    find: "查找标签……  l", noAnswer: "上下文中没有答案", noSpans: "没有片段：这也是一种答案", head: "头", tail: "尾", flip: "调换方向", remove: "删除", addAnswer: "写一个回答", type: "类型", newType: "新类型……",
    spanHelp: "用鼠标拖选文字即可标注；数字键选择标签。", relationHelp: "选中一个片段（Tab 或点击）按 h，再选另一个按 t，然后按数字；也可从一个标签拖到另一个标签。", answerHelp: "拖选答案；没有答案时按 n。", target: "标注", was: "原为", edited: "已修改，尚未保存",
    columns: {label: "标签", language: "语言", source: "来源", label_from: "标签来自", confidence: "置信度", file: "文件", time: "时间", group: "分组", licence: "许可"},
    states: {open: "未看", decided: "已定", disputed: "有分歧", skipped: "已跳过"}, said: {accept: "接受", change: "修改", reject: "拒绝", skip: "跳过"},
    saved: "已写入磁盘：{0}", undone: "已撤销", nothingToUndo: "没有可撤销的决定", lost: "服务器没有响应。此前的决定都没有丢失。", oops: "{0}", unreadable: "决定文件中有 {0} 行无法读取",
    noGuidelines: "还没有标注规范。请指定一个 Markdown 文件：review: {use: queue, guidelines: guidelines.md}",
    agreementOn: "{0} 条记录有两位以上审核者看过", noAgreement: "还没有记录有两份意见。", pairs: "两人", count: "记录数", same: "相同", kappa: "kappa", weighted: "加权 kappa", fleiss: "Fleiss kappa", alpha: "Krippendorff alpha", alphaChar: "按字的 alpha", f1: "F1", close: "关闭", each: "决定",
    keys: [["1 … 9", "选择标签；单标签任务中即为决定"], ["a  Enter", "接受当前内容，或保存修改"], ["r", "拒绝：这条记录不可用"], ["s", "跳过"], ["u", "撤销上一个决定"], ["j  k", "下一条、上一条"], ["/", "搜索"], ["l", "查找标签"], ["e", "编辑文本；Esc 离开，Ctrl+Enter 保存"], ["g", "标注规范"], ["q", "下一个队列"], ["w", "下一个标注目标（一条记录有多个时）"], ["?", "本帮助"]],
    spanKeys: [["Tab", "下一个片段"], ["← →", "按词移动光标"], ["Shift ← →", "扩大选择；选中片段时移动其末端"], ["Alt ← →", "选中片段时移动其起点"], ["Enter", "标注光标所选文字"], ["x  Delete", "删除选中的片段"]],
    relationKeys: [["h  t", "把选中的片段设为头、尾"], ["↓ ↑", "下一个、上一个关系"], ["f", "调换关系方向"]], answerKeys: [["n", "上下文中没有答案"]],
  },
};

let language = "en";
export const spoken = () => language;
export function speak(next) { language = WORDS[next] ? next : "en"; }
export const word = (key, ...values) => fill(WORDS[language][key], values);
export const words = key => WORDS[language][key];
export const named = (group, key) => WORDS[language][group][key] ?? key;
function fill(text, values) { return values.reduce((made, value, at) => made.replace(`{${at}}`, value), text); }
