// Numbers as text, everywhere in the same manner: three significant digits, a thin space before the unit, a dash for what
// is not known.

export const UNKNOWN = "–";
const THIN = "\u202f";

const known = value => typeof value === "number" && Number.isFinite(value);

/** Three significant digits without an exponent: 0.004, 1.23, 12.3, 123, 1 230. */
function digits(value) {
  const size = Math.abs(value);
  if (size === 0) return "0";
  if (size >= 99.95) return Math.round(value).toLocaleString("en-US").replaceAll(",", THIN);
  if (size >= 9.995) return value.toFixed(1);
  if (size >= 0.9995) return value.toFixed(2);
  return size >= 0.0005 ? value.toFixed(3).replace(/0+$/, "") : "<0.001";
}

const scaled = (value, units, step) => {
  let index = 0;
  while (Math.abs(value) >= step * 0.9995 && index < units.length - 1) {
    value /= step;
    index += 1;
  }
  return digits(value) + (units[index] && THIN + units[index]);
};

/** A count or a rate per second, without its unit: 12.3, 1 234, 12.3 k. */
export function count(value) {
  if (!known(value)) return UNKNOWN;
  return Math.abs(value) < 9999.5 ? digits(value) : scaled(value, ["", "k", "M", "G", "T"], 1000);
}

/** A whole number of things. */
export const whole = value => (known(value) ? Math.round(value).toLocaleString("en-US").replaceAll(",", THIN) : UNKNOWN);

export const rate = value => (known(value) ? count(value) + "/s" : UNKNOWN);

/** A share of 1 in percent. What is not everything is never shown as 100 %, what is not nothing never as 0 %. */
export function percent(value) {
  if (!known(value)) return UNKNOWN;
  // The addition keeps 0.57 from being 56.9 %.
  const hundred = value * 100 + 1e-9;
  if (value >= 1) return "100" + THIN + "%";
  if (value <= 0) return "0" + THIN + "%";
  if (hundred > 99.99) return ">99.99" + THIN + "%";
  if (hundred >= 99.9) return Math.floor(hundred * 100) / 100 + THIN + "%";
  if (hundred < 0.1) return "<0.1" + THIN + "%";
  return (hundred >= 99 ? Math.floor(hundred * 10) / 10 : Math.round(hundred * 10) / 10) + THIN + "%";
}

/** Milliseconds in the unit that suits them. */
export function milliseconds(value) {
  if (!known(value)) return UNKNOWN;
  if (value === 0) return "0" + THIN + "ms";
  if (value < 1) return digits(value * 1000) + THIN + "µs";
  return value < 999.5 ? digits(value) + THIN + "ms" : duration(value / 1000);
}

export const microseconds = value => (known(value) ? milliseconds(value / 1000) : UNKNOWN);

/** Seconds: 1.23 s, 4 min 5 s, 3 h 12 min, 12 d 4 h. */
export function duration(value) {
  if (!known(value)) return UNKNOWN;
  if (value < 59.5) return digits(value) + THIN + "s";
  const parts = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
  let rest = Math.round(value);
  const texts = [];
  for (const [unit, size] of parts) {
    const number = Math.floor(rest / size);
    rest -= number * size;
    if (number > 0 || texts.length > 0) texts.push(number > 0 ? number + THIN + unit : "");
    if (texts.length === 2) break;
  }
  return texts.filter(Boolean).join(" ");
}

export const bytes = value => (known(value) ? scaled(value, ["B", "KiB", "MiB", "GiB", "TiB"], 1024) : UNKNOWN);

export const byteRate = value => (known(value) ? bytes(value) + "/s" : UNKNOWN);

/** The time of day of a date or of seconds since 1970. */
export function clock(value, withSeconds = true) {
  const date = typeof value === "number" ? new Date(value * 1000) : new Date(value);
  if (Number.isNaN(date.getTime())) return UNKNOWN;
  return date.toLocaleTimeString("en-GB", {
    hour: "2-digit", minute: "2-digit", ...(withSeconds ? { second: "2-digit" } : {}),
  });
}

/** How long ago an RFC 3339 time was, or how long until it. */
export function age(text, now = Date.now()) {
  const time = Date.parse(text);
  return Number.isNaN(time) ? UNKNOWN : duration(Math.abs(now - time) / 1000);
}

/** "1 service", "2 services". */
export const plural = (number, one, many = one + "s") => `${whole(number)} ${number === 1 ? one : many}`;

/** A share of all with the lane's name: "kernel 90 %, proxy 10 %". */
export const lanes = shares =>
  Object.entries(shares ?? {}).filter(([, share]) => share > 0).sort((a, b) => b[1] - a[1])
    .map(([lane, share]) => `${lane} ${percent(share)}`).join(", ") || UNKNOWN;
