// One asset's row of the list.

import { element } from "./element.js";
import * as format from "./format.js";
import { canvas } from "./spark.js";

const CHANGES = ["change_1h_pct", "change_24h_pct", "change_7d_pct"];
/** Columns without a cell of their own: name and kind, as the API wrote them into the table's head. */
const further = [...document.querySelectorAll("th[data-column]")].map((th) => th.dataset);

/** The elements of a row for an asset. */
export function make(id) {
  const data = (kind = "", column = null) => element("data", { class: kind, "data-column": column });
  const row = {
    rank: data(), symbol: element("b"), name: element("span", { class: "name" }),
    price: data(), age: element("time", { class: "age" }), volume: data(), line: canvas(),
    changes: CHANGES.map((column) => data("", column)),
    further: further.map(({ column }) => data("", column)),
  };
  row.link = element("a", { href: `#${id}` }, row.symbol, " ", row.name);
  const cell = (kind, ...children) => element("td", { class: kind }, ...children);
  row.tr = element("tr", { "data-id": id },
    cell("number rank", row.rank),
    element("th", { scope: "row" }, row.link),
    cell("number price", row.price, row.age),
    ...row.changes.map((change, n) => cell(`number change ${CHANGES[n].slice(0, -4)}`, change)),
    cell("number volume", row.volume),
    ...row.further.map((node, n) => cell(`number further ${further[n].column}`, node)),
    cell("line", row.line));
  return row;
}

/** Show an asset of an answer in its row. A price that moved since the one before is marked when `moving`. */
export function fill(row, asset, answer, moving) {
  const before = row.asset;
  row.asset = asset;
  put(row.rank, asset.rank, (rank) => rank);
  text(row.symbol, asset.symbol ?? `id ${asset.cmc_id}`);
  text(row.name, asset.name ?? "");
  row.link.title = `${asset.name ?? ""}, CoinMarketCap id ${asset.cmc_id}`;
  mark(row.price, moving && before ? asset.price_usd - before.price_usd : 0);
  put(row.price, asset.price_usd, format.price);
  put(row.volume, asset.volume_24h_usd, format.volume);
  row.changes.forEach((change, n) => {
    const percent = asset[CHANGES[n]] ?? null;
    put(change, percent, (value) => format.change(value === null ? null : value / 100));
    change.className = way(change.textContent);
  });
  row.tr.dataset.way = way(row.changes[1].textContent);
  further.forEach(({ column, kind }, n) => put(row.further[n], asset[column], format.KINDS[kind]));
  row.age.dateTime = asset.price_updated_at ?? answer.price_time;
  row.age.title = `price of ${row.age.dateTime}`;
}

/** Shows how old the price is; `interval` is how often one should come, in seconds. */
export function showAge(row, now, interval) {
  const seconds = (now - Date.parse(row.age.dateTime)) / 1000;
  text(row.age, format.age(seconds));
  const stale = seconds > 10 * interval ? "very" : seconds > 3 * interval ? "yes" : "no";
  if (row.age.dataset.stale !== stale) row.age.dataset.stale = stale;
}

/** By what is shown: a change too small to show is none. */
function way(shown) {
  return { "+": "up", "−": "down" }[shown[0]] ?? "";
}

function put(data, exact, shown) {
  const value = exact ?? null;
  if (data.value === String(value ?? "") && data.textContent !== "") return;
  data.value = value ?? "";
  data.textContent = shown(value);
}

function text(node, shown) {
  if (node.textContent !== shown) node.textContent = shown;
}

function mark(data, moved) {
  data.classList.remove("rose", "fell");
  if (moved) data.classList.add(moved > 0 ? "rose" : "fell");
}
