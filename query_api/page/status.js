// The state of the service: the view of /v1/status, in words.

import { ask } from "./api.js";
import { element } from "./element.js";
import { age, moment } from "./format.js";

const section = document.getElementById("state");
const box = document.getElementById("state-parts");
const about = document.getElementById("state-about");
const WORDS = { tick: "newest tick", first: "first tick", source: "source", interval_s: "interval", next_tick: "next tick due", plan: "credit plan", told_at: "reported at", left: "credits left", spool: "spool" };
const TIME = /^\d{4}-\d\d-\d\dT[\d:.]+Z$/;

/** Ask for the status, and show it. */
export async function show(page) {
  section.ariaBusy = "true";
  try {
    const [status, gaps] = await Promise.all([ask("v1/status"), ask("v1/gaps", { from: "now-7d" })]);
    const { series, now, version, notice, ...more } = status;
    about.textContent = `topcoins ${version}, at ${moment(new Date(now))} UTC.${notice ? ` ${notice}` : ""}`;
    const parts = Object.entries(series).map(([name, values]) => part(name, { ...values, ...lastWeek(gaps.series[name]) }, page.now()));
    for (const [name, value] of Object.entries(more)) if (value !== null) parts.push(part(words(name), typeof value === "object" ? value : { [name]: value }, page.now()));
    box.replaceChildren(...parts);
  } catch (error) {
    about.textContent = error.message;
    box.replaceChildren();
  }
  section.ariaBusy = "false";
  document.body.dataset.shown = "status";
}

/** Missing and withdrawn ticks of the last week. */
function lastWeek(ticks) {
  const withdrawn = ticks.gaps.reduce((sum, gap) => sum + (gap.causes.withdrawn ?? 0), 0);
  return { missing_last_week: ticks.missing, withdrawn_last_week: withdrawn };
}

function part(name, values, now) {
  return element("section", { "data-part": name }, element("h2", {}, words(name)), facts(values, now));
}

/** Names and values; values that have parts of their own are lists in the list. */
function facts(values, now) {
  const entries = Object.entries(values).flatMap(([name, value]) => [element("dt", {}, WORDS[name] ?? words(name)), element("dd", {}, shown(name, value, now))]);
  return element("dl", {}, ...entries);
}

function shown(name, value, now) {
  if (value === null) return "–";
  if (Array.isArray(value)) return value.map((item) => (typeof item === "object" ? JSON.stringify(item) : item)).join(", ") || "none";
  if (typeof value === "object") return Object.keys(value).length ? facts(value, now) : "none";
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (TIME.test(value)) return `${moment(new Date(value))} UTC${Date.parse(value) <= now ? `, ${age((now - Date.parse(value)) / 1000)} ago` : ""}`;
  if (name.endsWith("_s")) return age(value);
  if (typeof value === "number") return new Intl.NumberFormat("en-US", { maximumFractionDigits: 3 }).format(value);
  return String(value);
}

function words(name) {
  return name.replace(/_s$/, "").replaceAll("_", " ");
}

/** What is shown, as a question to the API. */
export function question() {
  return { paths: ["v1/status"], values: {}, page: { view: "status" }, csv: null };
}
