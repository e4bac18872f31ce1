// The third view: the mentions most worth a judgement, one at a time, by keyboard or by hand.

import { ask, byId, make, notice, percent } from "./common.js";
import { controls, outcome, undo } from "./correcting.js";

let shown = null; // what the service says of the current position
let give = null;

export function start() {
  byId("review-previous").addEventListener("click", () => go(shown.position - 1));
  byId("review-next").addEventListener("click", () => go(shown.position + 1));
  byId("review-undo").addEventListener("click", withdraw);
  document.addEventListener("keydown", press);
}

export const show = () => go(shown?.position);

async function go(position) {
  if (position !== undefined && shown && (position < 0 || position >= shown.n)) return;
  try {
    shown = await ask("review", position === undefined ? {} : { query: { position } });
    notice("");
    byId("review-said").textContent = "";
    draw();
  } catch (error) {
    notice(error.message);
  }
}

async function withdraw() {
  if (!shown?.judgement) return;
  try {
    const said = await undo(shown.judgement.id, shown.linker);
    await go(shown.position);
    byId("review-said").textContent = said;
  } catch (error) {
    notice(error.message);
    const name = byId("review-item").querySelector(".who");
    if (!name.value) name.focus();
  }
}

function draw() {
  const { item, judgement, position, n, n_judged: judged } = shown;
  byId("review-progress").value = judged / n;
  byId("review-count").textContent = `${position + 1} of ${n} · ${judged} judged`;
  byId("review-previous").disabled = position === 0;
  byId("review-next").disabled = position === n - 1;
  byId("review-undo").disabled = !judgement;
  const letters = Array.from(item.text);
  const part = (from, to) => letters.slice(from, to).join("");
  const made = controls({ ...item, answered: item.id, linker: shown.linker, missed: false }, () => go(position + 1 < n ? position + 1 : position));
  give = made.give;
  byId("review-item").replaceChildren(
    make("p", { class: "reading" }, part(0, item.start), make("mark", {}, part(item.start, item.end)), part(item.end)),
    make("div", { class: "verdict" }, make("h3", {}, item.id === null ? "NIL" : item.label || item.id),
      make("span", { class: "number" }, percent(item.probability))),
    make("p", { class: "id" }, item.id ?? ""),
    make("p", { class: "quiet" }, judgement ? `Judged by ${judgement.who}: ${outcome(judgement)}.` : "Not judged yet."),
    make("ol", { class: "review-candidates" }, item.candidates.slice(0, 9).map((option) =>
      make("li", {}, option.label || option.id, " ", make("span", { class: "id" }, option.id)))),
    made.element);
}

function press(event) {
  if (byId("view-review").hidden || !shown || event.repeat || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("input, textarea, select")) return;
  const { item, position } = shown;
  const option = item.candidates[Number(event.key) - 1];
  const action = {
    ArrowLeft: () => go(position - 1), ArrowRight: () => go(position + 1), u: withdraw,
    r: () => item.id !== null && give("right", item.id), n: () => give("nil"), x: () => give("no-mention"),
  }[event.key] ?? (/^[1-9]$/.test(event.key) && option
    ? () => give(option.id === item.id ? "right" : "other", option.id) : null);
  if (!action) return;
  event.preventDefault();
  action();
}
