// Play: one list after the other, a step a second, up to the present or until anything else is done.

import { announce } from "./connection.js";

const EACH_MS = matchMedia("(prefers-reduced-motion: reduce)").matches ? 5000 : 1000;
const MINUTE_MS = 60_000;
const button = document.getElementById("play");
const stride = document.getElementById("stride");
const state = { run: 0 };

for (const kind of ["pointerdown", "keydown", "popstate"]) {
  addEventListener(kind, (event) => isPlaying() && !starts(event) && stop(), { capture: true });
}

const isPlaying = () => document.body.dataset.playing === "yes";

/** Whether an event is the button's or the key's own, which end it by themselves. */
function starts(event) {
  return event.key === "p" || (event.target.closest?.("#play") && (event.type === "pointerdown" || [" ", "Enter"].includes(event.key)));
}

/** Begin after the instant `at`, a Date, or at `begin` where the page is live; or end. `go` shows an instant. */
export function toggle({ at, begin, now, go }) {
  if (isPlaying()) return stop();
  const run = (state.run += 1);
  mark(true);
  announce("Playing");
  return walk(run, at ? at.getTime() + step() : Math.ceil(begin / MINUTE_MS) * MINUTE_MS, now, go);
}

const step = () => Number(stride.value) * 1000;

/** Shows the list of each instant in turn, never two at once; a gap is shown once, and skipped. */
async function walk(run, begin, now, go) {
  let instead = false; // all of it is one entry of the browser's history
  for (let at = begin; at < now(); ) {
    const { shown, after } = await paced(go(new Date(at), { instead }));
    if (run !== state.run) return;
    if (!shown && !(after > at)) return stop();
    at = shown ? at + step() : after;
    instead = true;
  }
  stop();
  go(null, { instead });
}

/** What a promise gives, not before the step's time is over, and while the page is looked at. */
async function paced(loaded) {
  const [result] = await Promise.all([loaded, new Promise((resolve) => setTimeout(resolve, EACH_MS))]);
  while (document.hidden) await new Promise((resolve) => document.addEventListener("visibilitychange", resolve, { once: true }));
  return result;
}

function stop() {
  state.run += 1;
  mark(false);
  announce("Paused");
}

function mark(playing) {
  document.body.dataset.playing = playing ? "yes" : "no";
  button.ariaPressed = String(playing);
  button.textContent = playing ? "❚❚ Pause" : "▶ Play";
}
