// Why there is no list, what leads on from here, and when it is asked again.

import * as address from "./address.js";
import { ask } from "./api.js";
import { now } from "./archive.js";
import { button, element } from "./element.js";
import { moment } from "./format.js";

const AGAIN_S = 5;
const JUST_NOW_MS = 20_000;
const LATE_MS = 600_000;
const box = document.getElementById("problem");
const state = { timer: undefined, turn: 0 };

export function hide() {
  stop();
  box.hidden = true;
}

function stop() {
  clearInterval(state.timer);
  state.turn += 1;
}

/**
 * Show an error. `go` opens another instant; `again` asks once more, which happens by itself where that may help.
 * Gives the first instant after the gap, in milliseconds, or null.
 */
export async function show(error, { at, go, again }) {
  stop();
  const turn = state.turn;
  const details = error.document ?? { title: "This page failed", detail: String(error) };
  const gap = details.nearest_before !== undefined ? await gapAround(at) : null;
  if (turn !== state.turn) return null;
  const fills = isFilling(details);
  const said = reason(details, gap, fills);
  const before = box.querySelector("p");
  // What is there already is not put there again: a screen reader would say it each time.
  if (box.hidden || before?.textContent !== said.textContent) box.replaceChildren(said);
  else while (before.nextSibling) before.nextSibling.remove();
  box.append(...ways(details, gap, go));
  if (details.parameter) box.append(element("a", { href: address.without(details.parameter) }, `the list without ${details.parameter}`));
  if (!error.document || error.passes || fills) box.append(button("ask again", again));
  if (error.passes || fills) box.append(countdown(again));
  box.hidden = false;
  return gap?.after ?? (Date.parse(details.first) > at ? Date.parse(details.first) : null);
}

/** Whether the snapshots beside the instant are old and were stored just now: others of the past may follow. */
export function isFilling({ known_at: stored, first, nearest_before: before }) {
  const tick = Date.parse(before?.price_time ?? first);
  return address.get("known_at") === null && now() - Date.parse(stored) < JUST_NOW_MS && Date.parse(stored) - tick > LATE_MS;
}

function reason(details, gap, fills) {
  const text = sentence(details, gap, fills);
  const example = details.example && !text.includes(details.example) ? `; for example ${details.parameter}=${details.example}` : "";
  return element("p", {}, text, example);
}

function sentence(details, gap, fills) {
  if (fills) return `There is no list of ${moment(new Date(details.requested_at))} UTC yet: the history is being filled, the newest part first.`;
  if (gap) return `No snapshot from ${moment(new Date(gap.first))} to ${moment(new Date(gap.last))} UTC: ${gap.cause}${gap.why ? ` (${gap.why})` : ""}.`;
  return details.nearest_before !== undefined ? `${capital(details.detail)}.` : `${details.title}: ${details.detail}`;
}

function ways(details, gap, go) {
  const { nearest_before: pair, first } = details;
  const before = pair && [pair.price_time, pair.rank_time].sort().at(-1);
  const targets = [["the list before", before], ["the list after", gap?.after], ["the first list", before ? null : first], ["live", ""]];
  return targets.filter(([, to]) => to !== null && to !== undefined).map(([name, to]) =>
    button(to ? `${name}, ${moment(new Date(to))} UTC` : name, () => go(to ? new Date(to) : null)));
}

/** The gap around an instant, with its cause and the first instant after it. */
async function gapAround(at) {
  if (!at) return null;
  const day = 86_400_000;
  try {
    const span = { from: new Date(at.getTime() - 3 * day).toISOString(), to: new Date(Math.min(at.getTime() + 3 * day, Date.now())).toISOString() };
    const { series } = await ask("v1/gaps", span);
    const holds = (gap) => Date.parse(gap.first) <= at && at <= Date.parse(gap.last) + 60_000;
    const gaps = Object.values(series).map((each) => each.gaps.find(holds)).filter(Boolean);
    const gap = gaps.sort((a, b) => b.ticks - a.ticks)[0];
    if (!gap) return null;
    const last = Math.max(...gaps.map((each) => Date.parse(each.last)));
    const step = gap.ticks > 1 ? (Date.parse(gap.last) - Date.parse(gap.first)) / (gap.ticks - 1) : 60_000;
    return { ...gap, after: last + step <= Date.now() ? last + step : null };
  } catch {
    return null;
  }
}

/** Seconds until it is asked again. */
function countdown(again) {
  let seconds = AGAIN_S;
  const text = element("span", { class: "quiet", "aria-hidden": "true" }, `asked again in ${seconds} s`);
  state.timer = setInterval(() => {
    seconds -= 1;
    text.textContent = seconds > 0 ? `asked again in ${seconds} s` : "asking …";
    if (seconds <= 0) {
      clearInterval(state.timer);
      again();
    }
  }, 1000);
  return text;
}

function capital(text) {
  return text[0].toUpperCase() + text.slice(1);
}
