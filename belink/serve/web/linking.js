// The first view: asking for the links of a text, in parts, and sharing the result.

import { ask, askLines, byId, make, notice } from "./common.js";
import { offered, selectedSpan } from "./correcting.js";
import * as links from "./links.js";
import * as panel from "./panel.js";
import * as reading from "./reading.js";

const { page } = reading;
const CANDIDATES = 25;
const LONG = 50_000; // characters, from which fewer candidates are asked for: an answer is a hundred times its text
const CANDIDATES_OF_LONG = 5;
let running = null; // the request that is being answered
let examples = []; // texts made of the linkers' names
let example = 0;

export function start() {
  reading.start(choose);
  panel.start(() => choose(null));
  links.start(choose);
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
  byId("text").addEventListener("input", age);
  byId("cancel").addEventListener("click", () => running?.abort());
  byId("example").addEventListener("click", () => {
    byId("text").value = examples[example++ % examples.length];
    link(byId("text").value);
  });
  byId("threshold").addEventListener("input", () => {
    links.draw();
    remember();
  });
  byId("share").addEventListener("click", copy);
  byId("missed").addEventListener("mousedown", (event) => event.preventDefault()); // which would end the selection
  byId("missed").addEventListener("click", () => {
    const span = selectedSpan(page.text);
    notice(span ? "" : "Select the mention in the text first; link again if the text has changed.");
    if (span) panel.missed(page.text, span, links.filtered() ?? page.links[page.chosen]?.linker ?? null);
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && panel.isOpen()) choose(null);
  });
}

/** Fetch the examples of what is served; without any the button stays hidden. */
export async function offerExamples() {
  try {
    examples = (await ask("examples")).texts;
  } catch {
    examples = []; // the page works without
  }
  byId("example").hidden = !examples.length;
}

/** The state of this view as a fragment, which browsers do not send to any server. */
export function fragment() {
  // A longer address is cut off by programs that pass it on.
  if (!page.text || page.text.length > LONG) return "#";
  const state = new URLSearchParams({ text: page.text, keep: byId("threshold").value });
  if (page.chosen !== null) state.set("mention", page.chosen);
  return `#${state}`;
}

const addressed = () => new URLSearchParams(location.hash.slice(1)).get("text");

/** Put the state into the address; another text than the one there is a step that the browser's Back undoes. */
function remember() {
  const isNew = addressed() !== null && addressed() !== page.text;
  history[isNew ? "pushState" : "replaceState"](null, "", fragment());
}

/** Show what a shared link, or a step back, holds. */
export async function restore(fragment) {
  const text = fragment.get("text");
  if (!text || (text === page.text && page.complete)) return;
  byId("text").value = text;
  if (!(await link(text))) return;
  const keep = Number(fragment.get("keep"));
  if (fragment.has("keep") && keep >= 0 && keep <= 1) byId("threshold").value = keep;
  reading.marks();
  links.draw();
  const mention = Number(fragment.get("mention"));
  if (fragment.has("mention") && page.links[mention]) choose(mention);
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
  const mine = (running = new AbortController());
  busy(true);
  let total = null;
  try {
    // Every candidate above no bound: the threshold is the reader's to move.
    const body = { text, min_probability: 0, candidates: text.length > LONG ? CANDIDATES_OF_LONG : CANDIDATES };
    await askLines("link", { body, signal: mine.signal }, (line) => {
      if (line.detail) throw new Error(line.detail);
      if (line.lineage) {
        total = line.n_mentions;
        begin(text, line.lineage);
        return;
      }
      reading.add(line.links);
      byId("progress").value = total ? line.n_done / total : 1;
      byId("progress-value").textContent = `${line.n_done.toLocaleString("en")} of ${total.toLocaleString("en")} mentions`;
      page.complete = line.n_done === total;
      reading.summary();
    });
    page.complete ||= total === 0;
    if (!page.complete) throw new Error("The answer broke off: the service stopped.");
    notice("");
    finish();
    return true;
  } catch (error) {
    if (mine === running) {
      const partial = total !== null ? ` The first ${page.links.length} mentions are shown.` : "";
      notice(error.name === "AbortError" ? (total === null ? "" : `Cancelled.${partial}`) : error.message + partial);
      if (total !== null) finish();
    }
    return false;
  } finally {
    if (mine === running) busy(false);
  }
}

function busy(is) {
  byId("go").disabled = is;
  byId("go").textContent = is ? "Linking …" : "Link";
  byId("progress-row").hidden = !is;
  if (is) {
    byId("progress").removeAttribute("value"); // how much there is to do is known once the mentions are found
    byId("progress-value").textContent = "finding mentions";
  }
}

function begin(text, lineage) {
  notice("");
  if (page.lineage?.bundle !== lineage.bundle) panel.forget();
  reading.begin(text, lineage);
  choose(null);
  byId("result").hidden = false;
  byId("links").hidden = true;
  byId("share").hidden = text.length > LONG;
  byId("made").textContent =
    `Linked by ${lineage.linker}, version ${lineage.model_version}, with ${lineage.releases}; bundle ${lineage.bundle}.`;
  age();
}

function finish() {
  byId("missed").hidden = !offered.feedback;
  reading.marks();
  links.draw();
  remember();
}

/** Say so where the text was edited after it was linked. */
function age() {
  const old = byId("text").value !== page.text && !byId("result").hidden;
  byId("result").classList.toggle("old", old);
  byId("old").hidden = !old;
}

function choose(index) {
  const before = page.chosen;
  reading.choose(index);
  if (index === null) {
    panel.close();
    if (before !== null) reading.mentionAt(before)?.focus();
    return;
  }
  panel.show(page.links[index]);
  if (page.complete) remember();
}
