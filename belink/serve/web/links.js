// All links as a table, to sort and to filter, and as files.

import { byId, make, number, percent, table } from "./common.js";
import { bioc, json, pubtator, tsv } from "./exports.js";
import { isHidden, kind, kinds, page, state } from "./reading.js";

const SHOWN = 200; // rows until the reader asks for all
const COLUMNS = [
  { key: "text", words: "mention" }, { key: "label", words: "concept" }, { key: "id", words: "id" },
  { key: "type", words: "type" }, { key: "probability", words: "probability", css: "right" },
  { key: "start", words: "offset", css: "right" },
];
let order = { key: "start", descending: false };
let all = false;
let onChoose = () => {};

export function start(choosing) {
  onChoose = choosing;
  byId("links-filter").addEventListener("input", draw);
  byId("links-type").addEventListener("change", draw);
  const files = { tsv: ["links.tsv", tsv], json: ["links.json", json], bioc: ["links.bioc.json", bioc],
    pubtator: ["links.pubtator", pubtator] };
  for (const [name, [file, write]] of Object.entries(files)) {
    byId(`export-${name}`).addEventListener("click", () => save(file, write(page.text, kept(), page.lineage)));
  }
}

/** The links as the threshold leaves them: a concept less probable than it is NIL. */
function kept() {
  const bound = Number(byId("threshold").value);
  return page.links.map((found) => (found.id === null || found.probability >= bound ? found
    : { ...found, id: null, label: null, ontology: null, release: null, probability: found.nil_probability }));
}

function save(name, content) {
  const address = URL.createObjectURL(new Blob([content], { type: "text/plain;charset=utf-8" }));
  make("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}

export function draw() {
  byId("links").hidden = !page.links.length;
  const known = kinds();
  const chosen = known.includes(byId("links-type").value) ? byId("links-type").value : "";
  byId("links-type").replaceChildren(make("option", { value: "" }, "all types"),
    ...known.map((name) => make("option", { value: name, selected: name === chosen }, name)));
  const wanted = byId("links-filter").value.trim().toLowerCase();
  const rows = page.links.map((found, index) => ({ found, index }))
    .filter(({ found }) => !chosen || (found.id !== null && kind(found) === chosen))
    .filter(({ found }) => [found.text, found.label ?? "NIL", found.id ?? ""].join(" ").toLowerCase().includes(wanted))
    .sort(compare);
  const shown = all ? rows : rows.slice(0, SHOWN);
  const heads = COLUMNS.map((column) => ({ css: column.css, words: make("button", { type: "button", class: "plain sort",
    onclick: () => sort(column.key) }, column.words),
    sort: order.key === column.key ? (order.descending ? "descending" : "ascending") : "none" }));
  byId("links-table").replaceChildren(table("Table of links", heads, shown.map(row)),
    rows.length > shown.length ? make("button", { type: "button", class: "plain", onclick: () => {
      all = true;
      draw();
    } }, `Show all ${number(rows.length)}`) : "");
  byId("links-count").textContent = `${number(rows.length)} of ${number(page.links.length)}`;
}

/** The linker whose links alone are shown, by the table's filter or by the legend; `null` where several are. */
export function filtered() {
  const shown = byId("links-type").value ? [byId("links-type").value] : kinds().filter((name) => !isHidden(name));
  if (shown.length !== 1 || kinds().length < 2) return null;
  return page.links.find((found) => found.id !== null && kind(found) === shown[0]).linker;
}

function sort(key) {
  order = { key, descending: order.key === key ? !order.descending : key === "probability" };
  draw();
  [...byId("links-table").querySelectorAll("th button")][COLUMNS.findIndex((column) => column.key === key)].focus();
}

function compare(one, other) {
  const [a, b] = [one, other].map(({ found }) => (order.key === "type" ? kind(found) : found[order.key]));
  if (a === b) return one.index - other.index;
  if (a === null || b === null) return a === null ? 1 : -1; // NIL stands last, whatever the order
  const sign = typeof a === "number" ? a - b : a.localeCompare(b, "en");
  return order.descending ? -sign : sign;
}

function row({ found, index }) {
  const now = state(found);
  return make("tr", { class: now === "below" ? "faded" : null },
    make("td", {}, make("button", { type: "button", class: "plain", onclick: () => onChoose(index) }, found.text)),
    make("td", {}, found.id === null ? "NIL" : found.label || "–"), make("td", { class: "id" }, found.id ?? "–"),
    make("td", {}, found.id === null ? "–" : kind(found)), make("td", { class: "right" }, percent(found.probability)),
    make("td", { class: "right" }, number(found.start)));
}
