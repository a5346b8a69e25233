// The search: the rows that are shown are narrowed at once; below the field are all assets ever with such a name.

import { ask } from "./api.js";
import { button, element } from "./element.js";
import * as list from "./list.js";

const WAIT_MS = 250;
const field = document.getElementById("find");
const box = document.getElementById("found");
const state = { request: new AbortController(), soon: undefined, listed: () => 0, extend: () => {} };

/** `listed` is how many assets the list has in all, beside those shown; `extend` shows them all. */
export function onInput(listed, extend) {
  Object.assign(state, { listed, extend });
  field.addEventListener("input", () => {
    narrow();
    clearTimeout(state.soon);
    state.soon = setTimeout(lookUp, WAIT_MS);
  });
  field.addEventListener("keydown", (event) => {
    if (event.key === "Escape") close();
    if (event.key === "Enter") openFirst();
  });
  document.addEventListener("click", (event) => event.target.closest(".find") || hide());
  addEventListener("hashchange", hide);
}

/** Narrow the list to what is in the field. */
export async function narrow() {
  return list.hasAnswer() ? list.filter(field.value) : 0;
}

export function text() {
  return field.value;
}

function hide() {
  box.hidden = true;
}

function close() {
  field.value = "";
  hide();
  narrow();
}

/** Open the first asset that is found. */
async function openFirst() {
  clearTimeout(state.soon);
  await lookUp();
  if (!box.hidden) box.querySelector("a")?.click();
}

async function lookUp() {
  state.request.abort();
  const { signal } = (state.request = new AbortController());
  const wanted = field.value.trim();
  if (!wanted) return hide();
  try {
    const [rows, answer] = [await narrow(), await ask("v1/assets", { q: wanted, limit: 8 }, signal)];
    box.replaceChildren(note(rows, wanted), ...answer.data.map(entry));
    box.hidden = false;
  } catch (error) {
    if (error.name !== "AbortError") box.replaceChildren(element("p", {}, error.message));
  }
}

function note(rows, wanted) {
  const { shown, all } = state.listed();
  if (rows) return element("p", { role: "status" }, `${rows} of the ${shown} rows shown have “${wanted}”. All assets ever:`);
  const text = element("p", { role: "status" }, `No match for “${wanted}” among the first ${shown}. `);
  if (shown < all) text.append(button(`Search all ${all}`, state.extend), " ");
  text.append("All assets ever:");
  return text;
}

function entry(asset) {
  const gone = asset.listed ? "" : `, left the list on ${asset.last.slice(0, 10)}`;
  const known = asset.names.slice(0, -1).map((each) => each.symbol ?? each.name).filter((name) => name && name !== asset.symbol);
  const before = known.length ? `, once ${[...new Set(known)].join(", ")}` : "";
  return element("a", { href: `#${asset.cmc_id}`, onclick: hide }, element("b", {}, asset.symbol ?? `id ${asset.cmc_id}`),
    ` ${asset.name ?? ""}`, element("span", { class: "quiet" }, ` id ${asset.cmc_id}${before}${gone}`));
}
