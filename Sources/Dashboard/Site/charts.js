// Small charts of the last hour: lines over time from [rps, success, p50, p95, p99] points, with gaps where nothing is known.

import { el, svg, setAttribute, setText } from "./dom.js";
import { clock, UNKNOWN } from "./format.js";

const WIDTH = 300;

/** The largest round number of 1, 2, 5 × 10ⁿ steps that is not below `value`. */
function ceiling(value) {
  if (value <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map(step => step * power).find(step => step >= value * 0.999);
}

/** A path through the values; unknown ones interrupt it. `area`: closed along the bottom. */
function path(values, x, y, area, bottom) {
  let line = "";
  let start = null;
  let last = null;
  const close = () => {
    if (area && start !== null) line += `L${last.toFixed(1)} ${bottom}L${start.toFixed(1)} ${bottom}Z`;
    // A single point would not be seen.
    else if (start !== null && start === last) line += "h.01";
    start = null;
  };
  values.forEach((value, index) => {
    if (value === null || value === undefined) return close();
    const at = x(index);
    line += `${start === null ? "M" : "L"}${at.toFixed(1)} ${y(value).toFixed(1)}`;
    start ??= at;
    last = at;
  });
  close();
  return line;
}

/** The largest of every few values, so that a line has no more points than it has pixels. */
function thinned(values, most) {
  if (values.length <= most) return values;
  const size = values.length / most;
  return Array.from({ length: most }, (_, index) => {
    const part = values.slice(Math.floor(index * size), Math.floor((index + 1) * size)).filter(one => one !== null);
    return part.length ? Math.max(...part) : null;
  });
}

/** A line for a table's row. */
export function sparkline() {
  const area = svg("path", { cls: "area" });
  const line = svg("path", { cls: "line" });
  const element = svg("svg", {
    cls: "spark", viewBox: "0 0 96 24", preserveAspectRatio: "none", role: "img", "aria-label": "no history yet",
  }, area, line);
  return {
    element,
    set(points, index, label) {
      const values = thinned(points.map(point => point?.[index] ?? null), 96);
      const top = ceiling(Math.max(0, ...values.filter(one => one !== null)));
      const x = at => (values.length > 1 ? (at * 96) / (values.length - 1) : 96);
      const y = value => 22.5 - (value / top) * 20;
      setAttribute(line, "d", path(values, x, y));
      setAttribute(area, "d", path(values, x, y, true, 24));
      setAttribute(element, "aria-label", label);
    },
  };
}

/**
 * A chart of the last hour.
 *
 * series: [{ index (in a point), name, cls }]; format: of a value; floor: the lowest value at the bottom (null: 0), top: the
 * highest at the top (null: by the values). Arrow keys or the pointer read single moments.
 */
export function hourChart({ label, series, format, top = null, height = 88, invert = null }) {
  const lines = series.map(({ cls }) => svg("path", { cls: "line " + cls }));
  const area = series.length === 1 ? svg("path", { cls: "area " + series[0].cls }) : null;
  const cursor = svg("line", { cls: "cursor", y1: 0, y2: height, hidden: true });
  const drawing = svg("svg", {
    viewBox: `0 0 ${WIDTH} ${height}`, preserveAspectRatio: "none", "aria-hidden": "true",
  }, [0.5, height / 2, height - 0.5].map(y => svg("line", { cls: "grid", x1: 0, x2: WIDTH, y1: y, y2: y })),
  area, lines, cursor);
  const upper = el("span", { cls: "axis upper" });
  const lower = el("span", { cls: "axis lower" });
  const tip = el("output", { cls: "tip", hidden: true });
  const plot = el("div", { cls: "plot", tabindex: 0, role: "slider", "aria-label": label + ", last hour",
    "aria-valuemin": 0, "aria-valuemax": 0, "aria-valuenow": 0, "aria-valuetext": "no history yet" },
  drawing, upper, lower, tip);
  const element = el("div", { cls: "chart" }, plot,
    el("div", { cls: "times", "aria-hidden": "true" }, el("span", {}, "1 h ago"), el("span", {}, "now")));
  let history = null;
  let at = null;

  function read(index) {
    const points = history?.points ?? [];
    at = index === null || !points.length ? null : Math.max(0, Math.min(points.length - 1, index));
    tip.hidden = at === null;
    setAttribute(cursor, "hidden", at === null ? "" : null);
    if (at === null) return;
    const part = points.length > 1 ? at / (points.length - 1) : 1;
    setAttribute(cursor, "x1", part * WIDTH);
    setAttribute(cursor, "x2", part * WIDTH);
    const time = clock(history.end - (points.length - 1 - at) * history.step);
    const values = series.map(one => {
      const value = points[at]?.[one.index] ?? null;
      return (series.length > 1 ? one.name + " " : "") + (value === null ? UNKNOWN : format(value));
    }).join(" · ");
    setText(tip, `${time}  ${values}`);
    tip.style.setProperty("--at", part);
    setAttribute(plot, "aria-valuenow", at);
    setAttribute(plot, "aria-valuetext", `${time}: ${values}`);
  }

  const indexAt = event => {
    const box = plot.getBoundingClientRect();
    return Math.round(((event.clientX - box.left) / box.width) * ((history?.points.length ?? 1) - 1));
  };
  plot.addEventListener("pointermove", event => read(indexAt(event)));
  plot.addEventListener("pointerleave", () => read(null));
  plot.addEventListener("blur", () => read(null));
  plot.addEventListener("keydown", event => {
    const last = (history?.points.length ?? 1) - 1;
    const to = {
      ArrowLeft: (at ?? last + 1) - 1, ArrowRight: (at ?? last) + 1, PageUp: (at ?? last) - 30,
      PageDown: (at ?? last) + 30, Home: 0, End: last, Escape: null,
    }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    read(to);
  });

  return {
    element,
    set(next) {
      history = next;
      const points = history.points;
      const values = series.map(({ index }) => points.map(point => point?.[index] ?? null));
      const all = values.flat().filter(one => one !== null);
      let bottomValue = 0;
      let topValue = top ?? ceiling(Math.max(0, ...all));
      if (invert) [bottomValue, topValue] = invert(all);
      const x = index => (points.length > 1 ? (index * WIDTH) / (points.length - 1) : WIDTH);
      const y = value =>
        height - 2 - ((Math.max(bottomValue, Math.min(topValue, value)) - bottomValue) / (topValue - bottomValue)) *
        (height - 4);
      lines.forEach((line, index) => setAttribute(line, "d", path(values[index], x, y)));
      if (area) setAttribute(area, "d", path(values[0], x, y, true, height));
      setText(upper, all.length ? format(topValue) : "");
      setText(lower, all.length ? format(bottomValue) : "");
      setAttribute(plot, "aria-valuemax", Math.max(0, points.length - 1));
      if (at === null) {
        setAttribute(plot, "aria-valuenow", Math.max(0, points.length - 1));
        setAttribute(plot, "aria-valuetext", all.length ? "arrow keys read single moments" : "no history yet");
      } else {
        read(at);
      }
    },
  };
}

/** The scale of success: from the next rounder share below the lowest, so that 99.9 and 99 % can be told apart. */
export function successScale(values) {
  const lowest = values.length ? Math.min(...values) : 1;
  return [[0.99, 0.95, 0.9, 0.75, 0.5, 0].find(floor => floor <= lowest) ?? 0, 1];
}

/** Adds the points that are new to a history; what is older than `length` points goes. */
export function merged(old, next, length) {
  if (!old || old.step !== next.step) return next;
  const missing = Math.round((next.end - old.end) / old.step);
  if (missing < 0 || missing >= next.points.length) return next;
  // The last points may have been incomplete when they were read.
  const kept = old.points.slice(0, old.points.length + missing - next.points.length);
  return { step: next.step, end: next.end, points: kept.concat(next.points).slice(-length) };
}
