// What moved between two instants: the view of /v1/movers.

import * as address from "./address.js";
import { ask } from "./api.js";
import { button, element, table } from "./element.js";
import { change, moment, NONE, price, volume } from "./format.js";

const MOST = 12;
const section = document.getElementById("movers");
const form = document.getElementById("movers-form");
const lists = document.getElementById("movers-lists");
const about = document.getElementById("movers-about");
const state = { request: new AbortController(), asked: null, page: null };

const PARTS = [
  ["Entered", (row) => row.move === "entered", (row) => row.rank_to],
  ["Left", (row) => row.move === "left", (row) => row.rank_from],
  ["Climbed in rank", (row) => row.rank_change > 0, (row) => -row.rank_change],
  ["Fell in rank", (row) => row.rank_change < 0, (row) => row.rank_change],
  ["Price up", (row) => row.price_change_pct > 0, (row) => -row.price_change_pct],
  ["Price down", (row) => row.price_change_pct < 0, (row) => row.price_change_pct],
  ["Volume up", (row) => row.volume_24h_change_pct > 0, (row) => -row.volume_24h_change_pct],
  ["Volume down", (row) => row.volume_24h_change_pct < 0, (row) => row.volume_24h_change_pct],
];

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const values = new FormData(form);
  address.set(Object.fromEntries(["from", "to", "top"].map((name) => [name, values.get(name).trim() || null])));
  show(state.page);
});

/** Ask for the movers of the address, and show them. */
export async function show(page) {
  state.page = page;
  state.request.abort();
  const { signal } = (state.request = new AbortController());
  for (const name of ["from", "to", "top"]) form.elements[name].value = address.get(name) ?? { from: "now-24h", to: "now", top: "200" }[name];
  section.ariaBusy = "true";
  about.textContent = "loading …";
  try {
    const answer = await ask("v1/movers", address.parameters(), signal);
    state.asked = { ...address.parameters(), from: answer.from.requested_at, to: answer.to.requested_at, known_at: answer.to.known_at };
    about.textContent = `From ${instant(answer.from)} to ${instant(answer.to)} UTC, the first ${answer.top}: ` +
      `${answer.stayed} stayed, ${answer.entered} entered, ${answer.left} left.`;
    lists.replaceChildren(...PARTS.map((part) => list(answer.data, ...part)));
  } catch (error) {
    if (error.name === "AbortError") return;
    state.asked = null;
    about.replaceChildren(error.message, ...ways(error.document ?? {}));
    lists.replaceChildren();
  }
  section.ariaBusy = "false";
  document.body.dataset.shown = "movers";
}

/** The instant that was asked for, and the time of its list where that is of another minute. */
function instant({ requested_at: asked, price_time: listed }) {
  const [wanted, is] = [asked, listed].map((text) => moment(new Date(text)));
  if (wanted.slice(0, 16) === is.slice(0, 16)) return is;
  return `${wanted} (list of ${wanted.slice(0, 10) === is.slice(0, 10) ? is.slice(11) : is})`;
}

/** What leads on from an instant before the archive. */
function ways({ nearest_before: before, first }) {
  if (before !== null || !first) return [];
  return [" ", button(`from the first snapshot, ${moment(new Date(first))} UTC`, () => {
    address.set({ from: first });
    show(state.page);
  })];
}

function list(rows, name, belongs, order) {
  const all = rows.filter(belongs).sort((a, b) => order(a) - order(b));
  const caption = `${name}: ${all.length}${all.length > MOST ? `, the first ${MOST}` : ""}`;
  const cells = all.slice(0, MOST).map((row) => [
    element("a", { href: `#${row.cmc_id}`, title: `${row.name ?? ""}, CoinMarketCap id ${row.cmc_id}` }, element("b", {}, row.symbol ?? `id ${row.cmc_id}`), ` ${row.name ?? ""}`),
    `${row.rank_from ?? NONE} → ${row.rank_to ?? NONE}`,
    element("span", { title: `${row.price_from_usd ?? NONE} to ${row.price_to_usd ?? NONE} USD` }, price(row.price_to_usd ?? row.price_from_usd)),
    percent(row.price_change_pct),
    name.startsWith("Volume") ? percent(row.volume_24h_change_pct) : short(row.volume_24h_to_usd ?? row.volume_24h_from_usd),
  ]);
  const heads = ["Coin", "#Rank", "#Price USD", "#Price change", name.startsWith("Volume") ? "#Volume change" : "#Volume 24h"];
  return element("div", { "data-part": name }, table(caption, heads, cells));
}

function percent(value) {
  const text = change(value === null ? null : value / 100);
  return element("span", { class: { "+": "up", "−": "down" }[text[0]] }, text);
}

function short(value) {
  return value === null ? NONE : volume(value);
}

/** What is shown, as a question to the API. */
export function question() {
  return state.asked && { paths: ["v1/movers"], values: state.asked, page: { view: "movers", ...state.asked } };
}
