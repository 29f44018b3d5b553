// Beside a record: why it is here, who voted what, what reviewers and the audit said, where it comes from.
import {h} from "./dom.js";
import {named, word} from "./words.js";

const part = (title, ...body) => h("section", {}, h("h2", {}, title), ...body);

export function side(row, {adopt, take, adjudicates}) {
  const made = [];
  if (row.why.length) {
    made.push(part(word("why"), h("ul", {class: "why"}, row.why.map(one => h("li", {}, one.share ? h("i", {class: "share", width: `${Math.round(100 * one.share)}%`}) : null, h("span", {}, one.sentence))))));
  }
  if (row.others.length || row.waiting) {
    made.push(part(word("opinions"), row.others.map(one => h("div", {class: "opinion"}, h("b", {}, one.reviewer), h("span", {}, one.verdict === "skip" ? word("said").skip : one.verdict === "reject" ? word("said").reject : one.words),
      adjudicates && one.verdict !== "skip" ? h("button", {type: "button", onclick: () => take(one)}, word("take")) : null)), row.waiting && !row.others.length ? h("p", {class: "quiet"}, word("blind", row.waiting)) : null));
  }
  made.push(part(word("votes"), row.votes.length ? row.votes.map(one => vote(one, adopt)) : h("p", {class: "quiet"}, word("noVotes"))));
  if (row.findings.length) made.push(part(word("findings"), row.findings.map(one => h("div", {class: "finding"}, h("b", {title: one.check}, one.named), h("small", {}, one.score === null ? "" : Number(one.score).toFixed(2)), h("p", {}, one.reason)))));
  if (row.facts.length) made.push(part(word("facts"), h("dl", {}, row.facts.map(([name, value]) => [h("dt", {}, named("columns", name)), h("dd", {}, value)]))));
  if (row.trail.length) made.push(part(word("trail"), h("ol", {class: "trail"}, row.trail.map(one => h("li", {}, one)))));
  return made;
}

function vote(one, adopt) {
  const said = [one.label, one.quote ? `“${one.quote}”` : "", one.tail ? `→ “${one.tail}”` : "", one.text && !one.quote ? one.text : ""].filter(Boolean);
  const own = one.labeller.startsWith("review:");
  return h("div", {class: "vote"}, h("span", {class: "who", title: one.labeller}, own ? one.labeller.slice(7) : one.labeller), h("span", {class: "said"}, said.join(" ")),
    one.confidence !== undefined && !own ? h("small", {}, `${Math.round(100 * one.confidence)}%`) : h("small", {}), h("button", {type: "button", onclick: () => adopt(one)}, word("adopt")));
}
