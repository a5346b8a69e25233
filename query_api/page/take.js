// What is shown, to take along: as curl, as Python, as a link, as CSV. With `known_at` it gives the same answer again.

import * as address from "./address.js";
import { button, element } from "./element.js";

const dialog = document.getElementById("take");
const box = document.getElementById("take-ways");

/** Show the ways to take along what `asked` gives: the API's paths and parameters, or null. */
export function open(asked) {
  box.replaceChildren(...(asked ? ways(asked) : [element("p", {}, "Nothing is shown yet.")]));
  dialog.showModal();
}

/** The texts to copy, by name. */
export function texts({ paths, values, page, fragment = "" }) {
  const urls = paths.map((path) => address.absolute(path, values));
  const set = Object.entries(values).filter(([, value]) => value !== null && value !== undefined);
  const dict = set.map(([name, value]) => `    ${JSON.stringify(name)}: ${JSON.stringify(String(value))},\n`).join("");
  const bare = urls.map((url) => JSON.stringify(url.split("?")[0]));
  const get = bare.length > 1
    ? `for url in [\n${bare.map((url) => `    ${url},\n`).join("")}]:\n    response = httpx.get(url, params=parameters)\n    print(response.raise_for_status().json())`
    : `response = httpx.get(${bare}, params=parameters)\nprint(response.raise_for_status().json())`;
  return {
    curl: `curl ${urls.map((url) => `'${url.replaceAll("'", "%27")}'`).join(" \\\n  ")}`,
    Python: `import httpx\n\nparameters = {\n${dict}}\n${get}`,
    Permalink: address.absolute("", page) + fragment,
  };
}

function ways(asked) {
  const parts = Object.entries(texts(asked)).map(([name, text]) => {
    const area = element("textarea", { readonly: true, rows: Math.min(Math.max(text.split("\n").length, 2), 12), "aria-label": name }, text);
    return element("section", {}, element("h3", {}, name), button("Copy", (event) => copy(area, event.target), { "data-copy": name }), area);
  });
  if (asked.csv === null) return parts;
  const links = asked.paths.map((path) => {
    const of = asked.paths.length > 1 ? ` of id ${path.split("/").at(-2)}` : "";
    const href = address.absolute(path, { ...asked.values, ...asked.csv, format: "csv" });
    return element("section", {}, element("a", { href, download: "topcoins.csv", class: "csv" }, `Download as CSV${of}`));
  });
  return [...parts, ...links];
}

/** By the clipboard; where the browser allows none, as on http, by the selection. */
async function copy(area, pressed) {
  area.select();
  try {
    await navigator.clipboard.writeText(area.value);
  } catch {
    document.execCommand("copy");
  }
  pressed.textContent = "Copied";
  setTimeout(() => (pressed.textContent = "Copy"), 1500);
}
