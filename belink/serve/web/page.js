// Which view is shown, and by which version the service answers.

import { ask, byId, keepToken, notice } from "./common.js";
import { offered } from "./correcting.js";
import * as linking from "./linking.js";
import * as past from "./past.js";
import { bounds } from "./reading.js";
import * as review from "./review.js";

function view(name) {
  for (const other of ["link", "history", "review"]) {
    byId(`view-${other}`).hidden = other !== name;
    if (other === name) byId(`tab-${other}`).setAttribute("aria-current", "page");
    else byId(`tab-${other}`).removeAttribute("aria-current");
  }
  if (name === "history") past.show();
  if (name === "review") review.show();
}

async function serving() {
  try {
    const found = await ask("lineage");
    byId("serving").textContent = found.linkers.map((linker) => {
      const releases = Object.entries(linker.releases).map(([name, version]) => `${name} ${version}`).join(", ");
      return `${linker.title} · ${releases} · version ${linker.version}`;
    }).join("; ");
    document.title = `belink: ${found.linkers.map((linker) => linker.title).join(", ")}`;
    Object.assign(offered, { feedback: found.feedback, review: found.review, linkers: found.linkers });
    byId("tab-review").hidden = !offered.review;
    if (offered.feedback) {
      byId("kept-note").textContent = "Texts are sent to this service only. A correction keeps its sentence; nothing else is kept.";
    }
    for (const linker of found.linkers) bounds.set(linker.linker, linker.min_probability);
    // Several linkers have a bound each; the lowest hides nothing that one of them keeps.
    const bound = Math.min(...found.linkers.map((linker) => linker.min_probability));
    if (byId("threshold").value === "0") byId("threshold").value = bound;
    return true;
  } catch (error) {
    notice(error.message);
    return false;
  }
}

let isReady = false; // whether the service has answered

async function open() {
  const answered = serving();
  // A step back is taken at once, and also where the service is gone.
  if (!isReady && !(await answered)) return;
  if (!isReady) linking.offerExamples();
  isReady = true;
  const fragment = new URLSearchParams(location.hash.slice(1));
  if (fragment.get("view") === "releases") view("history");
  else if (fragment.get("view") === "review" && offered.review) view("review");
  else {
    view("link");
    await linking.restore(fragment);
  }
}

/** Show a view at an address of its own, so that the browser's Back leads to the one before. */
function visit(name, address) {
  view(name);
  if (address !== (location.hash || "#")) history.pushState(null, "", address);
}

linking.start();
past.start();
review.start();
byId("tab-link").addEventListener("click", () => visit("link", linking.fragment()));
byId("tab-history").addEventListener("click", () => visit("history", "#view=releases"));
byId("tab-review").addEventListener("click", () => visit("review", "#view=review"));
byId("find").addEventListener("submit", () => visit("link", linking.fragment())); // where the panel is
byId("home").addEventListener("click", (event) => {
  event.preventDefault();
  visit("link", linking.fragment());
  byId("text").focus();
});
byId("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  keepToken(byId("token").value);
  notice("");
  open();
});
window.addEventListener("hashchange", open);
open();
