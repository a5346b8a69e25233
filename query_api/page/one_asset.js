// The chart of one asset: price, volume and rank.

import * as chart from "./chart.js";
import { change, moment, price, volume } from "./format.js";
import * as holes from "./holes.js";

const EACH_RANK = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000];

/** Show a history, and the gaps of its span; gives the words for a place of the chart, and for all of it (null). */
export function show(past, answeredGaps, span) {
  const gaps = holes.spans(answeredGaps, past.data, span.first);
  const rows = past.data.map((point) => [Date.parse(point.at) / 1000, point.price_usd, point.volume_24h_usd, point.source_rank, sources(point)]);
  const data = holes.columns(rows, gaps);
  const text = summary(data, span);
  chart.show({ at: data[0], panes: panes(data) }, gaps, span, `Price, volume and rank, ${text}`);
  return (n) => (n === null ? [text, ...chart.notes(gaps, span)].join(" ") : values(data, n));
}

function panes([, prices, volumes, ranks]) {
  return [
    { label: "Price USD", height: 220, axis: chart.DOLLARS, logs: true, lines: [{ values: prices, stroke: "--accent" }] },
    {
      label: "Volume 24h", height: 90, axis: { values: (_, marks) => marks.map(volume) }, scale: { range: (_, __, high) => [0, high || 1] },
      lines: [{ values: volumes, stroke: "--quiet", fill: "--line" }],
    },
    {
      label: "Rank", height: 110, axis: { incrs: EACH_RANK },
      scale: { dir: -1, range: (_, low, high) => [Math.max((low ?? 1) - 1, 0), (high ?? 1) + 1] }, // rank 1 is on top
      lines: [{ values: ranks, stroke: "--late" }],
    },
  ];
}

function sources({ price_source: prices, rank_source: ranks }) {
  return prices === ranks ? prices : `${prices} and ${ranks}`;
}

function values(data, n) {
  const [at, usd, traded, rank, from] = data.map((column) => column[n]);
  const text = usd === null ? "no snapshot, or not listed" : `${price(usd)} USD, volume ${volume(traded)} USD, rank ${rank ?? "unknown"} (${from})`;
  return `${moment(new Date(at * 1000))} UTC: ${text}`;
}

function summary([, prices, , ranks], { from, to }) {
  const known = prices.filter((value) => value !== null);
  const places = ranks.filter((value) => value !== null);
  const ends = `${moment(new Date(from * 1000))} to ${moment(new Date(to * 1000))} UTC`;
  if (!known.length) return `${ends}: no price.`;
  const ranked = places.length ? `; rank ${[...new Set([Math.min(...places), Math.max(...places)])].join(" to ")}` : "";
  return `${ends}: ${price(Math.min(...known))} to ${price(Math.max(...known))} USD, ${change(known.at(-1) / known[0] - 1)}${ranked}.`;
}
