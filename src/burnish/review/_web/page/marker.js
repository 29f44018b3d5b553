// A text with marked stretches, by mouse and by keys. Places are in characters (code points), ends exclusive.
import {codes, h, hue} from "./dom.js";

export class Marker {
  // labels: for colours. onmark(start, end): a stretch was chosen; onpick(index): a mark was clicked, or null.
  // ondrop(from, to): one mark's label was dragged onto another's.
  constructor(text, labels, {onmark, onpick, ondrop}) {
    this.text = text;
    this.chars = codes(text);
    this.labels = labels;
    this.onmark = onmark;
    this.onpick = onpick;
    this.ondrop = ondrop;
    this.cursor = null;  // {anchor, focus}: what the keys hold
    this.words = boundaries(text);
    this.element = h("div", {class: "marked", lang: "mul", onmouseup: event => this.released(event), onmousedown: event => this.pressed(event)});
  }

  draw(marks, {picked = null, roles = {}} = {}) {
    const [from, to] = this.range() ?? [-1, -1];
    const cuts = new Set([0, this.chars.length, ...marks.flatMap(one => [one.start, one.end])]);
    if (from >= 0) { cuts.add(from); cuts.add(to); }
    const places = [...cuts].filter(one => one >= 0 && one <= this.chars.length).sort((a, b) => a - b);
    const made = [];
    for (let i = 0; i + 1 < places.length || i === 0; i++) {
      const [start, end] = [places[i], places[i + 1] ?? places[i]];
      if (start === from && from === to) made.push(h("span", {class: "caret"}));
      const over = marks.map((one, index) => ({...one, index})).filter(one => one.start <= start && end <= one.end && start < end)
        .sort((a, b) => (b.end - b.start) - (a.end - a.start));
      const piece = h("span", {class: "seg", "data-at": start}, this.chars.slice(start, end).join(""));
      if (over.length) {
        const inner = over.at(-1);
        piece.classList.add("on");
        if (over.some(one => one.index === picked)) piece.classList.add("picked");
        piece.style.setProperty("--hue", hue(this.labels, inner.label));
        piece.dataset.mark = inner.index;
        const outer = over.slice(0, -1).reverse().map((one, depth) => `0 ${3 * (depth + 1)}px 0 hsl(${hue(this.labels, one.label)} 65% 55%)`);
        if (outer.length) piece.style.boxShadow = outer.join(", ");
      }
      if (from >= 0 && from <= start && end <= to && start < end) piece.classList.add("held");
      made.push(piece);
      for (const one of over.filter(one => one.end === end).reverse()) {
        const role = roles[one.index];
        made.push(h("small", {class: `tag${one.index === picked ? " picked" : ""}`, hue: hue(this.labels, one.label), "data-mark": one.index}, role ? h("b", {}, role) : null, one.label));
      }
    }
    if (from === to && from === this.chars.length) made.push(h("span", {class: "caret"}));
    this.element.replaceChildren(...made);
  }

  // -- mouse

  pressed(event) {
    const tag = event.target.closest(".tag");
    this.dragged = tag ? Number(tag.dataset.mark) : null;
    if (tag) event.preventDefault();
  }

  released(event) {
    const tag = event.target.closest(".tag"), selection = getSelection();
    if (this.dragged !== null && this.dragged !== undefined) {
      const from = this.dragged;
      this.dragged = null;
      const onto = tag ?? event.target.closest(".seg.on");
      const to = onto ? Number(onto.dataset.mark) : null;
      if (to !== null && to !== from && this.ondrop) { this.ondrop(from, to); return; }
      this.onpick(from);
      return;
    }
    if (!selection.isCollapsed && this.element.contains(selection.anchorNode) && this.element.contains(selection.focusNode)) {
      const ends = [this.place(selection.anchorNode, selection.anchorOffset), this.place(selection.focusNode, selection.focusOffset)].sort((a, b) => a - b);
      selection.removeAllRanges();
      const [start, end] = this.trimmed(...ends);
      if (start < end) { this.cursor = null; this.onmark(start, end); return; }
    }
    const segment = event.target.closest(".seg.on");
    this.onpick(segment ? Number(segment.dataset.mark) : null);
  }

  // The place of a point of the document among the text's characters.
  place(node, offset) {
    if (node.nodeType === Node.TEXT_NODE) {
      const segment = node.parentElement.closest(".seg");
      if (segment) return Number(segment.dataset.at) + codes(node.data.slice(0, offset)).length;
      const before = node.parentElement.closest(".tag")?.previousElementSibling;  // in a label: the end of what it names
      return before ? this.ending(before) : 0;
    }
    const next = node.childNodes[offset];
    if (next?.dataset?.at) return Number(next.dataset.at);
    const before = node.childNodes[offset - 1];
    return before ? this.ending(before) : node.dataset?.at ? Number(node.dataset.at) : this.chars.length;
  }

  ending(segment) {
    while (segment && !segment.dataset?.at) segment = segment.previousElementSibling;
    return segment ? Number(segment.dataset.at) + codes(segment.textContent).length : 0;
  }

  trimmed(start, end) {
    while (start < end && /\s/.test(this.chars[start])) start++;
    while (end > start && /\s/.test(this.chars[end - 1])) end--;
    return [start, end];
  }

  // -- keys

  range() {
    if (!this.cursor) return null;
    return [Math.min(this.cursor.anchor, this.cursor.focus), Math.max(this.cursor.anchor, this.cursor.focus)];
  }

  held() {
    const range = this.range();
    if (!range) return null;
    const [start, end] = this.trimmed(...range);
    return start < end ? [start, end] : null;
  }

  move(way, extend) {
    if (!this.cursor) this.cursor = {anchor: 0, focus: 0};
    else if (!extend && this.cursor.anchor !== this.cursor.focus) {
      const [start, end] = this.range();
      this.cursor = {anchor: way > 0 ? end : start, focus: way > 0 ? end : start};
      return;
    }
    const here = this.cursor.focus;
    const next = way > 0 ? this.words.find(one => one > here) ?? this.chars.length : this.words.findLast(one => one < here) ?? 0;
    this.cursor = {anchor: extend ? this.cursor.anchor : next, focus: next};
  }
}

// Where words begin and end, in characters; Chinese is cut into words too.
function boundaries(text) {
  const places = new Set([0]);
  let here = 0;
  for (const {segment} of new Intl.Segmenter(undefined, {granularity: "word"}).segment(text)) {
    here += codes(segment).length;
    places.add(here);
  }
  return [...places].sort((a, b) => a - b);
}
