// The list: a row for each asset, reused from answer to answer so that focus and place stay.

import { element } from "./element.js";
import { make, fill, showAge } from "./row.js";

const ALL = 500;
/** A longer list has rows only around what is in view. */
const AROUND = 30;
const BUDGET_MS = 4;
/** So long rows are made before the next frame; to lay them out and to paint them takes twice as long. */
const LEAST = 5;
/** Rows that are made at once even by a browser that is busy. */
const MARGIN = 300;
/** So many pixels beside what is seen count as in view. */
const body = document.getElementById("rows");
const rows = new Map();
const spacers = [element("tr", { class: "spacer", "aria-hidden": "true" }), element("tr", { class: "spacer", "aria-hidden": "true" })];
const shown = { answer: null, assets: [], moving: false, wanted: "", first: 0, last: 0, turn: 0, seen: new Set(), onView: () => {}, made: () => {} };

/** Rows come into view and go out of it: only these have their age counted, and their line asked for. */
const watcher = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    const id = Number(entry.target.dataset.id);
    if (entry.isIntersecting) shown.seen.add(id);
    else shown.seen.delete(id);
  }
  shown.onView();
}, { rootMargin: `${MARGIN}px 0px` });

/** Call `react` when other rows are in view. */
export function onView(react) {
  shown.onView = react;
  let soon;
  addEventListener("scroll", () => {
    soon ??= requestAnimationFrame(() => {
      soon = undefined;
      if (shown.assets.length > ALL) render();
    });
  }, { passive: true });
}

/**
 * Show an answer of /v1/top. Prices that moved since the one before are marked when `moving`. Gives two promises: the
 * rows `inView` are made, and `all` are.
 */
export function show(answer, moving) {
  let made;
  const inView = new Promise((resolve) => (made = resolve));
  Object.assign(shown, { answer, moving, made });
  const all = filter(shown.wanted).finally(made);
  return { inView, all };
}

/** Show only assets whose symbol or name has the text; how many there are. */
export async function filter(text) {
  shown.wanted = text.trim().toLowerCase();
  const matches = (asset) => `${asset.symbol} ${asset.name}`.toLowerCase().includes(shown.wanted);
  shown.assets = shown.answer.data.filter((asset) => !shown.wanted || matches(asset));
  await render(true);
  return shown.assets.length;
}

/** Make the rows of the part that is in view, or all; in pieces, so that the page answers in between. */
async function render(changed = false) {
  const [first, last] = part();
  if (!changed && first === shown.first && last === shown.last) return; // what is being made goes on
  const turn = (shown.turn += 1);
  [shown.first, shown.last] = [first, last];
  const height = body.querySelector("tr:not(.spacer)")?.offsetHeight ?? 31;
  const listed = shown.assets.slice(first, last);
  const ids = new Set(listed.map((asset) => asset.cmc_id));
  for (const [id, row] of rows) if (!ids.has(id)) remove(id, row);
  space(0, first * height);
  space(1, (shown.assets.length - last) * height);
  let place = spacers[0].isConnected ? spacers[0] : null;
  const seen = Math.ceil((innerHeight + MARGIN) / height);
  let [begun, until] = [0, performance.now() + BUDGET_MS];
  for (const [n, asset] of listed.entries()) {
    if (n === seen) shown.made();
    if (n >= begun + LEAST && performance.now() > until) {
      await nextFrame();
      if (turn !== shown.turn) return;
      [begun, until] = [n, performance.now() + BUDGET_MS];
    }
    const row = rowOf(asset.cmc_id);
    fill(row, asset, shown.answer, shown.moving);
    const next = place ? place.nextSibling : body.firstChild;
    if (next !== row.tr) body.insertBefore(row.tr, next);
    place = row.tr;
  }
}

/** The first row to make, and the one after the last. */
function part() {
  const count = shown.assets.length;
  if (count <= ALL) return [0, count];
  const height = body.querySelector("tr:not(.spacer)")?.offsetHeight ?? 31;
  const above = Math.floor(Math.max(-body.getBoundingClientRect().top, 0) / height);
  const first = Math.max(Math.floor((above - AROUND) / AROUND) * AROUND, 0);
  return [first, Math.min(Math.ceil((above + innerHeight / height + AROUND) / AROUND) * AROUND, count)];
}

function rowOf(id) {
  if (!rows.has(id)) {
    rows.set(id, make(id));
    watcher.observe(rows.get(id).tr);
  }
  return rows.get(id);
}

function remove(id, row) {
  watcher.unobserve(row.tr);
  shown.seen.delete(id);
  row.tr.remove();
  rows.delete(id);
}

/** Stand for rows that are not made, above or below. */
function space(n, height) {
  spacers[n].style.height = `${height}px`;
  if (!height) spacers[n].remove();
  else body[n ? "append" : "prepend"](spacers[n]);
}

/** After the next frame is painted; a page that is not seen has none. */
function nextFrame() {
  return new Promise((resolve) => (document.hidden ? setTimeout(resolve) : requestAnimationFrame(() => setTimeout(resolve))));
}

/** Show no list at all. */
export function clear() {
  shown.turn += 1;
  for (const [id, row] of rows) remove(id, row);
  Object.assign(shown, { answer: null, assets: [], first: 0, last: 0 });
  for (const spacer of spacers) spacer.remove();
}

/** The rows in view. */
export function inView() {
  return [...shown.seen].map((id) => rows.get(id)).filter((row) => row?.asset);
}

export function hasAnswer() {
  return shown.answer !== null;
}

export function asset(id) {
  return shown.answer?.data.find((each) => each.cmc_id === id);
}

/** Count the ages of the rows in view at an instant. */
export function showAges(now, interval) {
  for (const row of inView()) showAge(row, now, interval);
}
