// The overview: the whole node's last hour, and every service, workload or route with its golden signals.

import { agent } from "./api.js";
import { hourChart, merged, sparkline, successScale } from "./charts.js";
import { el, setText } from "./dom.js";
import { byteRate, milliseconds, percent, plural, rate, UNKNOWN, whole } from "./format.js";
import {
  empty, fullName, heading, healthMark, healthRank, howToSendTraffic, laneBar, serviceLink, setHealth, Table, text,
} from "./parts.js";

const KINDS = { service: "Services", workload: "Workloads", route: "Routes" };
const HOUR = 3600;
/** Sparklines are read again after this many milliseconds, and only those that can be seen. */
const SPARK_AGE = 20000;

export const tile = (title, chart, ...values) =>
  el("section", { cls: "tile", "aria-label": title }, el("h2", {}, title), el("div", { cls: "figures" }, values), chart);

export const figure = (cls = "big") => el("span", { cls: "num " + cls }, UNKNOWN);

/** The four tiles of the node or of one service. */
export function goldenTiles() {
  const rps = figure();
  const success = figure();
  const failing = figure("small");
  const latencies = ["p50", "p95", "p99"].map(name => ({ name, value: figure("mid") }));
  const open = figure();
  const facts = ["Opened", "Failed", "Denied", "Sent", "Received", "RTT", "Retransmits"]
    .map(name => ({ name, value: figure("small") }));
  const charts = [
    hourChart({ label: "Requests per second", series: [{ index: 0, name: "requests", cls: "c1" }], format: rate }),
    hourChart({
      label: "Success", series: [{ index: 1, name: "success", cls: "c2" }], format: percent, invert: successScale,
    }),
    hourChart({
      label: "Latency", format: milliseconds, series: [
        { index: 4, name: "p99", cls: "c5" }, { index: 3, name: "p95", cls: "c4" }, { index: 2, name: "p50", cls: "c3" },
      ],
    }),
  ];
  const element = el("div", { cls: "tiles" },
    tile("Requests", charts[0].element, rps),
    tile("Success", charts[1].element, success, failing),
    tile("Latency", charts[2].element, latencies.map(({ name, value }, index) =>
      el("span", { cls: "labelled" }, el("span", { cls: "key c" + (index + 3) }, name), value))),
    tile("TCP connections",
      el("dl", { cls: "facts" }, facts.map(({ name, value }) => el("div", {}, el("dt", {}, name), el("dd", {}, value)))),
      open, el("span", { cls: "small unit" }, "open")));
  return {
    element,
    history(history) {
      for (const chart of charts) chart.set(history);
    },
    values(row) {
      setText(rps, rate(row?.rps));
      setText(success, percent(row?.success));
      const failed = row && row.success !== null && row.rps !== null ? row.rps * (1 - row.success) : null;
      setText(failing, failed ? `${rate(failed)} failing` : failed === 0 ? "none failing" : "");
      for (const { name, value } of latencies) setText(value, milliseconds(row?.latency?.[name]));
      const tcp = row?.tcp;
      setText(open, whole(tcp?.open));
      const texts = [
        rate(tcp?.openedPerSecond), rate(tcp?.failedPerSecond), rate(tcp?.deniedPerSecond),
        byteRate(tcp?.sentBytesPerSecond), byteRate(tcp?.receivedBytesPerSecond), milliseconds(tcp?.rtt),
        rate(tcp?.retransmitsPerSecond),
      ];
      facts.forEach(({ value }, index) => setText(value, texts[index]));
      facts[5].value.closest("div").hidden = !tcp || tcp.rtt === null;
      facts[1].value.classList.toggle("attention", tcp?.failedPerSecond > 0);
      facts[2].value.classList.toggle("attention", tcp?.deniedPerSecond > 0);
    },
  };
}

/** What all rows are together. Percentiles do not add up: those come from the newest point of the history. */
export function total(rows, history) {
  const sum = (of, rows) => rows.reduce((sum, row) => (of(row) ?? null) === null ? sum : (sum ?? 0) + of(row), null);
  const rps = sum(row => row.rps, rows);
  const counted = rows.filter(row => row.rps > 0 && row.success !== null);
  const weights = sum(row => row.rps, counted);
  const last = history?.points.findLast(point => point && point[2] !== null);
  const tcp = key => sum(row => row.tcp?.[key], rows);
  return {
    rps, success: weights ? sum(row => row.rps * row.success, counted) / weights : null,
    latency: { p50: last?.[2] ?? null, p95: last?.[3] ?? null, p99: last?.[4] ?? null },
    tcp: {
      open: tcp("open"), openedPerSecond: tcp("openedPerSecond"), failedPerSecond: tcp("failedPerSecond"),
      deniedPerSecond: tcp("deniedPerSecond"), sentBytesPerSecond: tcp("sentBytesPerSecond"),
      receivedBytesPerSecond: tcp("receivedBytesPerSecond"), retransmitsPerSecond: tcp("retransmitsPerSecond"),
      rtt: null,
    },
  };
}

const fullText = row => `${row.namespace}/${row.name}${row.route ? " " + row.route : ""}`;

function nameCell(cell, row) {
  if (cell.firstChild) return;
  const href = row.kind === "workload"
    ? `#/graph?focus=${encodeURIComponent(`workload/${row.namespace}/${row.name}`)}` : serviceLink(row.namespace, row.name);
  cell.append(el("a", { href }, fullName(row.namespace, row.name)));
  if (row.route) cell.append(el("div", { cls: "sub" }, row.route));
}

/** The columns of golden signals that tables of services, workloads and routes share. */
export const signalColumns = () => [
  { key: "rps", label: "Requests", title: "Requests per second", num: true, value: row => row.rps,
    render: text(row => rate(row.rps)) },
  { key: "success", label: "Success", title: "Share of requests that succeeded", num: true, descending: false,
    value: row => row.success, render: text(row => percent(row.success)) },
  ...["p50", "p95", "p99"].map(name => ({
    key: name, label: name, title: `Latency that ${name.slice(1)} % of requests do not exceed`, num: true,
    cls: name === "p95" ? null : "wide", value: row => row.latency?.[name],
    render: text(row => milliseconds(row.latency?.[name])),
  })),
];

export function overview(context) {
  let by = KINDS[context.query.get("by")] ? context.query.get("by") : "service";
  let filter = context.query.get("q") ?? "";
  let only = context.query.get("only") === "problems";
  let rows = null;
  let nodeHistory = null;
  let historyAt = 0;
  const histories = new Map();
  const left = new AbortController();

  const tiles = goldenTiles();
  const search = el("input", {
    type: "search", placeholder: "Filter by name  ( / )", "aria-label": "Filter by name", value: filter, autocomplete: "off",
    spellcheck: "false", oninput: event => {
      filter = event.target.value;
      context.remember({ q: filter });
      draw();
    },
  });
  const problems = el("input", { type: "checkbox", onchange: event => {
    only = event.target.checked;
    context.remember({ only: only && "problems" });
    draw();
  } });
  problems.checked = only;
  const kinds = Object.entries(KINDS).map(([kind, label]) =>
    el("button", { type: "button", "aria-pressed": String(kind === by), onclick: () => choose(kind) }, label));
  const tally = el("span", { cls: "tally" });
  const covered = el("span", { cls: "tally covered" });
  const message = el("div");
  const box = el("div");

  let table;
  let watcher;
  function makeTable() {
    watcher?.disconnect();
    watcher = new IntersectionObserver(entries => {
      for (const { target, isIntersecting } of entries) target.isInView = isIntersecting;
      readSoon();
    }, { rootMargin: "100px" });
    const spark = {
      key: "hour", label: "Last hour", title: "Requests per second over the last hour", cls: "hour wide",
      render(cell, row) {
        cell.spark ??= sparkline();
        if (!cell.firstChild) cell.append(cell.spark.element);
        const history = histories.get(fullText(row));
        if (history) cell.spark.set(history.points, 0, `now ${rate(row.rps)}, last hour`);
      },
    };
    table = new Table({
      label: KINDS[by], rowKey: fullText, sort: context.query.get("sort") ?? "health",
      descending: context.query.get("order") === "down",
      onsort: (sort, descending) => context.remember({
        sort: sort === "health" && !descending ? null : sort, order: descending && "down",
      }),
      columns: [
        // Problems first, and among equals what has the most traffic.
        { key: "health", label: "Health", cls: "narrow", value: row => healthRank(row.health) * 1e9 - (row.rps ?? 0),
          render(cell, row) {
            if (!cell.firstChild) cell.append(healthMark(row.health));
            setHealth(cell.firstChild, row.health);
          } },
        { key: "name", label: "Name", header: true, cls: "name", value: fullText, render: nameCell },
        by === "service" && { key: "meshed", label: "Meshed", title: "Endpoints of the mesh, of all", num: true, cls: "wide",
          value: row => row.meshed?.ready,
          render: text(row => (row.meshed ? `${row.meshed.ready}/${row.meshed.total}` : UNKNOWN)) },
        ...signalColumns(),
        by !== "route" && { key: "tcp", label: "TCP", title: "Open connections", num: true, cls: "wide",
          value: row => row.tcp?.open, render: text(row => whole(row.tcp?.open)) },
        by !== "route" && { key: "denied", label: "Denied", title: "Connections that a policy refused, per second", num: true,
          cls: "widest", value: row => row.tcp?.deniedPerSecond, render: text(row => rate(row.tcp?.deniedPerSecond)) },
        by !== "route" && { key: "lane", label: "Lane", title: "Which ways the requests take", cls: "wide",
          value: row => Object.entries(row.lanes ?? {}).sort((a, b) => b[1] - a[1])[0]?.[0] ?? null,
          render(cell, row) {
            cell.bar ??= laneBar();
            if (!cell.firstChild) cell.append(cell.bar.element);
            cell.bar.set(row.lanes);
          } },
        by === "service" && spark,
      ].filter(Boolean),
    });
    box.replaceChildren(table.element);
  }

  function choose(kind) {
    by = kind;
    rows = null;
    kinds.forEach((button, index) => button.setAttribute("aria-pressed", String(Object.keys(KINDS)[index] === by)));
    context.remember({ by: by === "service" ? null : by });
    makeTable();
    refresh(new AbortController().signal).catch(() => {});
  }

  function draw() {
    if (!rows) return;
    const wanted = filter.trim().toLowerCase();
    const shown = rows.filter(row =>
      (!wanted || fullText(row).toLowerCase().includes(wanted)) &&
      (!only || row.health === "bad" || row.health === "warning"));
    const noun = KINDS[by].slice(0, -1).toLowerCase();
    setText(tally, shown.length === rows.length ? plural(rows.length, noun)
      : `${whole(shown.length)} of ${plural(rows.length, noun)}`);
    const elements = table.update(shown);
    table.element.hidden = shown.length === 0;
    if (by === "service") for (const element of elements) watcher.observe(element);
    if (shown.length) {
      message.replaceChildren();
    } else if (!message.firstChild || message.dataset.kind !== String(rows.length === 0)) {
      message.dataset.kind = String(rows.length === 0);
      message.replaceChildren(rows.length === 0
        ? by === "route"
          ? empty("No route has had a request", el("p", {}, "Requests are counted by route where an HTTPRoute or a template of ",
            el("code", {}, "weft.dev/routes"), " applies."))
          : empty(by === "service" ? "No service yet" : "No workload has been seen", howToSendTraffic())
        : empty(only && !wanted ? "Nothing has problems" : "Nothing has such a name"));
    }
  }

  // Not while somebody scrolls past.
  let soon = null;
  function readSoon() {
    clearTimeout(soon);
    soon = setTimeout(() => {
      if (rows && by === "service") readHistories(left.signal).catch(() => {});
    }, 150);
  }

  /** Sparklines of the rows that can be seen, two requests at a time. */
  async function readHistories(signal) {
    const now = Date.now();
    const due = [...table.rows.values()].filter(({ element }) => element.isInView)
      .map(({ element }) => rows?.find(row => fullText(row) === element.key)).filter(Boolean)
      .filter(row => now - (histories.get(fullText(row))?.at ?? 0) > SPARK_AGE);
    const next = async () => {
      for (let row = due.shift(); row && !signal.aborted; row = due.shift()) {
        const old = histories.get(fullText(row));
        if (old && now - old.at <= SPARK_AGE) continue;
        const one = { namespace: row.namespace, name: row.name };
        const seconds = old ? Math.min(HOUR, Math.ceil((now - old.at) / 1000) + 3 * old.step) : HOUR;
        const history = merged(old, await agent.history(seconds, signal, one), HOUR / (old?.step ?? 10));
        history.at = now;
        histories.set(fullText(row), history);
      }
    };
    await Promise.all([next(), next()]);
    if (!signal.aborted && rows) draw();
  }

  async function refresh(signal) {
    const now = Date.now();
    const isDue = now - historyAt > 9000;
    const seconds = nodeHistory ? Math.min(HOUR, Math.ceil((now - historyAt) / 1000) + 3 * nodeHistory.step) : HOUR;
    const kind = by;
    const [stat, services, history] = await Promise.all([
      agent.stat(kind, context.window, signal),
      // The tiles are about all services, whatever the table lists.
      kind === "service" ? null : agent.stat("service", context.window, signal),
      isDue ? agent.history(seconds, signal) : null,
    ]);
    if (signal.aborted || kind !== by) return;
    if (history) {
      nodeHistory = merged(nodeHistory, history, HOUR / history.step);
      historyAt = now;
      tiles.history(nodeHistory);
    }
    rows = stat.rows;
    setText(covered, stat.window < context.window * 0.95 ? `of ${Math.round(stat.window)} s so far` : "");
    tiles.values(total((services ?? stat).rows, nodeHistory));
    draw();
    if (by === "service") readHistories(signal).catch(() => {});
  }

  makeTable();
  const element = el("div", {}, heading(1, "Overview"), tiles.element,
    el("div", { cls: "toolbar" },
      el("div", { cls: "segments", role: "group", "aria-label": "What is listed" }, kinds), search,
      el("label", { cls: "check" }, problems, "Only problems"), el("span", { cls: "spacer" }), covered, tally),
    box, message);
  return { title: "Overview", element, refresh, leave() {
    left.abort();
    clearTimeout(soon);
    watcher.disconnect();
  } };
}
