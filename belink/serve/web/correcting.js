// Corrections of links, where the service was started with --feedback: what is right, stored with its sentence.

import { ask, byId, make } from "./common.js";

const WHO = "belink-who";
export const offered = { feedback: false, review: false, linkers: [] };
const NAMELESS = "Write your name first: it is stored with your judgement.";
const IGNORED = "The linker does not learn from it: its declaration has no corpus “feedback = true”. ";
const OUTCOMES = { right: "right", nil: "no concept fits", "no-mention": "no mention" };
const SHOWN = 10; // concepts that a search lists
let last = null; // the linker that was corrected last

/** Store a correction of the span `target`; the answer has the `id` that `undo` takes. */
async function store(target, verdict, concept) {
  const { text, start, end, answered, linker, document: id } = target;
  return ask("feedback", { body: { text, start, end, verdict, concept, answered: answered ?? null, who: who(),
    document: id ?? "", ...(linker ? { linker } : {}) } });
}

/** Withdraw a correction; returns what counts for its span now, in words. */
export async function undo(id, linker) {
  if (!who()) throw new Error(NAMELESS);
  const { in_force: left } = await ask(`feedback/${encodeURIComponent(id)}/withdraw`, { body: { who: who(), linker } });
  if (!left.length) return "Withdrawn. Nothing is said of it now.";
  return `Withdrawn. What counts now: ${left.map((one) => `${outcome(one)}, by ${one.who} on ${one.at.slice(0, 10)}`).join("; ")}.`;
}

/** What a correction says of its span, in words. */
export const outcome = ({ verdict, label, concept }) => OUTCOMES[verdict] ?? label ?? concept;

const who = () => sessionStorage.getItem(WHO) ?? "";

function name() {
  return make("p", {}, make("label", {}, "Your name ", make("input", { type: "text", maxlength: 100, value: who(),
    class: "who", autocomplete: "off", spellcheck: "false",
    oninput: (event) => sessionStorage.setItem(WHO, event.target.value.trim()) })));
}

/**
 * The ways to correct `target`: { text, start, end, answered, linker, document, candidates, missed }.
 * `done` is called with what was stored. Also returns `give`, for keys.
 */
export function controls(target, done) {
  const said = make("p", { class: "matched", role: "status" });
  const field = make("div", { class: "correcting" });
  const give = async (verdict, concept = null) => {
    if (!who()) {
      said.textContent = NAMELESS;
      field.querySelector(".who").focus();
      return;
    }
    try {
      const stored = await store({ ...target, linker: linker.value() }, verdict, concept);
      last = stored.linker;
      const back = make("button", { type: "button", class: "plain", onclick: async () => {
        try {
          said.textContent = await undo(stored.id, stored.linker);
        } catch (error) {
          said.textContent = error.message;
        }
      } }, "Undo");
      said.replaceChildren(`Stored: ${outcome(stored)}. `, stored.ignored ? IGNORED : "", back);
      done?.(stored);
    } catch (error) {
      said.textContent = error.message;
    }
  };
  const button = (words, verdict, concept) =>
    make("button", { type: "button", class: "plain", onclick: () => give(verdict, concept) }, words);
  const verdict = target.missed ? "missed" : "other";
  const options = (list) => make("ul", { class: "plain-list" }, list.map((option) => make("li", {},
    button(option.label || option.id, option.id === target.answered ? "right" : verdict, option.id), " ",
    make("span", { class: "id" }, option.id))));
  const linker = choice(target, () => results.replaceChildren());
  const results = make("div", {}, options(target.candidates.filter((option) => option.id !== target.answered)));
  const query = make("input", { type: "search", maxlength: 200, autocomplete: "off", "aria-label": "Search the right concept",
    placeholder: "Search" });
  const search = make("form", { onsubmit: async (event) => {
    event.preventDefault();
    if (!query.value.trim()) return;
    try {
      const answer = await ask("search", { query: { q: query.value.trim(), limit: offered.linkers.length > 1 ? 100 : SHOWN } });
      const concepts = answer.concepts.filter((concept) => answersWith(linker.value(), concept)).slice(0, SHOWN);
      results.replaceChildren(concepts.length ? options(concepts) : "No concept has such a name.");
    } catch (error) {
      said.textContent = error.message;
    }
  } }, query);
  field.append(make("h4", {}, target.missed ? "A missed mention" : "Is this right?"), name(),
    target.missed ? "" : make("p", { class: "row verdicts" },
      target.answered ? button("Right", "right", target.answered) : "",
      button("No concept fits", "nil"), button("No mention", "no-mention")),
    target.missed ? "" : make("p", { class: "matched" }, "From the next version on, “no mention” stops this name in every text, and "
      + "“no concept fits” answers NIL wherever it stands; unless other corrections of the name say otherwise."),
    make("details", { open: target.missed }, make("summary", {}, target.missed ? "Its concept" : "Another concept"), linker.element, search,
      results),
    said);
  return { element: field, give };
}

/** The linker that a correction is for: the one that answered, or the reader's choice where all missed the mention. */
function choice(target, changed) {
  if (!target.missed || offered.linkers.length < 2) return { element: null, value: () => target.linker };
  const first = target.linker ?? last ?? offered.linkers[0].linker;
  const select = make("select", { class: "of-linker", onchange: changed }, offered.linkers.map(({ linker, title, type }) =>
    make("option", { value: linker, selected: linker === first }, type ? `${type} (${title})` : title)));
  return { element: make("p", {}, make("label", {}, "Linker ", select)), value: () => select.value };
}

/** Whether `linker` can answer with `concept`: its ontology is one of the linker's; one linker alone can with all. */
function answersWith(linker, concept) {
  const of = offered.linkers.find((one) => one.linker === linker);
  return !of || concept.ontology in of.releases;
}

/** The controls for a mention of a linked text; `null` where the service stores no corrections. */
export function ofMention(text, found) {
  if (!offered.feedback) return null;
  return controls({ text, start: found.start, end: found.end, answered: found.id, linker: found.linker,
    candidates: found.candidates }).element;
}

/** The span that is selected in the text area or in the linked text, in code points of `text`; `null` for none. */
export function selectedSpan(text) {
  const area = byId("text");
  let [start, end] = [area.selectionStart, area.selectionEnd];
  const selection = getSelection();
  if (selection.rangeCount && !selection.isCollapsed && byId("reading").contains(selection.getRangeAt(0).commonAncestorContainer)) {
    const range = selection.getRangeAt(0);
    const before = document.createRange();
    before.setStart(byId("reading"), 0);
    before.setEnd(range.startContainer, range.startOffset);
    start = before.toString().length;
    end = start + range.toString().length;
  } else if (area.value !== text) {
    return null; // the text was edited since
  }
  const words = text.slice(start, end);
  start += words.length - words.trimStart().length;
  end -= words.length - words.trimEnd().length;
  const points = (units) => Array.from(text.slice(0, units)).length;
  return start < end ? { start: points(start), end: points(end), words: words.trim() } : null;
}
