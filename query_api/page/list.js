// The list: a row for each asset, kept from answer to answer so that focus and place stay.

import * as format from "./format.js";
import { canvas, draw } from "./spark.js";

const body = document.getElementById("rows");
const rows = new Map();
/** Columns without a cell of their own: name and kind, as the API wrote them into the table's head. */
const further = [...document.querySelectorAll("th[data-column]")].map((th) => th.dataset);

/** A row's elements. */
function row(id) {
  if (rows.has(id)) return rows.get(id);
  const tr = document.createElement("tr");
  const cell = (kind, ...children) => {
    const td = document.createElement("td");
    td.className = kind;
    td.append(...children);
    tr.append(td);
    return td;
  };
  const made = { tr, line: canvas() };
  const element = (name, kind = "") => Object.assign(document.createElement(name), { className: kind });
  made.rank = element("data");
  made.symbol = element("b");
  made.name = element("span", "name");
  made.link = element("a");
  made.link.href = `#${id}`;
  made.link.append(made.symbol, " ", made.name);
  made.price = element("data");
  made.priceAge = element("time", "age");
  made.change = element("data");
  made.volume = element("data");
  made.volumeAge = element("time", "age");
  cell("number rank", made.rank);
  const coin = document.createElement("th");
  coin.scope = "row";
  coin.append(made.link);
  tr.append(coin);
  cell("number", made.price, made.priceAge);
  cell("number", made.change);
  cell("number", made.volume, made.volumeAge);
  made.further = further.map(({ column }) => {
    const data = element("data");
    data.dataset.column = column;
    cell("number further", data);
    return data;
  });
  cell("line", made.line);
  tr.dataset.id = id;
  rows.set(id, made);
  return made;
}

/** Show an answer of /v1/top. Prices that moved since the one before are marked when `moving`. */
export function show(answer, moving) {
  const shown = new Set();
  for (const asset of answer.data) {
    shown.add(asset.cmc_id);
    const one = row(asset.cmc_id);
    one.asset = asset;
    one.rank.value = one.rank.textContent = asset.rank;
    one.symbol.textContent = asset.symbol ?? `id ${asset.cmc_id}`;
    one.name.textContent = asset.name ?? "";
    one.link.title = `${asset.name ?? ""}, CoinMarketCap id ${asset.cmc_id}`;
    mark(one.price, moving ? asset.price_usd - Number(one.price.value || asset.price_usd) : 0);
    value(one.price, asset.price_usd, format.price);
    value(one.volume, asset.volume_24h_usd, format.volume);
    further.forEach(({ column, kind }, place) => value(one.further[place], asset[column], format.KINDS[kind]));
    one.priceAge.dateTime = asset.price_updated_at ?? answer.price_time;
    one.priceAge.title = `price of ${one.priceAge.dateTime}`;
    one.volumeAge.dateTime = answer.rank_time;
    one.volumeAge.title = `volume of ${answer.rank_time}`;
    body.append(one.tr);
  }
  for (const [id, one] of rows) {
    if (!shown.has(id)) {
      one.tr.remove();
      rows.delete(id);
    }
  }
}

/** Show no list at all. */
export function clear() {
  body.replaceChildren();
  rows.clear();
}

/** The assets shown, in their order. */
export function ids() {
  return [...body.children].map((tr) => Number(tr.dataset.id));
}

export function asset(id) {
  return rows.get(id)?.asset;
}

/** Draw the lines, and the change from the first instant to the last. */
export function showLines(answer) {
  const at = answer.at.map((instant) => Date.parse(instant));
  for (const { cmc_id: id, prices } of answer.data) {
    const one = rows.get(id);
    if (!one) continue;
    const [first, last] = [prices[0], prices.at(-1)];
    const ratio = first === null || last === null ? null : last / first - 1;
    value(one.change, ratio, format.change);
    one.change.className = one.tr.dataset.way = way(one.change.textContent);
    const gaps = prices.filter((price) => price === null).length;
    draw(one.line, at, prices, `price of the last 24 hours, ${format.change(ratio)}${gaps ? `, ${gaps} of ${prices.length} missing` : ""}`);
  }
}

/** Tell every value's age at an instant; `interval` is how often they should come, in seconds. */
export function showAges(now, interval) {
  for (const one of rows.values()) {
    for (const element of [one.priceAge, one.volumeAge]) {
      const seconds = (now - Date.parse(element.dateTime)) / 1000;
      const shown = format.age(seconds);
      if (element.textContent !== shown) element.textContent = shown;
      element.dataset.stale = seconds > 10 * interval ? "very" : seconds > 3 * interval ? "yes" : "no";
    }
  }
}

/** Show only rows whose symbol or name holds the text. */
export function filter(text) {
  const wanted = text.trim().toLowerCase();
  for (const one of rows.values()) {
    one.tr.hidden = !`${one.asset.symbol} ${one.asset.name}`.toLowerCase().includes(wanted);
  }
}

/** By what is shown: a change too small to show is none. */
function way(shown) {
  return { "+": "up", "−": "down" }[shown[0]] ?? "";
}

function value(element, exact, shown) {
  element.value = exact ?? "";
  element.textContent = shown(exact);
}

function mark(element, moved) {
  element.classList.remove("rose", "fell");
  if (!moved) return;
  void element.offsetWidth; // restarts the animation
  element.classList.add(moved > 0 ? "rose" : "fell");
}
