// A line of a few prices, in which a gap stays a gap.

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 120;
const HEIGHT = 24;
const EDGE = 2;

/** An empty drawing. */
export function canvas() {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
  svg.setAttribute("class", "spark");
  svg.setAttribute("aria-hidden", "true");
  svg.append(document.createElementNS(SVG, "path"));
  return svg;
}

/** Draw prices over their instants, in milliseconds; null is a gap. */
export function draw(svg, at, prices, label) {
  svg.firstChild.setAttribute("d", path(at, prices));
  svg.removeAttribute("aria-hidden");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", label);
}

export function path(at, prices) {
  const known = prices.filter((price) => price !== null);
  const low = Math.min(...known);
  const height = Math.max(...known) - low;
  const x = (when) => (((when - at[0]) / (at.at(-1) - at[0])) * WIDTH).toFixed(1);
  const y = (price) => (height ? HEIGHT - EDGE - ((price - low) / height) * (HEIGHT - 2 * EDGE) : HEIGHT / 2).toFixed(1);
  let pen = "M";
  let drawn = "";
  prices.forEach((price, n) => {
    if (price === null) {
      pen = "M";
      return;
    }
    const alone = pen === "M" && (prices[n + 1] ?? null) === null;
    drawn += `${pen}${x(at[n])} ${y(price)}${alone ? "h.1" : ""}`;
    pen = "L";
  });
  return drawn;
}
