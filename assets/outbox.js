// Decisions on their way to the server. They are kept in this browser until the server has said that they
// are on disk, so leaving a screen, reloading or closing it loses none; one outbox serves all screens of a
// tab, and sends from wherever the person is. What an earlier tab left behind is sent by the next one.

const OUTBOX_PREFIX = "saltflat-decision/";
const NAME_KEY = "saltflat-reviewer";
const REFUSALS_KEY = "saltflat-refusals";
const AT_ONCE = 50; // commands in one request
const LOOK_EVERY = 5000; // ms between looks at what others decided
const LEFT_BEHIND = 10000; // ms after which another tab's decision is sent by this one too

function outbox() {
  window.saltflatOutbox ??= new Outbox();
  return window.saltflatOutbox;
}

function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

class Outbox {
  constructor() {
    this.commands = new Map(); // place in the storage → command, in their order
    this.parked = new Map(); // key → why the server did not want it now
    this.refusals = read("sessionStorage", REFUSALS_KEY) ?? [];
    this.problem = "";
    this.failures = 0;
    this.contacted = false;
    this.nextTry = 0;
    this.lastContact = 0;
    this.made = 0;
    this.atOnce = AT_ONCE;
    this.unstored = false; // the browser's storage is full or switched off
    this.listeners = new Set();
    this.watching = null; // what the grid wants to be told with every answer
    this.signedIn = null;
    this.chain = Promise.resolve();
    this.adopt(0);
    setInterval(() => this.tick(), 1000);
    window.addEventListener("online", () => this.flush());
    document.addEventListener("visibilitychange", () => this.flush());
    window.addEventListener("pagehide", () => this.last());
    window.addEventListener("storage", (event) => { if (event.key === NAME_KEY) this.emit({ kind: "name" }); });
    window.addEventListener("beforeunload", (event) => { if (this.unstored && this.commands.size) event.preventDefault(); });
    this.flush();
  }

  listen(listener) {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  emit(event) {
    for (const listener of [...this.listeners]) listener(event);
  }

  get reviewer() {
    return this.signedIn ?? (localName() || null);
  }

  set reviewer(name) {
    this.name = name;
    if (!write("localStorage", NAME_KEY, name)) this.unstored = true;
    this.emit({ kind: "name" });
  }

  // Commands that are not on disk and not parked, oldest first.
  get waiting() {
    return [...this.commands.values()].filter((command) => !this.parked.has(command.key));
  }

  of(run) {
    return this.waiting.filter((command) => command.run === run);
  }

  add(command) {
    command.at = Date.now();
    this.made += 1;
    const place = `${OUTBOX_PREFIX}${String(command.at).padStart(14, "0")}-${String(this.made).padStart(6, "0")}-${command.key}`;
    this.commands.set(place, command);
    if (!write("localStorage", place, JSON.stringify(command))) this.unstored = true;
    this.emit({ kind: "changed" });
    if (!this.failures) this.flush();
  }

  // Take over what stands in the storage: from before a reload, or of a tab that is gone.
  adopt(age) {
    let places = [];
    try { places = Object.keys(window.localStorage).filter((name) => name.startsWith(OUTBOX_PREFIX)); } catch { return; }
    for (const place of places.sort()) {
      const command = read("localStorage", place);
      if (!command || typeof command.key !== "string") forget(place);
      else if (!this.commands.has(place) && Date.now() - command.at >= age) this.commands.set(place, command);
    }
    this.commands = new Map([...this.commands].sort(([a], [b]) => (a < b ? -1 : 1)));
  }

  remove(key) {
    for (const [place, command] of this.commands) {
      if (command.key !== key) continue;
      this.commands.delete(place);
      forget(place);
    }
    this.parked.delete(key);
  }

  discardParked() {
    for (const key of [...this.parked.keys()]) this.remove(key);
    this.emit({ kind: "changed" });
  }

  dismiss() {
    this.refusals = [];
    this.storeRefusals();
    this.emit({ kind: "changed" });
  }

  storeRefusals() {
    write("sessionStorage", REFUSALS_KEY, JSON.stringify(this.refusals));
  }

  tick() {
    const now = Date.now();
    if (!this.commands.size) this.adopt(LEFT_BEHIND);
    if (this.waiting.length && now >= this.nextTry) this.flush();
    else if (this.watching && !document.hidden && now - this.lastContact > LOOK_EVERY && now >= this.nextTry) this.flush();
    if (this.waiting.length || this.problem) this.emit({ kind: "changed" });
  }

  flush() {
    if (this.queued) return this.queued;
    this.queued = this.chain = this.chain.then(() => {
      this.queued = null;
      return this.contact();
    });
    return this.queued;
  }

  // Send what waits and learn what the grid shows; `more` asks for something besides. Never throws.
  ask(more) {
    const asked = this.chain.then(() => this.contact(more));
    this.chain = asked;
    return asked;
  }

  async contact(more = {}) {
    const list = this.waiting.slice(0, this.atOnce);
    const watch = this.watching?.();
    if (!list.length && !watch) return null;
    this.lastContact = Date.now();
    const body = JSON.stringify({ commands: list.map(bare), watch: watch ? { ...watch, ...more } : null });
    let answer = null;
    let status = 0;
    try {
      const response = await fetch(endpoint(), {
        method: "POST", headers: { "Content-Type": "application/json" }, body, credentials: "same-origin",
        keepalive: body.length < 60000, signal: AbortSignal.timeout(30000), redirect: "error",
      });
      status = response.status;
      answer = await response.json();
    } catch { /* no connection, or no answer of the server's own */ }
    this.heard(status, answer, list);
    const settled = list.some((command) => !this.waiting.includes(command));
    if (!this.failures && this.waiting.length && (settled || !list.length)) this.flush();
    return answer?.watch ?? null;
  }

  heard(status, answer, list) {
    this.lastContact = Date.now();
    const fine = status === 200 && answer;
    if (fine) {
      this.contacted = true;
      this.failures = 0;
      this.problem = "";
    } else {
      this.failures += 1;
      this.nextTry = Date.now() + Math.min(8000, 500 * 2 ** Math.min(this.failures, 5));
      if (status === 401 || status === 403) this.problem = "You are signed out. Sign in again";
      else this.problem = answer?.reason || "The server does not answer";
      if (status === 413 && list.length > 1) this.atOnce = Math.max(1, list.length >> 1);
      else if (status === 413 || status === 400) this.refuse(list[0]?.key, this.problem);
    }
    if (answer?.watch) this.emit({ kind: "watch", watch: answer.watch });
    for (const { key, outcome, reason } of answer?.results ?? []) {
      if (outcome === "done") this.remove(key);
      else if (outcome === "refused") this.refuse(key, reason);
      else if (outcome === "parked") this.parked.set(key, reason);
    }
    this.emit({ kind: "changed" });
  }

  refuse(key, reason) {
    const command = [...this.commands.values()].find((entry) => entry.key === key);
    this.remove(key);
    this.refusals = [...this.refusals, reason].slice(-20);
    this.storeRefusals();
    this.emit({ kind: "refused", key, reason, command });
  }

  // The page goes away: one more try that needs no page to hear the answer.
  last() {
    const list = this.waiting.slice(0, this.atOnce);
    if (list.length) navigator.sendBeacon(endpoint(), new Blob([JSON.stringify({ commands: list.map(bare) })], { type: "application/json" }));
  }
}

function endpoint() {
  return new URL("./saltflat/decisions", window.location.href).href;
}

// What the server needs of a command; the rest is for this screen.
function bare({ key, kind, run, data, reviewer, items, target, ranking, filter, expected }) {
  return { key, kind, run, data, reviewer, items, target, ranking, filter, expected };
}

function localName() {
  const stored = text("localStorage", NAME_KEY);
  return stored ?? window.saltflatOutbox?.name ?? "";
}

// A browser may have its storage full or switched off, where even naming it throws: then all stays in memory.
function text(storage, name) {
  try { return window[storage].getItem(name); } catch { return null; }
}

function read(storage, name) {
  try { return JSON.parse(text(storage, name)); } catch { return null; }
}

function write(storage, name, value) {
  try { window[storage].setItem(name, value); } catch { return false; }
  return true;
}

function forget(name) {
  try { window.localStorage.removeItem(name); } catch { /* it was never there */ }
}
