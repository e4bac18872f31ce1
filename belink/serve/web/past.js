// The second view: versions with their gates, releases, and what changed between two of them.

import { ask, byId, make, notice, number } from "./common.js";

let known = null;

export async function show() {
  try {
    const linker = byId("history-linker").value;
    known = await ask("history", linker ? { query: { linker } } : {});
    notice("");
  } catch (error) {
    notice(error.message);
    return;
  }
  linkers();
  versions();
  releases();
  choices();
}

/** The choice of a linker, where several are served. */
function linkers() {
  byId("history-linkers").hidden = known.linkers.length < 2;
  byId("history-linker").replaceChildren(...known.linkers.map((name) =>
    make("option", { value: name, selected: name === known.linker }, name)));
}

export function start() {
  byId("history-linker").addEventListener("change", show);
  byId("diff-ontology").addEventListener("change", versionChoices);
  byId("compare").addEventListener("submit", (event) => {
    event.preventDefault();
    compare();
  });
}

const when = (time) => (time ? time.slice(0, 16).replace("T", " ") : "–");

function table(heads, rows) {
  return make("div", { class: "scroll" }, make("table", {},
    make("thead", {}, make("tr", {}, heads.map((head) => make("th", { scope: "col", class: head.css }, head.words)))),
    make("tbody", {}, rows)));
}

function versions() {
  if (!known.versions.length) {
    byId("versions").replaceChildren(make("p", { class: "quiet" }, "No version is registered yet."));
    return;
  }
  const rows = known.versions.flatMap((version, index) => {
    const gates = make("tr", { class: "gates", id: `gates-${version.version}`, hidden: true },
      make("td", { colspan: 6 }, gateTable(version)));
    const button = make("button", { type: "button", class: "plain", "aria-expanded": "false",
      "aria-controls": `gates-${version.version}`,
      onclick: () => {
        gates.hidden = !gates.hidden;
        button.setAttribute("aria-expanded", String(!gates.hidden));
      } }, version.version);
    if (index === 0) {
      gates.hidden = false;
      button.setAttribute("aria-expanded", "true");
    }
    return [make("tr", {},
      make("td", {}, button),
      make("td", {}, version.aliases.map((alias) => make("span", { class: `tag ${alias === "champion" ? "champion" : ""}` }, alias))),
      make("td", {}, outcome(version)),
      make("td", {}, marks(version)),
      make("td", {}, Object.entries(version.releases).map(([name, release]) => `${name} ${release}`).join("; ")),
      make("td", {}, when(version.created))), gates];
  });
  const heads = ["version", "alias", "outcome", "gates", "releases", "made (UTC)"].map((words) => ({ words }));
  byId("versions").replaceChildren(table(heads, rows));
}

function outcome(version) {
  if (version.withdrawn) return make("span", { class: "fail" }, `rolled back ${when(version.withdrawn)}`);
  if (version.outcome === "rejected") {
    const why = version.failed_gates.length ? `: ${version.failed_gates.join(", ")}` : "";
    return make("span", { class: "fail" }, `rejected${why}`);
  }
  return version.outcome ?? (version.promoted ? "promoted" : "not judged");
}

function marks(version) {
  if (!version.gates.length) return make("span", { class: "quiet" }, "–");
  const failed = version.gates.filter((gate) => !gate.passed).length;
  const unmeasured = version.gates.filter((gate) => gate.measured === false).length;
  const said = failed ? `${failed} of ${version.gates.length} failed`
    : unmeasured ? `${unmeasured} of ${version.gates.length} not measured` : `all ${version.gates.length} passed`;
  return make("span", { class: failed ? "fail" : "pass" }, said);
}

function gateTable(version) {
  if (!version.gates.length) return make("p", { class: "quiet" }, "The registry has no gates of this version.");
  const rows = version.gates.map((gate) => make("tr", {},
    make("td", {}, gate.name.replaceAll("_", " ")),
    make("td", { class: "right" }, gate.value === null ? "not measured" : Number(gate.value.toPrecision(4)).toString()),
    make("td", { class: "right" }, Number(gate.bound.toPrecision(4)).toString()),
    make("td", {}, make("span", { class: gate.passed ? "pass" : "fail" },
      !gate.passed ? "failed" : gate.measured === false ? "not measured" : "passed")),
    make("td", { class: "quiet" }, gate.detail)));
  return table([{ words: "gate" }, { words: "value", css: "right" }, { words: "bound", css: "right" }, { words: "" },
    { words: "measured on" }], rows);
}

function releases() {
  const rows = Object.entries(known.releases).flatMap(([ontology, found]) => found.map((release) => make("tr", {},
    make("td", {}, ontology), make("td", {}, release.version),
    make("td", { class: "right" }, number(release.concepts)), make("td", { class: "right" }, number(release.obsolete)),
    make("td", { class: "right" }, number(release.names)), make("td", {}, release.linkers.join(", ") || "–"),
    make("td", {}, when(release.created)))));
  const right = (words) => ({ words, css: "right" });
  byId("releases").replaceChildren(rows.length
    ? table([{ words: "ontology" }, { words: "release" }, right("concepts"), right("of them obsolete"), right("names"),
      { words: "used by version" }, { words: "read (UTC)" }], rows)
    : make("p", { class: "quiet" }, "No release of its ontologies is in this home."));
}

function choices() {
  const comparable = Object.entries(known.releases).filter(([, found]) => found.length > 1).map(([name]) => name);
  byId("compare").hidden = !comparable.length;
  byId("diff").replaceChildren(comparable.length ? "" : make("p", { class: "quiet" },
    "Two releases of one ontology are needed to compare them."));
  byId("diff-ontology").replaceChildren(...comparable.map((name) => make("option", { value: name }, name)));
  if (comparable.length) versionChoices();
}

function versionChoices() {
  const found = known.releases[byId("diff-ontology").value];
  const option = (chosen) => (release, index) =>
    make("option", { value: release.version, selected: index === chosen }, release.version);
  byId("diff-old").replaceChildren(...found.map(option(1)));
  byId("diff-new").replaceChildren(...found.map(option(0)));
}

const CHANGES = ["added", "removed", "obsoleted", "merged", "reinstated", "relabelled", "names_added", "names_removed",
  "names_moved"];

async function compare() {
  const [ontology, old, latest] = ["diff-ontology", "diff-old", "diff-new"].map((id) => byId(id).value);
  byId("diff").replaceChildren(make("p", { class: "quiet" }, "Comparing …"));
  try {
    const found = await ask("diff", { query: { ontology, old, new: latest, linker: known.linker } });
    const words = (change) => change.replaceAll("_", " ");
    const examples = CHANGES.filter((change) => found.examples[change]?.length).map((change) => {
      const first = found.examples[change];
      const heads = Object.keys(first[0]);
      const more = found[change] > first.length ? `, the first ${first.length}` : "";
      return make("details", {}, make("summary", {}, `${words(change)}: ${number(found[change])}${more}`),
        table(heads.map((head) => ({ words: head })),
          first.map((row) => make("tr", {}, heads.map((head) => make("td", {}, row[head] ?? ""))))));
    });
    byId("diff").replaceChildren(
      make("p", {}, `${ontology}: ${number(found.live[0])} live concepts in ${found.old}, ${number(found.live[1])} in ${found.new}.`),
      make("ul", { class: "counts" }, CHANGES.map((change) => make("li", {}, make("span", { class: "quiet" }, words(change)),
        make("span", { class: "number" }, number(found[change]))))),
      ...examples);
  } catch (error) {
    byId("diff").replaceChildren(make("p", { class: "fail" }, error.message));
  }
}
