// Spans of a text, relations between them, the answer in a context: one text that is marked by mouse and by keys.
import {h, hue, slice} from "./dom.js";
import {Marker} from "./marker.js";
import {word} from "./words.js";

const digit = event => /^Digit\d$/.test(event.code) && !event.shiftKey ? (Number(event.code.at(-1)) + 9) % 10 : -1;
const byPlace = (a, b) => a.start - b.start || b.end - a.end;

// Keys that move the cursor, and what they hold; true when the key was one of them.
function cursorKeys(marker, event) {
  if (event.key === "ArrowRight") marker.move(1, event.shiftKey);
  else if (event.key === "ArrowLeft") marker.move(-1, event.shiftKey);
  else return false;
  return true;
}

export function spans(editor, context, related = null) {
  const text = context.row.input[editor.over] ?? "";
  let labels = [...editor.labels], picked = null, active = 0, head = null, tail = null, chosen = null;
  const marker = new Marker(text, labels, {onmark: mark, onpick: pick, ondrop: related ? drop : null});
  const palette = h("div", {class: "choices palette"}), tools = h("div", {class: "tools"}), below = h("div", {class: "relations"});
  const element = h("div", {class: "spans"}, palette, marker.element, tools, below);
  const all = () => context.get(editor.path) ?? [];
  const arrows = () => related ? context.get(related.path) ?? [] : [];
  const quote = span => slice(text, span.start, span.end);

  // Spans are kept in the order of the text; relations name them by place, and move with them.
  function setSpans(next, moved) {
    const order = next.map((span, at) => ({span, at})).sort((a, b) => byPlace(a.span, b.span));
    const place = new Map(order.map(({at}, now) => [at, now]));
    const to = was => { const kept = moved ? moved(was) : was; return kept === null || kept === undefined ? null : place.get(kept) ?? null; };
    if (related && context.get(related.path)) {
      const kept = arrows().map(one => ({...one, head: to(one.head), tail: to(one.tail)})).filter(one => one.head !== null && one.tail !== null);
      context.set(related.path, kept);
    }
    head = head === null ? null : to(head);
    tail = tail === null ? null : to(tail);
    picked = picked === null ? null : place.get(picked) ?? null;
    context.set(editor.path, order.map(one => one.span));
  }

  function mark(start, end) {
    const label = labels[active] ?? labels[0];
    if (label === undefined) { context.say(word("newType")); return; }
    const now = all(), there = now.findIndex(one => one.start === start && one.end === end);
    if (there >= 0 && !editor.nested) { picked = there; relabel(label); return; }
    // where spans may not lie in each other, the new one takes the place of those it touches
    const kept = now.map((one, at) => at).filter(at => editor.nested ? !(now[at].start === start && now[at].end === end && now[at].label === label) : now[at].end <= start || now[at].start >= end);
    picked = kept.length;
    setSpans([...kept.map(at => now[at]), {start, end, label}], was => kept.indexOf(was) < 0 ? null : kept.indexOf(was));
    marker.cursor = null;
    draw();
  }

  function pick(index) {
    picked = index;
    if (index !== null) { marker.cursor = null; chosen = null; }
    draw();
  }

  function drop(from, to) {
    [head, tail, picked] = [from, to, null];
    if (related.labels.length === 1) relate(related.labels[0]); else draw();
  }

  function relabel(label) {
    setSpans(all().map((one, at) => at === picked ? {...one, label} : one));
    draw();
  }

  function remove() {
    const gone = picked, next = all().filter((_, at) => at !== gone);
    picked = null;
    if (head === gone) head = null;
    if (tail === gone) tail = null;
    setSpans(next, was => was === gone ? null : was > gone ? was - 1 : was);
    draw();
  }

  function resize(side, way) {
    const span = {...all()[picked]};
    span[side] = Math.max(0, Math.min(marker.chars.length, span[side] + way));
    if (span.start >= span.end) return;
    setSpans(all().map((one, at) => at === picked ? span : one));
    draw();
  }

  function relate(label) {
    const next = [...arrows().filter(one => !(one.head === head && one.tail === tail)), {head, tail, label}];
    head = tail = null;
    chosen = next.length - 1;
    picked = null;
    context.set(related.path, next);
    draw();
  }

  function change(at, fields) {
    context.set(related.path, arrows().map((one, place) => place === at ? {...one, ...fields} : one));
    draw();
  }

  function drawPalette() {
    const relating = related && ((head !== null && tail !== null) || chosen !== null);
    const names = relating ? related.labels : labels;
    const on = relating ? arrows()[chosen]?.label : picked !== null ? all()[picked]?.label : labels[active];
    const make = editor.open && !relating ? h("input", {class: "new", placeholder: word("newType"), "aria-label": word("newType"), onkeydown: event => {
      if (event.key !== "Enter" || !event.target.value.trim()) return;
      event.preventDefault(); event.stopPropagation();
      const label = event.target.value.trim();
      if (!labels.includes(label)) labels.push(label);
      active = labels.indexOf(label);
      event.target.blur();
      if (picked !== null) relabel(label); else if (marker.held()) mark(...marker.held()); else draw();
    }}) : null;
    palette.replaceChildren(h("span", {class: "quiet"}, word("kinds")[relating ? "relations" : "spans"]), ...names.map((label, at) =>
      h("button", {type: "button", class: label === on ? "on" : null, hue: relating ? 280 : hue(labels, label), title: (relating ? related : editor).descriptions?.[label] ?? label, onclick: () => press(at)},
        h("kbd", {}, at < 10 ? String((at + 1) % 10) : ""), h("span", {}, label))), make ?? "");
  }

  function press(at) {
    if (related && head !== null && tail !== null) { if (related.labels[at] !== undefined) relate(related.labels[at]); return; }
    if (related && chosen !== null) { if (related.labels[at] !== undefined) change(chosen, {label: related.labels[at]}); return; }
    if (labels[at] === undefined) return;
    active = at;
    if (picked !== null) relabel(labels[at]);
    else if (marker.held()) mark(...marker.held());
    else draw();
  }

  function drawTools() {
    const button = (key, said, act, on) => h("button", {type: "button", class: on ? "on" : null, onclick: act}, h("kbd", {}, key), said);
    const made = [];
    if (picked !== null) {
      made.push(button("Alt ←", "|◂", () => resize("start", -1)), button("Alt →", "|▸", () => resize("start", 1)), button("⇧ ←", "◂|", () => resize("end", -1)), button("⇧ →", "▸|", () => resize("end", 1)));
      if (related) made.push(button("h", word("head"), () => role("head"), head === picked), button("t", word("tail"), () => role("tail"), tail === picked));
      made.push(button("x", word("remove"), remove));
    } else {
      made.push(h("span", {class: "quiet"}, related ? word("relationHelp") : word("spanHelp")));
      if (!all().length && !related) made.push(h("span", {class: "quiet"}, word("noSpans")));
    }
    tools.replaceChildren(...made);
  }

  function role(which) {
    if (which === "head") { head = picked; if (tail === picked) tail = null; } else { tail = picked; if (head === picked) head = null; }
    chosen = null;
    draw();
  }

  function drawRelations() {
    if (!related) return;
    const now = all();
    const end = at => now[at] ? h("span", {class: "chip", hue: hue(labels, now[at].label)}, quote(now[at])) : "?";
    below.replaceChildren(...arrows().map((one, at) => h("div", {class: `relation${at === chosen ? " on" : ""}`, onclick: () => { chosen = at === chosen ? null : at; picked = null; draw(); }},
      end(one.head), h("b", {}, "→ ", one.label, " →"), end(one.tail),
      at === chosen ? h("button", {type: "button", onclick: event => { event.stopPropagation(); change(at, {head: one.tail, tail: one.head}); }}, h("kbd", {}, "f"), word("flip")) : null,
      h("button", {type: "button", "aria-label": word("remove"), onclick: event => { event.stopPropagation(); unrelate(at); }}, at === chosen ? h("kbd", {}, "x") : null, "×"))),
      head !== null || tail !== null ? h("div", {class: "relation half"}, head === null ? word("head") : end(head), h("b", {}, "→ ? →"), tail === null ? word("tail") : end(tail)) : "");
  }

  function unrelate(at) {
    chosen = null;
    context.set(related.path, arrows().filter((_, place) => place !== at));
    draw();
  }

  function draw() {
    for (const one of all()) if (!labels.includes(one.label)) labels.push(one.label);
    const roles = {};
    if (head !== null) roles[head] = "▸";
    if (tail !== null) roles[tail] = "◂";
    if (chosen !== null && arrows()[chosen]) { roles[arrows()[chosen].head] = "▸"; roles[arrows()[chosen].tail] = "◂"; }
    marker.labels = labels;
    marker.draw(all(), {picked, roles});
    drawPalette();
    drawTools();
    drawRelations();
  }

  return {
    element, draw,
    adopt(vote) {
      if (vote.start === undefined || vote.tail_start !== undefined) return false;
      const label = labels.indexOf(vote.label);
      if (label < 0) labels.push(vote.label);
      active = labels.indexOf(vote.label);
      mark(vote.start, vote.end);
      return true;
    },
    keys(event) {
      const number = digit(event), now = all();
      if (number >= 0) { press(number); return true; }
      if (event.key === "Tab" && now.length) {
        const way = event.shiftKey ? -1 : 1;
        picked = picked === null ? (way > 0 ? 0 : now.length - 1) : (picked + way + now.length) % now.length;
        marker.cursor = null; chosen = null;
        draw();
        return true;
      }
      if (picked !== null && ["ArrowLeft", "ArrowRight"].includes(event.key) && (event.shiftKey || event.altKey)) {
        resize(event.altKey ? "start" : "end", event.key === "ArrowRight" ? 1 : -1);
        return true;
      }
      if (["x", "Delete", "Backspace"].includes(event.key)) {
        if (picked !== null) { remove(); return true; }
        if (chosen !== null) { unrelate(chosen); return true; }
      }
      if (related && picked !== null && ["h", "t"].includes(event.key)) { role(event.key === "h" ? "head" : "tail"); return true; }
      if (related && ["ArrowDown", "ArrowUp"].includes(event.key) && arrows().length) {
        const way = event.key === "ArrowDown" ? 1 : -1;
        chosen = chosen === null ? (way > 0 ? 0 : arrows().length - 1) : (chosen + way + arrows().length) % arrows().length;
        picked = null;
        draw();
        return true;
      }
      if (related && event.key === "f" && chosen !== null) { const one = arrows()[chosen]; change(chosen, {head: one.tail, tail: one.head}); return true; }
      if (event.key === "Escape" && (picked !== null || chosen !== null || marker.cursor || head !== null || tail !== null)) {
        picked = chosen = head = tail = marker.cursor = null;
        draw();
        return true;
      }
      if (event.key === "Enter" && marker.held()) { mark(...marker.held()); return true; }
      if (cursorKeys(marker, event)) { picked = null; draw(); return true; }
      return false;
    },
  };
}

export function answer(editor, context) {
  const text = context.row.input[editor.over] ?? "";
  const marker = new Marker(text, [word("kinds").answer], {onmark: mark, onpick: () => {}});
  const state = h("div", {class: "tools"});
  const element = h("div", {class: "spans"}, marker.element, state);
  const none = value => value !== null && !value.text;

  function mark(start, end) {
    marker.cursor = null;
    context.set(editor.path, {text: slice(text, start, end), start});
    draw();
  }

  function place(value) {
    if (!value?.text) return null;
    if (value.start !== null && value.start >= 0) return value.start;
    const found = text.indexOf(value.text);
    return found < 0 ? null : [...text.slice(0, found)].length;
  }

  function nothing() {
    context.set(editor.path, {text: "", start: null});
    draw();
  }

  function draw() {
    const value = context.get(editor.path), start = place(value);
    marker.draw(start === null ? [] : [{start, end: start + [...value.text].length, label: word("kinds").answer}]);
    state.replaceChildren(h("button", {type: "button", class: none(value) ? "on" : null, onclick: nothing}, h("kbd", {}, "n"), word("noAnswer")), h("span", {class: "quiet"}, word("answerHelp")));
  }

  return {
    element, draw,
    adopt(vote) {
      if (!vote.text) return false;
      const start = place({text: vote.text, start: vote.start ?? null});
      if (start === null) return false;
      mark(start, start + [...vote.text].length);
      return true;
    },
    keys(event) {
      if (event.key === "n") { nothing(); return true; }
      if (event.key === "Enter" && marker.held()) { mark(...marker.held()); return true; }
      if (event.key === "Escape" && marker.cursor) { marker.cursor = null; draw(); return true; }
      if (["ArrowLeft", "ArrowRight"].includes(event.key) && event.altKey) return false;
      if (cursorKeys(marker, event)) { draw(); return true; }
      return false;
    },
  };
}
