// The page: it requests what its address names from the API, and shows it.

import { ask, follow } from "./api.js";
import * as chart from "./chart.js";
import { age, moment, rfc3339 } from "./format.js";
import * as list from "./list.js";
import * as time from "./time.js";

const DAY = "24h";
const MOST_IDS = 500;
const STATUS_EVERY_MS = 60_000;
const statusLine = document.getElementById("status");
const problem = document.getElementById("problem");
const notice = document.getElementById("notice");
const find = document.getElementById("find");
const limit = document.getElementById("limit");

const state = { ahead: 0, interval: 60, first: null, answer: null, connected: false, request: new AbortController() };

/** The present by the API's clock. */
const now = () => Date.now() + state.ahead;
/** The instant at which ages are measured. */
const shownAt = () => (time.chosen() === null ? now() : Date.parse(state.answer.requested_at));

/** Ask for the list of the address and show it; a later call wins over one that still waits. */
async function load() {
  state.request.abort();
  const { signal } = (state.request = new AbortController());
  try {
    await settle(signal);
    const at = time.chosen();
    time.show(at, state.first, now());
    document.body.classList.toggle("past", at !== null);
    const answer = await ask("v1/top", { ...listParameters(), limit: limit.value, datetime: at && rfc3339(at) }, signal);
    if (at === null) state.ahead = Date.parse(answer.requested_at) - Date.now();
    const follows = state.answer !== null && at === null;
    state.answer = answer;
    problem.hidden = true;
    list.show(answer, follows);
    list.filter(find.value);
    showStatus();
    await lines(answer, signal);
  } catch (error) {
    if (error.name === "AbortError") return;
    refuse(error);
  }
}

/** What the address asks for beside instant and length, such as a filter: the API's own parameters. */
function listParameters() {
  return { ...Object.fromEntries(new URLSearchParams(location.search)), format: null };
}

/** Turn an instant only the API can read into the one it means, which stays that one. */
async function settle(signal) {
  const text = time.unread();
  if (text === null) return;
  const { requested_at: at } = await ask("v1/top", { ...listParameters(), limit: 1, datetime: text }, signal);
  time.choose(new Date(at), { instead: true });
}

/** The prices of the last day, by the snapshot the list stands on. */
async function lines(answer, signal) {
  const ids = list.ids();
  for (let n = 0; n < ids.length; n += MOST_IDS) {
    const some = ids.slice(n, n + MOST_IDS).join(",");
    list.showLines(await ask("v1/sparklines", { ids: some, to: answer.price_time, span: DAY }, signal));
  }
  document.body.dataset.shown = answer.requested_at;
}

/** Shows why there is no list, and buttons to the nearest ones. */
function refuse(error) {
  const details = error.document ?? { title: "This page failed", detail: String(error) };
  state.answer = null;
  list.clear();
  statusLine.textContent = "no list";
  const reason = document.createElement("p");
  reason.textContent = `${details.title}: ${details.detail}`;
  const before = details.nearest_before && [details.nearest_before.price_time, details.nearest_before.rank_time].sort().at(-1);
  const ways = [["the nearest list before", before], ["the first list", details.first], ["live", ""]];
  problem.replaceChildren(reason, ...ways.filter(([, to]) => to !== null && to !== undefined).map(([name, to]) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = to ? `${name}, ${moment(new Date(to))} UTC` : name;
    button.addEventListener("click", () => go(to ? new Date(to) : null));
    return button;
  }));
  problem.hidden = false;
  document.body.dataset.shown = "problem";
}

/** Shows which snapshots the list uses, and how old they are. */
function showStatus() {
  const { answer } = state;
  if (!answer) return;
  const at = shownAt();
  list.showAges(at, state.interval);
  const since = (instant) => age((at - Date.parse(instant)) / 1000);
  const hourly = answer.resolution === "1h" ? "; hourly" : "";
  statusLine.textContent =
    `${answer.count} of ${answer.assets.matched} assets, prices of ${moment(new Date(answer.price_time))} (${since(answer.price_time)} old)` +
    `, volumes of ${moment(new Date(answer.rank_time))} (${since(answer.rank_time)} old) UTC${hourly}`;
  document.getElementById("sources").textContent = `Prices: ${answer.sources.price}. Volumes: ${answer.sources.rank}.`;
  document.body.dataset.live = state.connected ? "yes" : "no";
}

/** How the archive stands: its first instant, its pace, its gaps, and what its operator has to say. */
async function status() {
  try {
    const found = await ask("v1/status");
    const { price } = found.series;
    state.interval = price.interval_s ?? state.interval;
    state.first = price.first && Date.parse(price.first);
    state.ahead = Date.parse(found.now) - Date.now();
    notice.textContent = found.notice ?? "";
    notice.hidden = !found.notice;
    time.show(time.chosen(), state.first, now());
    const [from, to] = time.span();
    if (from < to) time.showGaps(await ask("v1/gaps", { from, to }));
  } catch {
    // The request of the list shows what is wrong.
  }
}

/** Show another instant; null is live. */
function go(date) {
  time.choose(date);
  load();
}

function links() {
  for (const format of ["csv", "json"]) {
    const query = new URLSearchParams(location.search);
    query.set("format", format);
    query.set("limit", limit.value);
    document.getElementById(format).href = `?${query}`;
  }
}

const length = listParameters().limit;
if (length && ![...limit.options].some((option) => option.value === length)) limit.add(new Option(length, length));
limit.value = length ?? "200";
limit.addEventListener("change", () => {
  const url = new URL(location.href);
  url.searchParams.set("limit", limit.value);
  history.replaceState(null, "", url);
  load();
});
find.addEventListener("input", () => list.filter(find.value));
addEventListener("popstate", load);
document.querySelector("footer").addEventListener("pointerenter", links);
document.querySelector("footer").addEventListener("focusin", links);
time.onChoice(go, now);
const openAsset = chart.onAddress(list.asset, () => time.chosen() ?? new Date(now()));

let soon;
follow(
  () => {
    // Prices and ranks of a tick come one after the other.
    clearTimeout(soon);
    soon = setTimeout(() => time.chosen() === null && load(), 400);
  },
  (connected) => {
    const back = connected && state.answer && !state.connected;
    state.connected = connected;
    showStatus();
    if (back && time.chosen() === null) load();
  },
);
setInterval(showStatus, 1000);
setInterval(status, STATUS_EVERY_MS);
await status();
await load();
await openAsset();
