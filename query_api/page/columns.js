// Which columns are shown, remembered by this browser.

import { element } from "./element.js";

const KEY = "topcoins.hidden";
const COLUMNS = {
  change_1h: "1h", change_24h: "24h", change_7d: "7d", volume: "Volume 24h", market_cap_usd: "Market cap",
  source_rank: "Source rank", line: "Last 24 hours",
};

/** Fill the menu, and hide what was hidden before. */
export function install() {
  const table = document.querySelector("#list table");
  const hidden = new Set(read());
  const apply = () => {
    for (const name of Object.keys(COLUMNS)) table.classList.toggle(`without-${name}`, hidden.has(name));
  };
  document.getElementById("columns").append(...Object.entries(COLUMNS).map(([name, text]) => {
    const box = element("input", { type: "checkbox", checked: !hidden.has(name) });
    box.addEventListener("change", () => {
      if (box.checked) hidden.delete(name);
      else hidden.add(name);
      write([...hidden]);
      apply();
    });
    return element("label", {}, box, ` ${text}`);
  }));
  apply();
}

function read() {
  try {
    return JSON.parse(localStorage.getItem(KEY)) ?? [];
  } catch {
    return [];
  }
}

function write(hidden) {
  try {
    localStorage.setItem(KEY, JSON.stringify(hidden));
  } catch {
    // A browser without storage forgets.
  }
}
