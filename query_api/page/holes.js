// The gaps of a chart: as the API names them, or else where a history has no snapshots.

/** Spans in seconds; those of several series that overlap are one. `gaps` is an answer of the API, or null. */
export function spans(gaps, points, first) {
  return gaps ? joined(Object.values(gaps.series).flatMap((series) => series.gaps)) : missing(points, first);
}

function joined(gaps) {
  const all = gaps.map(({ first, last }) => [Date.parse(first) / 1000, Date.parse(last) / 1000]);
  return all.sort((a, b) => a[0] - b[0]).reduce((made, [first, last]) => {
    const before = made.at(-1);
    if (before && first <= before[1]) before[1] = Math.max(before[1], last);
    else made.push([first, last]);
    return made;
  }, []);
}

/** Runs of steps without a snapshot, from the archive's first one on. */
function missing(points, first) {
  const runs = [];
  let run = null;
  for (const { at, price_time: tick } of points) {
    const seconds = Date.parse(at) / 1000;
    if (tick !== null || seconds < (first ?? 0)) run = null;
    else if (run) run[1] = seconds;
    else runs.push((run = [seconds, seconds]));
  }
  return runs;
}

/**
 * The columns of rows that begin with an instant in seconds. A row of nulls stands in every gap between two of them,
 * so that no line crosses it.
 */
export function columns(rows, gaps) {
  const breaks = gaps.map(([first, last]) => [(first + last) / 2, ...rows[0].slice(1).fill(null)]);
  const all = [...rows, ...breaks].sort((a, b) => a[0] - b[0]);
  const distinct = all.filter((row, n) => n === 0 || row[0] > all[n - 1][0]);
  return rows[0].map((_, column) => distinct.map((row) => row[column]));
}
