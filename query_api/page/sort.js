// Sorting by a click on a column's head. The address has the order, so that the API sorts the whole list.

import * as address from "./address.js";

const heads = [...document.querySelectorAll("[data-sort]")];
const UPWARDS = new Set(["rank", "symbol", "source_rank"]);

/** Call `changed` after the address has changed. */
export function onChange(changed) {
  for (const head of heads) {
    head.addEventListener("click", () => {
      const { sort: column } = head.dataset;
      const first = UPWARDS.has(column) ? column : `-${column}`;
      const other = UPWARDS.has(column) ? `-${column}` : column;
      const sort = current() === first ? other : first;
      address.set({ sort: sort === "rank" ? null : sort });
      changed();
    });
  }
}

function current() {
  return address.get("sort") ?? "rank";
}

/** Mark the column that the list is sorted by. */
export function show() {
  const [column, down] = [current().replace("-", ""), current().startsWith("-")];
  for (const head of heads) {
    const order = head.dataset.sort === column ? (down ? "descending" : "ascending") : null;
    const th = head.closest("th");
    if (order) th.setAttribute("aria-sort", order);
    else th.removeAttribute("aria-sort");
  }
}
