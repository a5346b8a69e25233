// An asset: its name and numbers, and its chart over a span, in a dialog. The address's fragment names both: `#1/7d`.

import { ask, Problem } from "./api.js";
import * as chart from "./chart.js";
import { button, element } from "./element.js";
import { moment, price, rfc3339, volume } from "./format.js";

const SPANS = { "1h": 3600, "6h": 21600, "24h": 86400, "7d": 604800, "30d": 2592000, "90d": 7776000 };
const STEPS = [60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400, 172800, 604800];
const MOST_POINTS = 500;
const WEEK = 604800;
const dialog = document.getElementById("asset");
const name = document.getElementById("asset-name");
const about = document.getElementById("asset-note");
const statusLine = document.getElementById("chart-status");
const spans = document.getElementById("spans");

const shown = { id: null, span: "24h", named: null, asked: null, pushed: false, request: new AbortController(), page: null };

/** `known` gives the list's row of an asset, `instant` the page's instant, `first` the archive's begin. */
export function install(page) {
  shown.page = page;
  spans.append(...[...Object.keys(SPANS), "all"].map((span) => button(span, () => choose(span), { "data-span": SPANS[span] ?? span })));
  document.getElementById("log").addEventListener("change", (event) => chart.setLog(event.target.checked));
  dialog.addEventListener("close", closed);
  document.getElementById("close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  chart.onRead((text) => (statusLine.textContent = text));
  chart.onZoom((from, to) => choose(`${rfc3339(new Date(from * 1000))}..${rfc3339(new Date(to * 1000))}`));
}

/** Open and close by the address; `pushed` says that the browser's history has the page without it just before. */
export function open(pushed = false) {
  shown.pushed ||= pushed && Boolean(location.hash);
  const [id, span] = location.hash.slice(1).split("/");
  if (!(Number(id) > 0)) return dialog.open && dialog.close();
  if (!dialog.open) dialog.showModal();
  if (shown.id !== Number(id)) reset();
  shown.id = Number(id);
  shown.span = span ? decodeURIComponent(span) : "24h";
  return load();
}

function reset() {
  chart.clear();
  shown.named = shown.asked = null;
  for (const line of [name, about, statusLine]) line.textContent = "";
}

/** The asset's ticker, for the title of the page. */
export function title() {
  return dialog.open ? name.textContent.split(" ")[0] : null;
}

/** Another span replaces the one in the address: Back leaves the asset. */
function choose(span) {
  history.replaceState(null, "", `${location.pathname}${location.search}#${shown.id}/${span}`);
  open();
}

/** Back to the page as it was before; where the asset was opened by its address, without it. */
function closed() {
  shown.request.abort();
  shown.id = null;
  chart.clear();
  if (location.hash && shown.pushed) history.back();
  else if (location.hash) history.replaceState(null, "", location.pathname + location.search);
  shown.pushed = false;
  shown.page.retitle();
}

/** The page shows a newer list. */
export function follow() {
  if (dialog.open && !shown.span.includes("..")) return load();
}

/** From, to, and the distance of the points, in seconds. */
function range() {
  const to = Math.floor(shown.page.instant().getTime() / 1000);
  const [from, until] = shown.span.split("..").map((text) => Date.parse(text) / 1000);
  if (until) return [from, until, stepOf(until - from)];
  const first = Math.floor((shown.page.first() ?? (to - WEEK) * 1000) / 1000);
  const wide = shown.span === "all" ? Math.max(to - first, 3600) : SPANS[shown.span] ?? SPANS["24h"];
  const step = stepOf(wide);
  return [to - Math.ceil(wide / step) * step, to, step];
}

function stepOf(wide) {
  return STEPS.find((step) => wide / step <= MOST_POINTS) ?? STEPS.at(-1);
}

async function load() {
  shown.request.abort();
  const { signal } = (shown.request = new AbortController());
  const { id, span } = shown;
  delete dialog.dataset.shown;
  for (const one of spans.children) one.ariaPressed = String(one.textContent === span);
  const [from, to, step] = range();
  const values = { from: rfc3339(new Date(from * 1000)), to: rfc3339(new Date((to + 1) * 1000)), every: `${step}s`, fill: "null", limit: 5000 };
  try {
    const [past, gaps, named] = await Promise.all([
      ask(`v1/assets/${id}/history`, values, signal),
      to - from <= WEEK ? ask("v1/gaps", { from: values.from, to: rfc3339(new Date(to * 1000)) }, signal) : null,
      shown.named ?? find(id, signal),
    ]);
    Object.assign(shown, { named, asked: { id, values: { ...values, known_at: past.known_at } } });
    if (!named) return unknown(id);
    head(id, named, past);
    const begin = (shown.page.first() ?? 0) / 1000;
    const first = begin > from + step ? begin : null;
    statusLine.textContent = chart.show(past, gaps, { from, to, first, gone: goneAt(past) });
    dialog.dataset.shown = `${id}/${SPANS[span] ?? span}`;
    shown.page.retitle();
  } catch (error) {
    if (error.name === "AbortError") return;
    name.textContent ||= `CoinMarketCap id ${id}`;
    statusLine.textContent = error instanceof Problem ? error.message : String(error);
  }
}

/** What is known of an id in all the archive, or null. */
async function find(id, signal) {
  const { data } = await ask("v1/assets", { q: id, limit: 8 }, signal);
  return data.find((each) => each.cmc_id === id) ?? null;
}

function unknown(id) {
  name.textContent = `CoinMarketCap id ${id}`;
  about.replaceChildren("This archive has never had an asset with this id. ", button("Search for another", () => {
    dialog.close();
    document.getElementById("find").focus();
  }));
  chart.clear();
  dialog.dataset.shown = `${id}/unknown`;
}

function head(id, named, past) {
  const row = shown.page.known(id);
  const newest = past.names.at(-1) ?? named;
  name.textContent = `${newest.symbol ?? ""} ${newest.name ?? ""}`.trim() || `CoinMarketCap id ${id}`;
  if (row) {
    about.textContent = `Rank ${row.rank} by volume · ${price(row.price_usd)} USD · ${volume(row.volume_24h_usd)} USD in 24 h · CoinMarketCap id ${id}`;
    return;
  }
  const last = past.data.findLast((point) => point.price_usd !== null);
  const rank = last ? `, with rank ${last.source_rank} of its source` : "";
  about.textContent = `Not in the list that is shown; last listed ${moment(new Date(last?.price_time ?? named.last))} UTC${rank} · CoinMarketCap id ${id}`;
  if (!last) about.append(" ", element("a", { href: `?datetime=${encodeURIComponent(named.last)}#${id}` }, "show it then"));
}

/** Where an asset left the list within the span: the first step with a snapshot and without it, in seconds. */
function goneAt(past) {
  const last = past.data.findLastIndex((point) => point.price_usd !== null);
  const gone = last < 0 ? undefined : past.data.slice(last + 1).find((point) => point.price_time !== null);
  return gone ? Date.parse(gone.price_time) / 1000 : null;
}

/** What is shown, as a question to the API. */
export function question() {
  if (!shown.asked) return null;
  const { id, values } = shown.asked;
  return { path: `v1/assets/${id}/history`, values, page: { datetime: rfc3339(shown.page.instant()) }, fragment: `#${id}/${shown.span}` };
}

