// The chart of several assets: how each price changed since the first instant at which all of them have one.

import * as chart from "./chart.js";
import { button, element } from "./element.js";
import { change, moment } from "./format.js";
import * as holes from "./holes.js";

const DASHES = [undefined, [8, 4], [2, 3], [12, 4, 2, 4], [5, 3]];
const SHORT = new Intl.NumberFormat("en-US", { maximumFractionDigits: 2 });
const SVG = "http://www.w3.org/2000/svg";
const legend = document.getElementById("legend");

/** Show histories of the same steps, with their `names`; gives the words as `one_asset.show`. `remove` gets an index. */
export function show(pasts, names, answeredGaps, span, remove) {
  const [{ data: steps }] = pasts;
  const gaps = holes.spans(answeredGaps, steps, span.first);
  const start = steps.findIndex((_, n) => pasts.every(({ data }) => data[n].price_usd !== null));
  const rows = steps.map(({ at }, n) => [Date.parse(at) / 1000, ...pasts.map(({ data }) => percent(data, start, n))]);
  const data = holes.columns(rows, gaps);
  const lines = pasts.map((_, n) => ({ values: data[n + 1], stroke: `--line-${n}`, dash: DASHES[n] }));
  const axis = { values: (_, marks) => marks.map((mark) => (mark === null ? "" : `${SHORT.format(mark).replace("-", "−")}%`)) };
  const since = start < 0 ? "No instant of this span has a price of each" : `Change since ${moment(new Date(steps[start].at))} UTC, the first instant with a price of each`;
  const parts = labels(names, remove);
  const read = (n) => words(data, n, names, parts);
  chart.show({ at: data[0], panes: [{ label: "Change", height: 420, axis, lines }] }, gaps, span, `${since}: ${read(null)}`);
  return (n) => (n === null ? [`${since}: ${read(n)}.`, ...chart.notes(gaps, span)].join(" ") : `${moment(new Date(data[0][n] * 1000))} UTC: ${read(n)}`);
}

export function hide() {
  legend.replaceChildren();
}

/** The change of a price since the start, in percent; null before it, and where either is missing. */
function percent(data, start, n) {
  const now = data[n].price_usd;
  return start < 0 || n < start || now === null ? null : (now / data[start].price_usd - 1) * 100;
}

/** The legend: for each asset its line, its name, its change, and a button that removes it. */
function labels(names, remove) {
  const values = names.map(() => element("data"));
  legend.replaceChildren(...names.map(({ symbol, name, id }, n) => element("li", {}, swatch(n), element("b", {}, symbol), name && ` ${name}`, " ", values[n],
    button("×", () => remove(n), { "aria-label": `Remove ${symbol}`, title: "Remove", "data-remove": id }))));
  return values;
}

function swatch(n) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 26 4");
  svg.setAttribute("class", "swatch");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", "M0 2H26");
  path.setAttribute("class", `line-${n}`);
  svg.append(path);
  return svg;
}

/** The changes at a place of the chart, or the last ones; the legend shows them, too. */
function words(data, n, names, parts) {
  return names.map(({ symbol }, asset) => {
    const column = data[asset + 1];
    const value = n === null ? column.findLast((each) => each !== null) ?? null : column[n];
    parts[asset].value = value ?? "";
    parts[asset].textContent = change(value === null ? null : value / 100);
    return `${symbol} ${value === null ? "no price" : parts[asset].textContent}`;
  }).join(", ");
}
