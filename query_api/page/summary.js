// The line above the list, and what stands for all of its rows: the age of the volumes, and the sources.

import { age, moment } from "./format.js";

const line = document.getElementById("status");
const volumeAge = document.getElementById("volume-age");
const sources = document.getElementById("sources");

/** Say something else for now. */
export function say(text) {
  if (line.textContent !== text) line.textContent = text;
}

/** Shows which snapshots a list uses, and how old they are at an instant, in milliseconds. */
export function show(answer, at) {
  const since = (time) => age((at - Date.parse(time)) / 1000);
  const hourly = answer.resolution === "1h" ? "; hourly" : "";
  say(
    `${answer.count} of ${answer.assets.matched} assets, prices of ${moment(new Date(answer.price_time))} (${since(answer.price_time)} old)` +
      `, volumes of ${moment(new Date(answer.rank_time))} (${since(answer.rank_time)} old) UTC${hourly}`,
  );
  volumeAge.dateTime = answer.rank_time;
  volumeAge.title = `volumes of ${answer.rank_time}`;
  volumeAge.textContent = since(answer.rank_time);
  sources.textContent = `Prices: ${answer.sources.price}. Volumes: ${answer.sources.rank}.`;
}
