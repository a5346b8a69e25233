// The list of the address: asks for it, and shows it, or why there is none.

import * as address from "./address.js";
import { ask, Problem } from "./api.js";
import * as archive from "./archive.js";
import * as chips from "./chips.js";
import * as connection from "./connection.js";
import * as controls from "./controls.js";
import { moment } from "./format.js";
import * as instant from "./instant.js";
import * as lines from "./lines.js";
import * as list from "./list.js";
import * as problem from "./problem.js";
import * as sort from "./sort.js";
import * as summary from "./summary.js";

export const MORE = "market_cap_usd,change_1h_pct,change_24h_pct,change_7d_pct";
const FIRST_ROWS = 100;
const LONG = 500;
const main = document.getElementById("list");
const limit = document.getElementById("limit");
const { now, first } = archive;
const state = { answer: null, answered: null, connected: null, request: new AbortController(), page: null };

/** `page` has `go` for another instant, `retitle`, and `shown`, which is called when a list is whole. */
export function install(page) {
  state.page = page;
  list.onView(() => {
    lines.onView();
    if (state.answer && main.ariaBusy !== "true") list.showAges(shownAt(), archive.interval());
  });
}

/** The answer that is shown, or null. */
export const answer = () => state.answer;
const isPlaying = () => document.body.dataset.playing === "yes";
/** The instant at which ages are measured. */
const shownAt = () => (instant.isLive() || !state.answer ? now() : Date.parse(state.answer.requested_at));
const showsList = () => address.view() === "list";

export function stop() {
  state.request.abort();
  problem.hide();
}

/**
 * Ask for the list of the address and show it; a later call wins over one that still waits.
 * Resolves with whether it is `shown`, and the instant `after` the gap that it is in, in milliseconds, or null.
 */
export async function load() {
  state.request.abort();
  const { signal } = (state.request = new AbortController());
  controls.show(instant.chosen(), first(), now());
  sort.show();
  if (!state.answer || location.search !== state.answered) busy();
  const length = Number(limit.value);
  try {
    if (length > LONG && !list.hasAnswer()) await show(await asked(FIRST_ROWS, signal));
    const answered = await asked(length, signal);
    const { all } = await show(answered);
    await Promise.all([all, lines.upTo(answered.price_time, signal)]);
    showState();
    state.page.shown();
    document.body.dataset.shown = answered.requested_at;
    return { shown: true, after: null };
  } catch (error) {
    return { shown: false, after: error.name === "AbortError" ? null : await refuse(error) };
  }
}

/** The list of the address. */
async function asked(length, signal) {
  refuseView();
  const words = instant.unread();
  const answered = await ask("v1/top", { more: MORE, ...address.parameters(), limit: length }, signal);
  if (words !== null) instant.choose(new Date(answered.requested_at), { instead: true });
  if (instant.isLive()) archive.setClock(answered.requested_at);
  return answered;
}

/** The page has no view of this name: a list in its place would pass for it. */
function refuseView() {
  const view = address.unknownView();
  if (view === null) return;
  const detail = `view=${view}: is no view; the views are list, movers, gaps and status`;
  throw new Problem({ title: "Bad parameter", status: 422, detail, parameter: "view", example: "movers" });
}

/** Show an answer; resolves when the rows in view are made, with a promise of `all`. */
async function show(answered) {
  const live = instant.isLive();
  const isNew = state.answer?.price_time !== answered.price_time;
  const moving = state.answer !== null && (live || isPlaying());
  Object.assign(state, { answer: answered, answered: location.search });
  problem.hide();
  document.body.classList.toggle("past", !live);
  controls.show(instant.chosen(), first(), now());
  chips.show(answered);
  main.ariaBusy = "false";
  const drawn = list.show(answered, moving);
  showState();
  state.page.retitle();
  await drawn.inView;
  if (isNew && !isPlaying()) connection.announce(`List of ${moment(new Date(answered.price_time))} UTC, ${answered.count} assets`);
  return drawn;
}

/** While another list is awaited, the rows that are still there do not pass for it. */
function busy() {
  main.ariaBusy = "true";
  if (isPlaying()) return; // a list a second: the words would flicker
  chips.show(null);
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
  const after = await problem.show(error, { at: instant.chosen(), go: state.page.go, again: load });
  document.body.dataset.shown = "problem";
  return after;
}

/** Shows which snapshots the list uses, how old they are, and whether the page is live. */
export function showState() {
  const answered = showsList() ? state.answer : null;
  const interval = archive.interval();
  connection.show({ live: instant.isLive(), connected: state.connected, answer: answered, now: now(), interval });
  if (!state.answer || main.ariaBusy === "true") return;
  list.showAges(shownAt(), interval);
  summary.show(state.answer, shownAt());
}

/** The stream is there, or not. After an outage a live list, or one that failed, is asked for again; not at first. */
export function setConnected(connected) {
  const back = connected && state.connected === false;
  const stale = state.answer ? instant.isLive() : document.body.dataset.shown === "problem";
  state.connected = connected;
  showState();
  if (back && stale && showsList()) load();
}
