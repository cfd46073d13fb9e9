// A layered drawing of a directed graph (Sugiyama's method): who calls stands left of who is called. Pure: from sizes and
// edges to positions.

const LAYER_GAP = 68;
const NODE_GAP = 14;
/** Room of a long edge that passes a layer, and between two of them. */
const LANE = 4;
const LANE_GAP = 3;
const SWEEPS = 8;

const gap = (a, b) => (a.node && b.node ? NODE_GAP : a.node || b.node ? 8 : LANE_GAP);

/**
 * nodes: [{ id, width, height }]; edges: [{ from, to }]. vertical: layers are rows.
 *
 * Returns { places: Map of id → { x, y, width, height } (the upper left corner), paths: Map of "from to" → points, width, height }.
 */
export function layered(nodes, edges, { vertical = false, aspect = 1.6 } = {}) {
  const items = new Map(nodes.map(node => [node.id, {
    id: node.id, out: [], in: [], layer: 0, along: 0, node,
    // `size` is across the layers' direction, `depth` along it.
    size: vertical ? node.width : node.height, depth: vertical ? node.height : node.width,
  }]));
  const forward = [];
  for (const { from, to } of edges) {
    const [a, b] = [items.get(from), items.get(to)];
    if (a && b && a !== b) forward.push({ a, b, key: `${from} ${to}` });
  }
  breakCycles(items, forward);
  const all = [...items.values()];
  const connected = all.filter(item => item.in.length + item.out.length > 0);
  const alone = all.filter(item => item.in.length + item.out.length === 0);
  assignLayers(connected);
  fold(connected, aspect);
  renumber(connected);
  const { layers, chains } = addLanes(connected, forward);
  order(layers);
  settle(layers);

  // Where the layers are.
  let depth = 0;
  for (const layer of layers) {
    const deepest = Math.max(...layer.map(item => item.depth));
    for (const item of layer) item.start = depth + (deepest - item.depth) / 2;
    layer.start = depth;
    layer.end = depth + deepest;
    depth = layer.end + LAYER_GAP;
  }
  stretch(layers, vertical ? aspect : 1 / aspect, depth);
  const lowest = Math.min(0, ...layers.flat().map(item => item.along - item.size / 2));
  for (const item of layers.flat()) item.along -= lowest;
  const breadth = Math.max(0, ...layers.flat().map(item => item.along + item.size / 2));
  const totalDepth = Math.max(0, depth - LAYER_GAP);

  const places = new Map();
  for (const item of connected) {
    const [x, y] = vertical ? [item.along - item.size / 2, item.start] : [item.start, item.along - item.size / 2];
    places.set(item.id, { x, y, width: item.node.width, height: item.node.height });
  }
  const paths = new Map();
  for (const { chain, key, isReversed } of chains) {
    const points = chain.map((item, index) => {
      const layer = layers[item.layer];
      const near = item.node ? item.start : layer.start;
      const far = item.node ? item.start + item.depth : layer.end;
      const ends = index === 0 ? [far] : index === chain.length - 1 ? [near] : [near, far];
      return ends.map(at => (vertical ? [item.along, at] : [at, item.along]));
    }).flat();
    paths.set(key, isReversed ? points.reverse() : points);
  }

  // What nobody talks to stands below, in rows.
  let width = vertical ? breadth : totalDepth;
  let height = vertical ? totalDepth : breadth;
  if (alone.length) {
    const cell = { width: Math.max(...alone.map(item => item.node.width)) + NODE_GAP,
      height: Math.max(...alone.map(item => item.node.height)) + NODE_GAP };
    const across = Math.max(1, Math.min(alone.length,
      Math.floor(Math.max(width, Math.sqrt(alone.length * cell.width * cell.height * aspect)) / cell.width)));
    const top = height ? height + 2 * NODE_GAP : 0;
    alone.forEach((item, index) => places.set(item.id, {
      x: (index % across) * cell.width, y: top + Math.floor(index / across) * cell.height, width: item.node.width,
      height: item.node.height,
    }));
    width = Math.max(width, across * cell.width - NODE_GAP);
    height = top + Math.ceil(alone.length / across) * cell.height - NODE_GAP;
  }
  return { places, paths, width, height };
}

/** Turns around the edges that a depth-first walk finds to lead back. */
function breakCycles(items, forward) {
  const following = new Map([...items.values()].map(item => [item, []]));
  const incoming = new Map([...items.values()].map(item => [item, 0]));
  for (const edge of forward) {
    following.get(edge.a).push(edge);
    incoming.set(edge.b, incoming.get(edge.b) + 1);
  }
  const state = new Map();
  // Whoever is called by nobody comes first, so that a cycle is cut where calls come back to its beginning.
  const roots = [...items.values()].sort((a, b) => incoming.get(a) - incoming.get(b));
  for (const root of roots) {
    if (state.has(root)) continue;
    const stack = [{ item: root, next: 0 }];
    state.set(root, "open");
    while (stack.length) {
      const top = stack.at(-1);
      const edge = following.get(top.item)[top.next];
      top.next += 1;
      if (!edge) {
        state.set(top.item, "done");
        stack.pop();
      } else if (!state.has(edge.b)) {
        state.set(edge.b, "open");
        stack.push({ item: edge.b, next: 0 });
      } else if (state.get(edge.b) === "open") {
        edge.isReversed = true;
      }
    }
  }
  for (const edge of forward) {
    [edge.source, edge.target] = edge.isReversed ? [edge.b, edge.a] : [edge.a, edge.b];
    edge.source.out.push(edge.target);
    edge.target.in.push(edge.source);
  }
}

/** The longest way from a root; roots move close to whom they call. */
function assignLayers(items) {
  const waiting = new Map(items.map(item => [item, item.in.length]));
  const queue = items.filter(item => item.in.length === 0);
  const sorted = [];
  for (let item = queue.shift(); item; item = queue.shift()) {
    sorted.push(item);
    for (const next of item.out) {
      next.layer = Math.max(next.layer, item.layer + 1);
      waiting.set(next, waiting.get(next) - 1);
      if (waiting.get(next) === 0) queue.push(next);
    }
  }
  for (const item of sorted.reverse()) {
    if (item.in.length === 0 && item.out.length) item.layer = Math.min(...item.out.map(next => next.layer)) - 1;
  }
}

/** Layers with very many nodes become several, so that the drawing is not a tower: no edge runs inside of a layer. */
function fold(items, aspect) {
  const most = Math.max(8, Math.ceil(Math.sqrt(items.length / aspect) * 1.6));
  const layers = new Map();
  for (const item of items) layers.set(item.layer, (layers.get(item.layer) ?? []).concat(item));
  let shift = 0;
  for (const number of [...layers.keys()].sort((a, b) => a - b)) {
    const layer = layers.get(number);
    const parts = Math.ceil(layer.length / most);
    // Who is called by fewer goes to the later part: it has the fewer edges over the part before.
    layer.sort((a, b) => b.out.length - a.out.length || a.id.localeCompare(b.id));
    layer.forEach((item, index) => { item.layer = number + shift + Math.floor((index * parts) / layer.length); });
    shift += parts - 1;
  }
}

/** Layers without gaps in their numbers: where roots have moved away, nobody may be left. */
function renumber(items) {
  const numbers = [...new Set(items.map(item => item.layer))].sort((a, b) => a - b);
  for (const item of items) item.layer = numbers.indexOf(item.layer);
}

/** Edges over several layers pass the layers between by a lane in each. */
function addLanes(items, forward) {
  const layers = Array.from({ length: Math.max(-1, ...items.map(item => item.layer)) + 1 }, () => []);
  for (const item of items) layers[item.layer].push(item);
  for (const item of items) {
    item.before = [];
    item.after = [];
  }
  const chains = [];
  const seen = new Map();
  for (const { source, target, key, isReversed } of forward) {
    // Calls in both directions share their way.
    const pair = `${source.id} ${target.id}`;
    let chain = seen.get(pair);
    if (!chain) {
      chain = [source];
      for (let layer = source.layer + 1; layer < target.layer; layer += 1) {
        const lane = { layer, size: LANE, depth: 0, along: 0, before: [], after: [] };
        layers[layer].push(lane);
        chain.push(lane);
      }
      chain.push(target);
      for (let index = 1; index < chain.length; index += 1) {
        chain[index - 1].after.push(chain[index]);
        chain[index].before.push(chain[index - 1]);
      }
      seen.set(pair, chain);
    }
    chains.push({ chain, key, isReversed });
  }
  return { layers, chains };
}

/** Fewer crossings: by the median of the neighbours, to and fro; the best order that was seen stays. */
function order(layers) {
  const place = layer => layer.forEach((item, index) => { item.rank = index; });
  layers.forEach(layer => {
    layer.sort((a, b) => (a.id ?? "~").localeCompare(b.id ?? "~"));
    place(layer);
  });
  const median = neighbours => {
    const ranks = neighbours.map(item => item.rank).sort((a, b) => a - b);
    const middle = ranks.length >> 1;
    return ranks.length % 2 ? ranks[middle] : (ranks[middle - 1] + ranks[middle]) / 2;
  };
  let best = null;
  let fewest = Infinity;
  for (let sweep = 0; sweep <= SWEEPS; sweep += 1) {
    const crossings = layers.slice(1).reduce((sum, layer) => sum + countCrossings(layer), 0);
    if (crossings < fewest) {
      fewest = crossings;
      best = layers.map(layer => [...layer]);
    }
    if (crossings === 0) break;
    const isDown = sweep % 2 === 0;
    for (const layer of isDown ? layers.slice(1) : layers.slice(0, -1).reverse()) {
      const key = new Map(layer.map(item => {
        const neighbours = isDown ? item.before : item.after;
        return [item, neighbours.length ? median(neighbours) : item.rank];
      }));
      layer.sort((a, b) => key.get(a) - key.get(b) || a.rank - b.rank);
      place(layer);
    }
  }
  best?.forEach((layer, index) => {
    layers[index].splice(0, Infinity, ...layer);
    place(layer);
  });
}

/** Crossings between a layer and the one before it: inversions, counted with a Fenwick tree. */
function countCrossings(layer) {
  const ends = [];
  let most = 0;
  for (const item of layer) {
    for (const rank of item.before.map(one => one.rank).sort((a, b) => a - b)) {
      ends.push(rank);
      most = Math.max(most, rank);
    }
  }
  const tree = new Uint32Array(most + 2);
  let crossings = 0;
  ends.forEach((rank, index) => {
    let notAfter = 0;
    for (let at = rank + 1; at > 0; at -= at & -at) notAfter += tree[at];
    crossings += index - notAfter;
    for (let at = rank + 1; at < tree.length; at += at & -at) tree[at] += 1;
  });
  return crossings;
}

/** Straight edges: each item wants to stand at its neighbours' mean, in its layer's order and without overlaps. */
function settle(layers) {
  for (const layer of layers) {
    let at = 0;
    layer.forEach((item, index) => {
      if (index > 0) at += gap(layer[index - 1], item);
      item.along = at + item.size / 2;
      at += item.size;
    });
    for (const item of layer) item.along -= at / 2;
  }
  const mean = items => items.reduce((sum, item) => sum + item.along, 0) / items.length;
  for (let sweep = 0; sweep < 6; sweep += 1) {
    const isDown = sweep % 2 === 0;
    for (const layer of isDown ? layers.slice(1) : layers.slice(0, -1).reverse()) {
      const wanted = layer.map(item => {
        const neighbours = isDown ? item.before : item.after;
        return neighbours.length ? mean(neighbours) : item.along;
      });
      spread(layer, wanted);
    }
  }
}

/** A long and thin drawing gets air between its nodes, as far as the screen has it anyway. */
function stretch(layers, shape, depth) {
  const items = layers.flat();
  const ends = items.flatMap(item => [item.along - item.size / 2, item.along + item.size / 2]);
  const breadth = Math.max(...ends) - Math.min(...ends);
  const factor = Math.max(1, Math.min(2.2, (depth * shape) / breadth));
  for (const item of items) item.along *= factor;
}

/** The positions nearest to the wanted ones (least squares) that keep order and distance: pools of adjacent violators. */
function spread(layer, wanted) {
  let offset = 0;
  const offsets = layer.map((item, index) => {
    if (index > 0) offset += (layer[index - 1].size + item.size) / 2 + gap(layer[index - 1], item);
    return offset;
  });
  const pools = [];
  layer.forEach((item, index) => {
    // Lanes bend last: straight long edges are what the eye follows.
    const weight = item.node ? 1 : 2;
    let pool = { sum: (wanted[index] - offsets[index]) * weight, weight, count: 1 };
    while (pools.length && pools.at(-1).sum / pools.at(-1).weight > pool.sum / pool.weight) {
      const last = pools.pop();
      pool = { sum: last.sum + pool.sum, weight: last.weight + pool.weight, count: last.count + pool.count };
    }
    pools.push(pool);
  });
  let index = 0;
  for (const pool of pools) {
    for (let end = index + pool.count; index < end; index += 1) {
      layer[index].along = pool.sum / pool.weight + offsets[index];
    }
  }
}
