// What is known of the archive: its clock, its pace, its first instant, its gaps, and what its operator has to say.

import { ask } from "./api.js";
import * as controls from "./controls.js";
import * as strip from "./gap_strip.js";
import * as instant from "./instant.js";

const notice = document.getElementById("notice");
const state = { ahead: 0, interval: 60, first: null };

/** The present by the API's clock, in milliseconds. */
export const now = () => Date.now() + state.ahead;
/** How often prices should come, in seconds. */
export const interval = () => state.interval;
/** The first instant with prices, in milliseconds; null until it is known. */
export const first = () => state.first;

/** The API says that it is this instant. */
export function setClock(text) {
  state.ahead = Date.parse(text) - Date.now();
}

/** Ask how the archive is, and show it around the list. */
export async function read() {
  try {
    const status = await ask("v1/status");
    const { price } = status.series;
    state.interval = price.interval_s ?? state.interval;
    state.first = price.first && Date.parse(price.first);
    setClock(status.now);
    notice.textContent = status.notice ?? "";
    notice.hidden = !status.notice;
    controls.show(instant.chosen(), state.first, now());
    const [from, to] = controls.span(now());
    if (from < to) strip.show(await ask("v1/gaps", { from, to }), from, to);
  } catch {
    // The request of the list shows what is wrong.
  }
}
