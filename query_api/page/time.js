// Which instant is shown: live, or any minute of the archive. The page's address has it.

import { moment, rfc3339 } from "./format.js";

const MINUTE = 60;
const LONGEST = 7 * 86400;
const SVG = "http://www.w3.org/2000/svg";
const live = document.getElementById("live");
const at = document.getElementById("at");
const slider = document.getElementById("minute");
const strip = document.getElementById("gaps");

/** The instant of the address as a Date, or null for live. */
export function chosen() {
  const text = new URLSearchParams(location.search).get("datetime");
  const date = text === null ? new Date(NaN) : new Date(/^\d{10}$/.test(text) ? Number(text) * 1000 : zoned(text));
  return Number.isNaN(date.getTime()) ? null : date;
}

/** What the address says of the instant where only the API knows what that means, such as now-90m; else null. */
export function unread() {
  const text = new URLSearchParams(location.search).get("datetime");
  return chosen() === null && text !== "now" ? text : null;
}

/** Without an offset it is UTC, as the API has it. */
function zoned(text) {
  return /T.*(Z|[+-]\d\d:\d\d)$/i.test(text) || !text.includes("T") ? text : text + "Z";
}

/** Put an instant, or live, into the address: a step of its own in the browser's history, or `instead` of this one. */
export function choose(date, { instead = false } = {}) {
  const url = new URL(location.href);
  if (date === null) url.searchParams.delete("datetime");
  else url.searchParams.set("datetime", rfc3339(date));
  history[instead ? "replaceState" : "pushState"](null, "", url);
}

/** Call `go` with what the controls ask for; `now` tells the present. */
export function onChoice(go, now) {
  const bounded = (seconds) => go(seconds * 1000 >= now() ? null : new Date(seconds * 1000));
  let soon;
  live.addEventListener("click", () => go(null));
  at.addEventListener("change", () => at.value && bounded(Date.parse(at.value + "Z") / 1000));
  slider.addEventListener("input", () => {
    slider.ariaValueText = `${moment(new Date(slider.value * 1000))} UTC`;
    clearTimeout(soon);
    soon = setTimeout(() => bounded(slider.value === slider.max ? Infinity : Number(slider.value)), 150);
  });
  for (const button of document.querySelectorAll("[data-step]")) {
    button.addEventListener("click", () => {
      const from = (chosen() ?? new Date(now())).getTime() / 1000;
      bounded(Math.floor(from / MINUTE) * MINUTE + Number(button.dataset.step));
    });
  }
  document.getElementById("time").addEventListener("submit", (event) => event.preventDefault());
}

/** Show an instant in the controls, over an archive that begins at `first`. */
export function show(shown, first, now) {
  const end = Math.floor(now / 1000 / MINUTE) * MINUTE;
  slider.min = Math.max(Math.floor((first ?? now) / 1000 / MINUTE) * MINUTE, end - LONGEST);
  slider.max = end;
  const instant = shown ?? new Date(now);
  if (document.activeElement !== at) at.value = instant.toISOString().slice(0, 16);
  at.max = new Date(now).toISOString().slice(0, 16);
  slider.value = Math.floor(instant.getTime() / 1000);
  slider.ariaValueText = `${moment(instant)} UTC`;
  live.ariaPressed = String(shown === null && unread() === null);
}

/** The span the slider covers, in seconds. */
export function span() {
  return [Number(slider.min), Number(slider.max)];
}

/** Mark the holes of every series along the slider. */
export function showGaps(answer) {
  const [start, stop] = span();
  const gaps = Object.values(answer.series).flatMap((series) => series.gaps);
  const place = (seconds) => Math.min(Math.max(((seconds - start) / (stop - start || 1)) * 1000, 0), 1000);
  strip.replaceChildren(...gaps.map((gap) => {
    const rect = document.createElementNS(SVG, "rect");
    const from = place(Date.parse(gap.first) / 1000);
    rect.setAttribute("x", from);
    rect.setAttribute("height", 4);
    rect.setAttribute("width", Math.max(place(Date.parse(gap.last) / 1000) - from, 2));
    const title = document.createElementNS(SVG, "title");
    title.textContent = `${gap.ticks} missing from ${gap.first}: ${gap.cause}`;
    rect.append(title);
    return rect;
  }));
  const missing = gaps.reduce((sum, gap) => sum + gap.ticks, 0);
  strip.ariaLabel = missing ? `${gaps.length} gaps, ${missing} snapshots missing` : "No gap in this span";
}
