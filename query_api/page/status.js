// The state of the service: the view of /v1/status, in words.

import { ask } from "./api.js";
import { element } from "./element.js";
import { age, moment, words } from "./format.js";

const section = document.getElementById("state");
const box = document.getElementById("state-parts");
const about = document.getElementById("state-about");
const WORDS = { tick: "newest tick", first: "first tick", source: "source", interval_s: "interval", next_tick: "next tick due", plan: "credit plan", told_at: "reported at", left: "credits left", spool: "delivery to the store",
  spooled: "waiting on disk", spooled_bytes: "bytes waiting", dropped: "deleted before they were stored", unchanged: "same list as before", counted: "credits counted by topcoins" };
/** What a name means, in a sentence. */
const MEANS = {
  tick: "The minute of the newest snapshot", first: "The minute of the oldest snapshot", rejected: "Assets of the newest list that were not usable",
  duplicates: "Assets that the newest list had twice", credits: "What the newest list cost at its source",
  unchanged: "Whether the newest list equals the one before",
  expected_last_hour: "Stored and missing snapshots. There may be more than one each minute: topcoins reads a list at once when it starts",
  stored_last_hour: "Snapshots of the last hour in the store", missing_last_hour: "Snapshots of the last hour that were due and are not there, by cause",
  spool: "Lists are written to the disk first, and from there to the store", fetched: "Snapshots that were read from the source: stored, waiting and deleted",
  stored: "Snapshots that were written to the store", spooled: "Snapshots on the disk that are not in the store yet", spooled_bytes: "Size of the snapshots that wait on the disk",
  dropped: "Snapshots that were deleted because the disk's share was full, before the store could take them",
  plan: "How long the credits of the source's key last", told_at: "When the source reported its credits",
  counted: "Yes: the source does not report its credits, so topcoins counts what it spends", doubtful_lists: "Lists that differ too much from those before, and are kept apart",
  withdrawn_last_week: "Snapshots that an operator withdrew", rank_disagreement: "How much the two sources' ranks differ: 0 if they agree",
};
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
  const entries = Object.entries(values).flatMap(([name, value]) => [element("dt", { title: MEANS[name] }, WORDS[name] ?? words(name)), element("dd", {}, shown(name, value, now))]);
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

/** What is shown, as a question to the API. */
export function question() {
  return { paths: ["v1/status"], values: {}, page: { view: "status" }, csv: null };
}
