// The strip under the slider: where the archive has no snapshots.

const SVG = "http://www.w3.org/2000/svg";
const strip = document.getElementById("gaps");

/** Mark the gaps of every series between two instants, in seconds. */
export function show(answer, start, stop) {
  const gaps = Object.values(answer.series).flatMap((series) => series.gaps);
  const name = document.createElementNS(SVG, "title");
  const place = (seconds) => Math.min(Math.max(((seconds - start) / (stop - start || 1)) * 1000, 0), 1000);
  strip.replaceChildren(name, ...gaps.map((gap) => {
    const rect = document.createElementNS(SVG, "rect");
    const from = place(Date.parse(gap.first) / 1000);
    rect.setAttribute("x", from);
    rect.setAttribute("height", 4);
    rect.setAttribute("width", Math.max(place(Date.parse(gap.last) / 1000) - from, 2));
    const title = document.createElementNS(SVG, "title");
    title.textContent = `${gap.ticks} missing from ${gap.first}: ${gap.cause}`;
    rect.append(title);
    return rect;
  }));
  const missing = gaps.reduce((sum, gap) => sum + gap.ticks, 0);
  name.textContent = "Red: no snapshots";
  strip.ariaLabel = missing ? `${gaps.length} gaps, ${missing} snapshots missing` : "No gap in this span";
}
