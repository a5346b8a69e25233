// Where the archive has gaps, and why: the view of /v1/gaps. A square is an hour, a row a day.

import * as address from "./address.js";
import { ask } from "./api.js";
import { button, element, table } from "./element.js";
import { moment, rfc3339, words } from "./format.js";
import { merged, find } from "./gap_search.js";
import { isFilling } from "./problem.js";

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const MOST = 200;
const section = document.getElementById("coverage");
const grid = document.getElementById("calendar");
const list = document.getElementById("gap-list");
const about = document.getElementById("gaps-about");
const state = { request: new AbortController(), asked: null, page: null, from: 0, to: 0 };

for (const [id, days] of [["week-before", -7], ["week-after", 7]]) {
  document.getElementById(id).addEventListener("click", () => move(days * DAY));
}
for (const [id, way] of [["gap-before", -1], ["gap-after", 1]]) {
  document.getElementById(id).addEventListener("click", () => jump(way));
}

/** A week later or earlier, not beyond now. */
function move(span) {
  const to = Math.min(state.to + span, state.page.now());
  put(to - 7 * DAY, to);
}

function put(from, to) {
  address.set({ from: rfc3339(new Date(from)), to: rfc3339(new Date(to)) });
  show(state.page);
}

/** The week of the nearest gap before or after the days shown. */
async function jump(way) {
  const gap = await find(way, way > 0 ? state.to : state.from, state.page.first, state.page.now()).catch(() => null);
  if (!gap) return (about.textContent = way > 0 ? "There is no later gap." : "There is no earlier gap.");
  const begin = Math.floor(Date.parse(gap.first) / DAY) * DAY;
  put(begin, Math.min(begin + 7 * DAY, state.page.now()));
}

/** Ask for the gaps of the address, by default of the last week, and show them. */
export async function show(page) {
  state.page = page;
  state.request.abort();
  const { signal } = (state.request = new AbortController());
  section.ariaBusy = "true";
  try {
    const week = { from: address.get("from") ?? "now-7d", to: address.get("to") };
    const answer = await ask("v1/gaps", { ...address.parameters(), ...week }, signal);
    [state.from, state.to] = [Date.parse(answer.from), Date.parse(answer.to)];
    state.asked = { from: answer.from, to: answer.to };
    const gaps = merged(answer);
    about.textContent = Object.entries(answer.series).map(([name, ticks]) => `${words(name)}: ${ticks.stored} of ${ticks.expected} ticks, ${ticks.missing} missing`).join("; ") +
      `. ${moment(new Date(answer.from))} to ${moment(new Date(answer.to))} UTC.`;
    grid.replaceChildren(days(gaps, page));
    showNewestHour();
    if (await areBeingFilled(gaps, signal)) about.textContent += " The history is being filled: its gaps go away by themselves.";
    signal.throwIfAborted();
    list.replaceChildren(gaps.length ? gapTable(gaps) : element("p", {}, "No gap in these days."));
  } catch (error) {
    if (error.name === "AbortError") return;
    about.textContent = error.message;
    state.asked = null;
    for (const box of [grid, list]) box.replaceChildren();
  }
  section.ariaBusy = "false";
  document.body.dataset.shown = "gaps";
}

/** Whether gaps are a history that is being filled: the answer for an instant in the longest one shows it. */
async function areBeingFilled(gaps, signal) {
  const [longest] = gaps.filter((gap) => gap.cause === "not running").sort((a, b) => b.ticks - a.ticks);
  if (!longest) return false;
  return ask("v1/top", { datetime: longest.last, limit: 1 }, signal).then(() => false, (error) => isFilling(error.document ?? {}));
}

function days(gaps, page) {
  const rows = [];
  for (let day = Math.floor(state.from / DAY) * DAY; day <= state.to; day += DAY) {
    const hours = [...Array(24).keys()].map((hour) => element("td", {}, square(day + hour * HOUR, gaps, page)));
    rows.push(element("tr", {}, element("th", { scope: "row" }, new Date(day).toISOString().slice(0, 10)), ...hours));
  }
  const heads = [...Array(24).keys()].map((hour) => element("th", { scope: "col" }, String(hour).padStart(2, "0")));
  return element("table", { class: "calendar" },
    element("caption", { class: "unseen" }, "Coverage of each hour"),
    element("thead", {}, element("tr", {}, element("td"), ...heads)), element("tbody", {}, ...rows));
}

/** On a narrow screen, scroll to the newest hour. */
function showNewestHour() {
  const newest = [...grid.querySelectorAll("a.hour")].at(-1);
  if (newest) grid.scrollLeft += newest.getBoundingClientRect().right - grid.getBoundingClientRect().right + 4;
}

/** An hour: complete, in part, without any snapshot, or outside of the archive. It leads to its list. */
function square(hour, gaps, page) {
  if (hour > state.to || hour + HOUR <= state.from || hour + HOUR <= (page.first ?? 0)) return element("span", { class: "hour outside" });
  const own = gaps.filter((gap) => Date.parse(gap.first) < hour + HOUR && Date.parse(gap.last) >= hour);
  const covered = Math.max(0, ...own.map((gap) => (Math.min(Date.parse(gap.last), hour + HOUR) - Math.max(Date.parse(gap.first), hour)) / HOUR));
  const level = !own.length ? "full" : covered > 0.9 ? "none" : covered > 0.25 ? "half" : "most";
  const why = own.length ? own.map((gap) => `${words(gap.series)}: ${gap.cause}`).join(", ") : "complete";
  const text = `${moment(new Date(hour))} UTC: ${why}`;
  return element("a", { class: `hour ${level}`, href: `?datetime=${rfc3339(new Date(Math.min(hour + HOUR - 60_000, state.to)))}`, title: text, "aria-label": text });
}

function gapTable(gaps) {
  const rows = gaps.toReversed().slice(0, MOST).map((gap) => [
    span(gap), words(gap.series), String(gap.ticks), gap.cause, gap.why ?? "",
    button("the list before", () => state.page.go(new Date(Date.parse(gap.first) - 1000))),
  ]);
  return table(`${gaps.length} gaps, the newest first`, ["From, to (UTC)", "Series", "#Ticks", "Cause", "Why", ""], rows);
}

/** The first and the last tick of a gap; the day once where it is the same. */
function span({ first, last }) {
  const [begin, end] = [first, last].map((instant) => moment(new Date(instant)));
  if (begin === end) return begin;
  return `${begin} to ${begin.slice(0, 10) === end.slice(0, 10) ? end.slice(11) : end}`;
}

/** What is shown, as a question to the API. */
export function question() {
  return state.asked && { paths: ["v1/gaps"], values: state.asked, page: { view: "gaps", ...state.asked }, csv: null };
}
