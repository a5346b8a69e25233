// The page: it asks the API for what its address names, and shows it.

import * as address from "./address.js";
import { ask, follow } from "./api.js";
import * as archive from "./archive.js";
import * as chips from "./chips.js";
import * as columns from "./columns.js";
import * as connection from "./connection.js";
import * as controls from "./controls.js";
import { moment, rfc3339 } from "./format.js";
import * as instant from "./instant.js";
import { onKeys } from "./keys.js";
import * as lines from "./lines.js";
import * as list from "./list.js";
import * as problem from "./problem.js";
import * as search from "./search.js";
import * as sort from "./sort.js";
import * as summary from "./summary.js";

const MORE = "market_cap_usd,change_1h_pct,change_24h_pct,change_7d_pct";
const COLUMNS = `rank,cmc_id,symbol,name,price_usd,volume_24h_usd,source_rank,price_updated_at,${MORE}`;
const FIRST_ROWS = 100;
const LONG = 500;
const STATUS_EVERY_MS = 60_000;
/** What the list can do without is loaded when it is wanted. */
const VIEWS = { movers: () => import("./movers.js"), gaps: () => import("./calendar.js"), status: () => import("./status.js") };
const main = document.getElementById("list");
const limit = document.getElementById("limit");

const { now, first } = archive;
const state = { answer: null, answered: null, connected: false, search: null, request: new AbortController() };
let asset = null;

/** The instant at which ages are measured. */
const shownAt = () => (instant.isLive() || !state.answer ? now() : Date.parse(state.answer.requested_at));
const showsList = () => address.view() === "list";

/** Show the view of the address. */
async function render() {
  state.search = location.search;
  const view = address.view();
  document.body.dataset.view = view;
  for (const section of document.querySelectorAll("[data-section]")) section.hidden = section.dataset.section !== view;
  for (const link of document.querySelectorAll("nav [data-view]")) link.ariaCurrent = link.dataset.view === view ? "page" : null;
  retitle();
  if (showsList()) return load();
  state.request.abort();
  problem.hide();
  controls.show(instant.chosen(), first(), now());
  showState();
  const [module] = await Promise.all([VIEWS[view](), first() ?? archive.read()]);
  return address.view() === view && module.show({ now, first: first(), go });
}

/** Ask for the list of the address and show it; a later call wins over one that still waits. */
async function load() {
  state.request.abort();
  const { signal } = (state.request = new AbortController());
  controls.show(instant.chosen(), first(), now());
  sort.show();
  if (!state.answer || location.search !== state.answered) {
    chips.show(null);
    busy();
  }
  const length = Number(limit.value);
  try {
    if (length > LONG && !list.hasAnswer()) await show(await asked(FIRST_ROWS, signal));
    const answer = await asked(length, signal);
    await show(answer);
    await lines.upTo(answer.price_time, signal);
    showState();
    asset?.follow();
    document.body.dataset.shown = answer.requested_at;
  } catch (error) {
    if (error.name !== "AbortError") await refuse(error);
  }
}

/** The list of the address. */
async function asked(length, signal) {
  const words = instant.unread();
  const answer = await ask("v1/top", { more: MORE, ...address.parameters(), limit: length }, signal);
  if (words !== null) instant.choose(new Date(answer.requested_at), { instead: true });
  if (instant.isLive()) archive.setClock(answer.requested_at);
  return answer;
}

async function show(answer) {
  const live = instant.isLive();
  const isNew = state.answer?.price_time !== answer.price_time;
  const moving = state.answer !== null && live;
  state.answer = answer;
  state.search = state.answered = location.search;
  problem.hide();
  document.body.classList.toggle("past", !live);
  controls.show(instant.chosen(), first(), now());
  chips.show(answer);
  main.ariaBusy = "false";
  const drawn = list.show(answer, moving);
  showState();
  retitle();
  await drawn;
  if (isNew) connection.announce(`List of ${moment(new Date(answer.price_time))} UTC, ${answer.count} assets`);
}

/** While another list is awaited, the rows that are still there do not pass for it. */
function busy() {
  main.ariaBusy = "true";
  const words = instant.chosen() ? `${moment(instant.chosen())} UTC` : instant.unread() ?? "the newest list";
  summary.say(`loading ${words} …`);
}

/** Why there is no list. Rows of a live page stay, dimmed, while the server is away. */
async function refuse(error) {
  const stays = error.passes && instant.isLive() && state.answer !== null;
  const { requested_at: at } = error.document ?? {};
  if (at && instant.unread() !== null) instant.choose(new Date(at), { instead: true });
  if (!stays) {
    state.answer = null;
    list.clear();
  }
  main.ariaBusy = String(stays);
  const text = stays ? `the list of ${moment(new Date(state.answer.price_time))} UTC; newer ones cannot be asked for now` : "no list";
  summary.say(text);
  connection.announce(text);
  await problem.show(error, { at: instant.chosen(), go, again: load });
  document.body.dataset.shown = "problem";
}

/** Shows which snapshots the list uses, how old they are, and whether the page is live. */
function showState() {
  const { answer } = state;
  const at = shownAt();
  const { connected } = state;
  const interval = archive.interval();
  connection.show({ live: instant.isLive(), connected, answer: showsList() ? answer : null, now: now(), interval });
  if (!answer || main.ariaBusy === "true") return;
  list.showAges(at, interval);
  summary.show(answer, at);
}

function retitle() {
  const at = instant.chosen();
  const view = showsList() ? null : address.view();
  const parts = [asset?.title(), view && view[0].toUpperCase() + view.slice(1), at && `${moment(at)} UTC`, "topcoins"];
  document.title = parts.filter(Boolean).join(" · ");
}

/** Show another instant: a Date, words, or null for live. */
function go(at, options) {
  const other = showsList() ? {} : { view: null, from: null, to: null, top: null };
  address.set({ ...other, datetime: at instanceof Date ? rfc3339(at) : at }, options);
  render();
}

async function goToGap(way) {
  const at = (instant.chosen() ?? new Date(now())).getTime();
  const { find } = await import("./gap_search.js");
  const gap = await find(way, at, first(), now()).catch(() => null);
  if (gap) go(new Date(way > 0 ? gap.first : gap.last));
  else connection.announce(way > 0 ? "No later gap" : "No earlier gap");
}

/** What is shown, as a question to the API that gives it again. */
async function question(kind) {
  if (kind === "asset") return asset.question();
  if (!showsList()) return (await VIEWS[address.view()]()).question();
  const { answer } = state;
  if (!answer) return null;
  const values = { ...address.parameters(), limit: limit.value, datetime: answer.requested_at, known_at: answer.known_at };
  return { path: "v1/top", values: { more: MORE, ...values }, page: values, csv: { more: null, columns: COLUMNS } };
}

/** Open the asset of the address, or close it. */
async function openAsset(event) {
  if (!asset && !location.hash) return;
  const module = await import("./asset.js");
  if (!asset) module.install({ known: list.asset, instant: () => instant.chosen() ?? new Date(now()), first, retitle });
  asset = module;
  await asset.open(event && !new URL(event.oldURL).hash);
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
list.onView(() => {
  lines.onView();
  if (state.answer && main.ariaBusy !== "true") list.showAges(shownAt(), archive.interval());
});
search.onInput(
  () => ({ shown: state.answer?.count ?? 0, all: state.answer?.assets.matched ?? 0 }),
  () => {
    lengthen(String(Math.min(state.answer.assets.matched, 5000)));
    address.set({ limit: limit.value }, { instead: true });
    load();
  },
);
chips.onChange(render);
sort.onChange(render);
columns.install();
for (const opener of document.querySelectorAll("[data-take]")) {
  opener.addEventListener("click", async () => (await import("./take.js")).open(await question(opener.dataset.take)));
}
const step = controls.onChoice(go, now);
for (const button of document.querySelectorAll("[data-gap]")) button.addEventListener("click", () => goToGap(Number(button.dataset.gap)));
onKeys({ step, live: () => go(null), search: () => document.getElementById("find").focus(), gap: goToGap });
addEventListener("hashchange", openAsset);

let soon;
follow(
  () => {
    // Prices and ranks of a tick come one after the other.
    clearTimeout(soon);
    soon = setTimeout(() => instant.isLive() && showsList() && load(), 400);
  },
  (connected) => {
    const back = connected && !state.connected;
    const stale = state.answer ? instant.isLive() : document.body.dataset.shown === "problem";
    state.connected = connected;
    showState();
    if (back && stale && showsList()) load();
  },
);
setInterval(showState, 1000);
setInterval(archive.read, STATUS_EVERY_MS);
const shown = render(); // the list is asked for first
archive.read();
await shown;
await openAsset();
