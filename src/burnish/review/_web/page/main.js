// The review page: a list, a record, what speaks for and against it. Keys first; every decision is on disk before it shows.
import {get, post} from "./api.js";
import {choices, number} from "./choices.js";
import {at, clone, h, markdown, put, reach, same} from "./dom.js";
import {agreementView, guidelinesView, helpView} from "./over.js";
import {side} from "./side.js";
import {answer, spans} from "./spans.js";
import {named, speak, spoken, word, words} from "./words.js";
import {messages, output} from "./writing.js";

const WIDGETS = {label: choices, labels: choices, value: number, answer, output, messages};
const ORDER = ["certificate", "review", "disputed", "mine", "all"];
const LONGEST_LOOK_S = 600;  // whoever is away from the desk is not looking

const linked = new URLSearchParams(location.search);
const state = {
  about: null, reviewer: linked.get("reviewer") ?? localStorage.getItem("reviewer") ?? "", queue: linked.get("queue"), filters: {state: "open"},
  items: [], next: null, total: 0, here: -1, row: null, draft: null, widgets: [], active: 0, since: 0, looked: 0, progress: null, done: [], busy: false,
};
speak(linked.get("lang") ?? localStorage.getItem("language") ?? (navigator.language.startsWith("zh") ? "zh" : "en"));

// -- asking

const query = () => ({queue: state.queue, reviewer: state.reviewer, ...state.filters, state: state.queue === "mine" || state.queue === "disputed" ? "any" : state.filters.state});

async function load({keep = null} = {}) {
  const page = await get("records", {...query(), limit: 60});
  Object.assign(state, {items: page.items, next: page.next, total: page.total, here: -1});
  state.progress = await get("progress", {reviewer: state.reviewer});
  drawBar();
  const found = keep === null ? 0 : Math.max(0, state.items.findIndex(one => one.id === keep));
  await show(found);
}

async function more() {
  if (state.next === null) return;
  const page = await get("records", {...query(), limit: 60, cursor: state.next});
  const known = new Set(state.items.map(one => one.id));
  state.items.push(...page.items.filter(one => !known.has(one.id)));
  state.next = page.next;
  drawList();
}

const detail = id => get("record", {id, reviewer: state.reviewer, language: spoken(), adjudicate: state.queue === "disputed" ? 1 : ""});

async function show(index) {
  if (index >= state.items.length && state.next !== null) await more();
  if (!state.items.length || index >= state.items.length) {
    Object.assign(state, {here: state.items.length, row: null});
    draw();
    return;
  }
  state.here = Math.max(0, index);
  state.row = await detail(state.items[state.here].id);
  state.draft = clone(state.row.mine?.target ?? state.row.target);
  [state.since, state.looked] = [performance.now(), 0];
  draw();
}

async function decide(verdict, extra = {}) {
  if (!state.row || state.busy) return;
  state.busy = true;
  const id = state.row.id, index = state.here;
  try {
    const target = ["accept", "change"].includes(verdict) ? state.draft : null;
    const made = await post("verdict", {id, reviewer: state.reviewer, verdict, target, seconds: seconds(), adjudicates: state.queue === "disputed", ...extra});
    state.progress = made.progress;
    state.items[index] = made.item;
    if (verdict !== "undo") state.done.push(id);
    say(verdict === "undo" ? word("undone") : word("saved", `${named("said", made.item.mine)} · ${made.item.target}`));
    if (verdict !== "undo") await show(following(index));
  } catch (error) { fail(error); } finally { state.busy = false; }
}

// The next record that still waits, the one behind this where none does.
function following(index) {
  const waits = state.items.findIndex((one, place) => place > index && !one.mine);
  return waits >= 0 ? waits : state.next !== null ? state.items.length : state.items.every(one => one.mine) ? state.items.length : index + 1;
}

async function undo() {
  const id = state.done.pop() ?? (state.row?.mine ? state.row.id : null);
  if (!id || state.busy) { say(word("nothingToUndo")); return; }
  state.busy = true;
  try {
    const made = await post("verdict", {id, reviewer: state.reviewer, verdict: "undo", seconds: 0});
    state.progress = made.progress;
    let index = state.items.findIndex(one => one.id === id);
    if (index < 0) { state.items.unshift(made.item); index = 0; } else state.items[index] = made.item;
    await show(index);
    say(word("undone"));
  } catch (error) { fail(error); } finally { state.busy = false; }
}

const seconds = () => Math.min(LONGEST_LOOK_S, (state.looked + (document.hidden ? 0 : performance.now() - state.since)) / 1000);
document.addEventListener("visibilitychange", () => {
  if (document.hidden) state.looked += performance.now() - state.since;
  else state.since = performance.now();
});

// -- drawing

function draw() { drawBar(); drawList(); drawRecord(); at("side").replaceChildren(...(state.row ? side(state.row, {adopt, take, adjudicates: state.queue === "disputed"}) : [])); }

function pace() {
  const progress = state.progress, queue = progress?.queues[state.queue];
  if (!progress?.seconds_each || !queue) return "";
  const left = (queue.of - queue.done) * progress.seconds_each / 60;
  return left > 0 ? word("pace", progress.seconds_each, left >= 90 ? word("hours", (left / 60).toFixed(1)) : word("minutes", Math.max(1, Math.round(left)))) : "";
}

function drawBar() {
  const {about, progress} = state, queue = progress?.queues[state.queue];
  document.documentElement.lang = spoken() === "zh" ? "zh-CN" : "en";
  const sizes = {...about.queues, disputed: progress?.disputed ?? 0, mine: progress?.mine ?? 0};
  const tabs = ORDER.filter(one => sizes[one] || one === "all" || one === state.queue).map(one =>
    h("button", {type: "button", role: "tab", "aria-selected": String(one === state.queue), class: one === state.queue ? "on" : null, title: words("queueWhy")[one], onclick: () => turn(one)}, words("queues")[one], h("small", {}, (sizes[one] ?? 0).toLocaleString())));
  at("bar").replaceChildren(
    h("strong", {class: "name", title: about.file}, about.name), h("nav", {role: "tablist"}, tabs),
    queue ? h("div", {class: "progress", title: pace()}, h("progress", {max: Math.max(1, queue.of), value: queue.done}), h("span", {}, word("of", queue.done.toLocaleString(), queue.of.toLocaleString())), h("small", {}, pace())) : h("span", {class: "progress"}),
    h("div", {class: "actions"},
      h("button", {type: "button", onclick: () => over("guidelines")}, h("kbd", {}, "g"), word("guidelines")), h("button", {type: "button", onclick: () => over("agreement")}, word("agreement")),
      h("button", {type: "button", onclick: () => over("help")}, h("kbd", {}, "?"), word("help")), h("button", {type: "button", id: "language", onclick: turnLanguage}, word("language")),
      h("button", {type: "button", id: "who", title: word("reviewer"), onclick: askName}, state.reviewer)));
}

function select(key, options, about) {
  const now = state.filters[key] ?? "";
  return h("select", {"aria-label": about, onchange: event => { state.filters[key] = event.target.value || null; load().catch(fail); }},
    h("option", {value: ""}, `${about}: ${word("any")}`), options.map(([value, said]) => h("option", {value, selected: value === now}, said)));
}

function drawFilters() {
  const {about, filters} = state, sized = list => list.map(one => [one.name, `${one.name === "∅" ? word("none") : one.name} (${one.records.toLocaleString()})`]);
  const slices = Object.entries(about.slices).filter(([name, list]) => name !== "label" && list.length > 1);
  return h("div", {class: "filters"},
    h("input", {id: "search", type: "search", placeholder: word("search"), "aria-label": word("search"), value: filters.search ?? "", onkeydown: searched}),
    h("div", {class: "row"},
      h("select", {"aria-label": word("state"), onchange: event => { filters.state = event.target.value; load().catch(fail); }}, ["open", "done", "any"].map(one => h("option", {value: one, selected: filters.state === one}, one === "any" ? word("everything") : word(one)))),
      about.labels.length > 1 ? select("label", sized(about.labels), word("label")) : null,
      about.labellers.length ? select("labeller", sized(about.labellers), word("labeller")) : null,
      ...slices.map(([name, list]) => h("select", {"aria-label": named("columns", name), onchange: event => { filters.slice = event.target.value || null; load().catch(fail); }}, h("option", {value: ""}, `${named("columns", name)}: ${word("any")}`), list.map(one => h("option", {value: `${name}=${one.name}`, selected: filters.slice === `${name}=${one.name}`}, `${one.name === "∅" ? word("none") : one.name} (${one.records.toLocaleString()})`)))),
      about.suspects ? h("label", {class: "check"}, h("input", {type: "checkbox", checked: Boolean(filters.suspect), onchange: event => { filters.suspect = event.target.checked ? "1" : null; load().catch(fail); }}), `${word("suspects")} (${about.suspects.toLocaleString()})`) : null));
}

function searched(event) {
  if (event.key === "Escape") { event.target.blur(); return; }
  if (event.key !== "Enter") return;
  state.filters.search = event.target.value.trim() || null;
  event.target.blur();
  load().catch(fail);
}

function drawList() {
  const kept = document.activeElement?.id === "search";
  const scroll = at("items")?.scrollTop ?? 0;
  const items = state.items.map((one, index) => h("li", {class: `${one.state}${index === state.here ? " here" : ""}`, "aria-current": index === state.here ? "true" : null, onclick: () => show(index).catch(fail)},
    h("span", {class: "mark", title: words("states")[one.state]}, {open: "○", decided: "●", disputed: "◐", skipped: "–"}[one.state]), h("span", {class: "what"}, one.text), h("small", {}, one.mine ? `${words("said")[one.mine]} · ` : "", one.target)));
  at("list").replaceChildren(drawFilters(), h("p", {class: "count quiet"}, word("records", state.total.toLocaleString())),
    h("ol", {id: "items", onscroll: event => { const list = event.target; if (list.scrollTop + list.clientHeight > list.scrollHeight - 200 && state.next !== null && !state.busy) { state.busy = true; more().catch(fail).finally(() => { state.busy = false; }); } }}, items,
      state.next !== null ? h("li", {class: "more"}, h("button", {type: "button", onclick: () => more().catch(fail)}, word("more"))) : null));
  if (kept) at("search").focus();
  at("items").scrollTop = scroll;
  at("items").querySelector(".here")?.scrollIntoView({block: "nearest"});
}

const context = () => ({
  row: state.row, alone: state.about.editors.length === 1, say,
  get: path => reach(state.draft, path),
  set: (path, value) => { put(state.draft, path, value); drawFoot(); },
  save: () => decide("change"),
});

// What each editor marks is drawn by it; what else the record holds stands above.
function drawRecord() {
  const {row, about} = state;
  if (!row) { at("record").replaceChildren(h("p", {class: "empty"}, state.progress && state.filters.state === "open" && !state.filters.search ? word("allDone") : word("nothing"))); return; }
  const within = context(), taken = new Set(), blocks = [];
  state.widgets = [];
  const marks = editor => ["spans", "answer"].includes(editor.kind);
  for (const editor of [...about.editors].sort((a, b) => marks(b) - marks(a))) {  // the text first, then what is said of it
    if (editor.kind === "relations" && about.editors.some(one => one.kind === "spans" && one.name === editor.name)) continue;
    const related = about.editors.find(one => one.kind === "relations" && one.name === editor.name) ?? null;
    const widget = editor.kind === "spans" ? spans(editor, within, related) : WIDGETS[editor.kind](editor, within);
    if (marks(editor)) taken.add(editor.over);
    if (editor.kind === "messages") taken.add("messages").add("text");
    widget.draw();
    widget.editor = editor;
    const index = state.widgets.push(widget) - 1, title = marks(editor) ? paneName(editor.over) : named("kinds", editor.kind);
    blocks.push(h("div", {class: `block ${editor.kind}`, onmousedown: () => activate(index)}, h("h2", {}, editor.name ? h("b", {}, editor.name) : null, title), widget.element));
  }
  const panes = ["text", "text_b"].filter(one => row.input[one] && !taken.has(one)).map(one => h("div", {class: "pane"}, h("h2", {}, paneName(one)), h("p", {class: "text"}, row.input[one])));
  if (row.input.messages && !taken.has("messages")) panes.push(h("div", {class: "pane"}, h("h2", {}, word("fields").messages), h("div", {class: "talk"}, row.input.messages.map(one => h("div", {class: `turn ${one.role === "assistant" ? "assistant" : "user"}`}, h("small", {}, named("roles", one.role)), h("p", {}, one.content))))));
  const draw = row.draw ? h("p", {class: "note"}, word("drawn", row.draw.weight), row.draw.stratum ? ` · ${word("stratum", row.draw.stratum)}` : "") : null;
  at("record").replaceChildren(
    draw ?? "", row.keep ? "" : h("p", {class: "note"}, word("setAside")),
    h("div", {class: panes.length > 1 ? "panes beside" : "panes"}, panes), ...blocks, h("footer", {id: "foot"}));
  activate(0);
  drawFoot();
  at("record").scrollTop = 0;
}

// Of several targets one has the keys.
function activate(index) {
  state.active = index % state.widgets.length;
  if (state.widgets.length < 2) return;
  for (const [place, one] of [...at("record").querySelectorAll(".block")].entries()) one.classList.toggle("active", place === state.active);
}

function paneName(column) {
  const named = state.about.editors.map(one => one.panes?.[column]).find(Boolean);
  if (named) return word("fields")[named] ?? named;
  if (state.row.input.text && state.row.input.text_b) return words("pair")[column === "text" ? 0 : 1];
  return words("fields")[column];
}

function drawFoot() {
  if (!state.row || !at("foot")) return;
  const edited = !same(state.draft, state.row.mine?.target ?? state.row.target), before = state.row.mine;
  const button = (key, said, act, kind) => h("button", {type: "button", class: kind, onclick: act}, h("kbd", {}, key), said);
  at("foot").replaceChildren(
    button("a", edited ? word("save") : word("accept"), () => decide("change"), "main"), button("r", word("reject"), () => decide("reject")), button("s", word("skip"), () => decide("skip")), button("u", word("undo"), undo),
    h("span", {class: edited ? "edited" : "quiet"}, edited ? word("edited") : before ? `${words("said")[before.verdict]} · ${before.at.slice(0, 16).replace("T", " ")}` : ""));
}

function adopt(vote) {
  for (const widget of state.widgets) {
    if (widget.adopt?.(vote)) { drawFoot(); return; }
    const editor = widget.editor;
    if (editor.kind === "label" && editor.labels.includes(vote.label)) { put(state.draft, editor.path, vote.label); widget.draw(); drawFoot(); return; }
    if (editor.kind === "labels" && editor.labels.includes(vote.label)) { put(state.draft, editor.path, [...new Set([...(reach(state.draft, editor.path) ?? []), vote.label])]); widget.draw(); drawFoot(); return; }
    if (editor.kind === "value" && Number.isFinite(Number(vote.label))) { put(state.draft, editor.path, Number(vote.label)); widget.draw(); drawFoot(); return; }
  }
}

function take(opinion) {
  if (opinion.verdict === "reject") { decide("reject"); return; }
  state.draft = clone(opinion.target);
  drawRecord();
  decide("change");
}

// -- what lies over the page

async function over(which) {
  const made = which === "help" ? helpView(state.about) : which === "guidelines" ? guidelinesView(state.about, markdown) : agreementView(await get("agreement"), state.about);
  at("over").replaceChildren(h("div", {class: "sheet", role: "dialog", "aria-modal": "true"}, h("button", {type: "button", class: "close", "aria-label": word("close"), onclick: close}, "×"), made));
  at("over").hidden = false;
  at("over").querySelector(".close").focus();
}
function close() { at("over").hidden = true; at("record").focus(); }
at("over").addEventListener("click", event => { if (event.target === at("over") && state.reviewer) close(); });

function askName() {
  const input = h("input", {name: "reviewer", maxlength: 60, value: state.reviewer, "aria-label": word("name"), autocomplete: "off", list: "known"});
  const known = h("datalist", {id: "known"}, (state.about?.reviewers ?? []).map(one => h("option", {value: one})));
  const form = h("form", {onsubmit: event => {
    event.preventDefault();
    if (!input.value.trim()) return;
    state.reviewer = input.value.trim();
    localStorage.setItem("reviewer", state.reviewer);
    state.done = [];
    close();
    load().catch(fail);
  }}, h("h2", {}, word("who")), h("p", {}, word("whoWhy")), input, known, h("button", {type: "submit", class: "main"}, word("start")));
  at("over").replaceChildren(h("div", {class: "sheet small", role: "dialog", "aria-modal": "true"}, form));
  at("over").hidden = false;
  input.focus();
}

async function turn(queue) {
  state.queue = queue;
  await load().catch(fail);
}

async function turnLanguage() {
  speak(word("other"));
  localStorage.setItem("language", spoken());
  const draft = state.draft;
  if (state.row) state.row = await detail(state.row.id);
  state.draft = draft;
  draw();
}

let fading;
function say(text, bad = false) {
  at("note").textContent = text;
  at("note").className = bad ? "bad on" : "on";
  clearTimeout(fading);
  fading = setTimeout(() => { at("note").className = ""; }, bad ? 6000 : 2200);
}
function fail(error) { say(error.lost ? word("lost") : word("oops", error.message), true); }

// -- keys

document.addEventListener("keydown", event => {
  if (!at("over").hidden) { if (event.key === "Escape" && state.reviewer) close(); return; }
  if (event.target.closest("input, textarea, select") || event.ctrlKey || event.metaKey || !state.about) return;
  if (key(event)) { event.preventDefault(); event.stopPropagation(); }
});

function key(event) {
  if (state.row && state.widgets[state.active].keys(event)) return true;
  if (event.key === "w" && state.widgets.length > 1) { activate(state.active + 1); return true; }
  const step = way => { show(Math.max(0, Math.min(state.items.length - (state.next === null ? 1 : 0), state.here + way))).catch(fail); };
  const acts = {
    a: () => decide("change"), Enter: () => decide("change"), r: () => decide("reject"), s: () => decide("skip"), u: undo, j: () => step(1), k: () => step(-1),
    "/": () => { at("search").focus(); at("search").select(); }, "?": () => over("help"), g: () => over("guidelines"),
    q: () => { const shown = ORDER.filter(one => state.about.queues[one] || one === "all" || state.progress?.[one]); turn(shown[(shown.indexOf(state.queue) + 1) % shown.length]); },
  };
  if (event.key === "Enter" && event.target.closest("button")) return false;
  if (!acts[event.key]) return false;
  acts[event.key]();
  return true;
}

// -- start

async function start() {
  state.about = await get("about");
  document.title = `${state.about.name} · burnish review`;
  state.queue ??= state.about.queues.certificate ? "certificate" : state.about.queues.review ? "review" : "all";
  if (linked.get("reviewer")) localStorage.setItem("reviewer", state.reviewer);
  drawBar();
  if (state.reviewer) await load({keep: linked.get("id")}); else askName();
  document.body.dataset.ready = "true";
}
start().catch(fail);
