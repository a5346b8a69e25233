// What is shown, to take along: as curl, as Python, as a link, as CSV. With `known_at` it gives the same answer again.

import * as address from "./address.js";
import { button, element } from "./element.js";

const dialog = document.getElementById("take");
const box = document.getElementById("take-ways");

/** Show the ways to take along what `asked` gives: the API's path and parameters, or null. */
export function open(asked) {
  box.replaceChildren(...(asked ? ways(asked) : [element("p", {}, "Nothing is shown yet.")]));
  dialog.showModal();
}

/** The texts to copy, by name. */
export function texts({ path, values, page, fragment = "" }) {
  const url = address.absolute(path, values);
  const set = Object.entries(values).filter(([, value]) => value !== null && value !== undefined);
  const dict = set.map(([name, value]) => `    ${JSON.stringify(name)}: ${JSON.stringify(String(value))},\n`).join("");
  const bare = url.split("?")[0];
  return {
    curl: `curl '${url.replaceAll("'", "%27")}'`,
    Python: `import httpx\n\nparameters = {\n${dict}}\nresponse = httpx.get(${JSON.stringify(bare)}, params=parameters)\nprint(response.raise_for_status().json())`,
    Permalink: address.absolute("", page) + fragment,
  };
}

function ways(asked) {
  const parts = Object.entries(texts(asked)).map(([name, text]) => {
    const area = element("textarea", { readonly: true, rows: Math.min(Math.max(text.split("\n").length, 2), 12), "aria-label": name }, text);
    return element("section", {}, element("h3", {}, name), button("Copy", (event) => copy(area, event.target), { "data-copy": name }), area);
  });
  if (asked.csv !== null) {
    const href = address.absolute(asked.path, { ...asked.values, ...asked.csv, format: "csv" });
    parts.push(element("section", {}, element("a", { href, download: "topcoins.csv", id: "csv" }, "Download as CSV")));
  }
  return parts;
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
