// Links as files. The formats are those of `belink link --output`, which `belink/corpora` reads and writes.

const COLUMNS = ["document", "text", "start", "end", "id", "label", "ontology", "release", "type", "probability",
  "decided_by"];
const LINEAGE = ["linker", "model_version", "releases", "index", "adapter", "bundle"];

export function tsv(text, links, lineage) {
  const rows = links.map((found) => [...COLUMNS.map((name) => (name === "document" ? "" : found[name])),
    ...LINEAGE.map((name) => lineage[name] ?? "")]);
  return [[...COLUMNS, ...LINEAGE], ...rows].map((row) => `${row.map(cell).join("\t")}\n`).join("");
}

/** A cell that no spreadsheet takes for a formula. */
function cell(value) {
  if (typeof value === "number") return String(value);
  const words = value ?? "";
  return `"${(/^[=+\-@\t\r]/.test(words) ? `'${words}` : words).replaceAll('"', '""')}"`;
}

export const json = (text, links, lineage) => `${JSON.stringify({ text, links, lineage }, null, 1)}\n`;

export function bioc(text, links, lineage) {
  const annotations = links.map((found, index) => ({
    id: String(index),
    infons: { ...(found.type ? { type: found.type } : {}), concept_id: found.id ?? "-",
      probability: found.probability.toFixed(4),
      ...(found.id === null ? {} : { label: found.label ?? "", ontology: found.ontology, release: found.release,
        linker: found.linker }) },
    text: found.text,
    locations: [{ offset: found.start, length: found.end - found.start }],
  }));
  const passage = { offset: 0, infons: {}, text, sentences: [], annotations };
  const documents = [{ id: "1", infons: {}, passages: [passage], annotations: [] }];
  return `${JSON.stringify({ source: "belink", date: "", key: "", infons: lineage, documents }, null, 1)}\n`;
}

export function pubtator(text, links) {
  const flat = (words) => words.replace(/[\r\n\t]/g, " ");
  // The first line takes the place of a title; its end is one character, so offsets stay valid.
  const end = text.indexOf("\n") < 0 ? text.length : text.indexOf("\n");
  const mentions = links.map((found) =>
    ["1", found.start, found.end, flat(found.text), flat(found.type), found.id ?? "-"].join("\t"));
  return `${[`1|t|${flat(text.slice(0, end))}`, `1|a|${flat(text.slice(end + 1))}`, ...mentions].join("\n")}\n\n`;
}
