// The second view: versions with their gates, releases, and what changed between two of them.

import { ask, byId, make, notice, number, table } from "./common.js";
import * as impact from "./impact.js";

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
  twoVersions();
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
  for (const id of ["version-old", "version-new"]) byId(id).addEventListener("change", compareVersions);
  byId("diff-ontology").addEventListener("change", versionChoices);
  byId("compare").addEventListener("submit", (event) => {
    event.preventDefault();
    compare();
  });
}

const when = (time) => (time ? time.slice(0, 16).replace("T", " ") : "–");

function versions() {
  if (!known.versions.length) {
    byId("versions").replaceChildren(make("p", { class: "quiet" }, "No version is registered yet."));
    return;
  }
  const rows = known.versions.flatMap((version, index) => {
    const gates = make("tr", { class: "gates", id: `gates-${version.version}`, hidden: true },
      make("td", { colspan: 8 }, gateTable(version), impact.details(version, known.linker)));
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
      make("td", { class: "right" }, accuracy(version)),
      make("td", {}, marks(version)),
      make("td", { class: "right" }, impact.summary(version)),
      make("td", {}, Object.entries(version.releases).map(([name, release]) => `${name} ${release}`).join("; ")),
      make("td", {}, when(version.created))), gates];
  });
  const heads = ["version", "alias", "outcome", "accuracy", "gates", "links changed", "releases", "made (UTC)"].map((words) =>
    ({ words, css: ["accuracy", "links changed"].includes(words) ? "right" : undefined }));
  byId("versions").replaceChildren(table("Versions", heads, rows));
}

const figure = (value) => (typeof value === "number" ? Number(value.toPrecision(4)).toString() : "–");

/** Accuracy; and against the champion of that time on the same mentions, since versions have exams of their own. */
function accuracy(version) {
  const value = version.figures.accuracy_at_1;
  if (typeof value !== "number") return "–";
  const gate = version.gates.find((one) => one.name === "not_below_champion" && typeof one.value === "number");
  if (!gate) return value.toFixed(3);
  return [value.toFixed(3), " ", make("span", { class: "quiet", title: gate.detail },
    `(${gate.value < 0 ? "−" : "+"}${Math.abs(gate.value).toFixed(3)})`)];
}

/** The choice of two versions; first the newest one against the one before it. */
function twoVersions() {
  byId("two-versions").hidden = known.versions.length < 2;
  if (known.versions.length < 2) return;
  const options = (chosen) => known.versions.map((version, index) =>
    make("option", { value: version.version, selected: index === chosen },
      [version.version, ...version.aliases].join(" · ")));
  byId("version-old").replaceChildren(...options(1));
  byId("version-new").replaceChildren(...options(0));
  compareVersions();
}

function compareVersions() {
  const pair = ["version-old", "version-new"].map((id) =>
    known.versions.find((version) => version.version === byId(id).value));
  const row = (words, values) => make("tr", { class: values[0] === values[1] ? "same" : null },
    make("td", {}, words), ...values.map((value) => make("td", { class: "right" }, value)));
  const keys = (of) => [...new Set(pair.flatMap((version) => Object.keys(of(version))))];
  const gates = (version) => Object.fromEntries(version.gates.map((gate) => [gate.name, gate]));
  const verdict = (gate) => (gate ? `${figure(gate.value)} (${gate.passed ? "passed" : "failed"})` : "–");
  const rows = [
    row("outcome", pair.map((version) => version.outcome ?? "not judged")),
    row("made (UTC)", pair.map((version) => when(version.created))),
    ...keys((version) => version.releases).map((name) => row(name, pair.map((version) => version.releases[name] ?? "–"))),
    ...keys((version) => version.figures).map((name) =>
      row(name.replaceAll("_", " "), pair.map((version) => figure(version.figures[name])))),
    ...keys((version) => version.impact ?? {}).map((text) => row(`links changed in ${text}`,
      pair.map((version) => impact.counted(version.impact?.[text])))),
    ...keys(gates).map((name) => row(`gate: ${name.replaceAll("_", " ")}`,
      pair.map((version) => verdict(gates(version)[name])))),
  ];
  byId("version-table").replaceChildren(table("Two versions",
    ["figure", ...pair.map((version) => `version ${version.version}`)].map((words, index) =>
      ({ words, css: index ? "right" : undefined })), rows));
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
  // On a phone each gate is a block of lines, so each cell says what it is.
  const rows = version.gates.map((gate) => make("tr", {},
    make("td", {}, gate.name.replaceAll("_", " ")),
    make("td", { class: "right", "data-head": "value" }, gate.value === null ? "not measured" : Number(gate.value.toPrecision(4)).toString()),
    make("td", { class: "right", "data-head": "bound" }, Number(gate.bound.toPrecision(4)).toString()),
    make("td", {}, make("span", { class: gate.passed ? "pass" : "fail" },
      !gate.passed ? "failed" : gate.measured === false ? "not measured" : "passed")),
    make("td", { class: "quiet" }, gate.detail)));
  return table(`Gates of version ${version.version}`, [{ words: "gate" }, { words: "value", css: "right" }, { words: "bound", css: "right" }, { words: "outcome" },
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
    ? table("Releases", [{ words: "ontology" }, { words: "release" }, right("concepts"), right("of them obsolete"), right("names"),
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
        table(words(change), heads.map((head) => ({ words: head })),
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
