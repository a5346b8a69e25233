// The field that adds an asset to the chart: what is typed is looked up among all assets ever.

import { MOST_COMPARED } from "./address.js";
import { ask } from "./api.js";
import { element } from "./element.js";

const WAIT_MS = 250;
const form = document.getElementById("compare");
const field = form.querySelector("input");
const choices = document.getElementById("choices");
const note = document.getElementById("compare-note");
const state = { soon: undefined, add: () => {}, ids: [] };

/** Call `add` with the id of an asset to compare. */
export function onAdd(add) {
  state.add = add;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    clearTimeout(state.soon);
    addBest(field.value.trim());
  });
  field.addEventListener("input", () => {
    clearTimeout(state.soon);
    const chosen = [...choices.children].find((option) => option.value === field.value);
    if (chosen) return put(Number(chosen.dataset.id));
    state.soon = setTimeout(suggest, WAIT_MS);
  });
}

/** Show the field beside the chart of these assets. */
export function show(ids) {
  state.ids = ids;
  field.disabled = ids.length >= MOST_COMPARED;
  field.placeholder = field.disabled ? `${MOST_COMPARED} at most` : "Compare with …";
}

async function find(text) {
  return text ? (await ask("v1/assets", { q: text, limit: 8 })).data.filter((asset) => !state.ids.includes(asset.cmc_id)) : [];
}

async function suggest() {
  const assets = await find(field.value.trim()).catch(() => []);
  choices.replaceChildren(...assets.map((asset) => element("option", { value: `${asset.symbol ?? ""} ${asset.name ?? ""} (id ${asset.cmc_id})`.trim(), "data-id": asset.cmc_id })));
}

async function addBest(text) {
  const [best] = await find(text).catch(() => []);
  if (best) put(best.cmc_id);
  else note.textContent = text ? `No other asset of the archive has “${text}”.` : "";
}

function put(id) {
  field.value = note.textContent = "";
  choices.replaceChildren();
  state.add(id);
}
