// The HTTP interface, read from the OpenAPI document that the service writes about itself.

import { ask, byId, keepToken, make, notice, table } from "./common.js";

const METHODS = ["get", "post", "put", "patch", "delete"];

async function show() {
  let described;
  try {
    described = await ask("openapi.json");
  } catch (error) {
    notice(error.message);
    return;
  }
  byId("serving").textContent = `${described.info.summary} · version ${described.info.version}`;
  byId("paths").replaceChildren(...Object.entries(described.paths).flatMap(([path, item]) =>
    METHODS.filter((method) => item[method]).map((method) => operation(path, method, item[method], described))));
  byId("objects").replaceChildren(...Object.entries(described.components.schemas).map(([name, schema]) => object(name, schema)));
}

function operation(path, method, about, described) {
  const rows = (about.parameters ?? []).map((one) => make("tr", {}, make("td", {}, make("code", {}, one.name)),
    make("td", {}, one.in), make("td", {}, type(one.schema)),
    make("td", {}, one.required ? "required" : one.schema.default === undefined ? "" : `${one.schema.default} by default`,
      one.description ? ` ${one.description}` : "")));
  const body = about.requestBody?.content["application/json"]?.schema;
  return make("section", { class: "operation" },
    make("h2", {}, make("code", {}, `${method.toUpperCase()} ${path}`)),
    make("p", {}, prose(about.description ?? about.summary)),
    rows.length ? table(`Parameters of ${path}`, ["parameter", "in", "type", "meaning"].map((words) => ({ words })), rows) : "",
    body ? make("p", {}, "Body: ", type(body)) : "",
    ...examples(body, described).map((example) => make("pre", { tabindex: 0 }, JSON.stringify(example))),
    make("ul", { class: "plain-list" }, Object.entries(about.responses).map(([status, response]) => {
      const schema = response.content?.["application/json"]?.schema;
      return make("li", {}, make("code", {}, status), ` ${response.description}`, schema && !schema.title ? [" → ", type(schema)] : "");
    })));
}

/** Text in which backticks set off code. */
const prose = (words) => words.split("`").map((part, index) => (index % 2 ? make("code", {}, part) : part));

/** The examples that the schemas of a body give. */
function examples(schema, described) {
  return (schema?.anyOf ?? (schema ? [schema] : []))
    .flatMap((one) => described.components.schemas[one.$ref?.split("/").pop()]?.examples ?? []);
}

/** The type of a schema in words; objects lead to their description. */
function type(schema) {
  if (!schema) return "any";
  if (schema.$ref) {
    const name = schema.$ref.split("/").pop();
    return make("a", { href: `#${name}` }, name);
  }
  const several = schema.anyOf ?? schema.oneOf;
  if (several) return several.flatMap((one, index) => (index ? [" or ", type(one)] : [type(one)])).reduce(joined, make("span"));
  if (schema.type === "array") return make("span", {}, "list of ", type(schema.items));
  return schema.type ?? "any";
}

function joined(span, part) {
  span.append(part);
  return span;
}

function object(name, schema) {
  const rows = Object.entries(schema.properties ?? {}).map(([key, value]) => make("tr", {}, make("td", {}, make("code", {}, key)),
    make("td", {}, type(value)), make("td", {}, schema.required?.includes(key) ? "yes" : ""),
    make("td", {}, value.description ?? "")));
  return make("section", { id: name }, make("h3", {}, name), make("p", { class: "quiet" }, schema.description ?? ""),
    table(name, ["key", "type", "required", "meaning"].map((words) => ({ words })), rows));
}

byId("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  keepToken(byId("token").value);
  notice("");
  show();
});
show();
