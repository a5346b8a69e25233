// Which instant the page shows: live, or any moment of the archive. The page's address has it as `datetime`.

import * as address from "./address.js";
import { rfc3339 } from "./format.js";

const DATE = /^(\d{4}-\d\d-\d\d)(?:[Tt ](\d\d:\d\d(?::\d\d(?:\.\d+)?)?)(Z|z|[+-]\d\d:\d\d)?)?$/;

/** The instant of the address as a Date, or null: for live, and for words that only the API can read. */
export function chosen() {
  return parsed(address.get("datetime") ?? "");
}

/** What the address says of the instant where only the API knows what it means, such as `tue 14:37`; else null. */
export function unread() {
  const text = address.get("datetime");
  return chosen() === null && text !== "now" ? text : null;
}

export function isLive() {
  return chosen() === null && unread() === null;
}

/** Put an instant, words, or null for live into the address. */
export function choose(at, options) {
  address.set({ datetime: at instanceof Date ? rfc3339(at) : at }, options);
}

/** A date, a time or epoch seconds as the API reads them: in UTC where there is no offset. Never the browser's guess. */
export function parsed(text) {
  if (/^\d{10}$/.test(text)) return new Date(Number(text) * 1000);
  const match = DATE.exec(text);
  if (!match) return null;
  const [, day, clock, zone] = match;
  const date = new Date(`${day}T${clock ?? "00:00"}${(zone ?? "Z").toUpperCase()}`);
  return Number.isNaN(date.getTime()) ? null : date;
}
