// Elements from data: what a record says becomes text nodes, never markup.
export function h(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name === "hue") made.style.setProperty("--hue", value);
    else if (name === "width") made.style.width = value;
    else if (name in made && typeof value === "boolean") made[name] = value;
    else if (name === "value") made.value = value;
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.flat(3).filter(one => one !== null && one !== undefined && one !== false && one !== ""));
  return made;
}

export const at = id => document.getElementById(id);

// Records count characters as Python does; JavaScript counts halves of some (🙂 is two).
export const codes = text => Array.from(text);
export const slice = (text, start, end) => codes(text).slice(start, end).join("");
export const length = text => codes(text).length;

export const clone = value => structuredClone(value ?? null);
export const same = (a, b) => JSON.stringify(a ?? null) === JSON.stringify(b ?? null);
export const reach = (row, path) => path.reduce((value, key) => value?.[key], row) ?? null;
export function put(row, path, value) {
  for (const key of path.slice(0, -1)) row = row[key] = {...(row[key] ?? {})};
  row[path.at(-1)] = value;
}

// Colours of labels: hues that lie far apart, the same for the same label everywhere on the page.
export const hue = (labels, label) => {
  const at = labels.indexOf(label);
  return at < 0 ? 210 : Math.round((at * 137.508 + 215) % 360);
};

// Guidelines are Markdown: headings, lists, quotes, code, emphasis; links show their address and lead nowhere.
export function markdown(text) {
  const made = h("div", {class: "markdown"});
  let list = null, code = null, paragraph = [];
  const flush = () => { if (paragraph.length) made.append(h("p", {}, inline(paragraph.join(" ")))); paragraph = []; };
  for (const line of text.split(/\r?\n/)) {
    if (code) { if (/^```/.test(line)) code = null; else code.append(line + "\n"); continue; }
    const heading = /^(#{1,4})\s+(.*)/.exec(line), item = /^\s*(?:[-*+]|\d+[.)])\s+(.*)/.exec(line), quote = /^>\s?(.*)/.exec(line);
    if (!item) list = null;
    if (/^```/.test(line)) { flush(); code = h("code"); made.append(h("pre", {}, code)); }
    else if (heading) { flush(); made.append(h(`h${Math.min(heading[1].length + 1, 5)}`, {}, inline(heading[2]))); }
    else if (item) { flush(); if (!list) made.append(list = h(/^\s*\d/.test(line) ? "ol" : "ul")); list.append(h("li", {}, inline(item[1]))); }
    else if (quote) { flush(); made.append(h("blockquote", {}, inline(quote[1]))); }
    else if (!line.trim()) flush();
    else paragraph.push(line.trim());
  }
  flush();
  return made;
}

function inline(text) {
  const made = [];
  let from = 0;
  for (const found of text.matchAll(/\*\*(.+?)\*\*|`(.+?)`|\*(.+?)\*|\[(.+?)\]\((.+?)\)/g)) {
    made.push(text.slice(from, found.index));
    if (found[1]) made.push(h("strong", {}, found[1]));
    else if (found[2]) made.push(h("code", {}, found[2]));
    else if (found[3]) made.push(h("em", {}, found[3]));
    else made.push(`${found[4]} (${found[5]})`);
    from = found.index + found[0].length;
  }
  made.push(text.slice(from));
  return made;
}
