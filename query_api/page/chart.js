// An asset's price and rank over a span, in a dialog. A gap is marked, and no line is drawn across it.

import { ask, Problem } from "./api.js";
import { change, moment, price, rfc3339, volume } from "./format.js";

const dialog = document.getElementById("asset");
const box = document.getElementById("chart");
const statusLine = document.getElementById("chart-status");
const name = document.getElementById("asset-name");
const about = document.getElementById("asset-note");
const buttons = [...dialog.querySelectorAll("[data-span]")];
const POINTS = { 3600: 60, 21600: 72, 86400: 96, 604800: 96 };
const HEIGHTS = [230, 120];
const EACH_RANK = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000];

const shown = { id: null, span: 86400, plots: [], data: null, gaps: [], request: new AbortController() };

/** Open and close with the address's fragment; `known` tells what the list has of an asset, `instant` its time. */
export function onAddress(known, instant) {
  const follow = () => {
    const id = Number(location.hash.slice(1));
    if (!(id > 0)) return dialog.open && dialog.close();
    if (!dialog.open) dialog.showModal();
    if (shown.id !== id) clear();
    shown.id = id;
    return load(known, instant());
  };
  for (const button of buttons) {
    button.addEventListener("click", () => {
      shown.span = Number(button.dataset.span);
      load(known, instant());
    });
  }
  dialog.addEventListener("close", () => {
    shown.id = null;
    if (location.hash) history.pushState(null, "", location.pathname + location.search);
  });
  document.getElementById("close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  box.addEventListener("keydown", step);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  new ResizeObserver(() => shown.plots.forEach((plot, n) => plot.setSize({ width: box.clientWidth, height: HEIGHTS[n] }))).observe(box);
  addEventListener("hashchange", follow);
  addEventListener("popstate", follow);
  return follow;
}

function clear() {
  for (const plot of shown.plots) plot.destroy();
  shown.plots = [];
  name.textContent = about.textContent = statusLine.textContent = "";
}

async function load(known, to) {
  shown.request.abort();
  const { signal } = (shown.request = new AbortController());
  delete dialog.dataset.shown;
  for (const button of buttons) button.ariaPressed = String(Number(button.dataset.span) === shown.span);
  const { id, span } = shown;
  const from = new Date(to.getTime() - span * 1000);
  try {
    const [line, gaps] = await Promise.all([
      ask("v1/sparklines", { ids: id, to: rfc3339(to), span: `${span}s`, points: POINTS[span], ranks: true }, signal),
      ask("v1/gaps", { from: rfc3339(from), to: rfc3339(to) }, signal),
    ]);
    const asset = known(id) ?? (await ask("v1/top", { limit: 5000, datetime: rfc3339(to) }, signal)).data.find((one) => one.cmc_id === id);
    shown.gaps = joined(Object.values(gaps.series).flatMap((series) => series.gaps));
    shown.data = broken(line, shown.gaps);
    head(id, asset);
    draw();
    dialog.dataset.shown = `${id}/${span}`;
  } catch (error) {
    if (error.name === "AbortError") return;
    statusLine.textContent = error instanceof Problem ? error.message : String(error);
  }
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

/** Instants in seconds, prices, ranks; a null stands in every gap between two instants. */
function broken(line, gaps) {
  const { prices, ranks } = line.data[0];
  const points = line.at.map((at, n) => [Date.parse(at) / 1000, prices[n], ranks[n]]);
  const holes = gaps.map(([first, last]) => [(first + last) / 2, null, null]);
  const all = [...points, ...holes].sort((a, b) => a[0] - b[0]).filter((point, n, sorted) => n === 0 || point[0] > sorted[n - 1][0]);
  return [0, 1, 2].map((column) => all.map((point) => point[column]));
}

function head(id, asset) {
  name.textContent = asset ? `${asset.symbol ?? ""} ${asset.name ?? ""}` : `CoinMarketCap id ${id}`;
  about.textContent = asset
    ? `Rank ${asset.rank} by volume · ${price(asset.price_usd)} USD · ${volume(asset.volume_24h_usd)} USD in 24 h · CoinMarketCap id ${id}`
    : "not in the list of this instant";
}

function draw() {
  for (const plot of shown.plots) plot.destroy();
  if (!shown.data) return;
  const [at, prices, ranks] = shown.data;
  const style = getComputedStyle(document.documentElement);
  const colour = (variable) => style.getPropertyValue(variable).trim();
  shown.plots = [
    plot("Price USD", HEIGHTS[0], [at, prices], colour, "--accent", { values: (_, marks) => marks.map(price) }, {}),
    plot("Rank", HEIGHTS[1], [at, ranks], colour, "--late", { incrs: EACH_RANK }, {
      dir: -1, // rank 1 is on top
      range: (_, low, high) => [Math.max(low - 1, 0), high + 1],
    }),
  ];
  summary();
}

function plot(label, height, data, colour, stroke, axis, scale) {
  const lines = { stroke: colour("--quiet"), font: "11px system-ui, sans-serif", ticks: { show: false }, grid: { stroke: colour("--line"), width: 1 } };
  const options = {
    width: box.clientWidth,
    height,
    tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
    cursor: { sync: { key: "asset" }, y: false, drag: { x: false, y: false } },
    legend: { show: false },
    padding: [8, 18, 0, 0],
    scales: { y: scale },
    axes: [
      { ...lines, values: clock, space: 70, size: 26 },
      { ...lines, ...axis, label, labelSize: 16, labelFont: lines.font, size: 86, space: 30 },
    ],
    series: [{}, { stroke: colour(stroke), width: 1.6, spanGaps: false, points: { show: false } }],
    hooks: {
      drawClear: [(u) => shade(u, colour("--gap"))],
      setCursor: [(u) => read(u.cursor.idx)],
    },
  };
  const made = new uPlot(options, data, box);
  made.root.dataset.series = label;
  return made;
}

/** Times of day in UTC, dates where a day begins. */
function clock(u, marks) {
  return marks.map((seconds) => {
    const text = new Date(seconds * 1000).toISOString();
    return text.slice(11, 16) === "00:00" ? text.slice(5, 10) : text.slice(11, 16);
  });
}

function shade(u, colour) {
  u.ctx.save();
  u.ctx.globalAlpha = 0.18;
  u.ctx.fillStyle = colour;
  for (const [first, last] of shown.gaps) {
    const [from, to] = [first, last].map((at) => Math.min(Math.max(u.valToPos(at, "x", true), u.bbox.left), u.bbox.left + u.bbox.width));
    u.ctx.fillRect(from, u.bbox.top, Math.max(to - from, 2), u.bbox.height);
  }
  u.ctx.restore();
}

/** Tell the values at a place of the chart. */
function read(n) {
  if (n === null || n === undefined) return summary();
  const [at, prices, ranks] = shown.data.map((column) => column[n]);
  statusLine.textContent = `${moment(new Date(at * 1000))} UTC: ` + (prices === null && ranks === null ? "no snapshot" : `${price(prices)} USD, rank ${ranks ?? "unknown"}`);
}

function summary() {
  const [at, prices, ranks] = shown.data;
  const known = prices.filter((value) => value !== null);
  const places = ranks.filter((value) => value !== null);
  const missing = shown.gaps.length ? ` ${shown.gaps.length} ${shown.gaps.length > 1 ? "gaps are" : "gap is"} shaded.` : "";
  const span = `${moment(new Date(at[0] * 1000))} to ${moment(new Date(at.at(-1) * 1000))} UTC`;
  const text = known.length
    ? `${span}: ${price(Math.min(...known))} to ${price(Math.max(...known))} USD, ${change(known.at(-1) / known[0] - 1)}` +
      (places.length ? `; rank ${[...new Set([Math.min(...places), Math.max(...places)])].join(" to ")}` : "") + `.${missing}`
    : `${span}: no price.${missing}`;
  statusLine.textContent = text;
  box.ariaLabel = `Price and rank, ${text}`;
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
