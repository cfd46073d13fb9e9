"""Walks the dashboard in a headless Chromium, over the W3C WebDriver protocol. Usage: browser.py MODE JSON

The last line of output is JSON: {"facts": {...}, "problems": [text...]}; what is wrong is a problem, with the page it was on.

walk      {url, service, denied, idle}  every page at both sizes and in both themes, while there is traffic
many      {url, services, pid}          the overview and the graph with many services: how long it takes; then what the page
                                        says when the agent is killed, and when it is back
"""
import base64
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request

SIZES = {"desktop": (1280, 800), "phone": (390, 844)}
THEMES = ("light", "dark")

# Keeps what the page is told, so that it can be compared with what it shows.
RECORDER = """
window.answers = {};
const ask = window.fetch;
window.fetch = async (...arguments) => {
  const response = await ask(...arguments);
  const copy = response.clone();
  const read = response.text.bind(response);
  response.text = async () => {
    const text = await read();
    const url = new URL(arguments[0], location);
    window.answers[url.pathname + (url.searchParams.get("by") ?? "")] = { url: String(url), text };
    return text;
  };
  return response;
};
window.longest = 0;
new PerformanceObserver(list => {
  for (const entry of list.getEntries()) window.longest = Math.max(window.longest, entry.duration);
}).observe({ entryTypes: ["longtask"] });
"""

# Texts whose contrast to what is behind them is below WCAG 2.2's AA, and controls without a name.
INSPECT = r"""
const problems = [];
const parse = text => {
  const numbers = text.match(/[\d.]+/g).map(Number);
  const [r, g, b] = text.startsWith("color(") ? numbers.slice(0, 3).map(value => value * 255) : numbers;
  return { rgb: [r, g, b], alpha: numbers.length > 3 ? numbers[3] : 1 };
};
const luminance = rgb => {
  const [r, g, b] = rgb.map(value => {
    const part = value / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const over = (top, alpha, below) => top.map((value, index) => value * alpha + below[index] * (1 - alpha));
const behind = element => {
  if (!element) return [255, 255, 255];
  const { rgb, alpha } = parse(getComputedStyle(element).backgroundColor);
  return alpha >= 1 ? rgb : over(rgb, alpha, behind(element.parentElement));
};
const seen = new Set();
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
for (let node = walker.nextNode(); node; node = walker.nextNode()) {
  const element = node.parentElement;
  if (!node.textContent.trim() || element.closest("svg, .sr, script, noscript, :disabled, select")) continue;
  const style = getComputedStyle(element);
  if (!element.checkVisibility() || parseFloat(style.fontSize) === 0) continue;
  const color = parse(style.color);
  const ground = behind(element);
  const [a, b] = [luminance(over(color.rgb, color.alpha, ground)), luminance(ground)].sort((x, y) => y - x);
  const ratio = (a + 0.05) / (b + 0.05);
  const size = parseFloat(style.fontSize);
  const needed = size >= 24 || (size >= 18.66 && style.fontWeight >= 700) ? 3 : 4.5;
  const key = style.color + ground;
  if (ratio < needed && !seen.has(key)) {
    seen.add(key);
    problems.push(`contrast ${ratio.toFixed(2)} of “${node.textContent.trim().slice(0, 30)}”`);
  }
}
for (const element of document.querySelectorAll("a, button, input, select, [tabindex], [role=button], [role=img]")) {
  if (!element.checkVisibility()) continue;
  const name = element.getAttribute("aria-label") || element.textContent.trim() || element.title ||
    element.labels?.[0]?.textContent.trim();
  if (!name && element.id !== "main") problems.push(`no name: ${element.outerHTML.slice(0, 80)}`);
}
const ids = [...document.querySelectorAll("[id]")].map(one => one.id);
for (const id of ids) if (ids.indexOf(id) !== ids.lastIndexOf(id)) problems.push(`id ${id} twice`);
if (document.querySelectorAll("h1").length !== 1) problems.push("not one h1");
const wide = document.documentElement.scrollWidth - innerWidth;
if (wide > 0) problems.push(`wider than the screen by ${wide} px`);
for (const word of ["undefined", "NaN", "[object", "Infinity"]) {
  if (document.body.innerText.includes(word)) problems.push(`says ${word}`);
}
return problems;
"""

# Everything that a keyboard has to reach by Tab, in the order of the document.
REACHABLE = """
return [...document.querySelectorAll('a[href], button, input, select, summary, [tabindex="0"]')]
  .filter(one => one.checkVisibility() && !one.disabled && one.tabIndex >= 0).length;
"""

# Notes each element that gets the focus, and whether one sees that it has it.
WATCH_FOCUS = """
window.focused = new Map();
window.watcher ??= addEventListener("focusin", ({ target }) => {
  const box = target.querySelector(".box");
  const isSeen = getComputedStyle(target).outlineStyle !== "none" ||
    (box && parseFloat(getComputedStyle(box).strokeWidth) >= 3);
  window.focused.set(target, [Boolean(isSeen), (target.getAttribute("aria-label") ?? target.textContent).trim().slice(0, 40)]);
}) ?? true;
document.activeElement?.blur();
window.scrollTo(0, 0);
window.getSelection().removeAllRanges();
document.querySelector(".brand").focus();
"""


class Browser:
    def __init__(self):
        self.driver = subprocess.Popen(
            ["chromedriver", "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        port = None
        for line in self.driver.stdout:
            found = re.search(r"successfully on port (\d+)", line)
            if found:
                port = found.group(1)
                break
        self.address = f"http://127.0.0.1:{port}"
        self.problems, self.page, self.theme = [], "", "light"
        options = {
            "args": [
                "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
                "--disable-background-networking", "--disable-component-update", "--disable-sync",
                # Nothing but this machine can be found.
                "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
            ],
        }
        answer = self.call("POST", "/session", {"capabilities": {"alwaysMatch": {
            "browserName": "chrome", "goog:chromeOptions": options,
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        }}})
        self.session = "/session/" + answer["sessionId"]
        self.devtools("Page.addScriptToEvaluateOnNewDocument", source=RECORDER)

    def call(self, method, path, body=None):
        request = urllib.request.Request(
            self.address + path, method=method, data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return json.load(response)["value"]
        except urllib.error.HTTPError as error:
            raise RuntimeError(error.read().decode()[:2000]) from None

    def devtools(self, command, **parameters):
        return self.call("POST", self.session + "/goog/cdp/execute", {"cmd": command, "params": parameters})

    def run(self, script, *arguments):
        return self.call("POST", self.session + "/execute/sync", {"script": script, "args": list(arguments)})

    def resolve(self, script, *arguments):
        """Runs a script that answers through its last argument."""
        return self.call("POST", self.session + "/execute/async", {"script": script, "args": list(arguments)})

    def keys(self, *keys):
        actions = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        self.call("POST", self.session + "/actions", {"actions": [{"type": "key", "id": "keyboard", "actions": actions}]})

    def show(self, size, theme):
        width, height = SIZES.get(size, size)
        self.devtools("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1,
                      mobile=width < 600)
        self.devtools("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": theme}])

    def open(self, url):
        self.call("POST", self.session + "/url", {"url": url})

    def go(self, place):
        """Follows a link inside of the page, and waits until the next page is there."""
        self.page = place
        self.run("if (location.hash === arguments[0]) location.hash = '#/?again'; location.hash = arguments[0];"
                 "document.getElementById('main').setAttribute('aria-busy', 'true');", place)
        self.wait("the page is filled", "return document.getElementById('main').getAttribute('aria-busy') === 'false'")

    def wait(self, what, script, *arguments, seconds=10):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.run(script, *arguments):
                return True
            time.sleep(0.05)
        self.problem(f"not within {seconds} s: {what}")
        return False

    def problem(self, text):
        self.problems.append(f"{self.page}: {text}")

    def inspect(self, note):
        for problem in self.run(INSPECT):
            self.problem(f"{note}: {problem}")

    def read_logs(self, origin, expects_failures=False):
        for entry in self.call("POST", self.session + "/se/log", {"type": "browser"}):
            if not expects_failures or "Failed to load resource" not in entry["message"]:
                self.problem(f"console: {entry['message']}")
        urls = []
        for entry in self.call("POST", self.session + "/se/log", {"type": "performance"}):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                urls.append(message["params"]["request"]["url"])
        for url in urls:
            if not url.startswith((origin + "/", "data:")):
                self.problem(f"asks for {url}")
        return urls

    def picture(self, name):
        directory = os.environ.get("WEFT_TEST_PICTURES")
        if directory:
            with open(f"{directory}/{name}.png", "wb") as file:
                file.write(base64.b64decode(self.call("GET", self.session + "/screenshot")))

    def close(self):
        try:
            self.call("DELETE", self.session)
        finally:
            self.driver.terminate()
            self.driver.wait()


UNITS = {
    "/s": 1, "": 1, "k": 1e3, "M": 1e6, "k/s": 1e3, "M/s": 1e6, "%": 0.01, "µs": 1e-3, "ms": 1, "s": 1e3,
    "B/s": 1, "KiB/s": 1024, "MiB/s": 1024 ** 2, "B": 1, "KiB": 1024, "MiB": 1024 ** 2, "GiB": 1024 ** 3,
}


def number(text):
    """What a text on the page says, in the API's unit: milliseconds, shares of 1, per second; None for what is unknown."""
    text = text.replace("\u202f", " ").strip()
    if text in ("–", ""):
        return None
    found = re.fullmatch(r"([<>]?)([\d.]+(?: \d{3})*) ?(.*)", text)
    if not found or found.group(3) not in UNITS:
        raise ValueError(f"“{text}” is no number with a unit")
    return float(found.group(2).replace(" ", "")) * UNITS[found.group(3)]


def same(text, value):
    """Whether a text says a value, to the three digits that are shown."""
    shown = number(text)
    if value is None or shown is None:
        return value is None and shown is None
    if text.strip().startswith(("<", ">")):
        return value < shown if text.strip().startswith("<") else value > shown
    return abs(shown - value) <= max(0.0051 * abs(value), 0.0006)


TABLE = """
const table = [...document.querySelectorAll("table")].find(one => one.caption.textContent === arguments[0]);
if (!table || !table.checkVisibility()) return null;
const heads = [...table.tHead.rows[0].cells].map(cell => cell.innerText.trim().replace(/\\s+/g, " ") || cell.textContent.trim());
return [...table.tBodies[0].rows].map(row => Object.fromEntries([...row.cells].map((cell, index) =>
  [table.tHead.rows[0].cells[index].textContent.trim(), cell.textContent.trim()])));
"""


def compare_overview(browser):
    """The numbers of the table are those that the agent has said."""
    rows = browser.run(TABLE, "Services") or []
    told = json.loads(browser.run("return window.answers['/v1/statservice'].text"))["rows"]
    byname = {f"{row['namespace']}/{row['name']}": row for row in told}
    if len(rows) != len(told):
        browser.problem(f"{len(rows)} services are shown, {len(told)} are there")
    for row in rows:
        one = byname.get(row["Name"])
        if one is None:
            browser.problem(f"{row['Name']} is not in the API")
            continue
        latency = one["latency"] or {}
        for label, value in [
                ("Requests", one["rps"]), ("Success", one["success"]), ("p50", latency.get("p50")),
                ("p95", latency.get("p95")), ("p99", latency.get("p99")), ("TCP", (one["tcp"] or {}).get("open")),
                ("Denied", (one["tcp"] or {}).get("deniedPerSecond"))]:
            if not same(row[label], value):
                browser.problem(f"{row['Name']}: {label} is {value} and shown as {row[label]}")
        words = {"good": "Healthy", "warning": "Degraded", "bad": "Failing", "idle": "Idle"}
        if row["Health"] != words[one["health"]]:
            browser.problem(f"{row['Name']} is {one['health']} and shown as {row['Health']}")
    return rows


def tab_through(browser):
    """Tab comes by everything, and one always sees where it is."""
    expected = browser.run(REACHABLE)
    browser.run(WATCH_FOCUS)
    # Once around: past the end it begins again.
    browser.keys(*["\ue004"] * (expected + 5))
    seen = browser.run("return [...window.focused.values()]")
    for is_seen, name in seen:
        if not is_seen:
            browser.problem(f"one does not see the focus of “{name}”")
    if len(seen) < expected:
        browser.problem(f"Tab reaches {len(seen)} of {expected} elements, the last are {seen[-5:]}")
    return len(seen)


ARROWS = """
const press = key => document.activeElement.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
const nodes = [...document.querySelectorAll(".node")];
const reached = new Set();
nodes.find(node => node.tabIndex === 0)?.focus();
press("Home");
for (let step = 0; step < nodes.length; step += 1) {
  reached.add(document.activeElement);
  press("PageDown");
}
const before = document.activeElement;
nodes[0].focus();
press("ArrowRight");
const moved = document.activeElement !== nodes[0];
return [nodes.length, nodes.filter(node => reached.has(node)).length, moved || nodes.length < 2];
"""


def walk(browser, options):
    url, service = options["url"], options["service"]
    facts = {}
    link = "#/service/" + service
    pages = {"overview": "#/", "graph": "#/graph", "service": link, "node": "#/node"}
    browser.page = "#/"
    browser.open(url + "/#/")
    browser.wait("the overview is filled", "return document.querySelectorAll('tbody tr').length > 0")
    for theme in THEMES:
        for size in SIZES:
            browser.show(size, theme)
            for name, place in pages.items():
                browser.go(place)
                note = f"{size}, {theme}"
                if name == "graph":
                    browser.wait("the graph has nodes", "return document.querySelectorAll('.node').length > 1")
                browser.inspect(note)
                browser.picture(f"{name}-{size}-{theme}")
                ground = browser.run("return getComputedStyle(document.body).backgroundColor")
                brightness = sum(int(part) for part in re.findall(r"\d+", ground)[:3])
                if (brightness > 382) != (theme == "light"):
                    browser.problem(f"{note}: the background is {ground}")
    browser.show("desktop", "light")

    # Numbers, and what is done with them.
    browser.go("#/")
    facts["services"] = [row["Name"] for row in compare_overview(browser)]
    browser.go("#/?by=workload")
    browser.go("#/")
    facts["tabs"] = {"overview": tab_through(browser)}
    browser.run("document.querySelector('thead button').focus()")
    browser.run("const field = document.querySelector('input[type=search]'); field.value = arguments[0];"
                "field.dispatchEvent(new Event('input', { bubbles: true }))", service)
    facts["filtered"] = [row["Name"] for row in browser.run(TABLE, "Services")]
    browser.run("document.querySelector('tbody th a').focus()")
    browser.keys("\ue007")
    browser.wait("Enter opens a service", "return location.hash.startsWith('#/service/')")
    browser.wait("its name is its title", "return document.querySelector('h1').textContent === arguments[0]", service)
    browser.page = link
    browser.call("POST", browser.session + "/back", {})
    browser.wait("back leads to the filtered list", "return location.hash.includes('q=') && "
                 "document.querySelector('h1').textContent === 'Overview'")
    browser.wait("the filter is kept", "return document.querySelectorAll('tbody tr').length === 1")

    browser.go(link)
    browser.wait("its endpoints are listed", "return [...document.querySelectorAll('caption')].some("
                 "one => one.textContent.startsWith('Endpoints') && one.closest('table').tBodies[0].rows.length > 0)")
    facts["endpoints"] = browser.run(TABLE, f"Endpoints of {service}")
    facts["callers"] = browser.run(TABLE, f"Who calls {service}")
    facts["routes"] = browser.run(TABLE, f"Routes of {service}")
    facts["tabs"]["service"] = tab_through(browser)
    browser.go("#/service/" + options["denied"])
    facts["denials"] = browser.run(TABLE, f"Connections to {options['denied']} that were denied")
    facts["policies"] = browser.run(TABLE, "Policies of " + options["denied"])
    facts["identities"] = browser.run(TABLE, "Identities of " + options["denied"])

    browser.go("#/graph")
    browser.wait("the graph has nodes", "return document.querySelectorAll('.node').length > 1")
    facts["nodes"] = browser.run("return [...document.querySelectorAll('.node')].map(one => one.getAttribute('aria-label'))")
    total, reached, moved = browser.run(ARROWS)
    if reached != total or not moved:
        browser.problem(f"keys reach {reached} of {total} nodes; an arrow moves: {moved}")
    browser.run("document.querySelector('.node[data-id^=service]').focus()")
    browser.keys("\ue007")
    browser.wait("Enter shows what a node is", "return document.querySelector('.panel').checkVisibility()")
    browser.inspect("a node is selected")
    browser.picture("graph-selected")
    browser.keys("\ue00c")
    browser.wait("Escape leaves it", "return !document.querySelector('.panel').checkVisibility()")
    facts["tabs"]["graph"] = tab_through(browser)

    browser.go("#/node")
    facts["maps"] = browser.run(TABLE, "Maps in the kernel")
    told = json.loads(browser.run("return window.answers['/v1/node'].text"))
    for row, one in zip(sorted(facts["maps"], key=lambda row: row["Map"]), sorted(told["maps"], key=lambda one: one["name"])):
        if row["Map"] != one["name"] or not same(row["Entries"], one["entries"]) or not same(row["Capacity"], one["capacity"]):
            browser.problem(f"map {one} is shown as {row}")
    facts["tabs"]["node"] = tab_through(browser)

    # The chosen theme is remembered against the system's.
    browser.run("document.getElementById('theme').click(); document.getElementById('theme').click()")
    browser.open(url + "/#/node")
    if browser.run("return document.documentElement.dataset.theme") != "dark":
        browser.problem("the theme is not remembered")
    browser.run("localStorage.clear()")

    # The narrowest and the widest screens.
    for size in [(360, 640), (3840, 2160)]:
        browser.show(size, "light")
        for place in pages.values():
            browser.go(place)
            wide = browser.run("return document.documentElement.scrollWidth - innerWidth")
            if wide > 0:
                browser.problem(f"at {size[0]} px the page is {wide} px too wide")
    browser.show("desktop", "light")

    # Two rounds of refreshing while the page is seen, none while it is not.
    urls = browser.read_logs(url)
    facts["requests"] = len(urls)
    facts["bytes"] = browser.run("return performance.getEntriesByType('resource').concat("
                                 "performance.getEntriesByType('navigation')).filter(one => !one.name.includes('/v1/'))"
                                 ".reduce((sum, one) => sum + one.decodedBodySize, 0)")
    return facts


def many(browser, options):
    url, count = options["url"], options["services"]
    facts = {}
    browser.show("desktop", "dark")
    browser.page = "#/"
    browser.open(url + "/#/")
    browser.wait("all services are listed", "return document.querySelectorAll('tbody tr').length >= arguments[0]", count,
                 seconds=20)
    compare_overview(browser)
    browser.inspect("many")
    browser.picture("overview-many")
    timed = """
    const [make, done] = [new Function("return " + arguments[0]), arguments[arguments.length - 1]];
    const start = performance.now();
    make();
    requestAnimationFrame(() => setTimeout(() => done(performance.now() - start)));
    """
    facts["sort"] = browser.resolve(timed, "[...document.querySelectorAll('thead button')][1].click()")
    facts["filter"] = browser.resolve(
        timed, "(field => { field.value = 'service-1'; field.dispatchEvent(new Event('input', { bubbles: true })) })"
        "(document.querySelector('input[type=search]'))")
    browser.run("window.longest = 0")
    time.sleep(3.5)
    facts["longestTask"] = browser.run("return window.longest")
    browser.go("#/graph")
    browser.wait("the graph has nodes", "return document.querySelectorAll('.node').length > 1")
    facts["collapsed"] = browser.run("return document.querySelectorAll('.node').length")
    browser.picture("graph-many-collapsed")
    facts["expand"] = browser.resolve(
        timed, "[...document.querySelectorAll('button')].find(one => one.textContent === 'Expand all').click()")
    facts["expanded"] = browser.run("return document.querySelectorAll('.node').length")
    facts["overlaps"] = browser.run("""
    const boxes = [...document.querySelectorAll(".node .box")].map(one => one.getBoundingClientRect());
    let overlaps = 0;
    boxes.forEach((a, index) => boxes.slice(index + 1).forEach(b => {
      overlaps += a.left < b.right - .1 && b.left < a.right - .1 && a.top < b.bottom - .1 && b.top < a.bottom - .1;
    }));
    return overlaps;
    """)
    browser.picture("graph-many")
    facts["search"] = browser.resolve(
        timed, "(field => { field.value = 'service-17'; field.dispatchEvent(new Event('input', { bubbles: true })) })"
        "(document.querySelector('input[type=search]'))")
    facts["found"] = browser.run("return document.querySelectorAll('.node.found').length")
    browser.show("phone", "light")
    browser.go("#/graph")
    browser.inspect("phone, many")
    browser.read_logs(url)
    away(browser, options)
    return facts


def away(browser, options):
    browser.show("desktop", "light")
    browser.go("#/")
    os.kill(options["pid"], signal.SIGKILL)
    browser.wait("the page says that the agent does not answer",
                 "return document.getElementById('banner').checkVisibility() && "
                 "document.getElementById('freshness').dataset.state === 'stale'")
    browser.inspect("away")
    browser.picture("away")
    print("away", flush=True)
    sys.stdin.readline()
    browser.run("document.querySelector('#banner button').click()")
    browser.wait("the page is live again", "return !document.getElementById('banner').checkVisibility() && "
                 "document.getElementById('freshness').dataset.state === 'live'")
    browser.read_logs(options["url"], expects_failures=True)


if __name__ == "__main__":
    chromium = Browser()
    try:
        result = {"walk": walk, "many": many}[sys.argv[1]](chromium, json.loads(sys.argv[2]))
    finally:
        chromium.close()
    print(json.dumps({"facts": result, "problems": chromium.problems}))
