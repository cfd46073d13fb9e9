// The frame around the pages: which one is shown, when it is refreshed, what is said when the agent does not answer.

import { AgentError } from "./api.js";
import { el, setText } from "./dom.js";
import { clock, duration } from "./format.js";
import { overview } from "./overview.js";

const REFRESH = 3000;
const SLOWEST_RETRY = 6000;

const byId = id => document.getElementById(id);
const main = byId("main");

function stored(key, fallback) {
  try {
    return localStorage.getItem(key) ?? fallback;
  } catch {
    return fallback;
  }
}

function store(key, value) {
  try {
    if (value === null) localStorage.removeItem(key);
    else localStorage.setItem(key, value);
  } catch { /* it holds until the page is left */ }
}

// MARK: Theme

const THEMES = { system: "Theme: as the system", light: "Theme: light", dark: "Theme: dark" };
const ICONS = { system: "◐", light: "☀", dark: "☾" };

function showTheme(theme) {
  if (theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  const button = byId("theme");
  setText(button, ICONS[theme] + "\ufe0e");
  button.setAttribute("aria-label", THEMES[theme]);
  button.title = THEMES[theme];
}

let theme = stored("weft-theme", "system");
if (!(theme in THEMES)) theme = "system";
showTheme(theme);
byId("theme").addEventListener("click", () => {
  const names = Object.keys(THEMES);
  theme = names[(names.indexOf(theme) + 1) % names.length];
  store("weft-theme", theme === "system" ? null : theme);
  showTheme(theme);
  announce(THEMES[theme]);
});

/** Says something to screen readers. */
function announce(text) {
  setText(byId("announcer"), text);
}

// MARK: Pages

/** Routes: what follows # and before ?, decoded, and the parameters. */
function place() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  let parts;
  try {
    parts = path.split("/").filter(Boolean).map(decodeURIComponent);
  } catch {
    parts = ["?"];
  }
  return { path, parts, query: new URLSearchParams(query ?? "") };
}

function notFound() {
  return {
    title: "Not found",
    element: el("div", { cls: "empty" }, el("h1", { tabindex: -1 }, "There is no such page"),
      el("p", {}, el("a", { href: "#/" }, "Go to the overview"))),
    refresh: async () => {},
  };
}

const pages = {
  overview: async context => overview(context),
  graph: async context => (await import("./graph.js")).graph(context),
  node: async context => (await import("./node.js")).node(context),
  async service(context, [namespace, name, ...rest]) {
    if (!name || rest.length) return notFound();
    return (await import("./service.js")).service(context, { namespace, name });
  },
};

let page = null;
let shownPath = null;
let visits = 0;
let windowSeconds = Number(stored("weft-window", "60"));
if (![60, 300, 900, 3600].includes(windowSeconds)) windowSeconds = 60;
byId("window").value = String(windowSeconds);
byId("window").addEventListener("change", event => {
  windowSeconds = Number(event.target.value);
  store("weft-window", String(windowSeconds));
  refreshNow();
});

/** What a page needs of its frame. */
const context = {
  get window() {
    return windowSeconds;
  },
  get query() {
    return place().query;
  },
  /** Keeps the page's state in its address, so that a reload and a link show the same; not a step of the history. */
  remember(values) {
    const { path, query } = place();
    for (const [name, value] of Object.entries(values)) {
      if (value) query.set(name, value);
      else query.delete(name);
    }
    const text = query.toString();
    history.replaceState(null, "", "#/" + path + (text ? "?" + text : ""));
  },
  showNode: name => setText(byId("where"), name ?? ""),
  announce,
};

async function show() {
  const { path, parts } = place();
  const isFirst = shownPath === null;
  const visit = (visits += 1);
  shownPath = path;
  page?.leave?.();
  const kind = parts[0] ?? "overview";
  let next;
  try {
    next = Object.hasOwn(pages, kind) ? await pages[kind](context, parts.slice(1)) : notFound();
  } catch {
    // The module could not be loaded: the agent is away. The page is asked for again when it is back.
    if (visit === visits) shownPath = null;
    return failed(new AgentError("the page could not be loaded", 0));
  }
  if (visit !== visits) return next.leave?.();
  page = next;
  main.className = "page-" + (Object.hasOwn(pages, kind) ? kind : "none");
  main.replaceChildren(page.element);
  main.setAttribute("aria-busy", "true");
  document.title = page.title === "Weft" ? "Weft" : page.title + " · Weft";
  for (const link of document.querySelectorAll("nav a")) {
    const isCurrent = link.dataset.page === kind || (link.dataset.page === "overview" && kind === "service");
    if (link.dataset.page === kind) link.setAttribute("aria-current", "page");
    else if (isCurrent) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
  if (!isFirst) {
    window.scrollTo(0, 0);
    (main.querySelector("h1") ?? main).focus({ preventScroll: true });
  }
  refreshNow();
}

// MARK: Refreshing

let timer = null;
let running = null;
let lastSuccess = null;
let failures = 0;

function schedule(delay) {
  clearTimeout(timer);
  timer = document.hidden ? null : setTimeout(refresh, delay);
}

function refreshNow() {
  running?.abort();
  running = null;
  refresh();
}

async function refresh() {
  clearTimeout(timer);
  if (running || document.hidden) return;
  if (shownPath === null) return show();
  if (!page) return;
  const current = (running = new AbortController());
  const shown = page;
  try {
    await page.refresh(current.signal);
    if (running !== current || page !== shown) return;
    succeeded();
    schedule(REFRESH);
  } catch (error) {
    if (current.signal.aborted || page !== shown) return;
    if (!(error instanceof AgentError)) console.error(error);
    failed(error);
  } finally {
    if (running === current) running = null;
  }
}

function succeeded() {
  if (failures > 0) announce("The agent answers again");
  // The other pages' modules while the agent is there: what was read once is shown without it too.
  if (lastSuccess === null) for (const name of ["graph", "service", "node"]) import(`./${name}.js`).catch(() => {});
  failures = 0;
  lastSuccess = Date.now();
  byId("banner").hidden = true;
  main.classList.remove("stale");
  main.setAttribute("aria-busy", "false");
  showFreshness();
}

function failed(error) {
  failures += 1;
  const banner = byId("banner");
  const isAway = !(error instanceof AgentError) || error.status === 0;
  const title = error instanceof AgentError
    ? isAway ? `The agent at ${location.host} does not answer` : "The agent could not say what this page shows"
    : "This page has a defect";
  const why = error instanceof Error ? error.message : String(error);
  const hint = isAway && error instanceof AgentError
    ? " Is weftd running? systemctl status weftd, or its log, tells why it is not." : "";
  const text = `${why}.${hint}`;
  // Said once, not at every try.
  if (banner.hidden || banner.dataset.text !== title + text) {
    banner.dataset.text = title + text;
    banner.replaceChildren(
      el("strong", {}, title), el("span", {}, text[0].toUpperCase() + text.slice(1)),
      el("button", { type: "button", onclick: refreshNow }, "Try again"));
    banner.hidden = false;
  }
  if (lastSuccess) main.classList.add("stale");
  main.setAttribute("aria-busy", "false");
  showFreshness();
  schedule(Math.min(SLOWEST_RETRY, REFRESH * 2 ** Math.min(failures - 1, 5)));
}

function showFreshness() {
  const mark = byId("freshness");
  const age = lastSuccess ? (Date.now() - lastSuccess) / 1000 : null;
  const isStale = failures > 0 || (age !== null && age > 3 * (REFRESH / 1000));
  mark.dataset.state = age === null ? (failures ? "stale" : "loading") : isStale ? "stale" : "live";
  const old = age === null ? "" : age < 59.5 ? `${Math.round(age)}\u202fs` : duration(age);
  setText(mark.lastElementChild,
    age === null ? (failures ? "No data" : "Loading") : isStale ? `Stale: ${old} old` : "Live");
  mark.title = lastSuccess ? "Last answer at " + clock(lastSuccess / 1000) : "";
}

setInterval(() => {
  if (!document.hidden) showFreshness();
}, 1000);
document.addEventListener("visibilitychange", () => {
  if (document.hidden) clearTimeout(timer);
  else refreshNow();
});
addEventListener("hashchange", show);
addEventListener("keydown", event => {
  if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return;
  const field = main.querySelector("input[type=search]");
  if (!field || event.target.matches("input, select, textarea")) return;
  event.preventDefault();
  field.focus();
  field.select();
});
// A link to the place where one is already is a wish for the newest.
document.querySelector(".skip").addEventListener("click", event => {
  event.preventDefault();
  main.focus();
});
show();
