// The live graph: who talks to whom, drawn by services, namespaces or workloads.

import { agent } from "./api.js";
import { el, setAttribute, setChildren, setText, svg } from "./dom.js";
import { byteRate, milliseconds, percent, plural, rate, UNKNOWN, whole } from "./format.js";
import { grouped, namespaces } from "./grouping.js";
import { layered } from "./layout.js";
import {
  empty, fullName, heading, healthMark, healthPaths, healthRank, healthWord, howToSendTraffic, serviceLink, setHealth,
  Table, text,
} from "./parts.js";

const WIDTH = 176;
const HEIGHT = 48;
/** More nodes than these are drawn by namespaces at first. */
const MANY = 40;
const SECURED = { mutual_tls: "mTLS", kernel: "within the node", none: "plaintext" };

const securedText = edge => edge.secured.map(one => SECURED[one] ?? one).join(", ") || UNKNOWN;

const KINDS = { namespace: "Namespace", service: "Service", workload: "Workload", outside: "Outside of the mesh" };

/** Below this scale a node shows its name only, in larger letters. */
const FAR = 0.75;

const font = getComputedStyle(document.body).fontFamily;

/** How wide a text is in the drawing, so that it can be cut where it has to be. */
const ruler = document.createElement("canvas").getContext("2d");
function cut(string, width, font) {
  ruler.font = font;
  if (ruler.measureText(string).width <= width) return string;
  // In the middle: names often differ at their end only.
  let kept = string.length - 1;
  const short = () => string.slice(0, Math.ceil(kept / 2)) + "…" + string.slice(string.length - Math.floor(kept / 2));
  while (kept > 1 && ruler.measureText(short()).width > width) kept -= 1;
  return short();
}

/** Traffic that is no HTTP; null if there is none. */
function traffic(of) {
  return [
    of.open > 0 && `${whole(of.open)} open`, of.bytesPerSecond > 0 && byteRate(of.bytesPerSecond),
    of.deniedPerSecond > 0 && `${rate(of.deniedPerSecond)} denied`,
  ].filter(Boolean).join(" · ") || null;
}

function describe(node) {
  const kind = node.kind === "namespace" ? `namespace ${node.name}, ${plural(node.count, "service")}`
    : node.kind === "outside" ? `${node.name}, outside of the mesh` : `${node.kind} ${node.namespace}/${node.name}`;
  return `${kind}, ${healthWord(node.health).toLowerCase()}, ${node.rps > 0
    ? `${rate(node.rps)} requests, ${percent(node.success)} success` : traffic(node) ?? "no traffic to it"}`;
}

/** A smooth line through points that come in the order of the layers. */
function curve(points, vertical) {
  let d = `M${points[0][0].toFixed(1)} ${points[0][1].toFixed(1)}`;
  for (let index = 1; index < points.length; index += 1) {
    const [[x0, y0], [x, y]] = [points[index - 1], points[index]];
    const [a, b] = vertical ? [[x0, (y0 + y) / 2], [x, (y0 + y) / 2]] : [[(x0 + x) / 2, y0], [(x0 + x) / 2, y]];
    d += `C${[...a, ...b, x, y].map(value => value.toFixed(1)).join(" ")}`;
  }
  return d;
}

export function graph(context) {
  let level = context.query.get("level") === "workload" ? "workload" : "service";
  let search = context.query.get("q") ?? "";
  let selected = null;
  /** What the address asks for, until the graph is there. */
  let wanted = context.query.get("focus");
  /** Namespaces that are not one node; null: as the number of nodes suggests. */
  let open = context.query.has("open") ? new Set(context.query.get("open").split(",").filter(Boolean)) : null;
  let data = null;
  let drawn = null;
  let signature = null;
  let isVertical = false;
  const view = { x: 0, y: 0, scale: 1, isOwn: false };
  const nodeElements = new Map();
  const edgeElements = new Map();

  const edgeLayer = svg("g", { cls: "edges", "aria-hidden": "true" });
  const nodeLayer = svg("g", { cls: "nodes" });
  const viewGroup = svg("g", {}, edgeLayer, nodeLayer);
  const markers = svg("defs", {}, ["good", "warning", "bad", "idle", "dim"].map(health => svg("marker", {
    id: "arrow-" + health, cls: "arrow " + health, viewBox: "0 0 8 8", refX: 7.5, refY: 4, markerWidth: 7, markerHeight: 7,
    markerUnits: "userSpaceOnUse", orient: "auto",
  }, svg("path", { d: "M0 .5 8 4 0 7.5Z" }))));
  const drawing = svg("svg", {
    cls: "graph", role: "group",
    "aria-label": "Graph of who talks to whom. Arrow keys go to the node in that direction, Page Down and Page Up to the next and the previous one, Enter opens one, plus, minus and 0 zoom.",
  }, markers, viewGroup);

  const searchField = el("input", {
    type: "search", placeholder: "Find a name  ( / )", "aria-label": "Find a name in the graph", value: search,
    autocomplete: "off", spellcheck: "false",
    oninput: event => {
      search = event.target.value;
      context.remember({ q: search });
      mark();
    },
    onkeydown: event => {
      if (event.key !== "Enter") return;
      const first = drawn?.nodes.find(matches);
      if (first) focusNode(first.id, true);
    },
  });
  const levels = [["service", "Services"], ["workload", "Workloads"]].map(([name, label]) =>
    el("button", { type: "button", "aria-pressed": String(name === level), onclick: () => {
      level = name;
      levels.forEach(button => button.setAttribute("aria-pressed", String(button.textContent === label)));
      context.remember({ level: level === "service" ? null : level });
      redraw();
    } }, label));
  const expandAll = el("button", { type: "button", cls: "button", onclick: () => setOpen(allNamespaces()) }, "Expand all");
  const collapseAll = el("button", { type: "button", cls: "button", onclick: () => setOpen([]) }, "Collapse all");
  const tally = el("span", { cls: "tally" });
  const zoomButtons = el("div", { cls: "zoom", role: "group", "aria-label": "Zoom" },
    el("button", { type: "button", cls: "icon-button", "aria-label": "Zoom in", onclick: () => zoom(1.3) }, "+"),
    el("button", { type: "button", cls: "icon-button", "aria-label": "Zoom out", onclick: () => zoom(1 / 1.3) }, "−"),
    el("button", { type: "button", cls: "icon-button", "aria-label": "Show everything", onclick: () => fit() }, "⤢"));
  const legend = el("div", { cls: "legend", "aria-hidden": "true" },
    ["good", "warning", "bad", "idle"].map(health => healthMark(health, true)));
  const message = el("div", { cls: "graph-message", hidden: true });
  const box = el("div", { cls: "graph-box" }, drawing, zoomButtons, legend, message);
  const panel = el("aside", { cls: "card panel", "aria-label": "The selected node", hidden: true });
  let panelEdges = null;

  const edgeTable = new Table({
    label: "Connections of the graph", rowKey: edge => edge.key, sort: "health",
    columns: [
      { key: "health", label: "Health", cls: "narrow", value: edge => healthRank(edge.health) * 1e9 - (edge.rps ?? 0),
        render(cell, edge) {
          if (!cell.firstChild) cell.append(healthMark(edge.health));
          setHealth(cell.firstChild, edge.health);
        } },
      { key: "from", label: "From", header: true, cls: "name", value: edge => edge.from,
        render: (cell, edge) => nodeLink(cell, edge.from) },
      { key: "to", label: "To", cls: "name", value: edge => edge.to, render: (cell, edge) => nodeLink(cell, edge.to) },
      { key: "rps", label: "Requests", num: true, value: edge => edge.rps, render: text(edge => rate(edge.rps)) },
      { key: "success", label: "Success", num: true, descending: false, value: edge => edge.success,
        render: text(edge => percent(edge.success)) },
      { key: "p50", label: "p50", num: true, cls: "wide", value: edge => edge.p50,
        render: text(edge => milliseconds(edge.p50)) },
      { key: "p95", label: "p95", num: true, cls: "wide", value: edge => edge.p95,
        render: text(edge => milliseconds(edge.p95)) },
      { key: "p99", label: "p99", num: true, cls: "wide", value: edge => edge.p99,
        render: text(edge => milliseconds(edge.p99)) },
      { key: "bytes", label: "Bytes", num: true, cls: "wide", value: edge => edge.bytesPerSecond,
        render: text(edge => byteRate(edge.bytesPerSecond)) },
      { key: "denied", label: "Denied", num: true, cls: "widest", value: edge => edge.deniedPerSecond,
        render: text(edge => rate(edge.deniedPerSecond)) },
      { key: "lanes", label: "Lane", cls: "wide", value: edge => edge.lanes[0] ?? null,
        render: text(edge => edge.lanes.join(", ") || UNKNOWN) },
      { key: "secured", label: "Security", cls: "wide", value: securedText, render: text(securedText) },
    ],
  });
  const edgeCard = el("details", { cls: "card connections" },
    el("summary", {}, "Connections as a table"), edgeTable.element);
  edgeCard.addEventListener("toggle", () => drawEdgeTable());

  const element = el("div", {}, heading(1, "Graph"),
    el("div", { cls: "toolbar" }, searchField,
      el("div", { cls: "segments", role: "group", "aria-label": "What a node is" }, levels),
      expandAll, collapseAll, el("span", { cls: "spacer" }), tally),
    el("div", { cls: "graph-columns" }, box, panel), edgeCard);

  // MARK: What is drawn

  const allNamespaces = () => [...namespaces(data).counts.keys()];
  const isCollapsed = namespace => !openSet().has(namespace);
  let suggested = null;

  function openSet() {
    if (open) return open;
    // Suggested once: a graph that grows while one looks at it does not fold itself.
    suggested ??= new Set(namespaces(data).nodes > MANY && namespaces(data).counts.size > 1 ? [] : ["*"]);
    return suggested.has("*") ? new Set(allNamespaces()) : suggested;
  }

  function setOpen(names) {
    open = new Set(names);
    context.remember({ open: [...open].sort().join(",") || "," });
    redraw();
  }

  function redraw() {
    if (!data) return;
    signature = null;
    draw();
  }

  function draw() {
    drawn = grouped(data, level, isCollapsed);
    drawn.names = new Map();
    for (const { name } of drawn.nodes) drawn.names.set(name, (drawn.names.get(name) ?? 0) + 1);
    const counts = namespaces(data).counts;
    expandAll.disabled = [...counts.keys()].every(name => !isCollapsed(name));
    collapseAll.disabled = [...counts.keys()].every(isCollapsed);
    setText(tally, `${plural(drawn.nodes.length, "node")}, ${plural(drawn.edges.length, "connection")}`);
    const vertical = box.clientWidth < 620;
    const next = vertical + drawn.nodes.map(node => node.id).join() + drawn.edges.map(edge => edge.key).sort().join();
    if (next !== signature) {
      const isFirst = signature === null;
      signature = next;
      isVertical = vertical;
      place();
      if (isFirst || !view.isOwn) fit();
    }
    message.hidden = drawn.nodes.length > 0;
    drawing.classList.toggle("hidden", drawn.nodes.length === 0);
    if (!message.hidden && !message.firstChild) message.append(empty("Nobody talks to anybody", howToSendTraffic()));
    for (const node of drawn.nodes) showNode(node);
    for (const edge of drawn.edges) showEdge(edge);
    if (wanted) {
      const target = drawn.nodes.find(node => node.id === wanted || node.ids.includes(wanted));
      const member = data.nodes.find(node => node.id === wanted);
      wanted = null;
      if (target?.kind === "namespace" && member) {
        wanted = member.id;
        open = new Set(openSet()).add(target.namespace);
        return redraw();
      }
      if (target) {
        select(target.id);
        if (view.scale < 0.6) centre(target.id);
      }
    }
    if (selected && !drawn.nodes.some(node => node.id === selected)) selected = null;
    mark();
    drawPanel();
    drawEdgeTable();
  }

  let places = new Map();
  let size = { width: 1, height: 1 };

  function place() {
    const layout = layered(drawn.nodes.map(node => ({ id: node.id, width: WIDTH, height: HEIGHT })), drawn.edges, {
      vertical: isVertical, aspect: box.clientWidth / Math.max(1, box.clientHeight),
    });
    places = layout.places;
    size = layout;
    const focused = document.activeElement?.closest?.(".node")?.dataset.id;
    for (const [id, parts] of nodeElements) {
      if (!places.has(id)) {
        parts.group.remove();
        nodeElements.delete(id);
      }
    }
    // In the order of reading, which is the order of arrow keys and screen readers.
    const sorted = [...drawn.nodes].sort((a, b) => {
      const [p, q] = [places.get(a.id), places.get(b.id)];
      return isVertical ? p.y - q.y || p.x - q.x : p.x - q.x || p.y - q.y;
    });
    setChildren(nodeLayer, sorted.map(node => {
      const parts = nodeElements.get(node.id) ?? makeNode(node);
      const at = places.get(node.id);
      setAttribute(parts.group, "transform", `translate(${at.x.toFixed(1)} ${at.y.toFixed(1)})`);
      return parts.group;
    }));
    edgeElements.clear();
    edgeLayer.replaceChildren(...drawn.edges.map(edge => {
      const points = layout.paths.get(edge.key);
      const line = svg("path", { cls: "edge" });
      const badge = svg("g", { cls: "badge mark" });
      let middle = null;
      if (points) {
        setAttribute(line, "d", curve(points, isVertical));
        const at = Math.max(1, points.length >> 1);
        middle = [(points[at - 1][0] + points[at][0]) / 2, (points[at - 1][1] + points[at][1]) / 2];
      } else {
        // To itself.
        const { x, y, width } = places.get(edge.from);
        setAttribute(line, "d", `M${x + width - 40} ${y}c-6 -22 40 -22 28 0`);
        middle = [x + width - 22, y - 16];
      }
      const group = svg("g", { cls: "edge-group" }, line, badge);
      edgeElements.set(edge.key, { group, line, badge, middle });
      return group;
    }));
    if (focused) nodeElements.get(focused)?.group.focus({ preventScroll: true });
    roving(nodeElements.has(lastFocused) ? lastFocused : sorted[0]?.id);
  }

  function makeNode(node) {
    const label = svg("text", { cls: "label", x: 30, y: 20 });
    const second = svg("text", { cls: "second", x: 30, y: 37 });
    const badge = svg("g", { cls: "mark", transform: "translate(8 8)" });
    const title = svg("title");
    const group = svg("g", {
      cls: "node " + node.kind, role: "button", tabindex: -1, data: { id: node.id },
      onclick: () => choose(node.id),
      onfocus: () => {
        roving(node.id);
        reveal(node.id);
      },
      onkeydown: event => nodeKey(event, node.id),
    }, title,
    node.kind === "namespace" && svg("rect", { cls: "stack", x: 4, y: 4, width: WIDTH, height: HEIGHT, rx: 8 }),
    svg("rect", { cls: "box", width: WIDTH, height: HEIGHT, rx: 8 }), badge, label, second);
    const parts = { group, label, second, badge, title, health: null };
    nodeElements.set(node.id, parts);
    return parts;
  }

  function showNode(node) {
    const parts = nodeElements.get(node.id);
    const isFar = view.scale < FAR;
    const name = isFar || drawn.names.get(node.name) === 1 ? node.name : `${node.namespace ?? "outside"}/${node.name}`;
    if (parts.name !== name + isFar) {
      parts.name = name + isFar;
      setText(parts.label, cut(name, WIDTH - (isFar ? 46 : 38), `600 ${isFar ? 20 : 13}px ${font}`));
    }
    const figures = node.rps > 0
      ? `${node.kind === "namespace" ? node.count + " · " : ""}${rate(node.rps)} · ${percent(node.success)}`
      : traffic(node) ?? (node.kind === "outside" ? "outside of the mesh"
        : node.kind === "namespace" ? plural(node.count, "service") : "no traffic to it");
    setText(parts.second, figures);
    setText(parts.title, describe(node));
    setAttribute(parts.group, "aria-label",
      describe(node) + (node.kind === "namespace" ? ", press Enter to show its services" : ""));
    if (parts.health !== node.health) {
      parts.health = node.health;
      parts.group.dataset.health = node.health;
      parts.badge.replaceChildren(...healthPaths(node.health));
    }
  }

  function showEdge(edge) {
    const parts = edgeElements.get(edge.key);
    const isRefused = edge.deniedPerSecond > 0 && !(edge.rps > 0);
    const health = isRefused ? "warning" : edge.health;
    setAttribute(parts.line, "stroke-width", (1.2 + Math.log10(1 + (edge.rps ?? 0)) * 0.8).toFixed(1));
    setAttribute(parts.line, "marker-end", `url(#arrow-${health})`);
    parts.group.dataset.health = health;
    parts.group.classList.toggle("refused", isRefused);
    const shape = health === "bad" || health === "warning" ? health : null;
    if (parts.shape !== shape) {
      parts.shape = shape;
      parts.badge.replaceChildren(...(shape ? healthPaths(shape) : []));
      setAttribute(parts.badge, "transform", `translate(${parts.middle[0] - 6} ${parts.middle[1] - 6}) scale(.75)`);
    }
  }

  // MARK: Selection

  const matches = node => node.ids.concat(node.id).some(id => id.toLowerCase().includes(search.trim().toLowerCase())) ||
    `${node.namespace}/${node.name}`.toLowerCase().includes(search.trim().toLowerCase());

  /** What is dim: what does not match the search, or is not beside the selected node. */
  function mark() {
    if (!drawn) return;
    const isSearching = search.trim() !== "";
    const near = new Set([selected]);
    if (selected) {
      for (const edge of drawn.edges) {
        if (edge.from === selected) near.add(edge.to);
        if (edge.to === selected) near.add(edge.from);
      }
    }
    for (const node of drawn.nodes) {
      const { group } = nodeElements.get(node.id);
      group.classList.toggle("dim", isSearching ? !matches(node) : Boolean(selected) && !near.has(node.id));
      group.classList.toggle("found", isSearching && matches(node));
      setAttribute(group, "aria-pressed", node.kind === "namespace" ? null : String(node.id === selected));
    }
    for (const edge of drawn.edges) {
      const { group } = edgeElements.get(edge.key);
      const isOwn = edge.from === selected || edge.to === selected;
      group.classList.toggle("dim", selected ? !isOwn : isSearching);
      group.classList.toggle("own", isOwn);
    }
  }

  function choose(id) {
    const node = drawn.nodes.find(one => one.id === id);
    if (!node) return;
    if (node.kind === "namespace") {
      context.announce(`Namespace ${node.namespace} expanded`);
      lastFocused = null;
      const isInside = nodeLayer.contains(document.activeElement);
      setOpen([...openSet(), node.namespace]);
      const first = drawn.nodes.find(one => one.namespace === node.namespace);
      if (first && isInside) focusNode(first.id);
    } else {
      select(selected === id ? null : id);
    }
  }

  function select(id, isCentred = false) {
    selected = id;
    const node = drawn.nodes.find(one => one.id === id);
    context.remember({ focus: id && (node.kind === "service" ? node.ids[0] : id) });
    mark();
    drawPanel();
    drawEdgeTable();
    if (isCentred && id) centre(id);
  }

  function nodeLink(cell, id) {
    if (cell.shown === id && cell.firstChild) return;
    cell.shown = id;
    const node = drawn.nodes.find(one => one.id === id);
    cell.replaceChildren(el("a", { href: "#/graph", onclick: event => {
      event.preventDefault();
      select(id, true);
    } }, node ? fullName(node.kind === "namespace" ? null : node.namespace, node.name) : id));
  }

  function drawEdgeTable() {
    if (!drawn || !edgeCard.open) return;
    edgeTable.update(drawn.edges.filter(edge => !selected || edge.from === selected || edge.to === selected));
  }

  function drawPanel() {
    const node = drawn?.nodes.find(one => one.id === selected);
    const wasHidden = panel.hidden;
    panel.hidden = !node;
    element.classList.toggle("has-panel", Boolean(node));
    if (!node) {
      panel.replaceChildren();
      panelEdges = null;
      if (!wasHidden && !view.isOwn) fit();
      return;
    }
    const own = drawn.edges.filter(edge => edge.from === selected || edge.to === selected);
    const key = selected + own.map(edge => edge.key).sort().join();
    if (panelEdges?.key !== key) {
      panelEdges = { key, mark: healthMark(node.health, true), facts: new Map(), edges: new Map() };
      const list = (title, edges, other) => edges.length > 0 && [
        el("h3", {}, `${title} (${edges.length})`),
        el("ul", { cls: "peers" }, edges.map(edge => {
          const figures = el("span", { cls: "num small" });
          const sign = healthMark(edge.health);
          const cell = el("span", { cls: "break" });
          nodeLink(cell, other(edge));
          panelEdges.edges.set(edge.key, { figures, sign });
          return el("li", {}, sign, cell, figures);
        })),
      ];
      const fact = label => {
        const value = el("dd", { cls: "num" });
        panelEdges.facts.set(label, value);
        return el("div", {}, el("dt", {}, label), value);
      };
      panel.replaceChildren(
        el("div", { cls: "panel-head" }, el("div", {},
          el("h2", { cls: "break" }, fullName(node.namespace, node.name)), el("p", { cls: "quiet" }, KINDS[node.kind])),
        el("button", { type: "button", cls: "icon-button", "aria-label": "Close", onclick: () => {
          const id = selected;
          select(null);
          nodeElements.get(id)?.group.focus({ preventScroll: true });
        } }, "✕")),
        panelEdges.mark,
        el("dl", { cls: "facts single" }, ["Requests", "Success", "p95", "Workloads"].map(fact)),
        el("p", { cls: "actions" },
          node.kind === "service" && el("a", { href: serviceLink(node.namespace, node.name) }, "Open the service's page"),
          node.namespace && allNamespaces().length > 1 && el("button", { type: "button", cls: "button", onclick: () =>
            setOpen([...openSet()].filter(name => name !== node.namespace)) }, `Collapse ${node.namespace}`)),
        ...[list("Called by", own.filter(edge => edge.to === selected), edge => edge.from),
          list("Calls", own.filter(edge => edge.from === selected), edge => edge.to)].flat().filter(Boolean));
    }
    setHealth(panelEdges.mark, node.health, true);
    const values = {
      Requests: rate(node.rps), Success: percent(node.success), p95: milliseconds(node.p95), Workloads: String(node.count),
    };
    for (const [label, value] of panelEdges.facts) setText(value, values[label]);
    for (const edge of own) {
      const { figures, sign } = panelEdges.edges.get(edge.key) ?? {};
      if (!figures) continue;
      setHealth(sign, edge.health);
      setText(figures, edge.deniedPerSecond > 0 && !(edge.rps > 0) ? `${rate(edge.deniedPerSecond)} denied`
        : !(edge.rps > 0) ? traffic(edge) ?? "idle"
          : `${rate(edge.rps)} · ${percent(edge.success)} · ${milliseconds(edge.p95)}`);
      figures.title = `${securedText(edge)}; lane ${edge.lanes.join(", ")}`;
    }
    if (wasHidden && !view.isOwn) fit();
  }

  // MARK: Keys

  let lastFocused = null;

  /** One node is in the order of tabs; arrows lead to the others. */
  function roving(id) {
    if (!id) return;
    for (const [other, { group }] of nodeElements) setAttribute(group, "tabindex", other === id ? 0 : -1);
    lastFocused = id;
  }

  function focusNode(id, isCentred = false) {
    nodeElements.get(id)?.group.focus({ preventScroll: true });
    if (isCentred) centre(id);
  }

  function nodeKey(event, id) {
    const direction = {
      ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1],
    }[event.key];
    if (direction) {
      event.preventDefault();
      const next = neighbour(id, direction);
      if (next) focusNode(next);
    } else if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      choose(id);
    } else if (["Home", "End", "PageDown", "PageUp"].includes(event.key)) {
      event.preventDefault();
      const groups = [...nodeLayer.children];
      const at = groups.indexOf(event.currentTarget);
      const to = { Home: 0, End: groups.length - 1, PageDown: at + 1, PageUp: at - 1 }[event.key];
      groups[Math.max(0, Math.min(groups.length - 1, to))].focus({ preventScroll: true });
    }
  }

  /** The nearest node in a direction; what is off the axis counts as farther. */
  function neighbour(id, [dx, dy]) {
    const from = places.get(id);
    let best = null;
    let shortest = Infinity;
    for (const [other, at] of places) {
      if (other === id) continue;
      const [x, y] = [at.x - from.x, at.y - from.y];
      const ahead = x * dx + y * dy;
      if (ahead <= 1) continue;
      const distance = ahead + 3 * Math.abs(x * dy + y * dx);
      if (distance < shortest) [shortest, best] = [distance, other];
    }
    return best;
  }

  box.addEventListener("keydown", event => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "+" || event.key === "=") zoom(1.3);
    else if (event.key === "-") zoom(1 / 1.3);
    else if (event.key === "0") fit();
    else if (event.key === "Escape" && selected) select(null);
    else return;
    event.preventDefault();
  });

  // MARK: View

  function applyView() {
    setAttribute(viewGroup, "transform", `translate(${view.x.toFixed(2)} ${view.y.toFixed(2)}) scale(${view.scale.toFixed(4)})`);
    const isFar = view.scale < FAR;
    if (drawing.classList.contains("far") !== isFar) {
      drawing.classList.toggle("far", isFar);
      for (const node of drawn?.nodes ?? []) if (nodeElements.has(node.id)) showNode(node);
    }
  }

  function fit() {
    const [width, height] = [box.clientWidth, box.clientHeight];
    if (!width || !height) return;
    const margin = 24;
    // The legend is at the bottom.
    const below = 44;
    view.scale = Math.min((width - 2 * margin) / size.width, (height - margin - below) / size.height, 1.25);
    view.scale = Math.max(0.04, view.scale);
    view.x = (width - size.width * view.scale) / 2;
    view.y = margin + (height - margin - below - size.height * view.scale) / 2;
    view.isOwn = false;
    applyView();
  }

  function zoom(factor, x = box.clientWidth / 2, y = box.clientHeight / 2) {
    const scale = Math.max(0.04, Math.min(4, view.scale * factor));
    view.x = x - ((x - view.x) * scale) / view.scale;
    view.y = y - ((y - view.y) * scale) / view.scale;
    view.scale = scale;
    view.isOwn = true;
    applyView();
  }

  function centre(id) {
    const at = places.get(id);
    if (!at) return;
    view.scale = Math.max(view.scale, 0.8);
    view.x = box.clientWidth / 2 - (at.x + at.width / 2) * view.scale;
    view.y = box.clientHeight / 2 - (at.y + at.height / 2) * view.scale;
    view.isOwn = true;
    applyView();
  }

  /** Moves the view if the node is outside of it. */
  function reveal(id) {
    const at = places.get(id);
    if (!at) return;
    const left = view.x + at.x * view.scale;
    const top = view.y + at.y * view.scale;
    if (left < 0 || top < 0 || left + at.width * view.scale > box.clientWidth ||
      top + at.height * view.scale > box.clientHeight) centre(id);
  }

  drawing.addEventListener("wheel", event => {
    event.preventDefault();
    const bounds = drawing.getBoundingClientRect();
    const delta = event.deltaY * (event.deltaMode === 1 ? 20 : 1);
    zoom(Math.exp(-delta / (event.ctrlKey ? 120 : 500)), event.clientX - bounds.left, event.clientY - bounds.top);
  }, { passive: false });

  const pointers = new Map();
  let moved = 0;
  drawing.addEventListener("pointerdown", event => {
    if (event.button !== 0) return;
    pointers.set(event.pointerId, [event.clientX, event.clientY]);
    if (pointers.size === 1) moved = 0;
  });
  addEventListener("pointermove", pan);
  addEventListener("pointerup", release);
  addEventListener("pointercancel", release);
  function pan(event) {
    const before = pointers.get(event.pointerId);
    if (!before) return;
    const now = [event.clientX, event.clientY];
    moved += Math.abs(now[0] - before[0]) + Math.abs(now[1] - before[1]);
    if (pointers.size === 1 && moved > 4) {
      view.x += now[0] - before[0];
      view.y += now[1] - before[1];
      view.isOwn = true;
      applyView();
      drawing.classList.add("dragged");
    } else if (pointers.size === 2) {
      const other = [...pointers].find(([id]) => id !== event.pointerId)[1];
      const distance = at => Math.hypot(at[0] - other[0], at[1] - other[1]);
      const bounds = drawing.getBoundingClientRect();
      zoom(distance(now) / Math.max(1, distance(before)), (now[0] + other[0]) / 2 - bounds.left,
        (now[1] + other[1]) / 2 - bounds.top);
    }
    pointers.set(event.pointerId, now);
  }
  function release(event) {
    pointers.delete(event.pointerId);
    drawing.classList.remove("dragged");
  }
  // The click at the end of a drag chooses nothing.
  drawing.addEventListener("click", event => {
    if (moved > 4) event.stopPropagation();
    else if (selected && !event.target.closest(".node")) select(null);
    moved = 0;
  }, { capture: true });

  const resized = new ResizeObserver(() => {
    if (!data) return;
    if (box.clientWidth < 620 !== isVertical) draw();
    else if (!view.isOwn) fit();
  });
  resized.observe(box);

  async function refresh(signal) {
    data = await agent.graph(context.window, signal);
    if (!signal.aborted) draw();
  }

  return {
    title: "Graph", element, refresh,
    leave() {
      resized.disconnect();
      removeEventListener("pointermove", pan);
      removeEventListener("pointerup", release);
      removeEventListener("pointercancel", release);
    },
  };
}
