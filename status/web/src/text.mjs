// Text and figures, as people read them: the same words as scidexctl's (base/format.c, base/text.c).

// Control characters, and marks that make a line read differently from what it says.
const DECEIVING = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

/** Text that others wrote, fit to be shown: what can't be seen becomes \xNN. It is set with textContent only. */
export function visible(text) {
  return String(text).replace(DECEIVING, (c) =>
    Array.from(new TextEncoder().encode(c), (byte) => "\\x" + byte.toString(16).padStart(2, "0")).join(""),
  );
}

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

export function formatBytes(bytes) {
  if (!Number.isFinite(bytes)) return "unknown";
  if (bytes < 1024) return `${Math.round(bytes)} B`;
  let unit = 0;
  let factor = 1;
  do {
    unit++;
    factor *= 1024;
  } while (Math.round(bytes / factor) >= 1024 && unit + 1 < UNITS.length);
  const tenths = Math.round((bytes * 10) / factor);
  return unit >= 3 || tenths < 100 ? `${(tenths / 10).toFixed(1)} ${UNITS[unit]}` : `${Math.round(bytes / factor)} ${UNITS[unit]}`;
}

function pair(large, largeUnit, small, smallUnit) {
  return small === 0 ? `${large}${largeUnit}` : `${large}${largeUnit} ${small}${smallUnit}`;
}

export function formatSeconds(value) {
  if (!Number.isFinite(value)) return "unknown";
  const seconds = Math.floor(value);
  if (value > 0 && value < 1) return `${Math.floor(value * 1000)}ms`;
  if (seconds < 10) return `${Math.floor(value * 100) / 100}s`;
  if (seconds < 60) return `${seconds}s`;
  if (seconds < 3600) return pair(Math.floor(seconds / 60), "min", seconds % 60, "s");
  if (seconds < 86400) return pair(Math.floor(seconds / 3600), "h", Math.floor((seconds % 3600) / 60), "min");
  return pair(Math.floor(seconds / 86400), "d", Math.floor((seconds % 86400) / 3600), "h");
}

/** Seconds that are counted up while somebody looks: without hundredths. */
export function formatAge(value) {
  return Number.isFinite(value) ? formatSeconds(Math.max(0, Math.floor(value))) : "unknown";
}

const two = (n) => String(n).padStart(2, "0");

export function formatClock(date) {
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

export function formatDay(date) {
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${formatClock(date)}`;
}

export const isNumber = (value) => typeof value === "number" && Number.isFinite(value);
