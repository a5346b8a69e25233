// Lines over time in panes, one above the other, with one cursor. A gap is shaded, and no line crosses it.

import { element } from "./element.js";
import { moment, price } from "./format.js";

const box = document.getElementById("chart");
/** `data` has the instants, in seconds, and a column for each line; `read` gives the values at a place in words. */
const shown = { plots: [], lines: null, gaps: [], span: null, log: false, onRead: () => {}, onZoom: () => {} };

const vendor = (name) => new URL(`./vendor/${name}`, import.meta.url).href;

/** The library that draws. Only a page that shows a chart loads it: it takes as long as all of the page's own scripts. */
export const ready = new Promise((resolve, reject) => {
  const failed = () => reject(new Error("The chart cannot be loaded; reload the page"));
  document.head.append(
    element("link", { rel: "stylesheet", href: vendor("uPlot.css") }),
    element("script", { src: vendor("uPlot.js"), onload: resolve, onerror: failed }),
  );
});
ready.catch(() => {}); // whoever draws says so

/** Call `read` with the place of the cursor, or null. */
export function onRead(read) {
  shown.onRead = read;
  box.addEventListener("keydown", step);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => shown.lines && draw());
  new ResizeObserver(() => shown.plots.forEach((plot) => plot.setSize({ width: box.clientWidth, height: plot.height }))).observe(box);
}

/** Call `zoom` with the begin and end, in seconds, of a part that was dragged over. */
export function onZoom(zoom) {
  shown.onZoom = zoom;
}

export function setLog(log) {
  shown.log = log;
  if (shown.lines) draw();
}

export function clear() {
  for (const plot of shown.plots) plot.destroy();
  Object.assign(shown, { plots: [], lines: null });
  box.ariaLabel = "Chart";
}

/**
 * Draw lines: `at` has the instants, in seconds, and `panes` a label, a height, an axis, a scale and lines, each with
 * its `values` and `stroke`. `gaps` and `span` are in seconds, too.
 */
export function show(lines, gaps, span, label) {
  Object.assign(shown, { lines, gaps, span });
  draw();
  box.ariaLabel = label;
}

function draw() {
  for (const plot of shown.plots) plot.destroy();
  const { at, panes } = shown.lines;
  shown.plots = panes.map((each) => pane(each, at));
}

function pane({ label, height, axis = {}, scale = {}, logs = false, lines }, at) {
  const style = getComputedStyle(document.documentElement);
  const colour = (variable) => style.getPropertyValue(variable).trim();
  const look = { stroke: colour("--quiet"), font: "11px system-ui, sans-serif", ticks: { show: false }, grid: { stroke: colour("--line"), width: 1 } };
  const narrow = box.clientWidth < 480;
  const isLog = logs && shown.log && lines[0].values.some((value) => value > 0);
  const options = {
    width: box.clientWidth,
    height,
    tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
    cursor: { sync: { key: "asset" }, y: false, drag: { x: true, y: false, setScale: false } },
    legend: { show: false },
    padding: [8, narrow ? 6 : 18, 0, 0],
    scales: { x: { min: shown.span.from, max: shown.span.to }, y: isLog ? { distr: 3, log: 10 } : scale },
    axes: [
      { ...look, values: clock, space: 70, size: 26 },
      { ...look, ...axis, size: narrow ? 66 : 80, space: 30 },
    ],
    series: [{}, ...lines.map(({ stroke, fill, dash }) =>
      ({ stroke: colour(stroke), width: 1.6, dash, spanGaps: false, points: { show: false }, fill: fill && colour(fill) }))],
    hooks: {
      drawClear: [shade],
      setCursor: [(u) => shown.onRead(u.cursor.idx ?? null)],
      setSelect: [zoomed],
    },
  };
  const made = new uPlot(options, [at, ...lines.map(({ values }) => values)], box);
  made.root.dataset.label = label;
  return made;
}

/** The axis of prices in US dollars. */
export const DOLLARS = { values: (_, marks) => marks.map((mark) => (mark === null ? "" : price(mark))) };

function zoomed(u) {
  if (u.select.width < 8) return;
  const [from, to] = [u.select.left, u.select.left + u.select.width].map((x) => Math.round(u.posToVal(x, "x")));
  u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
  if (to - from >= 120) shown.onZoom(from, to);
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

/** What the span lacks, in words. */
export function notes(gaps, { from, first, gone }) {
  const at = (seconds) => moment(new Date(seconds * 1000));
  return [
    gaps.length ? `${gaps.length} ${gaps.length > 1 ? "gaps are" : "gap is"} shaded.` : "",
    first > from ? `Before ${at(first)} there is no archive.` : "",
    gone ? `It left the list at ${at(gone)}.` : "",
  ].filter(Boolean);
}

/** The arrow keys walk along the chart. */
function step(event) {
  const way = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity }[event.key];
  if (!way || !shown.plots.length) return;
  event.preventDefault();
  const [first] = shown.plots;
  const { at } = shown.lines;
  const n = Math.min(Math.max((first.cursor.idx ?? at.length - 1) + way, 0), at.length - 1);
  first.setCursor({ left: first.valToPos(at[n], "x"), top: 10 });
}
