// What lies over the page when it is asked for: keys, guidelines, agreement.
import {h} from "./dom.js";
import {named, word, words} from "./words.js";

export function helpView(about) {
  const kinds = new Set(about.editors.map(one => one.kind));
  const keys = [...words("keys"), ...(kinds.has("spans") ? words("spanKeys") : []), ...(kinds.has("relations") ? words("relationKeys") : []), ...(kinds.has("answer") ? words("answerKeys") : [])];
  return h("div", {}, h("h2", {}, word("help")), h("dl", {class: "keys"}, keys.map(([key, said]) => [h("dt", {}, key.split("  ").map(one => h("kbd", {}, one))), h("dd", {}, said)])));
}

export function guidelinesView(about, markdown) {
  const described = about.editors.flatMap(one => one.labels.filter(label => one.descriptions?.[label]).map(label => [label, one.descriptions[label]]));
  return h("div", {class: "guidelines"}, about.guidelines ? markdown(about.guidelines) : h("div", {}, h("h2", {}, word("guidelines")), h("p", {class: "quiet"}, word("noGuidelines"))),
    described.length ? h("dl", {}, described.map(([label, said]) => [h("dt", {}, label), h("dd", {}, said)])) : null);
}

const figure = value => value === null || value === undefined ? "–" : value.toFixed(3);

export function agreementView(found, about) {
  const each = Object.entries(found.each ?? {}).map(([name, said]) => h("tr", {}, h("th", {}, name), h("td", {}, Object.entries(said).map(([one, count]) => `${named("said", one)} ${count}`).join(" · "))));
  const editors = found.editors.map(one => {
    const many = one.pairs.some(pair => pair.f1 !== undefined), kappa = one.pairs.some(pair => pair.kappa !== undefined), weighted = one.pairs.some(pair => pair.weighted_kappa !== undefined);
    const heads = [word("pairs"), word("count"), word("same"), ...(kappa ? [word("kappa")] : []), ...(weighted ? [word("weighted")] : []), ...(many ? [word("f1")] : [])];
    return h("section", {}, h("h3", {}, one.name ? `${one.name} · ` : "", named("kinds", one.kind)),
      h("p", {class: "figures"}, h("span", {}, word("alpha"), " (", one.difference, ") ", h("b", {}, figure(one.alpha))), one.fleiss !== null ? h("span", {}, word("fleiss"), " ", h("b", {}, figure(one.fleiss))) : null, one.alpha_by_character !== undefined && one.alpha_by_character !== null ? h("span", {}, word("alphaChar"), " ", h("b", {}, figure(one.alpha_by_character))) : null),
      h("table", {}, h("thead", {}, h("tr", {}, heads.map(head => h("th", {}, head)))), h("tbody", {}, one.pairs.map(pair => h("tr", {}, h("th", {}, `${pair.a} – ${pair.b}`), h("td", {}, String(pair.records)), h("td", {}, figure(pair.same)), kappa ? h("td", {}, figure(pair.kappa)) : null, weighted ? h("td", {}, figure(pair.weighted_kappa)) : null, many ? h("td", {}, figure(pair.f1)) : null)))));
  });
  return h("div", {}, h("h2", {}, word("agreement")), h("p", {class: "quiet"}, found.records ? word("agreementOn", found.records) : word("noAgreement")), ...editors, each.length ? h("table", {}, h("tbody", {}, each)) : null);
}
