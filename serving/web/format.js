/** Numbers and times as a person reads them. Nothing known is a dash. */

const NOTHING = "–";
const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const regions = new Intl.DisplayNames(["en"], { type: "region", fallback: "code" });

const known = (value) => value !== null && value !== undefined && !Number.isNaN(value);

/** A number with so many decimals at most. */
export function number(value, decimals = 0) {
  if (!known(value)) return NOTHING;
  if (!decimals) return whole.format(value);
  return value.toLocaleString("en", { minimumFractionDigits: decimals, maximumFractionDigits: decimals });
}

/** A number in three digits or so: 12.3k. */
export function short(value) {
  if (!known(value)) return NOTHING;
  return value.toLocaleString("en", { notation: "compact", maximumSignificantDigits: 3 });
}

/** A share as per cent. */
export function percent(share, decimals = 0) {
  return known(share) ? `${number(100 * share, decimals)} %` : NOTHING;
}

/** A span of so many seconds in its two largest units; tenths below ten seconds. */
export function span(seconds) {
  if (!known(seconds)) return NOTHING;
  const s = Math.max(seconds, 0);
  if (s < 9.95) return `${s.toFixed(1)} s`;
  const n = Math.round(s);
  if (n < 60) return `${n} s`;
  if (n < 3_600) return `${Math.floor(n / 60)} min ${n % 60} s`;
  if (n < 86_400) return `${Math.floor(n / 3_600)} h ${Math.floor((n % 3_600) / 60)} min`;
  return `${Math.floor(n / 86_400)} d ${Math.floor((n % 86_400) / 3_600)} h`;
}

/** A span of so many seconds in its largest unit. */
export function about(seconds) {
  if (!known(seconds)) return NOTHING;
  const s = Math.max(Math.round(seconds), 0);
  for (const [unit, size] of [["d", 86_400], ["h", 3_600], ["min", 60]]) {
    if (s >= size) return `${Math.floor(s / size)} ${unit}`;
  }
  return `${s} s`;
}

/** How long ago a moment was, given as ISO 8601. */
export function ago(moment, now = Date.now()) {
  if (!known(moment)) return NOTHING;
  const seconds = (now - Date.parse(moment)) / 1000;
  return seconds < 1 ? "just now" : `${about(seconds)} ago`;
}

/** So many of something: 1 play, 2 plays. */
export function count(value, one, several = `${one}s`) {
  return `${number(value)} ${value === 1 ? one : several}`;
}

/** A moment in the reader's own time zone. */
export function moment(text) {
  if (!known(text)) return NOTHING;
  return new Date(text).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "medium" });
}

/** Minutes and seconds of a length in ms. */
export function length(ms) {
  if (!known(ms)) return NOTHING;
  const s = Math.round(ms / 1000);
  return `${Math.floor(s / 60)}:${String(s % 60).padStart(2, "0")}`;
}

/** The name of a country by its ISO 3166-1 code, as the browser knows it. */
export function country(code) {
  if (!code) return "not given";
  try {
    return regions.of(code);
  } catch {
    return code;
  }
}

/** A size in bytes, in the largest unit that leaves a number above 1. */
export function bytes(value) {
  if (!known(value)) return NOTHING;
  const units = ["B", "kB", "MB", "GB", "TB"];
  const power = Math.min(Math.floor(Math.log10(Math.max(value, 1)) / 3), units.length - 1);
  return `${number(value / 1000 ** power, power ? 1 : 0)} ${units[power]}`;
}
