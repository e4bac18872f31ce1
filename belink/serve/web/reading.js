// The linked text: its mentions, how sure each is, what the threshold keeps, and the legend.

import { byId, make, percent } from "./common.js";

const COLOURS = 6;
const SHADES = [0.5, 0.7, 0.9]; // probabilities from which a mention is shaded more strongly

/** What is shown: the text, its links so far, and the number of the chosen one. */
export const page = { text: "", links: [], lineage: null, chosen: null, complete: false };
export const bounds = new Map(); // linker → the probability below which it answers NIL
const hidden = new Set(); // kinds that the reader has switched off
let rest = null; // the text node after the last mention
let at = { point: 0, unit: 0 }; // of its first character: in code points, as the service counts, and as JavaScript does
let onChoose = () => {};

export function start(choosing) {
  onChoose = choosing;
  byId("reading").addEventListener("click", (event) => {
    const mention = event.target.closest(".mention");
    if (mention) onChoose(Number(mention.dataset.mention));
  });
  byId("reading").addEventListener("keydown", walk);
  byId("threshold").addEventListener("input", marks);
}

/** What a link is coloured and counted by: the type of its concept, or its ontology where none is declared. */
export const kind = (found) => found.type || found.ontology || found.linker;

export const kinds = () => [...new Set(page.links.filter((found) => found.id !== null).map(kind))].sort();

/** Whether the reader has switched a kind off. */
export const isHidden = (name) => hidden.has(name);

export const isUnsure = (found) => found.id !== null && found.probability < (bounds.get(found.linker) ?? 0);

/** "nil", "off" (its kind is hidden), "kept" or "below" (the threshold). */
export function state(found) {
  if (found.id === null) return "nil";
  if (hidden.has(kind(found))) return "off";
  return found.probability >= Number(byId("threshold").value) ? "kept" : "below";
}

/** Show `text` without mentions; `add` marks them as they come. */
export function begin(text, lineage) {
  Object.assign(page, { text, links: [], lineage, chosen: null, complete: false });
  at = { point: 0, unit: 0 };
  rest = document.createTextNode(text);
  byId("reading").replaceChildren(rest);
  hidden.clear();
}

/** Mark the next `links`, which follow all before them. Spans, since a real button does not break across lines. */
export function add(links) {
  const pieces = [];
  for (const found of links) {
    const index = page.links.push(found) - 1;
    if (found.start < at.point) continue; // within the mention before
    const from = at.unit;
    advance(found.start);
    pieces.push(page.text.slice(from, at.unit));
    const begins = at.unit;
    advance(found.end);
    pieces.push(make("span", { role: "button", tabindex: index ? -1 : 0, class: "mention", "data-mention": index },
      page.text.slice(begins, at.unit)));
  }
  rest.before(...pieces);
  rest.data = page.text.slice(at.unit);
  const known = kinds();
  for (const piece of pieces) if (typeof piece !== "string") paint(piece, known);
}

function advance(point) {
  while (at.point < point) {
    at.unit += page.text.codePointAt(at.unit) > 0xffff ? 2 : 1;
    at.point += 1;
  }
}

function paint(mention, known) {
  const index = Number(mention.dataset.mention);
  const found = page.links[index];
  const now = state(found);
  const colour = now === "kept" ? `o${known.indexOf(kind(found)) % COLOURS} p${shade(found)}` : now;
  mention.className = `mention ${colour}${isUnsure(found) ? " unsure" : ""}`;
  mention.dataset.kind = now === "kept" ? kind(found) : "";
  mention.setAttribute("aria-pressed", String(page.chosen === index));
  const said = now === "nil" ? "NIL: no concept"
    : `${found.label || found.id}${now === "below" ? ", below the threshold" : isUnsure(found) ? ", unsure" : ""}`;
  mention.setAttribute("aria-label", `${found.text}: ${said}, probability ${percent(found.probability)}`);
  mention.title = now === "nil" ? "NIL: no concept of these ontologies"
    : `${found.id} ${found.label ?? ""} · ${percent(found.probability)}${isUnsure(found) ? " · unsure" : ""}`;
}

const shade = (found) => SHADES.filter((bound) => found.probability >= bound).length;

/** Colour each mention by its kind and shade it by its probability; count what the threshold keeps. */
export function marks() {
  const known = kinds();
  for (const mention of byId("reading").querySelectorAll(".mention")) paint(mention, known);
  summary();
}

/** The counts above the text and the legend below them. */
export function summary() {
  byId("threshold-value").textContent = percent(Number(byId("threshold").value));
  const known = kinds();
  byId("reading").classList.toggle("several", known.length > 1);
  const counts = { kept: new Map(), nil: 0, below: 0, off: 0, unsure: 0 };
  for (const found of page.links) {
    const now = state(found);
    if (now === "kept") counts.kept.set(kind(found), (counts.kept.get(kind(found)) ?? 0) + 1);
    else counts[now] += 1;
    if (now === "kept" && isUnsure(found)) counts.unsure += 1;
  }
  const total = page.links.length;
  const kept = [...counts.kept.values()].reduce((sum, n) => sum + n, 0);
  byId("kept").textContent = total ? `${kept} of ${total} kept` : page.complete ? "No mention was found." : "";
  const entry = (css, words) => make("li", {}, make("span", { class: `swatch ${css}` }), words);
  byId("legend").replaceChildren(
    ...known.map((name, index) => filter(name, `o${index % COLOURS}`, counts.kept.get(name) ?? 0, known.length > 1)),
    ...(kept ? [make("li", {}, make("span", { class: "scale o0" }, make("i", { class: "p0" }), make("i", { class: "p1" }),
      make("i", { class: "p2" }), make("i", { class: "p3" })), "more probable")] : []),
    ...(counts.unsure ? [entry("unsure", `unsure ${counts.unsure}`)] : []),
    ...(counts.nil ? [entry("nil", `NIL ${counts.nil}`)] : []),
    ...(counts.below ? [entry("below", `below the threshold ${counts.below}`)] : []),
  );
}

/** An entry of the legend; of several, each switches its kind off and on. */
function filter(name, css, n, several) {
  const off = hidden.has(name);
  const content = [make("span", { class: `swatch ${off ? "off" : css}` }), `${name} ${off ? "hidden" : n}`];
  if (!several) return make("li", {}, content);
  return make("li", {}, make("button", { type: "button", class: "plain filter", "aria-pressed": String(!off),
    title: off ? `Show ${name}` : `Hide ${name}`,
    onclick: () => {
      if (off) hidden.delete(name);
      else hidden.add(name);
      marks();
      [...byId("legend").querySelectorAll("button")].find((each) => each.textContent.startsWith(`${name} `))?.focus();
    } }, content));
}

/** The text is one tab stop; arrows, Home and End move inside it. */
function walk(event) {
  const mentions = [...byId("reading").querySelectorAll(".mention")];
  const here = mentions.indexOf(document.activeElement);
  if (here < 0) return;
  if (event.key === "Enter" || event.key === " ") {
    event.preventDefault();
    onChoose(Number(mentions[here].dataset.mention));
    return;
  }
  const to = { ArrowRight: here + 1, ArrowLeft: here - 1, Home: 0, End: mentions.length - 1 }[event.key];
  if (to === undefined || !mentions[to]) return;
  event.preventDefault();
  onChoose(Number(mentions[to].dataset.mention));
  mentions[to].focus();
}

/** Show which mention is chosen; `null` for none. */
export function choose(index) {
  const before = page.chosen;
  page.chosen = index;
  for (const each of [before, index]) {
    const mention = each === null ? null : mentionAt(each);
    if (mention) paint(mention, kinds());
  }
  if (index === null) return;
  byId("reading").querySelector('.mention[tabindex="0"]')?.setAttribute("tabindex", "-1");
  mentionAt(index)?.setAttribute("tabindex", "0");
}

export const mentionAt = (index) => byId("reading").querySelector(`[data-mention="${index}"]`);
