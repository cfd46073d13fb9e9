// What several pages are made of: health marks, tiles, tables, empty states.

import { el, svg, setAttribute, setChildren, setText } from "./dom.js";
import { lanes as lanesText, percent } from "./format.js";

// MARK: Health

/** From the worst to the best: for sorting, and for what a group of things is. */
export const HEALTHS = ["bad", "warning", "good", "idle"];

const WORDS = { good: "Healthy", warning: "Degraded", bad: "Failing", idle: "Idle" };
export const healthWord = health => WORDS[health] ?? "Unknown";
export const healthRank = health => {
  const rank = HEALTHS.indexOf(health);
  return rank < 0 ? HEALTHS.length : rank;
};
export const worst = healths => healths.reduce((a, b) => (healthRank(b) < healthRank(a) ? b : a), "idle");

// Shapes tell the states apart without any colour: a tick, a triangle, a cross in an octagon, a ring.
const SHAPES = {
  good: ["M8 1a7 7 0 1 0 0 14A7 7 0 0 0 8 1Z", "M4.8 8.3l2.2 2.2 4.3-4.6"],
  warning: ["M8 1.2 15.4 14.6H.6Z", "M8 6v4M8 12.2v.2"],
  bad: ["M5 1h6l4 4v6l-4 4H5l-4-4V5Z", "M5.4 5.4l5.2 5.2M10.6 5.4l-5.2 5.2"],
  idle: ["M8 2.2a5.8 5.8 0 1 0 0 11.6A5.8 5.8 0 0 0 8 2.2Z", "M5.4 8h5.2"],
};

/** The two paths of a state's mark, in a box of 16 × 16. */
export function healthPaths(health) {
  const [body, sign] = SHAPES[health] ?? SHAPES.idle;
  return [svg("path", { cls: "body", d: body }), svg("path", { cls: "sign", d: sign })];
}

export function healthMark(health, withWord = false) {
  const mark = el("span", { cls: "health" });
  setHealth(mark, health, withWord);
  return mark;
}

export function setHealth(mark, health, withWord = false) {
  if (mark.dataset.health === health && mark.firstChild) return;
  mark.dataset.health = health;
  mark.replaceChildren(
    svg("svg", { viewBox: "0 0 16 16", "aria-hidden": "true" }, healthPaths(health)),
    el("span", { cls: withWord ? "word" : "sr" }, healthWord(health)));
  if (!withWord) mark.title = healthWord(health);
}

// MARK: Small things

export const serviceLink = (namespace, name) =>
  `#/service/${encodeURIComponent(namespace)}/${encodeURIComponent(name)}`;

/** "shop/web", the namespace in a quieter colour. */
export const fullName = (namespace, name) =>
  [namespace && el("span", { cls: "namespace" }, namespace + "/"), el("wbr"), name];

export const heading = (level, text, ...rest) => el("h" + level, level === 1 ? { tabindex: -1 } : {}, text, ...rest);

export const section = (title, ...children) =>
  el("section", { cls: "card", "aria-label": title }, heading(2, title), ...children);

/** What to do when there is nothing to show. */
export const empty = (title, ...children) =>
  el("div", { cls: "empty" }, el("p", { cls: "title" }, title), ...children);

export const command = text => el("pre", { tabindex: 0 }, el("code", {}, text));

/** How to see something on this page. */
export const howToSendTraffic = () => [
  el("p", {}, "Requests show up here within seconds of the first one. Send some from a workload of the mesh:"),
  command("curl http://web.shop/"),
  el("p", {}, "No workload yet? A Workload object says which processes are one; ",
    el("code", {}, "weft workload list"), " shows those that are."),
];

/** The shares of lanes as a thin bar, with the largest one's name beside it. */
export function laneBar() {
  const bar = el("span", { cls: "lanes" });
  let shown = null;
  return {
    element: bar,
    set(shares) {
      const text = lanesText(shares);
      if (text === shown) return;
      shown = text;
      const parts = Object.entries(shares ?? {}).filter(([, share]) => share > 0).sort((a, b) => b[1] - a[1]);
      let start = 0;
      const rects = parts.map(([lane, share]) => {
        const rect = svg("rect", { data: { lane }, x: start * 40, width: Math.max(1, share * 40), height: 8 });
        start += share;
        return rect;
      });
      bar.title = text;
      bar.replaceChildren(...(parts.length ? [
        svg("svg", { viewBox: "0 0 40 8", "aria-hidden": "true" }, rects),
        el("span", { "aria-hidden": "true" }, parts[0][0] + (parts.length > 1 ? " +" + (parts.length - 1) : "")),
        el("span", { cls: "sr" }, text),
      ] : [text]));
    },
  };
}

/** A bar from 0 to 1; `level` says in words and colour when it is too full. */
export function meter(label, share) {
  const level = share >= 0.95 ? "bad" : share >= 0.8 ? "warning" : "good";
  return el("span", { cls: "meter" },
    svg("svg", {
      cls: "meter-bar", data: { level }, viewBox: "0 0 100 6", preserveAspectRatio: "none", role: "meter",
      "aria-label": label, "aria-valuemin": 0, "aria-valuemax": 100, "aria-valuenow": Math.round(share * 100),
    }, svg("rect", { cls: "track", width: 100, height: 6 }),
    svg("rect", { cls: "fill", width: Math.max(share > 0 ? 0.8 : 0, 100 * Math.min(1, share)), height: 6 })),
    el("span", { cls: "num" }, percent(share)), level !== "good" && healthMark(level));
}

// MARK: Tables

/**
 * A sortable table whose rows are kept from one refresh to the next.
 *
 * columns: { key, label, title, cls, num, value(row) (what it is sorted by), render(cell, row), descending (what the first
 * click does) }. The cell of a row is made once; render changes it. Arrow keys walk along the rows' first links.
 */
export class Table {
  constructor({ label, columns, rowKey, sort, descending = false, onsort, cls }) {
    Object.assign(this, { columns, rowKey, sort, descending, onsort });
    this.rows = new Map();
    this.heads = new Map();
    const head = el("tr");
    for (const column of columns) {
      const cell = el("th", { scope: "col", cls: [column.cls, column.num && "num"].filter(Boolean).join(" ") || null });
      if (column.value) {
        const button = el("button", { type: "button", title: column.title, onclick: () => this.sortBy(column) },
          el("span", {}, column.label), el("i", { "aria-hidden": "true" }));
        cell.append(button);
      } else {
        cell.append(el("span", { title: column.title }, column.label));
      }
      this.heads.set(column.key, cell);
      head.append(cell);
    }
    this.body = el("tbody");
    this.element = el("div", { cls: "table-box " + (cls ?? ""), role: "region", "aria-label": label },
      el("table", {}, el("caption", { cls: "sr" }, label), el("thead", {}, head), this.body));
    this.body.addEventListener("keydown", event => this.move(event));
    // What is wider than its box is scrolled with the arrow keys: a stop for Tab, and only then.
    new ResizeObserver(() => setAttribute(
      this.element, "tabindex", this.element.scrollWidth > this.element.clientWidth + 1 ? 0 : null)).observe(this.element);
    this.markSort();
  }

  sortBy(column) {
    this.descending = this.sort === column.key ? !this.descending : Boolean(column.descending ?? column.num);
    this.sort = column.key;
    this.markSort();
    this.onsort?.(this.sort, this.descending);
    this.update(this.data);
  }

  markSort() {
    for (const [key, cell] of this.heads) {
      setAttribute(cell, "aria-sort", key === this.sort ? (this.descending ? "descending" : "ascending") : null);
    }
  }

  update(data) {
    this.data = data;
    const column = this.columns.find(one => one.key === this.sort);
    const sorted = column ? [...data].sort((a, b) => this.compare(column, a, b)) : data;
    const seen = new Set();
    const elements = sorted.map(row => {
      const key = this.rowKey(row);
      seen.add(key);
      let entry = this.rows.get(key);
      if (!entry) {
        const cells = this.columns.map(column =>
          el(column.header ? "th" : "td", {
            cls: [column.cls, column.num && "num"].filter(Boolean).join(" ") || null,
            scope: column.header && "row",
          }));
        entry = { element: el("tr", {}, cells), cells };
        entry.element.key = key;
        this.rows.set(key, entry);
      }
      this.columns.forEach((column, index) => column.render(entry.cells[index], row));
      return entry.element;
    });
    for (const key of this.rows.keys()) if (!seen.has(key)) this.rows.delete(key);
    // A focused link would lose its focus if its row moved: the order waits until the focus is elsewhere.
    const focused = this.body.contains(document.activeElement) && document.activeElement.closest("tr");
    if (focused && elements.includes(focused) && this.orderIsKept) {
      const present = [...this.body.children].filter(child => elements.includes(child));
      setChildren(this.body, present.concat(elements.filter(one => !present.includes(one))));
    } else {
      setChildren(this.body, elements);
    }
    this.orderIsKept = true;
    return elements;
  }

  compare(column, a, b) {
    const [left, right] = [column.value(a), column.value(b)];
    // What is not known comes last, whatever the direction.
    if (left === null || left === undefined) return right === null || right === undefined ? this.tie(a, b) : 1;
    if (right === null || right === undefined) return -1;
    const order = typeof left === "string" ? left.localeCompare(right, "en", { numeric: true }) : left - right;
    return (this.descending ? -order : order) || this.tie(a, b);
  }

  tie(a, b) {
    return this.rowKey(a).localeCompare(this.rowKey(b), "en", { numeric: true });
  }

  move(event) {
    const step = { ArrowDown: 1, ArrowUp: -1, Home: -Infinity, End: Infinity }[event.key];
    if (!step || event.altKey || event.ctrlKey || event.metaKey) return;
    const links = [...this.body.querySelectorAll("tr")].map(row => row.querySelector("a")).filter(Boolean);
    const at = links.indexOf(document.activeElement);
    if (at < 0) return;
    event.preventDefault();
    links[Math.max(0, Math.min(links.length - 1, at + step))].focus();
  }
}

/** A cell with a text that may change. */
export const text = of => (cell, row) => setText(cell, of(row));

/** A cell that is made once for a row. */
export const once = make => (cell, row) => {
  if (!cell.firstChild) cell.append(...[make(row)].flat().filter(Boolean));
};
