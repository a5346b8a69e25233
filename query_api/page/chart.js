// Price, volume and rank of an asset over a span: three panes with one cursor. A gap is shaded, and no line crosses it.

import { change, moment, price, volume } from "./format.js";

const HEIGHTS = { price: 220, volume: 90, rank: 110 };
const EACH_RANK = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000];
const box = document.getElementById("chart");
const shown = { plots: [], data: null, gaps: [], span: null, log: false, read: () => {}, zoom: () => {}, tags: {} };

/** Call `read` with the values at the cursor as text. */
export function onRead(read) {
  shown.read = read;
  box.addEventListener("keydown", step);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => shown.data && draw());
  new ResizeObserver(() => shown.plots.forEach((plot) => plot.setSize({ width: box.clientWidth, height: plot.height }))).observe(box);
}

/** Call `zoom` with the begin and end, in seconds, of a part that was dragged over. */
export function onZoom(zoom) {
  shown.zoom = zoom;
}

export function setLog(log) {
  shown.log = log;
  if (shown.data) draw();
}

export function clear() {
  for (const plot of shown.plots) plot.destroy();
  Object.assign(shown, { plots: [], data: null });
}

/** Show a history, and the gaps of the span where these are known; the summary in words. */
export function show(past, gaps, span) {
  shown.span = span;
  shown.gaps = gaps ? joined(Object.values(gaps.series).flatMap((series) => series.gaps)) : missing(past.data, span.first);
  shown.data = broken(past.data, shown.gaps);
  draw();
  return summary();
}

/** The gaps of all series as spans in seconds; those that overlap are one. */
function joined(gaps) {
  const spans = gaps.map(({ first, last }) => [Date.parse(first) / 1000, Date.parse(last) / 1000]);
  return spans.sort((a, b) => a[0] - b[0]).reduce((all, [first, last]) => {
    const before = all.at(-1);
    if (before && first <= before[1]) before[1] = Math.max(before[1], last);
    else all.push([first, last]);
    return all;
  }, []);
}

/** Runs of steps without a snapshot, from the archive's first one on. */
function missing(points, first) {
  const runs = [];
  let run = null;
  for (const { at, price_time: tick } of points) {
    const seconds = Date.parse(at) / 1000;
    if (tick !== null || seconds < (first ?? 0)) run = null;
    else if (run) run[1] = seconds;
    else runs.push((run = [seconds, seconds]));
  }
  return runs;
}

/** Instants in seconds, prices, volumes, ranks, sources; a null stands in every gap between two instants. */
function broken(points, gaps) {
  const known = points.map((point) => [Date.parse(point.at) / 1000, point.price_usd, point.volume_24h_usd, point.source_rank, sources(point)]);
  const holes = gaps.map(([first, last]) => [(first + last) / 2, null, null, null, null]);
  const all = [...known, ...holes].sort((a, b) => a[0] - b[0]).filter((point, n, sorted) => n === 0 || point[0] > sorted[n - 1][0]);
  return [0, 1, 2, 3, 4].map((column) => all.map((point) => point[column]));
}

function sources({ price_source: prices, rank_source: ranks }) {
  return prices === ranks ? prices : `${prices} and ${ranks}`;
}

function draw() {
  for (const plot of shown.plots) plot.destroy();
  const [at, prices, volumes, ranks] = shown.data;
  const low = Math.min(...prices.filter((value) => value > 0));
  const scale = shown.log && Number.isFinite(low) ? { distr: 3, log: 10 } : {};
  shown.plots = [
    pane("Price USD", HEIGHTS.price, [at, prices], "--accent", { values: (_, marks) => marks.map((mark) => (mark === null ? "" : price(mark))) }, scale, {}),
    pane("Volume 24h", HEIGHTS.volume, [at, volumes], "--quiet", { values: (_, marks) => marks.map(volume) }, { range: (_, __, high) => [0, high || 1] }, { fill: "--line" }),
    pane("Rank", HEIGHTS.rank, [at, ranks], "--late", { incrs: EACH_RANK }, {
      dir: -1, // rank 1 is on top
      range: (_, low_, high) => [Math.max((low_ ?? 1) - 1, 0), (high ?? 1) + 1],
    }, {}),
  ];
}

function pane(label, height, data, stroke, axis, scale, series) {
  const style = getComputedStyle(document.documentElement);
  const colour = (variable) => style.getPropertyValue(variable).trim();
  const lines = { stroke: colour("--quiet"), font: "11px system-ui, sans-serif", ticks: { show: false }, grid: { stroke: colour("--line"), width: 1 } };
  const narrow = box.clientWidth < 480;
  const options = {
    width: box.clientWidth,
    height,
    tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
    cursor: { sync: { key: "asset" }, y: false, drag: { x: true, y: false, setScale: false } },
    legend: { show: false },
    padding: [8, narrow ? 6 : 18, 0, 0],
    scales: { x: { min: shown.span.from, max: shown.span.to }, y: scale },
    axes: [
      { ...lines, values: clock, space: 70, size: 26 },
      { ...lines, ...axis, size: narrow ? 66 : 80, space: 30 },
    ],
    series: [{}, { stroke: colour(stroke), width: 1.6, spanGaps: false, points: { show: false }, fill: series.fill ? colour(series.fill) : undefined }],
    hooks: {
      drawClear: [shade],
      setCursor: [(u) => shown.read(values(u.cursor.idx))],
      setSelect: [zoomed],
    },
  };
  const made = new uPlot(options, data, box);
  made.root.dataset.series = label;
  made.root.dataset.label = label;
  return made;
}

function zoomed(u) {
  if (u.select.width < 8) return;
  const [from, to] = [u.select.left, u.select.left + u.select.width].map((x) => Math.round(u.posToVal(x, "x")));
  u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
  if (to - from >= 120) shown.zoom(from, to);
}

/** Times of day in UTC; dates where a day begins, and over long spans. */
function clock(u, marks) {
  const wide = u.scales.x.max - u.scales.x.min;
  return marks.map((seconds) => {
    const text = new Date(seconds * 1000).toISOString();
    if (wide > 200 * 86400) return text.slice(0, 7);
    return wide > 4 * 86400 || text.slice(11, 16) === "00:00" ? text.slice(5, 10) : text.slice(11, 16);
  });
}

/** Shade what is missing, and the time before the archive; a line marks where the asset left the list. */
function shade(u) {
  const style = getComputedStyle(document.documentElement);
  const x = (at) => Math.min(Math.max(u.valToPos(at, "x", true), u.bbox.left), u.bbox.left + u.bbox.width);
  const fill = (first, last, variable, alpha) => {
    u.ctx.globalAlpha = alpha;
    u.ctx.fillStyle = style.getPropertyValue(variable).trim();
    u.ctx.fillRect(x(first), u.bbox.top, Math.max(x(last) - x(first), 2), u.bbox.height);
  };
  const { from, first, gone } = shown.span;
  u.ctx.save();
  for (const [begin, end] of shown.gaps) fill(begin, end, "--gap", 0.18);
  if (first > from) fill(from, first, "--quiet", 0.14);
  if (gone) fill(gone, gone, "--gap", 0.9);
  u.ctx.restore();
}

/** The values at a place of the chart, in words. */
function values(n) {
  if (n === null || n === undefined) return summary();
  const [at, usd, traded, rank, from] = shown.data.map((column) => column[n]);
  const text = usd === null ? "no snapshot, or not listed" : `${price(usd)} USD, volume ${volume(traded)} USD, rank ${rank ?? "unknown"} (${from})`;
  return `${moment(new Date(at * 1000))} UTC: ${text}`;
}

function summary() {
  const [, prices, , ranks] = shown.data;
  const { from, to, first, gone } = shown.span;
  const known = prices.filter((value) => value !== null);
  const places = ranks.filter((value) => value !== null);
  const at = (seconds) => moment(new Date(seconds * 1000));
  const notes = [
    shown.gaps.length ? `${shown.gaps.length} ${shown.gaps.length > 1 ? "gaps are" : "gap is"} shaded.` : "",
    first > from ? `Before ${at(first)} there is no archive.` : "",
    gone ? `It left the list at ${at(gone)}.` : "",
  ];
  const ends = `${at(from)} to ${at(to)} UTC`;
  const text = known.length
    ? `${ends}: ${price(Math.min(...known))} to ${price(Math.max(...known))} USD, ${change(known.at(-1) / known[0] - 1)}` +
      (places.length ? `; rank ${[...new Set([Math.min(...places), Math.max(...places)])].join(" to ")}` : "") + "."
    : `${ends}: no price.`;
  box.ariaLabel = `Price, volume and rank, ${text}`;
  return [text, ...notes].filter(Boolean).join(" ");
}

/** The arrow keys walk along the chart. */
function step(event) {
  const way = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity }[event.key];
  if (!way || !shown.plots.length) return;
  event.preventDefault();
  const [first] = shown.plots;
  const last = shown.data[0].length - 1;
  const n = Math.min(Math.max((first.cursor.idx ?? last) + way, 0), last);
  first.setCursor({ left: first.valToPos(shown.data[0][n], "x"), top: 10 });
}
