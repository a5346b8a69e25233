// The controls of the instant: steps, a date field, words, quick picks, and two sliders.

import * as instant from "./instant.js";
import { moment } from "./format.js";

const MINUTE = 60;
const DAY = 86400;
const PICKED_MS = 700;
const live = document.getElementById("live");
const at = document.getElementById("at");
const words = document.getElementById("words");
const said = document.getElementById("said");
const quick = document.getElementById("quick");
const fine = document.getElementById("minute");
const coarse = document.getElementById("hour");

/** Call `go` with a Date, with words, or with null for live; `now` is the present in milliseconds. */
export function onChoice(go, now) {
  const bounded = (seconds, options) => go(seconds * 1000 >= now() ? null : new Date(seconds * 1000), options);
  live.addEventListener("click", () => go(null));
  for (const button of document.querySelectorAll("[data-step]")) {
    button.addEventListener("click", () => step(Number(button.dataset.step)));
  }
  const step = (seconds) => {
    const from = (instant.chosen() ?? new Date(now())).getTime() / 1000;
    bounded(Math.floor(from / MINUTE) * MINUTE + seconds);
  };
  dateField(bounded);
  words.addEventListener("submit", (event) => {
    event.preventDefault();
    if (said.value.trim()) go(said.value.trim());
  });
  quick.addEventListener("change", () => {
    if (quick.value) go(quick.value);
    quick.value = "";
  });
  for (const slider of [fine, coarse]) drag(slider, bounded);
  document.getElementById("time").addEventListener("submit", (event) => event.preventDefault());
  return step;
}

/**
 * A date is complete when Enter is pressed or the field is left. What the picker sets counts after a moment without
 * a change. A key changes one part of the date at a time: such a date is not meant yet.
 */
function dateField(bounded) {
  let typed = false;
  let last = "";
  let entered = false;
  let soon;
  const take = () => {
    clearTimeout(soon);
    if (!at.value || at.value === last) return;
    last = at.value;
    bounded(Date.parse(`${at.value}Z`) / 1000, { instead: entered });
    entered = true;
  };
  at.addEventListener("focus", () => {
    [typed, entered, last] = [false, false, at.value];
  });
  at.addEventListener("keydown", (event) => {
    if (event.key === "Enter") take();
    else if (event.key !== "Tab") typed = true;
  });
  at.addEventListener("change", () => {
    clearTimeout(soon);
    if (!typed) soon = setTimeout(take, PICKED_MS);
  });
  at.addEventListener("blur", take);
}

/** Dragging is one entry of the history, however often it pauses. */
function drag(slider, bounded) {
  let soon;
  let dragging = false;
  slider.addEventListener("input", () => {
    slider.ariaValueText = `${moment(new Date(slider.value * 1000))} UTC`;
    clearTimeout(soon);
    soon = setTimeout(() => {
      bounded(slider.value === slider.max ? Infinity : Number(slider.value), { instead: dragging });
      dragging = true;
    }, 150);
  });
  for (const end of ["change", "blur"]) slider.addEventListener(end, () => setTimeout(() => (dragging = false), 200));
}

/** Show an instant in the controls, over an archive that begins at `first`; all in milliseconds but `shown`, a Date. */
export function show(shown, first, now) {
  const end = Math.floor(now / 1000 / MINUTE) * MINUTE;
  const begin = Math.floor((first ?? now) / 1000 / MINUTE) * MINUTE;
  const at_ = shown ?? new Date(now);
  place(coarse, begin, end, at_);
  coarse.hidden = end - begin <= DAY;
  const day = Math.floor(at_.getTime() / 1000 / DAY) * DAY;
  if (at_.getTime() / 1000 > end - DAY) place(fine, Math.max(begin, end - DAY), end, at_);
  else place(fine, Math.max(Math.min(begin, day + DAY), day), day + DAY, at_);
  if (document.activeElement !== at) {
    at.max = new Date(now).toISOString().slice(0, 16);
    at.value = at_.toISOString().slice(0, 16);
  }
  if (document.activeElement !== said) said.value = instant.unread() ?? "";
  live.ariaPressed = String(instant.isLive());
}

function place(slider, min, max, at_) {
  [slider.min, slider.max] = [min, max];
  slider.value = Math.floor(at_.getTime() / 1000);
  slider.ariaValueText = `${moment(at_)} UTC`;
}

/** The span of the fine slider, in seconds, up to now. */
export function span(now) {
  return [Number(fine.min), Math.min(Number(fine.max), Math.floor(now / 1000))];
}
