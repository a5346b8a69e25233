// The lines of the last day, for the rows in view alone.

import { ask } from "./api.js";
import { change } from "./format.js";
import * as list from "./list.js";
import { draw } from "./spark.js";

const SPAN = "24h";
const MOST_IDS = 500;
const SOON_MS = 60;
const FRAMES = 60;
const state = { to: null, signal: null, soon: undefined };

/** From now on the lines end at this instant, of the list's prices. Resolves when those in view are drawn. */
export function upTo(instant, signal) {
  Object.assign(state, { to: instant, signal });
  return load();
}

/** Draw the lines of rows that came into view. */
export function onView() {
  clearTimeout(state.soon);
  state.soon = setTimeout(() => state.to && load().catch(() => {}), SOON_MS); // the next list asks again
}

async function load() {
  const { to, signal } = state;
  // What is in view is known some frames after the rows are made: all of them by the frame that adds none.
  let count = -1;
  for (let n = 0; n < FRAMES && (!count || count !== list.inView().length); n += 1) {
    count = list.inView().length;
    await new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));
  }
  const inView = list.inView();
  const rows = inView.filter((row) => row.lineUpTo !== to).slice(0, MOST_IDS);
  if (rows.length && !signal.aborted) {
    const drawn = drawAll(rows, to, signal);
    for (const row of rows) Object.assign(row, { lineUpTo: to, drawn });
  }
  await Promise.all(inView.map((row) => row.drawn)); // another call may have asked for some of them
}

async function drawAll(rows, to, signal) {
  const ids = rows.map((row) => row.asset.cmc_id).sort((a, b) => a - b);
  try {
    show(await ask("v1/sparklines", { ids, to, span: SPAN }, signal), new Map(rows.map((row) => [row.asset.cmc_id, row])));
  } catch (error) {
    for (const row of rows) Object.assign(row, { lineUpTo: null, drawn: null });
    throw error;
  }
}

function show(answer, rows) {
  const at = answer.at.map((instant) => Date.parse(instant));
  for (const { cmc_id: id, prices } of answer.data) {
    const [first, last] = [prices[0], prices.at(-1)];
    const moved = first === null || last === null ? "" : `, ${change(last / first - 1)}`;
    const gaps = prices.filter((price) => price === null).length;
    draw(rows.get(id).line, at, prices, `price of the last 24 hours${moved}${gaps ? `, ${gaps} of ${prices.length} missing` : ""}`);
  }
}
