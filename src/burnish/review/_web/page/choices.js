// One label, several labels, a number: chosen with number keys or the mouse.
import {h, hue} from "./dom.js";
import {word} from "./words.js";

const MOST_BUTTONS = 10;  // labels that all have a key of their own; of more, the likeliest have
const SCALE = 10;  // steps of a number up to which it is chosen with keys

const digit = event => /^Digit\d$/.test(event.code) ? (Number(event.code.at(-1)) + 9) % 10 : -1;

// The labels in the order of their keys: all of them, or, of many, first those that votes and beliefs speak for.
export function ordered(editor, row) {
  if (editor.labels.length <= MOST_BUTTONS) return editor.labels;
  const score = Object.fromEntries(editor.labels.map(one => [one, row.probs?.[one] ?? 0]));
  for (const vote of row.votes) if (vote.label in score) score[vote.label] += vote.confidence ?? 1;
  const before = Object.fromEntries(editor.labels.map((one, at) => [one, at]));
  return [...editor.labels].sort((a, b) => score[b] - score[a] || before[a] - before[b]);
}

export function choices(editor, context) {
  const many = editor.kind === "labels";
  const labels = ordered(editor, context.row);
  const has = label => many ? (context.get(editor.path) ?? []).includes(label) : context.get(editor.path) === label;
  const find = labels.length > MOST_BUTTONS ? h("input", {class: "find", placeholder: word("find"), "aria-label": word("find"), oninput: draw, onkeydown: leave}) : null;
  const list = h("div", {class: `choices${editor.ordered ? " scale" : ""}${labels.length > MOST_BUTTONS ? " long" : ""}`, role: many ? "group" : "radiogroup"});
  const element = h("div", {}, find, list);

  function shown() {
    const asked = find?.value.trim().toLowerCase();
    return asked ? labels.filter(one => one.toLowerCase().includes(asked) || (editor.descriptions?.[one] ?? "").toLowerCase().includes(asked)) : labels;
  }

  function choose(label) {
    if (many) {
      const now = context.get(editor.path) ?? [];
      context.set(editor.path, editor.labels.filter(one => one === label ? !now.includes(one) : now.includes(one)));
    } else {
      context.set(editor.path, label);
      if (context.alone) context.save();
    }
    draw();
  }

  function leave(event) {
    if (event.key === "Enter") {
      const [first] = shown();
      event.preventDefault();
      event.stopPropagation();
      find.value = "";
      find.blur();
      if (first !== undefined) choose(first);
    }
  }

  function draw() {
    const now = shown();
    list.replaceChildren(...now.map((label, at) => {
      const path = editor.separator ? label.split(editor.separator) : [label];
      const belief = context.row.probs?.[label];
      return h("button", {
        type: "button", role: many ? "checkbox" : "radio", "aria-checked": String(has(label)), class: has(label) ? "on" : null, hue: hue(editor.labels, label),
        title: editor.descriptions?.[label] ?? label, onclick: () => choose(label),
      }, h("kbd", {}, at < 10 && !find?.value ? String((at + 1) % 10) : ""), path.length > 1 ? h("i", {}, path.slice(0, -1).join(" / ") + " / ") : null,
      h("span", {}, path.at(-1)), belief ? h("small", {}, `${Math.round(100 * belief)}%`) : null);
    }));
  }

  return {
    element, draw,
    keys(event) {
      const at = digit(event);
      if (at >= 0 && at < Math.min(labels.length, 10) && !event.shiftKey) { choose(labels[at]); return true; }
      if (event.key === "l" && find) { find.focus(); return true; }
      return false;
    },
  };
}

export function number(editor, context) {
  const stepped = editor.step && editor.low !== null && editor.high !== null && (editor.high - editor.low) / editor.step <= SCALE;
  const steps = stepped ? Array.from({length: Math.round((editor.high - editor.low) / editor.step) + 1}, (_, at) => editor.low + at * editor.step) : [];
  const element = h("div", {class: "number"});
  const bounded = editor.low !== null && editor.high !== null;
  const step = editor.step ?? (bounded ? (editor.high - editor.low) / 100 : "any");
  const set = value => { context.set(editor.path, Number.isFinite(value) ? value : null); };
  const input = h("input", {type: "number", step: editor.step ?? "any", min: editor.low, max: editor.high, "aria-label": word("kinds").value, oninput: () => { set(input.valueAsNumber); if (bounded) slider.value = input.value; }});
  const slider = bounded && !stepped ? h("input", {type: "range", step, min: editor.low, max: editor.high, tabindex: -1, oninput: () => { input.value = Number(slider.value); set(slider.valueAsNumber); }}) : null;

  function choose(value) {
    set(value);
    if (context.alone) context.save();
    draw();
  }

  function draw() {
    const now = context.get(editor.path);
    if (stepped) {
      element.replaceChildren(h("div", {class: "choices scale", role: "radiogroup"}, steps.map(one =>
        h("button", {type: "button", role: "radio", "aria-checked": String(now === one), class: now === one ? "on" : null, hue: 215, onclick: () => choose(one)}, h("kbd", {}, String(one)), h("span", {}, String(one))))));
      return;
    }
    if (document.activeElement !== input) input.value = now ?? "";
    if (slider) slider.value = now ?? editor.low;
    element.replaceChildren(input, slider ?? "", bounded ? h("span", {class: "quiet"}, `${editor.low} … ${editor.high}`) : "");
  }

  return {
    element, draw,
    keys(event) {
      const found = /^Digit(\d)$/.exec(event.code);
      if (stepped && found && steps.includes(Number(found[1])) && !event.shiftKey) { choose(Number(found[1])); return true; }
      if (event.key === "e" && !stepped) { input.focus(); input.select(); return true; }
      return false;
    },
  };
}
