// The panel: the candidates of a mention, a concept with its neighbours, and the search for concepts.

import { ask, bar, byId, make, percent } from "./common.js";
import { controls, ofMention } from "./correcting.js";
import { isUnsure, page } from "./reading.js";

const DECIDED = {
  exact: "a name that only this concept has", retrieval: "retrieval alone",
  reranker: "the language model, among the options below", "nothing found": "retrieval, which found no candidate",
  correction: "a correction: somebody has said that no concept fits this name",
};
const SCOPES = { label: "label", mention: "an annotated mention", corrected: "a corrected mention" };
const concepts = new Map(); // id → what the release says of it, for one version
let onClose = () => {};

export function start(closing) {
  onClose = closing;
  byId("find").addEventListener("submit", (event) => {
    event.preventDefault();
    find(byId("query").value.trim());
  });
}

/** Forget what a version that answers no longer has said. */
export const forget = () => concepts.clear();

export const isOpen = () => !byId("panel-content").hidden;

export function close() {
  byId("panel-content").hidden = true;
  byId("panel-empty").hidden = false;
  byId("panel").classList.remove("open");
}

/** Open the panel with a line about what it shows, the button that closes it, and its content. */
function open(said, ...content) {
  byId("panel-content").replaceChildren(
    make("div", { class: "panel-head" }, make("p", { class: "said" }, said),
      make("button", { type: "button", class: "plain close", onclick: onClose }, "Close")),
    ...content.filter(Boolean));
  byId("panel-content").hidden = false;
  byId("panel-empty").hidden = true;
  byId("panel").classList.add("open");
  byId("panel").scrollTop = 0;
}

/** The mention `found` with its answer and its candidates. */
export function show(found) {
  const nil = found.id === null;
  const options = found.candidates.map((option) => make("li", {}, candidate(option, found)));
  const none = make("li", {}, make("div", { class: `option${nil ? " chosen" : ""}` },
    make("div", { class: "verdict" }, make("span", { class: "name" }, "None of these (NIL)"),
      make("span", { class: "number" }, percent(found.nil_probability))), bar(found.nil_probability)));
  const place = found.candidates.filter((option) => option.probability >= found.nil_probability).length;
  options.splice(place, 0, none);
  open(
    `“${found.text}”${found.long_form ? `, that is ${found.long_form}` : ""}`
      + (found.also.length ? `, in brackets ${found.also.join(", ")}` : ""),
    make("div", { class: "verdict" }, make("h3", {}, nil ? "NIL" : found.label || found.id),
      make("span", { class: "number", title: "calibrated probability of this answer" }, percent(found.probability))),
    nil ? make("p", { class: "quiet" }, "Most probably no concept of these ontologies.")
      : make("p", { class: "id" }, identifier(found.id), found.type ? make("span", { class: "tag" }, found.type) : "",
        isUnsure(found) ? make("span", { class: "tag", title: "Less probable than the linker's own bound" }, "unsure") : ""),
    nil ? null : about(found.id, found.candidates.find((option) => option.id === found.id), found),
    make("p", { class: "matched" }, `Decided by ${DECIDED[found.decided_by] ?? found.decided_by}.`),
    ofMention(page.text, found),
    make("h4", {}, "Candidates"), make("ul", { class: "options" }, options));
}

/** A span that no linker marked, with a way to say its concept; `linker` is the one that the reader looks at, if any. */
export function missed(text, span, linker) {
  open("Not marked", make("h3", {}, `“${span.words}”`),
    controls({ text, start: span.start, end: span.end, answered: null, candidates: [], missed: true, linker })
      .element);
}

function candidate(option, found) {
  const more = make("div", { class: "more", hidden: true });
  const button = make("button", { type: "button", class: `option${option.id === found.id ? " chosen" : ""}`,
    "aria-expanded": "false",
    onclick: () => {
      more.hidden = !more.hidden;
      button.setAttribute("aria-expanded", String(!more.hidden));
      if (!more.hidden && !more.hasChildNodes()) {
        more.append(make("p", { class: "id" }, identifier(option.id)), about(option.id, option, option));
      }
    } },
    make("div", { class: "verdict" }, make("span", { class: "name" }, option.label || option.id),
      make("span", { class: "number" }, percent(option.probability))),
    bar(option.probability),
    make("div", { class: "matched" }, make("span", { class: "id" }, option.id),
      option.name && option.name !== option.label ? ` matched “${option.name}”` : ""));
  return make("div", {}, button, more);
}

/** An id that leads to its page by way of bioregistry.io, and a button that copies it. */
function identifier(id) {
  const copy = make("button", { type: "button", class: "plain copy", "aria-label": `Copy ${id}`,
    onclick: async () => {
      try {
        await navigator.clipboard.writeText(id);
        copy.textContent = "copied";
      } catch {
        copy.textContent = "not allowed";
      }
      setTimeout(() => (copy.textContent = "copy"), 2000);
    } }, "copy");
  return make("span", { class: "identifier" }, outside(id), copy);
}

/** A link out where `id` has a prefix; other ids, and addresses in a file of an ontology, stay text. */
function outside(id) {
  if (!/^[A-Za-z][\w.-]*:[^\s/:][^\s]*$/.test(id)) return id;
  return make("a", { href: `https://bioregistry.io/${encodeURI(id)}`, rel: "noopener", target: "_blank" }, id);
}

/** A concept that is shown in the panel when chosen. */
const inside = ({ id, label }) =>
  make("button", { type: "button", class: "plain", title: id, onclick: () => describe(id) }, label ?? id);

const separated = (items) => items.flatMap((item, index) => (index ? ["; ", item] : [item]));

/** Everything that the release says of a concept; filled in when the service has answered. */
function about(id, option, release) {
  const definition = make("div", {}, make("p", { class: "quiet" }, "…"));
  const facts = make("dl", {},
    option ? [make("dt", {}, "matched"), make("dd", {}, `${option.name} (${SCOPES[option.scope] ?? `${option.scope} synonym`})`)] : [],
    release ? [make("dt", {}, "release"), make("dd", {}, `${release.ontology} ${release.release}`)] : []);
  concept(id).then((known) => {
    definition.replaceChildren(known.definition ? make("p", { class: "definition" }, known.definition)
      : make("p", { class: "quiet" }, "The release gives no definition."));
    const fact = (words, ...content) => [make("dt", {}, words), make("dd", {}, ...content)];
    if (!release) facts.append(...fact("release", `${known.ontology} ${known.release}`));
    if (known.successors.length) facts.append(...fact("replaced by", ...separated(known.successors.map(inside))));
    if (known.parents.length) {
      facts.append(...fact(known.parents.length > 1 ? "parents" : "parent", ...separated(known.parents.map(inside))));
    }
    if (known.n_children) {
      facts.append(...fact(known.n_children > 1 ? "children" : "child", many(known.children, known.n_children, inside)));
    }
    if (known.synonyms.length) {
      facts.append(...fact("synonyms", many(known.synonyms, known.synonyms.length, (name) =>
        make("span", {}, name.text, " ", make("span", { class: "quiet" }, name.scope)))));
    }
    if (known.xrefs.length) {
      facts.append(...fact("also in", many(known.xrefs, known.xrefs.length, (xref) => make("span", {}, outside(xref)))));
    }
  }).catch((error) => definition.replaceChildren(make("p", { class: "quiet" }, error.message)));
  return make("div", {}, definition, facts);
}

const FEW = 6;

/** The first of many; the others unfold. */
function many(items, total, element) {
  const rows = (some) => make("ul", { class: "plain-list" }, some.map((item) => make("li", {}, element(item))));
  if (items.length <= FEW) return rows(items);
  const left = total > items.length ? `, ${items.length} of them` : "";
  return make("div", {}, rows(items.slice(0, FEW)),
    make("details", {}, make("summary", {}, `all ${total}${left}`), rows(items.slice(FEW))));
}

/** Show one concept by itself. */
export async function describe(id) {
  const title = make("h3", {}, id);
  open("Concept", title, make("p", { class: "id" }, identifier(id)), about(id, null, null));
  try {
    const known = await concept(id);
    title.textContent = known.label ?? id;
    if (known.obsolete) title.after(make("p", { class: "fail" }, "obsolete"));
  } catch {
    // `about` shows why.
  }
}

async function find(query) {
  if (!query) return;
  const list = make("ul", { class: "options" });
  const words = make("p", { class: "quiet" }, "Searching …");
  open("Search", make("h3", {}, `Concepts for “${query}”`), words, list);
  try {
    const result = await ask("search", { query: { q: query, limit: 20 } });
    words.textContent = result.notes.length ? result.notes.join("; ")
      : result.concepts.length ? "" : "No concept has such a name.";
    list.replaceChildren(...result.concepts.map((option) => make("li", {}, make("button",
      { type: "button", class: "option", onclick: () => describe(option.id) },
      make("div", { class: "name" }, option.label || option.id),
      make("div", { class: "matched" }, make("span", { class: "id" }, option.id),
        option.name && option.name !== option.label ? ` matched “${option.name}”` : "")))));
  } catch (error) {
    words.textContent = error.message;
  }
}

function concept(id) {
  if (!concepts.has(id)) {
    const coming = ask(`concepts/${encodeURIComponent(id)}`);
    coming.catch(() => concepts.delete(id));
    concepts.set(id, coming);
  }
  return concepts.get(id);
}
