// One service: its signals, who calls it, its endpoints, routes, policies, identities and what was denied.

import { agent } from "./api.js";
import { merged } from "./charts.js";
import { el, setChildren, setText } from "./dom.js";
import { byteRate, clock, duration, milliseconds, percent, rate, UNKNOWN, whole } from "./format.js";
import { goldenTiles, signalColumns } from "./overview.js";
import {
  command, empty, fullName, heading, healthMark, healthRank, howToSendTraffic, laneBar, section, serviceLink, setHealth,
  Table, text,
} from "./parts.js";

const HOUR = 3600;
/** What changes with the configuration is asked for less often, in milliseconds. */
const SLOW = 15000;

/** Kinds of objects that decide about traffic. */
const POLICIES = new Set([
  "AuthorizationPolicy", "PeerAuthentication", "RequestAuthentication", "TrafficPolicy", "DestinationRule",
  "BackendTLSPolicy",
]);

const STATES = {
  ready: "good", unchecked: "idle", draining: "idle", removed: "idle", unused: "idle", ejected: "bad", unhealthy: "bad",
};

/** The sum of what several edges say. */
const sum = (edges, of) => edges.reduce((all, edge) => (of(edge) ?? null) === null ? all : (all ?? 0) + of(edge), null);

/** Why a connection was refused, in a sentence. */
function reason(flow) {
  const by = flow.rule ? `rule ${flow.rule}` : "no ALLOW rule admits it";
  return flow.event === "ended_by_policy" ? `ended while open: ${by}` : by;
}

export function service(context, own) {
  const full = `${own.namespace}/${own.name}`;
  const tiles = goldenTiles();
  const mark = healthMark("idle", true);
  const lane = laneBar();
  const title = heading(1, fullName(own.namespace, own.name));
  const meshed = el("span", { cls: "quiet" });
  const notice = el("div");

  let history = null;
  let historyAt = 0;
  let slowAt = 0;
  let slow = null;

  /** A card with a table, or a sentence when there is nothing. */
  function card(label, table, nothing) {
    const message = el("div", { hidden: true }, nothing);
    const note = el("p", { cls: "sub" });
    return {
      element: section(label, note, table.element, message),
      set(rows, text = "") {
        table.element.hidden = rows.length === 0;
        message.hidden = rows.length > 0;
        setText(note, text);
        note.hidden = !text;
        if (rows.length) table.update(rows);
      },
    };
  }

  const health = {
    key: "health", label: "Health", cls: "narrow", value: row => healthRank(row.health),
    render(cell, row) {
      if (!cell.firstChild) cell.append(healthMark(row.health));
      setHealth(cell.firstChild, row.health);
      if (row.state) cell.title = row.state;
    },
  };

  const endpoints = card("Endpoints", new Table({
    label: `Endpoints of ${full}`, rowKey: row => row.key, sort: "name",
    columns: [
      health,
      { key: "name", label: "Endpoint", header: true, cls: "name", value: row => row.key,
        render(cell, row) {
          if (cell.firstChild) return;
          if (row.workload) {
            cell.append(el("a", { href: `#/graph?focus=${encodeURIComponent("workload/" + row.workload)}` }, row.workload));
          }
          cell.append(el("div", { cls: "sub mono" }, row.endpoint));
        } },
      { key: "state", label: "State", value: row => row.state, render: text(row => row.state) },
      { key: "port", label: "Of port", title: "The service's port that leads to it", num: true, cls: "wide",
        value: row => row.port, render: text(row => String(row.port)) },
      { key: "node", label: "Node", cls: "wide", value: row => row.node, render: text(row => row.node ?? UNKNOWN) },
      { key: "rps", label: "Requests", num: true, value: row => row.rps, render: text(row => rate(row.rps)) },
      { key: "success", label: "Success", num: true, descending: false, value: row => row.success,
        render: text(row => percent(row.success)) },
      { key: "p95", label: "p95", num: true, cls: "wide", value: row => row.p95, render: text(row => milliseconds(row.p95)) },
      { key: "connections", label: "Connections", title: "Open connections that the kernel has given to it", num: true,
        cls: "wide", value: row => row.connections, render: text(row => whole(row.connections)) },
      { key: "active", label: "Active", title: "Requests of the proxy that it is answering now", num: true,
        cls: "wide", value: row => row.activeRequests, render: text(row => whole(row.activeRequests)) },
      { key: "average", label: "Average", title: "The latency by which the proxy balances", num: true, cls: "widest",
        value: row => row.averageMilliseconds, render: text(row => milliseconds(row.averageMilliseconds)) },
    ],
  }), empty("No endpoint",
    el("p", {}, "Connections to this service are refused until a workload matches its selector, or an EndpointSlice names one:"),
    command(`weft endpoint list ${full}`)));

  const callers = card("Called by", new Table({
    label: `Who calls ${full}`, rowKey: row => row.key, sort: "rps", descending: true,
    columns: [
      health,
      { key: "name", label: "Client", header: true, cls: "name", value: row => row.key, render(cell, row) {
        if (!cell.firstChild) {
          cell.append(el("a", { href: `#/graph?focus=${encodeURIComponent(row.id)}` }, fullName(row.namespace, row.name)));
        }
      } },
      { key: "rps", label: "Requests", num: true, value: row => row.rps, render: text(row => rate(row.rps)) },
      { key: "success", label: "Success", num: true, descending: false, value: row => row.success,
        render: text(row => percent(row.success)) },
      { key: "bytes", label: "Bytes", num: true, cls: "wide", value: row => row.bytes, render: text(row => byteRate(row.bytes)) },
      { key: "secured", label: "Security", cls: "wide", value: row => row.secured, render: text(row => row.secured) },
    ],
  }), empty("Nobody calls it", howToSendTraffic()));

  const callees = card("Calls", new Table({
    label: `Whom ${full} calls`, rowKey: row => row.key, sort: "rps", descending: true,
    columns: [
      health,
      { key: "name", label: "Service", header: true, cls: "name", value: row => row.key, render(cell, row) {
        if (cell.firstChild) return;
        cell.append(row.service ? el("a", { href: serviceLink(row.namespace, row.name) }, fullName(row.namespace, row.name))
          : el("span", {}, row.name));
      } },
      { key: "rps", label: "Requests", num: true, value: row => row.rps, render: text(row => rate(row.rps)) },
      { key: "success", label: "Success", num: true, descending: false, value: row => row.success,
        render: text(row => percent(row.success)) },
      { key: "bytes", label: "Bytes", num: true, cls: "wide", value: row => row.bytes, render: text(row => byteRate(row.bytes)) },
      { key: "secured", label: "Security", cls: "wide", value: row => row.secured, render: text(row => row.secured) },
    ],
  }), empty("It calls nobody"));

  const routes = card("Routes", new Table({
    label: `Routes of ${full}`, rowKey: row => row.key,
    columns: [
      { key: "title", label: "Rule", header: true, cls: "name", render(cell, row) {
        if (!cell.firstChild) {
          cell.append(row.title, row.hostnames.length ? el("div", { cls: "sub" }, row.hostnames.join(", ")) : "");
        }
      } },
      { key: "matches", label: "Requests that match", render: lines(row => row.matches.length ? row.matches : ["every request"]) },
      { key: "to", label: "Go to", render: lines(row => row.backends) },
      { key: "filters", label: "And", cls: "wide", render: lines(row => row.filters.length ? row.filters : ["–"]) },
      ...signalColumns().map(({ value, ...column }) => column),
    ],
  }), empty("No route",
    el("p", {}, "Every connection goes to an endpoint as it is. An HTTPRoute with this service as its parent decides by request.")));

  const denials = card("Recent denials", new Table({
    label: `Connections to ${full} that were denied`, rowKey: row => row.key,
    columns: [
      { key: "time", label: "Time", cls: "num", render: text(row => clock(row.time)) },
      { key: "from", label: "From", header: true, cls: "name", render: text(row => row.from ?? row.source_address ?? "unknown") },
      { key: "reason", label: "Refused by", cls: "break", render: text(reason) },
      { key: "principal", label: "Identity", cls: "wide break", render: text(row => row.source_principal ?? UNKNOWN) },
      { key: "to", label: "Asked for", cls: "wide num", render: text(row => row.to ?? row.service_address ?? UNKNOWN) },
    ],
  }), empty("Nothing was denied", el("p", {}, "Refused connections to this service are listed here with the rule that refused them.")));

  const policies = card("Policies", new Table({
    label: `Policies of ${full}`, rowKey: row => row.key, sort: "kind",
    columns: [
      { ...health, label: "State" },
      { key: "kind", label: "Kind", value: row => row.kind + row.name, render: text(row => row.kind) },
      { key: "name", label: "Name", header: true, cls: "name", value: row => row.name, render: text(row => row.name) },
      { key: "effect", label: "Effect", cls: "break", render: text(row => row.effect) },
    ],
  }), empty("No policy", el("p", {}, "Everybody may connect. An AuthorizationPolicy in this namespace says who may.")));

  const identities = card("Identities", new Table({
    label: `Identities of ${full}`, rowKey: row => row.identity, sort: "name",
    columns: [
      health,
      { key: "name", label: "Identity", header: true, cls: "name break", value: row => row.identity,
        render: text(row => row.identity) },
      { key: "state", label: "State", render: text(row => row.state) },
      { key: "expiry", label: "Expires in", num: true, value: row => row.expirySeconds,
        render: text(row => duration(row.expirySeconds)) },
    ],
  }), empty("No identity", el("p", {}, "Its endpoints are no workloads: nobody can be asked to prove who they are.")));

  const element = el("div", {},
    el("div", { cls: "title-row" }, title, mark, lane.element, meshed, el("span", { cls: "spacer" }),
      el("a", { href: `#/graph?q=${encodeURIComponent(full)}` }, "Show in the graph")),
    notice, tiles.element, endpoints.element,
    el("div", { cls: "columns" }, callers.element, callees.element),
    routes.element, denials.element,
    el("div", { cls: "columns" }, policies.element, identities.element));

  function showGraph(graph) {
    const nodes = new Map(graph.nodes.map(node => [node.id, node]));
    const inbound = graph.edges.filter(edge => edge.service === full);
    const servers = new Set(inbound.map(edge => edge.to));
    const outbound = graph.edges.filter(edge => servers.has(edge.from));
    const bundle = (edges, key, describe) => [...Map.groupBy(edges, key)].map(([key, edges]) => {
      const rps = sum(edges, edge => edge.rps);
      const counted = edges.filter(edge => edge.rps > 0 && edge.success !== null);
      return {
        key, ...describe(edges[0]), rps,
        success: counted.length ? sum(counted, edge => edge.rps * edge.success) / sum(counted, edge => edge.rps) : null,
        bytes: sum(edges, edge => edge.bytesPerSecond),
        secured: [...new Set(edges.map(edge => edge.secured))].map(one =>
          ({ mutual_tls: "mTLS", kernel: "within the node", none: "plaintext" })[one] ?? one).join(", "),
        health: edges.map(edge => edge.health).sort((a, b) => healthRank(a) - healthRank(b))[0],
      };
    });
    callers.set(bundle(inbound, edge => edge.from, edge => {
      const node = nodes.get(edge.from);
      return { id: edge.from, namespace: node?.namespace, name: node?.name ?? edge.from };
    }));
    callees.set(bundle(outbound, edge => edge.service ?? edge.to, edge => {
      const slash = edge.service?.indexOf("/");
      return edge.service
        ? { service: true, namespace: edge.service.slice(0, slash), name: edge.service.slice(slash + 1) }
        : { service: false, name: nodes.get(edge.to)?.name ?? edge.to };
    }));

    return nodes;
  }

  function showReport(report, nodes) {
    endpoints.set(report.endpoints.map(endpoint => {
      const node = endpoint.workload && nodes.get("workload/" + endpoint.workload);
      return {
        ...endpoint, key: `${endpoint.workload ?? ""} ${endpoint.endpoint} ${endpoint.port}`,
        health: endpoint.state !== "ready" ? STATES[endpoint.state] ?? "warning" : node?.health === "bad" ||
          node?.health === "warning" ? node.health : "good",
        rps: node?.rps ?? null, success: node?.success ?? null, p95: node?.p95 ?? null,
      };
    }), report.ports.flatMap(port => port.proxyReasons.length
      ? [`Port ${port.port} is the proxy's, demanded by ${port.proxyReasons.join(", ")}.`] : []).join(" "));
    identities.set(report.identities.map(one => ({
      ...one, health: one.state === "valid" ? (one.expirySeconds < 3600 ? "warning" : "good")
        : one.state === "renewing" ? "warning" : one.state === "elsewhere" ? "good" : "bad",
    })));
    // What applies, and what of the namespace was meant to and could not be taken.
    const conditions = new Map((slow?.status.objects ?? []).map(object =>
      [`${object.kind} ${object.metadata.namespace ?? ""}/${object.metadata.name}`, problemOf(object)]));
    const applying = report.policies.map(policy => {
      const problem = conditions.get(`${policy.kind} ${policy.name}`);
      return {
        ...policy, key: `${policy.kind} ${policy.name}`, health: problem ? "warning" : "good",
        effect: policy.effect + (problem ? `. ${problem.reason}: ${problem.message}` : ""),
      };
    });
    const refused = (slow?.status.objects ?? []).filter(object => POLICIES.has(object.kind)).flatMap(object => {
      const problem = problemOf(object);
      const name = `${object.metadata.namespace ?? ""}/${object.metadata.name}`;
      const key = `${object.kind} ${name}`;
      return problem && !applying.some(one => one.key === key)
        ? [{ key, kind: object.kind, name, health: problem.type === "PartiallyInvalid" ? "warning" : "bad",
          effect: `${problem.reason}: ${problem.message}` }] : [];
    });
    policies.set(applying.concat(refused));
  }

  function showRoutes(routeRows) {
    const rules = slow.routes.flatMap(listing => listing.rules.map((rule, index) => {
      const row = routeRows.find(row => row.route === rule.title);
      return { ...rule, key: `${listing.port} ${index} ${rule.title}`, rps: row?.rps ?? null, success: row?.success ?? null,
        latency: row?.latency ?? null };
    }));
    const unlisted = routeRows.filter(row => !rules.some(rule => rule.title === row.route));
    routes.set(rules.concat(unlisted.map(row => ({
      ...row, key: "template " + row.route, title: row.route, hostnames: [], matches: [], filters: [], backends: [UNKNOWN],
    }))));
  }

  async function refresh(signal) {
    const now = Date.now();
    const isSlowDue = now - slowAt > SLOW;
    const isHistoryDue = now - historyAt > 9000;
    const seconds = history ? Math.min(HOUR, Math.ceil((now - historyAt) / 1000) + 3 * history.step) : HOUR;
    // A service that is gone from the configuration still has its past.
    const orNone = (promise, none) => promise.catch(error => {
      if (error.status === 404) return none;
      throw error;
    });
    const nothing = { addresses: [], ports: [], endpoints: [], mutualTLS: [], policies: [], identities: [] };
    const [stat, routeStat, graph, report, flows, nextHistory, nextSlow] = await Promise.all([
      agent.stat("service", context.window, signal, own), agent.stat("route", context.window, signal, own),
      agent.graph(context.window, signal), orNone(agent.service(own, signal), nothing),
      agent.denials(own, 20, signal), isHistoryDue ? agent.history(seconds, signal, own) : null,
      isSlowDue ? Promise.all([orNone(agent.routes(own, signal), []), agent.status(signal, own.namespace)]) : null,
    ]);
    if (signal.aborted) return;
    if (nextHistory) {
      history = merged(history, nextHistory, HOUR / nextHistory.step);
      historyAt = now;
      tiles.history(history);
    }
    if (nextSlow) {
      slow = { routes: nextSlow[0], status: nextSlow[1] };
      slowAt = now;
    }
    const row = stat.rows[0];
    const isKnown = row || report !== nothing;
    if (isKnown && notice.firstChild) notice.replaceChildren();
    if (!isKnown && !notice.firstChild) {
      notice.append(empty(`There is no service ${full}`,
        el("p", {}, "It is not in the configuration and has had no traffic. ", el("a", { href: "#/" }, "All services"))));
    }
    setHealth(mark, row?.health ?? "idle", true);
    lane.set(row?.lanes);
    setText(meshed, [
      row?.meshed && `${row.meshed.ready} of ${row.meshed.total} endpoints meshed`,
      report.mutualTLS.length && `mTLS ${report.mutualTLS.join(" and ").toLowerCase()}`,
      report.addresses.join(", "),
    ].filter(Boolean).join(" · "));
    tiles.values(row);
    showReport(report, showGraph(graph));
    showRoutes(routeStat.rows);
    denials.set(flows.map((flow, index) => ({ ...flow, key: `${flow.time} ${flow.cookie} ${index}` })));
  }

  return { title: full, element, refresh };
}

/** The condition that says that an object, or a part of it, has no effect; undefined: none does. */
function problemOf(object) {
  return (object.status.conditions ?? []).concat((object.status.parents ?? []).flatMap(parent => parent.conditions))
    .find(one => (one.status === "False") !== (one.type === "PartiallyInvalid") && one.status !== "Unknown");
}

/** A cell with a line for each text. */
function lines(of) {
  return (cell, row) => {
    const texts = of(row);
    const key = texts.join("\n");
    if (cell.shown === key) return;
    cell.shown = key;
    setChildren(cell, texts.map(one => el("div", { cls: "break" }, one)));
  };
}
