// The nearest gap before or after an instant.

import { ask } from "./api.js";

const WEEK = 7 * 86_400_000;
const MOST_WEEKS = 12;

/** The gaps of all series as one sorted list, each with its series' name. */
export function merged(answer) {
  const gaps = Object.entries(answer.series).flatMap(([series, { gaps }]) => gaps.map((gap) => ({ ...gap, series })));
  return gaps.sort((a, b) => Date.parse(a.first) - Date.parse(b.first));
}

/** The nearest gap that begins after (`way` 1) or ends before (-1) an instant, in milliseconds; null without one. */
export async function find(way, at, first, now) {
  for (let n = 0; n < MOST_WEEKS; n += 1) {
    const edge = at + way * n * WEEK;
    const [from, to] = way > 0 ? [edge, Math.min(edge + WEEK, now)] : [Math.max(edge - WEEK, first ?? 0), edge];
    if (from >= to) return null;
    const answer = await ask("v1/gaps", { from: new Date(from).toISOString(), to: new Date(to).toISOString() });
    const gaps = merged(answer).filter((gap) => (way > 0 ? Date.parse(gap.first) > at : Date.parse(gap.last) < at));
    if (gaps.length) return gaps.at(way > 0 ? 0 : -1);
  }
  return null;
}
