// What narrows the list, each with its count and a × to remove it; and what was asked for and is not there.

import * as address from "./address.js";
import { button, element } from "./element.js";

const LISTS = { symbols: "Ticker", ids: "Id" };
const SINGLE = { max_volume_to_cap: "Volume to market cap up to", max_age: "Snapshots up to this age", known_at: "As known at", sort: "Sorted by" };
const box = document.getElementById("chips");
const toggles = [...document.querySelectorAll("[data-exclude]")];

/** Call `changed` after the address has changed. */
export function onChange(changed) {
  for (const toggle of toggles) {
    toggle.addEventListener("click", () => {
      const kinds = items("exclude");
      const kind = toggle.dataset.exclude;
      put("exclude", kinds.includes(kind) ? kinds.filter((other) => other !== kind) : [...kinds, kind]);
      changed();
    });
  }
  box.addEventListener("click", (event) => {
    const chip = event.target.closest("[data-name]");
    if (!chip) return;
    const { name, item } = chip.dataset;
    put(name, item ? items(name).filter((other) => other !== item) : []);
    changed();
  });
}

/** Show the filters of the address, with the counts of an answer; without one, without counts. */
export function show(answer) {
  const counts = answer?.filtered ?? {};
  const excluded = items("exclude");
  for (const toggle of toggles) {
    const kind = toggle.dataset.exclude;
    const count = excluded.includes(kind) && counts[kind] !== undefined ? ` (${counts[kind]} left out)` : "";
    toggle.ariaPressed = String(excluded.includes(kind));
    toggle.textContent = `Without ${kind}${count}`;
  }
  const missing = new Set(answer?.missing ?? []);
  const chips = [
    ...Object.keys(LISTS).flatMap((name) => items(name).map((item) => chip(name, item, `${LISTS[name]} ${item}${missing.has(item) ? ": not in this list" : ""}`, missing.has(item)))),
    ...Object.keys(SINGLE).filter((name) => address.get(name) !== null).map((name) => chip(name, null, single(name, counts))),
  ];
  if (counts.unknown) chips.push(element("span", { class: "chip" }, `${counts.unknown} of unknown kind left out`));
  box.replaceChildren(...chips);
  box.hidden = !chips.length;
}

function single(name, counts) {
  const value = address.get(name);
  if (name === "sort") return `${SINGLE.sort} ${value.replace("-", "").replaceAll("_", " ")}${value.startsWith("-") ? ", largest first" : ""}`;
  const count = name === "max_volume_to_cap" && counts.volume_to_cap !== undefined ? ` (${counts.volume_to_cap} left out)` : "";
  return `${SINGLE[name]} ${value}${count}`;
}

function chip(name, item, text, missing = false) {
  return button(`${text} ×`, () => {}, { class: missing ? "chip missing" : "chip", "data-name": name, "data-item": item, title: "Remove" });
}

function items(name) {
  return (address.get(name) ?? "").split(",").map((item) => item.trim()).filter(Boolean);
}

function put(name, values) {
  address.set({ [name]: values.length ? values.join(",") : null });
}
