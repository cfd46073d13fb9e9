// From the agent's graph of workloads to what is drawn: services, namespaces or workloads, with the traffic between them.

import { healthRank, worst } from "./parts.js";

const sum = values => values.reduce((total, value) => (value ?? null) === null ? total : (total ?? 0) + value, null);
const most = values => values.reduce((max, value) => (value ?? null) === null ? max : Math.max(max ?? value, value), null);

/** The mean of `of`, weighted by requests; null if nobody had any. */
function weighted(items, of) {
  const counted = items.filter(item => item.rps > 0 && (of(item) ?? null) !== null);
  const total = sum(counted.map(item => item.rps));
  return total ? counted.reduce((all, item) => all + item.rps * of(item), 0) / total : null;
}

/** The service of each workload that is called by one: the one with the most traffic. */
function servicesOf(graph) {
  const shares = new Map();
  for (const edge of graph.edges) {
    if (!edge.service) continue;
    const own = shares.get(edge.to) ?? new Map();
    // An edge without requests counts a little, so that plain TCP has a service too.
    own.set(edge.service, (own.get(edge.service) ?? 0) + (edge.rps ?? 0) + 1e-6);
    shares.set(edge.to, own);
  }
  return new Map([...shares].map(([id, own]) => [id, [...own].sort((a, b) => b[1] - a[1])[0][0]]));
}

const named = text => {
  const slash = text.indexOf("/");
  return { namespace: text.slice(0, slash), name: text.slice(slash + 1) };
};

/**
 * What is drawn of a graph.
 *
 * level: "service" or "workload"; collapsed(namespace): whether a namespace is one node.
 * Nodes: { id, kind: namespace | service | workload | outside, namespace, name, count, rps, success, p95, open, bytesPerSecond, deniedPerSecond,
 * health }.
 * Edges: { key, from, to, rps, success, p50, p95, p99, openedPerSecond, bytesPerSecond, deniedPerSecond, open, lanes, secured, health,
 * services }.
 */
export function grouped(graph, level, collapsed) {
  const services = level === "service" ? servicesOf(graph) : new Map();
  const groups = new Map();
  const groupOf = new Map();
  for (const node of graph.nodes) {
    const service = services.get(node.id);
    const of = service ? named(service) : node;
    let group;
    if (node.kind === "outside" || !of.namespace) group = { id: node.id, kind: "outside", namespace: null, name: node.name };
    else if (collapsed(of.namespace)) {
      group = { id: "namespace/" + of.namespace, kind: "namespace", namespace: of.namespace, name: of.namespace };
    } else if (service) group = { id: "service/" + service, kind: "service", ...of };
    else group = { id: node.id, kind: "workload", namespace: node.namespace, name: node.name };
    const known = groups.get(group.id) ?? { ...group, members: [], parts: new Set() };
    known.members.push(node);
    known.parts.add(service ?? `${node.namespace}/${node.name}`);
    groups.set(group.id, known);
    groupOf.set(node.id, group.id);
  }
  const nodes = [...groups.values()].map(({ members, parts, ...group }) => ({
    ...group, count: group.kind === "namespace" ? parts.size : members.length,
    ids: members.map(member => member.id), rps: sum(members.map(member => member.rps)),
    success: weighted(members, member => member.success), p95: most(members.map(member => member.p95)),
    health: worst(members.map(member => member.health)), isLocal: members.some(member => member.local),
  }));

  const bundles = new Map();
  for (const edge of graph.edges) {
    const [from, to] = [groupOf.get(edge.from), groupOf.get(edge.to)];
    if (!from || !to) continue;
    const key = `${from} ${to}`;
    const bundle = bundles.get(key) ?? { key, from, to, members: [] };
    bundle.members.push(edge);
    bundles.set(key, bundle);
  }
  const edges = [...bundles.values()].map(({ members, ...edge }) => ({
    ...edge, rps: sum(members.map(one => one.rps)), success: weighted(members, one => one.success),
    p50: most(members.map(one => one.p50)), p95: most(members.map(one => one.p95)), p99: most(members.map(one => one.p99)),
    openedPerSecond: sum(members.map(one => one.openedPerSecond)),
    bytesPerSecond: sum(members.map(one => one.bytesPerSecond)),
    deniedPerSecond: sum(members.map(one => one.deniedPerSecond)), open: sum(members.map(one => one.open)),
    lanes: [...new Set(members.flatMap(one => one.lanes))].sort(),
    secured: [...new Set(members.map(one => one.secured))].sort(), health: worst(members.map(one => one.health)),
    services: [...new Set(members.map(one => one.service).filter(Boolean))].sort(), count: members.length,
  }));
  // What is no HTTP is told by its connections.
  for (const node of nodes) {
    const inbound = edges.filter(edge => edge.to === node.id);
    node.open = sum(inbound.map(edge => edge.open));
    node.bytesPerSecond = sum(inbound.map(edge => edge.bytesPerSecond));
    node.deniedPerSecond = sum(inbound.map(edge => edge.deniedPerSecond));
  }
  nodes.sort((a, b) => a.id.localeCompare(b.id));
  edges.sort((a, b) => healthRank(a.health) - healthRank(b.health) || (b.rps ?? 0) - (a.rps ?? 0));
  return { nodes, edges };
}

/** The namespaces of a graph with the number of workloads in each, and how many nodes would be drawn at most. */
export function namespaces(graph) {
  const services = servicesOf(graph);
  const counts = new Map();
  const things = new Set();
  for (const node of graph.nodes) {
    const service = services.get(node.id);
    const namespace = service ? named(service).namespace : node.namespace;
    if (namespace) counts.set(namespace, (counts.get(namespace) ?? 0) + 1);
    things.add(service ?? node.id);
  }
  return { counts, nodes: things.size };
}
