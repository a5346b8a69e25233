// An asset: its name and numbers, and its chart over a span, in a dialog; or several, compared. The address's fragment
// has the ids and the span: `#1/7d`, `#1,1027/30d`.

import * as address from "./address.js";
import { ask } from "./api.js";
import * as chart from "./chart.js";
import * as compare from "./compare.js";
import { button, element } from "./element.js";
import { moment, price, rfc3339, volume } from "./format.js";
import * as oneAsset from "./one_asset.js";
import * as others from "./others.js";

const SPANS = ["1h", "6h", "24h", "7d", "30d", "90d"];
const UNITS = { m: 60, h: 3600, d: 86400, w: 604800 };
const STEPS = [60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400, 172800, 604800];
const MOST_POINTS = 500;
const WEEK = 604800;
const LARGEST_ID = 10_000_000;
const dialog = document.getElementById("asset");
const name = document.getElementById("asset-name");
const about = document.getElementById("asset-note");
const statusLine = document.getElementById("chart-status");
const spans = document.getElementById("spans");

const shown = { ids: [], span: "24h", named: new Map(), asked: null, words: () => "", pushed: false, request: new AbortController(), page: null };

/** `known` gives the list's row of an asset, `instant` the page's instant, `first` the archive's begin. */
export function install(page) {
  shown.page = page;
  spans.append(...[...SPANS, "all"].map((span) => button(span, () => choose({ span }), { "data-span": seconds(span) ?? span })));
  document.getElementById("log").addEventListener("change", (event) => chart.setLog(event.target.checked));
  dialog.addEventListener("close", closed);
  document.getElementById("close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  chart.onRead((place) => (statusLine.textContent = shown.words(place)));
  chart.onZoom((from, to) => choose({ span: `${rfc3339(new Date(from * 1000))}..${rfc3339(new Date(to * 1000))}` }));
  others.onAdd((id) => choose({ ids: [...shown.ids, id] }));
}

/**
 * Open and close by the address; `pushed` says that the browser's history has the page without it just before.
 * The chart is asked for once the list is `listed`.
 */
export function open(pushed = false, listed = null) {
  shown.pushed ||= pushed && Boolean(location.hash);
  const { ids, span } = address.assets();
  if (!ids.length) return dialog.open && dialog.close();
  if (!dialog.open) dialog.showModal();
  if (shown.ids[0] !== ids[0]) reset();
  Object.assign(shown, { ids, span });
  if (!shown.asked) {
    name.textContent = ids.map(titleOf).join(", ");
    about.textContent = "loading …";
  }
  statusLine.textContent = "loading …";
  return load(listed);
}

function reset() {
  chart.clear();
  compare.hide();
  Object.assign(shown, { asked: null, words: () => "" });
  for (const line of [name, about, statusLine]) line.textContent = "";
}

/** The assets' tickers, for the title of the page. */
export function title() {
  return dialog.open ? shown.ids.map((id) => info(id)?.symbol).filter(Boolean).join(", ") : null;
}

/** Other assets or another span replace those in the address: Back leaves the dialog. */
function choose({ ids = shown.ids, span = shown.span }) {
  history.replaceState(null, "", `${location.pathname}${location.search}#${ids}/${span}`);
  open();
}

/** Back to the page as it was before; where the asset was opened by its address, without it. */
function closed() {
  shown.request.abort();
  shown.ids = [];
  reset();
  if (location.hash && shown.pushed) history.back();
  else if (location.hash) history.replaceState(null, "", location.pathname + location.search);
  shown.pushed = false;
  shown.page.retitle();
}

/** The page shows a newer list. */
export function follow() {
  if (dialog.open && !shown.span.includes("..")) return load();
}

/** A span such as `36h`, in seconds; undefined where it is none. */
function seconds(span) {
  const [, count, unit] = /^(\d{1,4})([mhdw])$/.exec(span) ?? [];
  return unit && Math.max(count * UNITS[unit], UNITS.h / 4);
}

/** From, to, and the distance of the points, in seconds. */
function range() {
  const to = Math.floor(shown.page.instant().getTime() / 1000);
  const [from, until] = shown.span.split("..").map((text) => Date.parse(text) / 1000);
  if (until > from) return [from, until, stepOf(until - from)];
  const first = Math.floor((shown.page.first() ?? (to - WEEK) * 1000) / 1000);
  const wide = shown.span === "all" ? Math.max(to - first, UNITS.h) : seconds(shown.span) ?? UNITS.d;
  const step = stepOf(wide);
  return [to - Math.ceil(wide / step) * step, to, step];
}

function stepOf(wide) {
  return STEPS.find((step) => wide / step <= MOST_POINTS) ?? STEPS.at(-1);
}

async function load(listed = null) {
  shown.request.abort();
  const { signal } = (shown.request = new AbortController());
  const { ids, span } = shown;
  delete dialog.dataset.shown;
  for (const one of spans.children) one.ariaPressed = String(one.textContent === span);
  try {
    await listed;
    await Promise.all(ids.map((id) => learn(id, signal)));
    signal.throwIfAborted();
    const unknown = ids.find((id) => !info(id));
    if (unknown) noSuchAsset(unknown);
    else await draw(ids, signal);
    dialog.dataset.shown = unknown ? `${unknown}/unknown` : `${ids}/${seconds(span) ?? span}`;
    shown.page.retitle();
  } catch (error) {
    if (error.name === "AbortError") return;
    if (!shown.asked) about.textContent = "";
    statusLine.textContent = error.message;
  }
}

/** What an asset is called: by the list that is shown, or else by a search over all the archive. */
const info = (id) => shown.page.known(id) ?? shown.named.get(id);

/** Ask for what `info` does not have. */
async function learn(id, signal) {
  if (info(id) || id > LARGEST_ID) return;
  const { data } = await ask("v1/assets", { q: id, limit: 8 }, signal);
  shown.named.set(id, data.find((each) => each.cmc_id === id));
}

async function draw(ids, signal) {
  const [from, to, step] = range();
  const values = { from: rfc3339(new Date(from * 1000)), to: rfc3339(new Date((to + 1) * 1000)), every: `${step}s`, fill: "null", limit: 5000 };
  const [gaps, ...pasts] = await Promise.all([
    to - from <= WEEK ? ask("v1/gaps", { from: values.from, to: rfc3339(new Date(to * 1000)) }, signal) : null,
    ...ids.map((id) => ask(`v1/assets/${id}/history`, values, signal)),
  ]);
  await chart.ready;
  signal.throwIfAborted();
  const known_at = pasts.map((past) => past.known_at).sort().at(-1);
  shown.asked = { ids, values: { ...values, known_at } };
  const begin = (shown.page.first() ?? 0) / 1000;
  const span = { from, to, first: begin > from + step ? begin : null };
  dialog.dataset.kind = ids.length > 1 ? "several" : "one";
  others.show(ids);
  head(ids, pasts);
  if (ids.length > 1) shown.words = compare.show(pasts, ids.map(called), gaps, span, (n) => choose({ ids: ids.toSpliced(n, 1) }));
  else {
    compare.hide();
    shown.words = oneAsset.show(pasts[0], gaps, { ...span, gone: goneAt(pasts[0]) });
  }
  statusLine.textContent = shown.words(null);
}

/** A title for an asset, of what is known so far. */
function titleOf(id) {
  const { symbol, name: full } = info(id) ?? {};
  return [symbol, full].filter(Boolean).join(" ") || `CoinMarketCap id ${id}`;
}

/** An asset's name in a comparison. */
function called(id) {
  const { symbol, name: full } = info(id);
  return { id, symbol: symbol ?? `id ${id}`, name: full };
}

function noSuchAsset(id) {
  reset();
  dialog.dataset.kind = "none";
  name.textContent = `CoinMarketCap id ${id}`;
  const why = id > LARGEST_ID ? `${id} is no id: an id is at most 10,000,000. ` : "";
  about.replaceChildren(`${why}This archive has never had an asset with this id. The search takes a ticker, a name or an id, of now or earlier. `, button("Search for another", () => {
    dialog.close();
    document.getElementById("find").focus();
  }));
}

function head(ids, pasts) {
  if (ids.length > 1) {
    name.textContent = ids.map((id) => called(id).symbol).join(", ");
    about.textContent = "";
    return;
  }
  const [[id], [past]] = [ids, pasts];
  const row = shown.page.known(id);
  const newest = past.names.at(-1) ?? info(id);
  name.textContent = `${newest.symbol ?? ""} ${newest.name ?? ""}`.trim() || `CoinMarketCap id ${id}`;
  if (row) {
    about.textContent = `Rank ${row.rank} by volume · ${price(row.price_usd)} USD · ${volume(row.volume_24h_usd)} USD in 24 h · CoinMarketCap id ${id}`;
    return;
  }
  const last = past.data.findLast((point) => point.price_usd !== null);
  const rank = last ? `, with rank ${last.source_rank} of its source` : "";
  const seen = last?.price_time ?? info(id).last;
  about.textContent = `Not in the list that is shown; last listed ${moment(new Date(seen))} UTC${rank} · CoinMarketCap id ${id}`;
  if (!last) about.append(" ", element("a", { href: `?datetime=${encodeURIComponent(seen)}#${id}` }, "show it then"));
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
  const { ids, values } = shown.asked;
  const paths = ids.map((id) => `v1/assets/${id}/history`);
  return { paths, values, page: { datetime: rfc3339(shown.page.instant()) }, fragment: `#${ids}/${shown.span}` };
}
