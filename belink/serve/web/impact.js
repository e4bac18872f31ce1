// What a version changed in the texts that its linker watches: counts by cause, and examples when they are asked for.

import { ask, make, number, percent } from "./common.js";

/** The links that changed in all watched texts; words where none was compared, or an older belink did not keep it. */
export function summary(version) {
  const texts = Object.values(version.impact ?? {});
  if (!texts.length) return make("span", { class: "quiet" }, "not measured");
  const total = (key) => texts.reduce((sum, text) => sum + text[key], 0);
  return counted({ mentions: total("mentions"), changed: total("changed"), unexplained_changes: total("unexplained_changes") });
}

/** The same for one text, in words. */
export function counted(text) {
  if (!text) return "not measured";
  const unexplained = text.unexplained_changes ? `, ${number(text.unexplained_changes)} unexplained` : "";
  return `${number(text.changed)} of ${number(text.mentions)}${unexplained}`;
}

/** What the row of a version unfolds below its gates. */
export function details(version, linker) {
  const texts = Object.entries(version.impact ?? {});
  if (!texts.length) {
    return make("p", { class: "quiet" }, "Changed links in watched texts: not measured. They are where the linker watches a text and there "
      + "was a champion to compare with; an older belink did not keep them.");
  }
  return make("div", { class: "impact" }, make("h3", {}, "Changed links in watched texts"),
    make("p", { class: "quiet" }, "Against the champion of that time. The releases explain a change if a concept or its name came or went; "
      + "the rest comes from the models."),
    texts.map(([name, text]) => ofText(name, text, version, linker)));
}

function ofText(name, text, version, linker) {
  const causes = Object.entries(text.counts).filter(([cause, count]) => count && cause !== "unchanged");
  const examples = make("div", {});
  const unfold = make("details", { ontoggle: () => unfold.open && !examples.hasChildNodes() && show(examples, name, version, linker) },
    make("summary", {}, "Examples"), examples);
  return make("section", { "aria-label": `Text ${name}` },
    make("p", {}, make("strong", {}, name), ` ${counted(text)}`),
    causes.length ? make("ul", { class: "counts" }, causes.map(([cause, count]) => make("li", {},
      make("span", { class: "quiet" }, cause), make("span", { class: "number" }, number(count))))) : null,
    causes.length ? unfold : null);
}

async function show(place, name, version, linker) {
  place.replaceChildren(make("p", { class: "quiet" }, "Reading …"));
  try {
    const { texts } = await ask("impact", { query: { linker, version: version.version } });
    place.replaceChildren(...Object.entries(texts[name].examples).map(([cause, changes]) => {
      const first = changes.length < texts[name].counts[cause] ? `, the first ${changes.length} of ${number(texts[name].counts[cause])}` : "";
      return make("div", {}, make("h4", {}, cause + first), make("ul", { class: "changes" }, changes.map(example)));
    }));
  } catch (error) {
    place.replaceChildren(make("p", { class: "fail" }, error.message));
  }
}

const answer = (of) => (of === null ? "not found" : of.id === null ? "NIL" : `${of.label || of.id} (${of.id}, ${percent(of.probability)})`);

function example(change) {
  return make("li", {}, make("p", { class: "reading" }, marked(change)),
    make("p", {}, answer(change.old), " → ", answer(change.new)),
    change.explained ? null : make("p", { class: "quiet" }, "not explained by the releases"));
}

/** The sentence with its mention marked; the mention alone where the sentence is not known. */
function marked({ sentence, text }) {
  const at = sentence.indexOf(text);
  if (at < 0) return [make("mark", {}, text), sentence ? ` ${sentence}` : ""];
  return [sentence.slice(0, at), make("mark", {}, text), sentence.slice(at + text.length)];
}
