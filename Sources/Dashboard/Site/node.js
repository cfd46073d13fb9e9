// The node: what its kernel can do, how full its maps are, which lanes connections take, what the agent costs.

import { agent } from "./api.js";
import { el, setChildren, setText } from "./dom.js";
import { age, bytes, clock, count, duration, percent, UNKNOWN, whole } from "./format.js";
import { empty, heading, healthMark, laneBar, meter, section, setHealth, Table, text } from "./parts.js";

const SLOW = 15000;

const facts = labels => {
  const values = new Map();
  const element = el("dl", { cls: "facts single" }, labels.map(label => {
    const value = el("dd", { cls: "num break" });
    values.set(label, value);
    return el("div", {}, el("dt", {}, label), value);
  }));
  return { element, set: (label, value) => setText(values.get(label), value ?? UNKNOWN) };
};

const tile = (title, big, small) =>
  el("section", { cls: "tile", "aria-label": title }, el("h2", {}, title), el("div", { cls: "figures" }, big, small));

export function node(context) {
  const figures = ["cpu", "memory", "connections", "uptime"].map(() => ({
    big: el("span", { cls: "num big" }, UNKNOWN), small: el("span", { cls: "small" }),
  }));
  const title = heading(1, "Node");
  const about = facts(["Node", "Agent", "Kernel", "Started", "Configuration", "Guarded cgroup", "Pinned maps", "Golden signals"]);
  const trust = facts(["Trust domain", "Issuer", "Issuer expires", "Root expires", "Trusted domains", "Certificates"]);
  const trustProblems = el("ul", { cls: "problems" });
  const errorList = el("ul", { cls: "problems" });
  const errorCard = section("Configuration", errorList);
  const featureList = el("ul", { cls: "features" });
  const lanes = new Table({
    label: "Open connections by lane", rowKey: row => row.lane, sort: "open", descending: true,
    columns: [
      { key: "lane", label: "Lane", header: true, cls: "name", value: row => row.lane, render: text(row => row.lane) },
      { key: "open", label: "Open connections", num: true, value: row => row.open, render: text(row => whole(row.open)) },
      { key: "share", label: "Share", num: true, value: row => row.share, render: text(row => percent(row.share)) },
    ],
  });
  const laneShares = laneBar();
  const maps = new Table({
    label: "Maps in the kernel", rowKey: row => row.name, sort: "pressure", descending: true,
    columns: [
      { key: "name", label: "Map", header: true, cls: "name mono", value: row => row.name, render: text(row => row.name) },
      { key: "entries", label: "Entries", num: true, value: row => row.entries, render: text(row => whole(row.entries)) },
      { key: "capacity", label: "Capacity", num: true, cls: "wide", value: row => row.capacity,
        render: text(row => whole(row.capacity)) },
      { key: "pressure", label: "Full", title: "Share of the capacity that is used", num: true, descending: true,
        value: row => row.share, render(cell, row) {
          const key = `${row.entries}/${row.capacity}`;
          if (cell.shown === key) return;
          cell.shown = key;
          cell.replaceChildren(meter(`How full ${row.name} is`, row.share ?? 0));
        } },
    ],
  });
  const programs = new Table({
    label: "Programs in the kernel", rowKey: row => row.name, sort: "share", descending: true,
    columns: [
      { key: "name", label: "Program", header: true, cls: "name mono", value: row => row.name, render: text(row => row.name) },
      { key: "runs", label: "Runs", num: true, cls: "wide", value: row => row.runs, render: text(row => count(row.runs)) },
      { key: "rate", label: "Runs/s", title: "Since the last refresh", num: true, value: row => row.rate,
        render: text(row => row.rate === null ? UNKNOWN : count(row.rate)) },
      { key: "each", label: "Each", title: "Mean run time", num: true, value: row => row.each,
        render: text(row => row.each === null ? UNKNOWN : `${count(row.each)}\u202fns`) },
      { key: "share", label: "CPU", title: "Share of one core since the last refresh", num: true, value: row => row.share,
        render: text(row => percent(row.share)) },
    ],
  });
  const noStatistics = el("div", { hidden: true },
    empty("Run times are not measured", el("p", {}, "The kernel measures them when it is asked to, at about 30 ns per run:"),
      el("pre", { tabindex: 0 }, el("code", {}, "sysctl kernel.bpf_stats_enabled=1"))));
  const workers = new Table({
    label: "CPU of the agent's threads", rowKey: row => row.name,
    columns: [
      { key: "name", label: "Thread", header: true, cls: "name", render: text(row => row.name) },
      { key: "cpu", label: "CPU time", num: true, render: text(row => duration(row.seconds)) },
      { key: "share", label: "Now", title: "Share of one core since the last refresh", num: true,
        render: text(row => percent(row.share)) },
    ],
  });

  const element = el("div", {}, el("div", { cls: "title-row" }, title),
    errorCard,
    el("div", { cls: "tiles short" }, ["Agent CPU", "Agent memory", "Open connections", "Agent uptime"].map((name, index) =>
      tile(name, figures[index].big, figures[index].small))),
    el("div", { cls: "columns" },
      section("About", about.element),
      section("Trust", trust.element, trustProblems),
      section("Lanes", el("p", { cls: "sub" }, laneShares.element), lanes.element),
      section("Kernel features", featureList)),
    section("Maps", maps.element),
    el("div", { cls: "columns" },
      section("Programs", noStatistics, programs.element), section("Agent threads", workers.element)));

  let before = null;
  let slow = null;
  let slowAt = 0;

  const problemItem = (health, ...children) => el("li", {}, healthMark(health), el("span", { cls: "break" }, children));

  function showConfiguration(status) {
    const items = status.errors.map(one => problemItem("bad",
      el("strong", {}, `${one.file}:${one.line}`), one.path && ` ${one.path}`, `: ${one.message}`));
    items.push(...status.agent.missingCgroups.map(path => problemItem("warning",
      `No cgroup ${path}: the workload that it belongs to has no process, or another name.`)));
    errorCard.classList.toggle("quiet-card", items.length === 0);
    setChildren(errorList, items.length ? items
      : [problemItem("good", `${whole(status.objects.length)} objects, no errors`)]);
    if (status.errors.length) items[0].before(el("li", { cls: "quiet" }, "The last good configuration stays in force until these are mended."));
  }

  async function refresh(signal) {
    const now = Date.now();
    const isSlowDue = now - slowAt > SLOW;
    const [report, next] = await Promise.all([
      agent.node(signal),
      isSlowDue ? Promise.all([agent.status(signal), agent.authority(signal), agent.identities(signal)]) : null,
    ]);
    if (signal.aborted) return;
    context.showNode(report.node);
    if (next) {
      slow = { status: next[0], authority: next[1], identities: next[2] };
      slowAt = now;
      showConfiguration(slow.status);
    }
    const { cost } = report;
    const seconds = before ? (now - before.at) / 1000 : null;
    const since = (value, old) => (before && old !== undefined && value >= old ? (value - old) / seconds : null);

    const open = Object.values(report.lanes).reduce((sum, value) => sum + value, 0);
    const texts = [
      [percent(cost.cpuShare), `of one core; ${duration(cost.cpuSeconds)} in all`],
      [bytes(cost.residentBytes), "resident"],
      [whole(open), ""],
      [age(report.startedAt), `since ${clock(report.startedAt)}`],
    ];
    figures.forEach(({ big, small }, index) => {
      setText(big, texts[index][0]);
      setText(small, texts[index][1]);
    });

    about.set("Node", report.node);
    about.set("Agent", `weftd ${report.version}`);
    about.set("Kernel", report.kernel);
    about.set("Started", new Date(report.startedAt).toLocaleString("en-GB"));
    about.set("Configuration", `generation ${report.generation}`);
    about.set("Guarded cgroup", slow.status.agent.cgroup);
    about.set("Pinned maps", slow.status.agent.pinDirectory);
    about.set("Golden signals", cost.series === undefined ? null : `${whole(cost.series)} series`);

    const { authority } = slow;
    const until = text => (text ? `in ${age(text)}` : UNKNOWN);
    trust.set("Trust domain", authority.trustDomain);
    trust.set("Issuer", authority.issuer ?? "none yet");
    trust.set("Issuer expires", until(authority.issuerNotAfter));
    trust.set("Root expires", until(authority.roots[0]?.notAfter));
    trust.set("Trusted domains", authority.trustDomains.join(", "));
    const valid = slow.identities.filter(one => one.state === "valid").length;
    trust.set("Certificates", `${whole(valid)} valid of ${whole(slow.identities.length)}`);
    setChildren(trustProblems, authority.problems.map(text => problemItem("bad", text)));

    lanes.update(Object.entries(report.lanes).map(([lane, number]) =>
      ({ lane, open: number, share: open ? number / open : null })));
    laneShares.set(open ? Object.fromEntries(Object.entries(report.lanes).map(([lane, number]) => [lane, number / open])) : {});

    const features = report.features.map(feature => `${feature.name}${feature.present}`).join();
    if (featureList.shown !== features) {
      featureList.shown = features;
      featureList.replaceChildren(...report.features.map(({ name, present }) => {
        const mark = healthMark("idle");
        setHealth(mark, present ? "good" : "warning");
        mark.querySelector(".sr").textContent = present ? "present" : "missing";
        mark.title = present ? "present" : "missing";
        return el("li", {}, mark, el("span", { cls: "mono" }, name), !present && el("span", { cls: "pill" }, "missing"));
      }));
    }

    maps.update(report.maps.map(map => ({ ...map, share: map.capacity ? map.entries / map.capacity : null })));

    const isMeasured = cost.programs.some(program => program.runs > 0);
    noStatistics.hidden = isMeasured;
    programs.element.hidden = !isMeasured;
    programs.update(cost.programs.map(program => {
      const old = before?.programs.get(program.name);
      return {
        name: program.name, runs: program.runs, rate: since(program.runs, old?.runs),
        each: program.runs ? program.nanoseconds / program.runs : null,
        share: old ? (since(program.nanoseconds, old.nanoseconds) ?? 0) / 1e9 : null,
      };
    }));
    const threads = new Map([
      ["Reactor", cost.reactor], ...cost.workers.map((seconds, index) => [`Worker ${index}`, seconds]),
      ["Others", cost.others],
    ].filter(([, seconds]) => typeof seconds === "number"));
    workers.update([...threads].map(([name, seconds]) => ({
      name, seconds, share: since(seconds, before?.threads.get(name)),
    })));
    before = { at: now, programs: new Map(cost.programs.map(one => [one.name, one])), threads };
  }

  return { title: "Node", element, refresh };
}
