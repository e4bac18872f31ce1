// The first view: a text, its mentions, and the candidates of each.

import { ask, bar, byId, make, notice, percent } from "./common.js";

const EXAMPLE =
  "A 54-year-old man with type 2 diabetes and chronic obstructive pulmonary disease (COPD) was admitted with " +
  "worsening dyspnea. His brother has Huntington disease; his mother died of breast carcinoma. Neither the anemia nor " +
  "the cardiomyopathy of his sister was explained, and spastic paraplegia was ruled out. COPD was treated as before.";

const COLOURS = 6;
const ALSO = 5; // synonyms shown
let shown = null; // { text, answer, chosen }
let running = null; // what a newer request aborts
const hidden = new Set(); // kinds that the reader has switched off
const concepts = new Map(); // id → what the release says of it, for one version

export function start() {
  byId("ask").addEventListener("submit", (event) => {
    event.preventDefault();
    link(byId("text").value);
  });
  byId("text").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      link(byId("text").value);
    }
  });
  byId("example").addEventListener("click", () => {
    byId("text").value = EXAMPLE;
    link(EXAMPLE);
  });
  byId("threshold").addEventListener("input", () => {
    marks();
    remember();
  });
  byId("share").addEventListener("click", copy);
  byId("reading").addEventListener("keydown", walk);
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && shown && shown.chosen !== null) choose(null);
  });
}

/** The state of the page as a fragment, which browsers do not send to any server. */
function remember() {
  const fragment = new URLSearchParams({ text: shown.text, keep: byId("threshold").value });
  if (shown.chosen !== null) fragment.set("mention", shown.chosen);
  history.replaceState(null, "", `#${fragment}`);
}

/** Show what a shared link holds. */
export async function restore(fragment) {
  const text = fragment.get("text");
  if (!text) return;
  byId("text").value = text;
  if (!(await link(text))) return;
  const keep = Number(fragment.get("keep"));
  if (fragment.has("keep") && keep >= 0 && keep <= 1) byId("threshold").value = keep;
  marks();
  const mention = Number(fragment.get("mention"));
  if (fragment.has("mention") && shown.answer.links[mention]) choose(mention);
  remember();
}

async function copy() {
  remember();
  try {
    await navigator.clipboard.writeText(location.href);
    byId("share").textContent = "Copied";
  } catch {
    byId("share").textContent = "The address bar holds the link";
  }
  setTimeout(() => (byId("share").textContent = "Copy a link to this result"), 2500);
}

async function link(text) {
  if (!text.trim()) {
    byId("text").focus();
    return false;
  }
  running?.abort();
  running = new AbortController();
  const mine = running;
  byId("go").disabled = true;
  byId("go").textContent = "Linking …";
  try {
    // Every candidate above no bound: the threshold is the reader's to move.
    const answer = await ask("link", { body: { text, min_probability: 0, candidates: 25 }, signal: mine.signal });
    notice("");
    if (shown?.answer.lineage.bundle !== answer.lineage.bundle) concepts.clear();
    shown = { text, answer, chosen: null };
    draw();
    remember();
    return true;
  } catch (error) {
    if (error.name !== "AbortError") notice(error.message);
    return false;
  } finally {
    if (mine === running) {
      byId("go").disabled = false;
      byId("go").textContent = "Link";
    }
  }
}

/** What a link is coloured and counted by: the type of its concept, or its ontology where none is declared. */
const kind = (found) => found.type || found.ontology || found.linker;

function kinds() {
  return [...new Set(shown.answer.links.filter((found) => found.id !== null).map(kind))].sort();
}

/**
 * The text with a button for each mention. Offsets count code points, which JavaScript's strings do not.
 * Spans, since a real button does not break across lines as words do.
 */
function draw() {
  const letters = Array.from(shown.text);
  const pieces = [];
  let at = 0;
  shown.answer.links.forEach((found, index) => {
    if (found.start < at) return;
    pieces.push(letters.slice(at, found.start).join(""));
    const words = letters.slice(found.start, found.end).join("");
    pieces.push(make("span", { role: "button", tabindex: 0, class: "mention", "data-mention": index,
      onclick: () => choose(index), onkeydown: (event) => press(event, index) }, words));
    at = found.end;
  });
  pieces.push(letters.slice(at).join(""));
  byId("reading").replaceChildren(...pieces);
  byId("result").hidden = false;
  byId("share").hidden = false;
  const { lineage } = shown.answer;
  byId("made").textContent =
    `Linked by ${lineage.linker}, version ${lineage.model_version}, with ${lineage.releases}; bundle ${lineage.bundle}.`;
  choose(null);
  marks();
}

function state(found) {
  if (found.id === null) return "nil";
  if (hidden.has(kind(found))) return "off";
  return found.probability >= Number(byId("threshold").value) ? "kept" : "below";
}

/** Colour each mention by its kind, or show it as NIL or as below the threshold. */
function marks() {
  const bound = Number(byId("threshold").value);
  byId("threshold-value").textContent = percent(bound);
  const known = kinds();
  const counts = { kept: new Map(), nil: 0, below: 0, off: 0 };
  for (const button of byId("reading").querySelectorAll(".mention")) {
    const index = Number(button.dataset.mention);
    const found = shown.answer.links[index];
    const now = state(found);
    if (now === "kept") counts.kept.set(kind(found), (counts.kept.get(kind(found)) ?? 0) + 1);
    else counts[now] += 1;
    const colour = now === "kept" ? `o${known.indexOf(kind(found)) % COLOURS}` : now;
    button.className = `mention ${colour}`;
    button.setAttribute("aria-pressed", String(shown.chosen === index));
    const said = now === "nil" ? "NIL: no concept" : `${found.label || found.id}${now === "below" ? ", below the threshold" : ""}`;
    button.setAttribute("aria-label", `${found.text}: ${said}, probability ${percent(found.probability)}`);
    button.title = now === "nil" ? "NIL: no concept of these ontologies" : `${found.id} ${found.label ?? ""}`;
  }
  const total = shown.answer.links.length;
  const kept = [...counts.kept.values()].reduce((sum, n) => sum + n, 0);
  byId("kept").textContent = total ? `${kept} of ${total} kept` : "No mention was found.";
  const entry = (css, words) => make("li", {}, make("span", { class: `swatch ${css}` }), words);
  byId("legend").replaceChildren(
    ...known.map((name, index) => filter(name, `o${index % COLOURS}`, counts.kept.get(name) ?? 0, known.length > 1)),
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

function press(event, index) {
  if (event.key !== "Enter" && event.key !== " ") return;
  event.preventDefault();
  choose(index);
}

function walk(event) {
  if (event.key !== "ArrowRight" && event.key !== "ArrowLeft") return;
  const buttons = [...byId("reading").querySelectorAll(".mention")];
  const at = buttons.indexOf(document.activeElement);
  const next = buttons[at + (event.key === "ArrowRight" ? 1 : -1)];
  if (!next) return;
  event.preventDefault();
  next.focus();
  choose(Number(next.dataset.mention));
}

function choose(index) {
  const before = shown.chosen;
  shown.chosen = index;
  marks();
  byId("panel-empty").hidden = index !== null;
  byId("panel-content").hidden = index === null;
  if (index === null) {
    if (before !== null) byId("reading").querySelector(`[data-mention="${before}"]`)?.focus();
  } else {
    panel(shown.answer.links[index]);
    remember();
    if (matchMedia("(max-width: 60rem)").matches) byId("panel").scrollIntoView({ block: "nearest" });
  }
}

const DECIDED = {
  exact: "a name that only this concept has", retrieval: "retrieval alone",
  reranker: "the language model, among the options below", "nothing found": "retrieval, which found no candidate",
};

const SCOPES = { label: "label", mention: "an annotated mention" };

function panel(found) {
  const nil = found.id === null;
  const content = [
    make("button", { type: "button", class: "plain close", onclick: () => choose(null) }, "Close"),
    make("p", { class: "said" }, `“${found.text}”`, found.long_form ? `, that is ${found.long_form}` : "",
      found.also.length ? `, in brackets ${found.also.join(", ")}` : ""),
    make("div", { class: "verdict" },
      make("h3", {}, nil ? "NIL" : found.label || found.id),
      make("span", { class: "number", title: "calibrated probability of this answer" }, percent(found.probability))),
    nil ? make("p", { class: "quiet" }, "Most probably no concept of these ontologies.")
      : make("p", { class: "id" }, found.id, found.type ? make("span", { class: "tag" }, found.type) : ""),
  ];
  if (!nil) {
    const chosen = found.candidates.find((option) => option.id === found.id);
    content.push(about(found.id, chosen, found));
  }
  content.push(make("p", { class: "matched" }, `Decided by ${DECIDED[found.decided_by] ?? found.decided_by}.`));
  content.push(make("h4", {}, "Candidates"));
  const options = found.candidates.map((option) => make("li", {}, candidate(option, found)));
  const none = make("li", {}, make("div", { class: `option${nil ? " chosen" : ""}` },
    make("div", { class: "verdict" }, make("span", { class: "name" }, "None of these (NIL)"),
      make("span", { class: "number" }, percent(found.nil_probability))), bar(found.nil_probability)));
  const place = found.candidates.filter((option) => option.probability >= found.nil_probability).length;
  options.splice(place, 0, none);
  content.push(make("ul", { class: "options" }, options));
  byId("panel-content").replaceChildren(...content);
}

function candidate(option, found) {
  const more = make("div", { class: "more", hidden: true });
  const chosen = option.id === found.id;
  const button = make("button", { type: "button", class: `option${chosen ? " chosen" : ""}`, "aria-expanded": "false",
    onclick: () => {
      more.hidden = !more.hidden;
      button.setAttribute("aria-expanded", String(!more.hidden));
      if (!more.hidden && !more.hasChildNodes()) more.append(about(option.id, option, option));
    } },
    make("div", { class: "verdict" }, make("span", { class: "name" }, option.label || option.id),
      make("span", { class: "number" }, percent(option.probability))),
    bar(option.probability),
    make("div", { class: "matched" }, make("span", { class: "id" }, option.id),
      option.name && option.name !== option.label ? ` matched “${option.name}”` : ""));
  return make("div", {}, button, more);
}

/** Definition, parents and release of a concept; filled in when the service has answered. */
function about(id, option, release) {
  const definition = make("div", {}, make("p", { class: "quiet" }, "…"));
  const facts = make("dl", {},
    option ? [make("dt", {}, "matched"), make("dd", {}, `${option.name} (${SCOPES[option.scope] ?? `${option.scope} synonym`})`)] : [],
    make("dt", {}, "release"), make("dd", {}, `${release.ontology} ${release.release}`));
  concept(id).then((known) => {
    definition.replaceChildren(known.definition ? make("p", { class: "definition" }, known.definition)
      : make("p", { class: "quiet" }, "The release gives no definition."));
    if (known.parents.length) {
      facts.prepend(make("dt", {}, known.parents.length > 1 ? "parents" : "parent"),
        make("dd", {}, known.parents.map((parent) => parent.label ?? parent.id).join("; ")));
    }
    const also = known.synonyms.slice(0, ALSO).map((name) => name.text).join("; ");
    if (also) facts.append(make("dt", {}, "also"), make("dd", {}, also + (known.synonyms.length > ALSO ? "; …" : "")));
  }).catch((error) => definition.replaceChildren(make("p", { class: "quiet" }, error.message)));
  return make("div", {}, definition, facts);
}

function concept(id) {
  if (!concepts.has(id)) {
    const coming = ask(`concepts/${encodeURIComponent(id)}`);
    coming.catch(() => concepts.delete(id));
    concepts.set(id, coming);
  }
  return concepts.get(id);
}
