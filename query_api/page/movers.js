// What moved between two instants: the view of /v1/movers.

import * as address from "./address.js";
import { ask } from "./api.js";
import { element, table } from "./element.js";
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
  ["Climbed", (row) => row.rank_change > 0, (row) => -row.rank_change],
  ["Fell", (row) => row.rank_change < 0, (row) => row.rank_change],
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
    about.textContent = `From ${moment(new Date(answer.from.price_time))} to ${moment(new Date(answer.to.price_time))} UTC, the first ${answer.top}: ` +
      `${answer.stayed} stayed, ${answer.entered} entered, ${answer.left} left.`;
    lists.replaceChildren(...PARTS.map((part) => list(answer.data, ...part)));
  } catch (error) {
    if (error.name === "AbortError") return;
    state.asked = null;
    about.textContent = error.message;
    lists.replaceChildren();
  }
  section.ariaBusy = "false";
  document.body.dataset.shown = "movers";
}

function list(rows, name, belongs, order) {
  const all = rows.filter(belongs).sort((a, b) => order(a) - order(b));
  const caption = `${name}: ${all.length}${all.length > MOST ? `, the first ${MOST}` : ""}`;
  const cells = all.slice(0, MOST).map((row) => [
    element("a", { href: `#${row.cmc_id}` }, element("b", {}, row.symbol ?? `id ${row.cmc_id}`), ` ${row.name ?? ""}`),
    `${row.rank_from ?? NONE} → ${row.rank_to ?? NONE}`,
    element("span", { title: `${row.price_from_usd ?? NONE} to ${row.price_to_usd ?? NONE} USD` }, price(row.price_to_usd ?? row.price_from_usd)),
    percent(row.price_change_pct),
    name.startsWith("Volume") ? percent(row.volume_24h_change_pct) : short(row.volume_24h_to_usd ?? row.volume_24h_from_usd),
  ]);
  const heads = ["Coin", "#Rank", "#Price USD", "#Change", name.startsWith("Volume") ? "#Volume change" : "#Volume 24h"];
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
