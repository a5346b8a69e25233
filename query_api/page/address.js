// The page's address. Its parameters are those of the API, so that the same address works in curl.

const VIEWS = ["list", "movers", "gaps", "status"];
const OWN = ["view", "format"];
const FRAGMENT = /^#(\d+(?:,\d+)*)(?:\/(.+))?$/;
/** More lines are hard to tell apart. */
export const MOST_COMPARED = 5;

/** One parameter, or null. */
export function get(name) {
  return new URLSearchParams(location.search).get(name);
}

/** The parameters that the API gets: all but those of the page itself. */
export function parameters() {
  const all = Object.fromEntries(new URLSearchParams(location.search));
  for (const name of OWN) delete all[name];
  return all;
}

export function view() {
  const name = get("view") ?? "list";
  return VIEWS.includes(name) ? name : "list";
}

/** The view of the address where the page has none of this name, or null. */
export function unknownView() {
  const name = get("view");
  return name === null || VIEWS.includes(name) ? null : name;
}

/** The address that a view's link leads to: movers begin at the instant of the list. */
export function ofView(link) {
  const at = get("datetime");
  return link.dataset.view === "movers" && at ? `${link.href}&from=${encodeURIComponent(at)}` : link.href;
}

/** Set parameters, remove those that are null: as a new entry of the browser's history, or `instead` of this one. */
export function set(changes, { instead = false } = {}) {
  const url = new URL(location.href);
  for (const [name, value] of Object.entries(changes)) {
    if (value === null || value === undefined) url.searchParams.delete(name);
    else url.searchParams.set(name, value);
  }
  if (url.href === location.href) return;
  history[instead ? "replaceState" : "pushState"](null, "", url);
}

/** The address of the page without one of its parameters. */
export function without(name) {
  const url = new URL(location.href);
  url.searchParams.delete(name);
  return url.search || "?";
}

/** An address of the API with these parameters, complete, to be used elsewhere. */
export function absolute(path, values) {
  const query = new URLSearchParams(Object.entries(values).filter(([, value]) => value !== null && value !== undefined));
  const readable = String(query).replaceAll("%3A", ":").replaceAll("%2C", ",");
  return new URL(`${path}?${readable}`, new URL(".", location.href)).href;
}

/** The assets and the span of a fragment, such as `#1,1027/30d`; no ids where it names none. */
export function assets(fragment = location.hash) {
  const [, ids = "", span = "24h"] = FRAGMENT.exec(fragment) ?? [];
  const numbers = [...new Set(ids.split(",").map(Number))].filter((id) => id > 0);
  return { ids: numbers.slice(0, MOST_COMPARED), span: span.replaceAll(/%3A/gi, ":") };
}
