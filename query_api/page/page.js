// The page: it asks the API for what its address names, and shows it.

import * as address from "./address.js";
import { follow } from "./api.js";
import * as archive from "./archive.js";
import * as chips from "./chips.js";
import * as columns from "./columns.js";
import * as connection from "./connection.js";
import * as controls from "./controls.js";
import { moment, rfc3339 } from "./format.js";
import * as instant from "./instant.js";
import { onKeys } from "./keys.js";
import * as list from "./list.js";
import * as search from "./search.js";
import * as sort from "./sort.js";
import * as topList from "./top_list.js";

const COLUMNS = `rank,cmc_id,symbol,name,price_usd,volume_24h_usd,source_rank,price_updated_at,${topList.MORE}`;
const STATUS_EVERY_MS = 60_000;
/** What the list can do without is loaded when it is wanted. */
const VIEWS = { movers: () => import("./movers.js"), gaps: () => import("./calendar.js"), status: () => import("./status.js") };
const limit = document.getElementById("limit");

const { now, first } = archive;
const state = { search: null };
let asset = null;

const showsList = () => address.view() === "list";

/** Show the view of the address; of the list, what `topList.load` gives. */
async function render() {
  state.search = location.search;
  const view = address.view();
  document.body.dataset.view = view;
  for (const section of document.querySelectorAll("[data-section]")) section.hidden = section.dataset.section !== view;
  for (const link of document.querySelectorAll("nav [data-view]")) link.ariaCurrent = link.dataset.view === view ? "page" : null;
  retitle();
  if (showsList()) return load();
  topList.stop();
  controls.show(instant.chosen(), first(), now());
  topList.showState();
  const [module] = await Promise.all([VIEWS[view](), first() ?? archive.read()]);
  return address.view() === view && module.show({ now, first: first(), go });
}

async function load() {
  const loaded = await topList.load();
  state.search = location.search; // words are an instant by now
  return loaded;
}

function retitle() {
  const at = instant.chosen();
  const view = showsList() ? null : address.view();
  const parts = [asset?.title(), view && view[0].toUpperCase() + view.slice(1), at && `${moment(at)} UTC`, "topcoins"];
  document.title = parts.filter(Boolean).join(" · ");
}

/** Show another instant: a Date, words, or null for live. */
function go(at, options) {
  const other = address.get("view") === null ? {} : { view: null, from: null, to: null, top: null };
  address.set({ ...other, datetime: at instanceof Date ? rfc3339(at) : at }, options);
  return render();
}

async function goToGap(way) {
  const at = (instant.chosen() ?? new Date(now())).getTime();
  const { find } = await import("./gap_search.js");
  const gap = await find(way, at, first(), now()).catch(() => null);
  if (gap) go(new Date(way > 0 ? gap.first : gap.last));
  else connection.announce(way > 0 ? "No later gap" : "No earlier gap");
}

async function play() {
  const begin = Math.max(controls.span(now())[0] * 1000, first() ?? 0);
  (await import("./play.js")).toggle({ at: instant.chosen(), begin, now, go });
}

/** What is shown, as a question to the API that gives it again. */
async function question(kind) {
  if (kind === "asset") return asset.question();
  if (!showsList()) return (await VIEWS[address.view()]()).question();
  const answer = topList.answer();
  if (!answer) return null;
  const values = { ...address.parameters(), limit: limit.value, datetime: answer.requested_at, known_at: answer.known_at };
  return { paths: ["v1/top"], values: { more: topList.MORE, ...values }, page: values, csv: { more: null, columns: COLUMNS } };
}

/** Open the asset of the address, or close it. */
async function openAsset(event, listed) {
  if (!asset && !location.hash) return;
  const module = await import("./asset.js");
  if (!asset) module.install({ known: list.asset, instant: () => instant.chosen() ?? new Date(now()), first, retitle });
  asset = module;
  await asset.open(event && !new URL(event.oldURL).hash, listed);
}

function lengthen(value) {
  if (![...limit.options].some((option) => option.value === value)) limit.add(new Option(value, value));
  limit.value = value;
}

lengthen(address.get("limit") ?? "200");
limit.addEventListener("change", () => {
  address.set({ limit: limit.value }, { instead: true });
  load();
});
addEventListener("popstate", () => {
  if (location.search === state.search) return; // another asset
  lengthen(address.get("limit") ?? "200");
  render();
});
for (const link of document.querySelectorAll("nav [data-view]")) {
  link.addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    history.pushState(null, "", address.ofView(link));
    render();
  });
}
search.onInput(
  () => ({ shown: topList.answer()?.count ?? 0, all: topList.answer()?.assets.matched ?? 0 }),
  () => {
    lengthen(String(Math.min(topList.answer().assets.matched, 5000)));
    address.set({ limit: limit.value }, { instead: true });
    load();
  },
);
topList.install({ go, retitle, shown: () => asset?.follow() });
chips.onChange(render);
sort.onChange(render);
columns.install();
for (const opener of document.querySelectorAll("[data-take]")) {
  opener.addEventListener("click", async () => (await import("./take.js")).open(await question(opener.dataset.take)));
}
const step = controls.onChoice(go, now);
for (const button of document.querySelectorAll("[data-gap]")) button.addEventListener("click", () => goToGap(Number(button.dataset.gap)));
document.getElementById("play").addEventListener("click", play);
onKeys({ step, live: () => go(null), search: () => document.getElementById("find").focus(), gap: goToGap, play });
addEventListener("hashchange", (event) => openAsset(event));

let soon;
follow(() => {
  // Prices and ranks of a tick come one after the other.
  clearTimeout(soon);
  soon = setTimeout(() => instant.isLive() && showsList() && load(), 400);
}, topList.setConnected);
setInterval(topList.showState, 1000);
setInterval(archive.read, STATUS_EVERY_MS);
const shown = render(); // the list is asked for first
archive.read();
await openAsset(null, shown);
await shown;
