// Making elements. Text is always text: nothing here reads HTML.

/** An element with attributes and children. `data-` and `aria-` names, `class` and listeners such as `onclick` work. */
export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") made.addEventListener(key.slice(2), value);
    else made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

/** A button. */
export function button(text, onclick, attributes = {}) {
  return element("button", { type: "button", onclick, ...attributes }, text);
}

/** A table with a caption, heads and rows of cells; a head that begins with `#` is of numbers. */
export function table(caption, heads, rows) {
  const numbers = heads.map((head) => head.startsWith("#"));
  const cell = (name, content, n, more = {}) => element(name, { class: numbers[n] ? "number" : null, ...more }, content);
  return element("table", { class: "plain" },
    element("caption", {}, caption),
    element("thead", {}, element("tr", {}, ...heads.map((head, n) => cell("th", head.replace("#", ""), n, { scope: "col" })))),
    element("tbody", {}, ...rows.map((row) => element("tr", {}, ...row.map((content, n) => cell("td", content, n))))));
}
