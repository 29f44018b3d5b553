// Texts that are written: an output beside its source, a conversation whose assistant can be corrected.
import {h} from "./dom.js";
import {named, word} from "./words.js";

function area(value, about, onchange, context) {
  const made = h("textarea", {value, "aria-label": about, rows: 1, oninput: () => { grow(); onchange(made.value); }, onkeydown: event => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); event.stopPropagation(); made.blur(); context.save(); }
    if (event.key === "Escape") { event.stopPropagation(); made.blur(); }
  }});
  const grow = () => { made.style.height = "auto"; made.style.height = `${made.scrollHeight + 2}px`; };
  requestAnimationFrame(grow);
  return made;
}

function focus(element) {
  element.focus();
  element.setSelectionRange(element.value.length, element.value.length);
}

export function output(editor, context) {
  const element = h("div", {class: "output"});
  let box;
  function draw() {
    box = area(context.get(editor.path) ?? "", word("kinds").output, value => context.set(editor.path, value || null), context);
    element.replaceChildren(box);
  }
  return {
    element, draw,
    adopt(vote) { if (!vote.text) return false; context.set(editor.path, vote.text); draw(); return true; },
    keys(event) { if (event.key !== "e") return false; focus(box); return true; },
  };
}

export function messages(editor, context) {
  const element = h("div", {class: "talk"});
  let boxes = [];
  const turns = () => context.get(editor.path) ?? [];
  const set = next => context.set(editor.path, next);

  function draw() {
    boxes = [];
    const made = turns().map((turn, at) => {
      const own = turn.role === "assistant";
      const body = own ? area(turn.content, named("roles", turn.role), value => set(turns().map((one, place) => place === at ? {...one, content: value} : one)), context) : h("p", {}, turn.content);
      if (own) boxes.push(body);
      return h("div", {class: `turn ${["user", "assistant", "system", "tool"].includes(turn.role) ? turn.role : "user"}`}, h("small", {}, named("roles", turn.role)), body);
    });
    const add = turns().at(-1)?.role === "assistant" ? null : h("button", {type: "button", onclick: write}, h("kbd", {}, "e"), word("addAnswer"));
    element.replaceChildren(...made, add ?? "");
  }

  function write() {
    set([...turns(), {role: "assistant", content: ""}]);
    draw();
    focus(boxes.at(-1));
  }

  return {
    element, draw,
    adopt(vote) {
      if (!vote.text) return false;
      const now = turns(), last = now.at(-1)?.role === "assistant";
      set(last ? [...now.slice(0, -1), {...now.at(-1), content: vote.text}] : [...now, {role: "assistant", content: vote.text}]);
      draw();
      return true;
    },
    keys(event) {
      if (event.key === "e") { if (turns().at(-1)?.role === "assistant") focus(boxes.at(-1)); else write(); return true; }
      if (event.key === "Tab" && boxes.length) { focus(event.shiftKey ? boxes.at(-1) : boxes[0]); return true; }
      return false;
    },
  };
}
