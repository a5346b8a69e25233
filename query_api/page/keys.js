// Keys for the whole page: time travel, live, search, help.

const help = document.getElementById("help");

/** Acts on keys that are pressed outside of a field, by the actions of this name. */
export function onKeys({ step, live, search, gap, play }) {
  const actions = {
    ArrowLeft: (event) => step(event.shiftKey ? -3600 : -60),
    ArrowRight: (event) => step(event.shiftKey ? 3600 : 60),
    l: live,
    p: play,
    "/": search,
    "[": () => gap(-1),
    "]": () => gap(1),
    "?": () => help.showModal(),
  };
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    if (event.target.closest("input, select, textarea, dialog[open], [tabindex='0']")) return;
    const action = actions[event.key];
    if (!action) return;
    event.preventDefault();
    action(event);
  });
  document.getElementById("keys").addEventListener("click", () => help.showModal());
  for (const close of document.querySelectorAll("dialog [data-close]")) {
    close.addEventListener("click", () => close.closest("dialog").close());
  }
}

// On a narrow screen what is used less is shown on demand.
const more = document.getElementById("more");
more.addEventListener("click", () => {
  const shown = document.body.classList.toggle("more");
  more.ariaExpanded = String(shown);
  more.textContent = shown ? "Less" : "More";
});
