// What both views share: asking the service, and making elements. Text from the service only ever becomes text nodes.

const TOKEN = "belink-token";

/** An element with properties and children; strings become text, null is left out. */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "class") element.className = value;
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export const byId = (id) => document.getElementById(id);

/** Ask the service; an answer other than 2xx becomes an Error whose message says why. */
export async function ask(path, options = {}) {
  return (await send(path, options)).json();
}

async function send(path, { query = {}, body = undefined, signal = undefined, accept = undefined } = {}) {
  const address = new URL(path, new URL(".", location.href)); // also where a proxy adds a prefix
  for (const [name, value] of Object.entries(query)) address.searchParams.set(name, value);
  const headers = accept ? { Accept: accept } : {};
  const token = sessionStorage.getItem(TOKEN);
  if (token) headers.Authorization = `Bearer ${token}`;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let answer;
  try {
    answer = await fetch(address, {
      method: body === undefined ? "GET" : "POST", headers, signal,
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The service does not answer. Is it running?");
  }
  if (answer.status === 401) byId("token-form").hidden = false;
  if (!answer.ok) throw new Error(await reason(answer));
  return answer;
}

/** Ask for an answer in JSON Lines, and call `each` with every line as it comes. */
export async function askLines(path, options, each) {
  const answer = await send(path, { ...options, accept: "application/x-ndjson" });
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let kept = "";
  for (;;) {
    const { value, done } = await reader.read().catch((error) => {
      if (error.name === "AbortError") throw error;
      throw new Error("The answer broke off: the service took too long, or stopped.");
    });
    if (done) return;
    const lines = (kept + value).split("\n");
    kept = lines.pop(); // the last one may go on
    for (const line of lines) each(JSON.parse(line));
  }
}

async function reason(answer) {
  const known = { 413: "The text is too long for this service.", 504: "This took too long; try a shorter text." };
  let detail = known[answer.status];
  if (!detail) {
    try {
      const said = (await answer.json()).detail;
      detail = Array.isArray(said) ? said.map((one) => one.msg).join("; ") : said;
    } catch {
      detail = `The service answered with ${answer.status}.`;
    }
  }
  const later = answer.headers.get("Retry-After");
  return later ? `${detail} (again in ${later} s)` : detail;
}

export function keepToken(token) {
  sessionStorage.setItem(TOKEN, token);
  byId("token-form").hidden = true;
}

/** A table in a box that scrolls sideways, also with the keyboard. */
export function table(caption, heads, rows) {
  return make("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": caption }, make("table", {},
    make("thead", {}, make("tr", {}, heads.map((head) =>
      make("th", { scope: "col", class: head.css, "aria-sort": head.sort }, head.words)))),
    make("tbody", {}, rows)));
}

export function notice(message) {
  byId("notice").textContent = message;
  byId("notice").hidden = !message;
}

export const percent = (probability) => probability.toFixed(2);

export const number = (value) => (value === null || value === undefined ? "–" : value.toLocaleString("en"));

/** A bar of `share`, 0 to 1, without inline style. */
export function bar(share) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("aria-hidden", "true");
  const rect = document.createElementNS(space, "rect");
  rect.setAttribute("height", "4");
  rect.setAttribute("width", `${Math.max(0, Math.min(1, share)) * 100}%`);
  svg.append(rect);
  return make("div", { class: "bar" }, svg);
}
