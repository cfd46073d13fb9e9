// What the agent says, and whether it still says anything.

const TIMEOUT = 8000;

/** An answer that is not a success; `status` is 0 if there was none at all. */
export class AgentError extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

async function get(path, parameters, signal) {
  const url = new URL(path, location.origin);
  for (const [name, value] of Object.entries(parameters ?? {})) {
    if (value !== undefined && value !== null && value !== "") url.searchParams.set(name, value);
  }
  const timeout = AbortSignal.timeout(TIMEOUT);
  let response, text;
  try {
    response = await fetch(url, {
      signal: signal ? AbortSignal.any([signal, timeout]) : timeout, cache: "no-store", credentials: "omit",
      headers: { accept: "application/json" },
    });
    text = await response.text();
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new AgentError(
      timeout.aborted ? `no answer within ${TIMEOUT / 1000} seconds` : "the connection was refused or cut", 0);
  }
  if (!response.ok) {
    let message = `it answered ${response.status} to ${url.pathname}`;
    try {
      message += `: ${JSON.parse(text).error}`;
    } catch { /* the status says enough */ }
    throw new AgentError(message, response.status);
  }
  return text;
}

async function json(path, parameters, signal) {
  const text = await get(path, parameters, signal);
  try {
    return JSON.parse(text);
  } catch {
    throw new AgentError(`its answer to ${path} is not JSON`, 200);
  }
}

const name = service => `${service.namespace}/${service.name}`;

export const agent = {
  stat: (by, window, signal, service) => json("/v1/stat", { by, window, ...service }, signal),
  graph: (window, signal) => json("/v1/graph", { window }, signal),
  history: (seconds, signal, service) => json("/v1/history", { seconds, ...service }, signal),
  node: signal => json("/v1/node", {}, signal),
  status: (signal, namespace) => json("/v1/status", { namespace }, signal),
  service: (service, signal) => json("/v1/service", { name: name(service) }, signal),
  routes: (service, signal) => json("/v1/routes", { service: name(service) }, signal),
  identities: signal => json("/v1/identities", {}, signal),
  authority: signal => json("/v1/ca", {}, signal),
  async denials(service, limit, signal) {
    const text = await get("/v1/flows", { denied: "true", to: service && name(service), limit }, signal);
    return text.split("\n").filter(Boolean).map(line => JSON.parse(line)).reverse();
  },
};
