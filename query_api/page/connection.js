// Whether what is shown is live, in words: connected, reconnecting, or without new prices, and why.

import { ask } from "./api.js";
import { age } from "./format.js";

const STALE_AFTER = 3;
const line = document.getElementById("connection");
const news = document.getElementById("news");
const state = { kind: "", cause: "", asked: 0 };

/** Show the state of a live page; a past one has none. `answer` is the list shown; `connected` is null at first. */
export function show({ live, connected, answer, now, interval }) {
  document.body.dataset.live = connected ? "yes" : "no";
  const seconds = answer ? (now - Date.parse(answer.price_time)) / 1000 : 0;
  const kind = !live ? "past" : connected === null ? "new" : !connected ? "away" : seconds > STALE_AFTER * interval ? "stale" : "live";
  document.body.dataset.state = kind;
  if (kind === "stale" && now - state.asked > 60_000) findCause(now, interval);
  const words = {
    past: "The past",
    new: "Connecting …",
    live: "Live",
    away: `Reconnecting${answer ? `, last list ${answer.price_time.slice(11, 16)}` : ""}`,
    stale: `No new prices for ${age(seconds)}${state.cause ? `: ${state.cause}` : ""}`,
  }[kind];
  if (line.textContent !== words) line.textContent = words;
  if (kind === state.kind) return;
  const first = ["", "new"].includes(state.kind);
  state.kind = kind;
  if (!first && kind !== "past") announce(words);
}

/** Have a screen reader say it, once. */
export function announce(words) {
  if (news.textContent !== words) news.textContent = words;
}

/** The cause of the newest gap of the prices. */
async function findCause(now, interval) {
  state.asked = now;
  try {
    const { series } = await ask("v1/gaps", { from: `now-${Math.ceil(20 * interval)}s` });
    const gap = series.price.gaps.at(-1);
    state.cause = gap ? gap.cause + (gap.why ? ` (${gap.why})` : "") : "";
  } catch {
    state.cause = ""; // the list's own request shows what is wrong
  }
}
