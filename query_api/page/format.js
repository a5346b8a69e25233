// Numbers and times as people read them. The exact value stays beside each, in the element that shows it.

export const NONE = "–";
const grouped = new Map();

/** A number with this many decimals, thousands apart; never an exponent. */
function fixed(value, decimals) {
  if (!grouped.has(decimals)) {
    grouped.set(decimals, new Intl.NumberFormat("en-US", { minimumFractionDigits: decimals, maximumFractionDigits: decimals }));
  }
  return grouped.get(decimals).format(value);
}

/** At least four digits that say something, however small the price. */
export function price(value) {
  if (value === null || value === undefined) return NONE;
  if (value === 0) return "0";
  if (value >= 1000) return fixed(value, 2);
  if (value >= 1) return fixed(value, value >= 100 ? 2 : 4);
  return fixed(value, Math.min(3 - Math.floor(Math.log10(value)), 20));
}

export function volume(value) {
  const scales = [[1e12, "T"], [1e9, "B"], [1e6, "M"], [1e3, "K"]];
  const [size, letter] = scales.find(([least]) => value >= least) ?? [1, ""];
  return fixed(value / size, size === 1 ? 0 : 2) + letter;
}

export function change(ratio) {
  if (ratio === null) return NONE;
  const shown = fixed(Math.abs(ratio) * 100, 2);
  if (shown === "0.00") return "0.00%";
  return (ratio > 0 ? "+" : "−") + shown + "%";
}

/** A span of seconds in its largest unit. */
export function age(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  if (whole < 120) return `${whole}s`;
  if (whole < 7200) return `${Math.floor(whole / 60)}m`;
  return whole < 172800 ? `${Math.floor(whole / 3600)}h` : `${Math.floor(whole / 86400)}d`;
}

/** `2026-11-17 14:37:05`, without seconds that are none. */
export function moment(date) {
  const text = date.toISOString();
  return `${text.slice(0, 10)} ${text.slice(11, text.slice(17, 19) === "00" ? 16 : 19)}`;
}

/** How a value of each kind of column is shown. */
export const KINDS = {
  integer: (value) => value ?? NONE,
  text: (value) => value ?? NONE,
  time: (value) => (value ? moment(new Date(value)) : NONE),
  number: (value) => (!value ? value ?? NONE : Math.abs(value) < 1e6 ? (value < 0 ? "−" : "") + price(Math.abs(value)) : volume(value)),
};

/** A field's name as words, without the unit. */
export function words(name) {
  return name.replace(/_s$/, "").replaceAll("_", " ");
}

/** RFC 3339 to the second, as the API writes it. */
export function rfc3339(date) {
  return date.toISOString().slice(0, 19) + "Z";
}
