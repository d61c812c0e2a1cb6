// The image grid. Decisions are shown at once and sent as a list that only shrinks when Python has
// confirmed that they are on disk: Streamlit may merge fast updates, and a list survives that.
// Labels and ids are data: they reach the page through textContent and setAttribute only.

const MARKS = {
  relabelled: ["↺", "relabelled"], kept: ["✓", "kept"], excluded: ["✕", "excluded"], unsure: ["?", "unsure"],
};
const STATE_OF = { relabel: "relabelled", keep: "kept", exclude: "excluded", unsure: "unsure" };
const RESEND_AFTER = 4000;
const grids = new WeakMap();

export default function (component) {
  const root = component.parentElement;
  if (!grids.has(root)) grids.set(root, new Grid(root));
  const grid = grids.get(root);
  grid.receive(component);
  return () => grid.detach();
}

function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined) node.setAttribute(name, value);
  }
  for (const child of children) node.append(child);
  return node;
}

function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

class Grid {
  constructor(root) {
    this.root = root;
    this.find = (selector) => root.querySelector(selector);
    this.pending = []; // commands that Python has not confirmed
    this.mine = []; // keys of confirmed or pending decisions made here, newest last
    this.selected = new Set();
    this.focus = 0;
    this.anchor = 0;
    this.drawerOpen = false;
    this.status = { states: {}, saved: [], queue: 0, decided: 0, error: "" };
    this.onKey = (event) => this.key(event);
    this.onStatus = (event) => this.confirmed(event.detail);
    this.onLook = (event) => this.enlarge(event.detail.look);
    this.onLeave = (event) => { if (this.pending.length) event.preventDefault(); };
    this.find(".review").addEventListener("click", (event) => this.click(event));
    this.find(".chooser input").addEventListener("input", () => this.listOptions());
  }

  attach() {
    document.addEventListener("keydown", this.onKey);
    document.addEventListener("saltflat-status", this.onStatus);
    document.addEventListener("saltflat-look", this.onLook);
    window.addEventListener("beforeunload", this.onLeave);
    clearInterval(this.timer);
    this.timer = setInterval(() => this.retry(), 1000);
  }

  detach() {
    document.removeEventListener("keydown", this.onKey);
    document.removeEventListener("saltflat-status", this.onStatus);
    document.removeEventListener("saltflat-look", this.onLook);
    window.removeEventListener("beforeunload", this.onLeave);
    clearInterval(this.timer);
  }

  receive({ data, setStateValue, setTriggerValue }) {
    this.attach();
    this.send = setStateValue;
    this.trigger = setTriggerValue;
    const other = !this.data || this.data.page_id !== data.page_id;
    this.data = data;
    if (other) {
      this.selected.clear();
      this.status = { ...this.status, page_id: data.page_id, states: data.states };
      this.drawTiles();
      const waiting = document.saltflatStatus;
      if (waiting && waiting.page_id === data.page_id) this.confirmed(waiting);
      this.focus = Math.max(0, data.tiles.findIndex((tile) => !this.stateOf(tile.row)));
      this.anchor = this.focus;
      this.find(".digits").textContent = this.digitHelp();
      // Enter and Space are the grid's from the first moment, unless the person is somewhere else already.
      if (document.activeElement === document.body) this.find(".tiles").focus({ preventScroll: true });
    }
    this.refresh();
  }

  drawTiles() {
    const tiles = this.data.tiles.map((tile, index) => this.drawTile(tile, index));
    if (!tiles.length) tiles.push(make("div", { class: "empty" }, this.data.empty));
    this.find(".tiles").replaceChildren(...tiles);
  }

  drawTile(tile, index) {
    const quick = [["accept", "✓", "Accept"], ["keep", "=", "Keep"], ["exclude", "✕", "Exclude"], ["unsure", "?", "Unsure"]];
    const buttons = quick.map(([action, sign, word]) =>
      make("button", { type: "button", tabindex: "-1", "data-do": action, "data-index": index, title: word, "aria-label": word }, sign));
    const frame = make("div", { class: "frame" }, picture(tile), make("span", { class: "badge" }),
      make("span", { class: "quick" }, ...buttons));
    const hair = make("i", { style: `width:${Math.max(0, Math.min(100, tile.percentile ?? 0))}%` });
    return make("div", { class: "tile", role: "option", id: `tile-${index}`, "data-index": index, "data-row": tile.row },
      frame, make("span", { class: "words" }), make("span", { class: "hair" }, hair));
  }

  // What the person sees: the confirmed states with the pending commands on top.
  stateOf(row) {
    let state = this.status.states[row] ?? null;
    for (const command of this.pending) {
      if (command.undo) {
        if (row in command.before) state = command.before[row];
        continue;
      }
      const item = command.items.find((entry) => entry.row === row);
      if (item) state = [STATE_OF[item.action], item.label];
    }
    return state;
  }

  refresh() {
    const nodes = this.find(".tiles").querySelectorAll(".tile");
    this.data.tiles.forEach((tile, index) => this.paint(nodes[index], tile, index));
    const bar = this.find(".bar");
    bar.hidden = !this.selected.size;
    this.find(".chosen").textContent = `${this.selected.size} selected`;
    this.find(".tiles").setAttribute("aria-activedescendant", `tile-${this.focus}`);
    const { queue, decided, error } = this.status;
    this.find(".track i").style.width = `${queue ? (100 * decided) / queue : 0}%`;
    this.find(".progress").textContent = `${decided.toLocaleString("en-US")} of ${queue.toLocaleString("en-US")} decided`;
    const sign = this.find(".saved");
    const late = this.pending.length && Date.now() - this.pending[0].at > RESEND_AFTER;
    sign.dataset.state = error || late ? "failed" : this.pending.length ? "saving" : "saved";
    sign.textContent = error || (late ? "Not saved yet, trying again" : this.pending.length ? `Saving ${this.pending.length}` : "Saved");
    const open = this.data.tiles.some((tile) => !this.stateOf(tile.row));
    this.find(".note").textContent = this.data.tiles.length && !open ? "· page done, N for the next" : "";
    this.drawDrawer();
  }

  paint(node, tile, index) {
    const state = this.stateOf(tile.row);
    node.toggleAttribute("data-focus", index === this.focus);
    node.setAttribute("aria-selected", this.selected.has(index));
    const words = node.querySelector(".words");
    const shown = JSON.stringify(state);
    if (words.dataset.shown === shown) return;
    words.dataset.shown = shown;
    if (state) node.dataset.state = state[0];
    else delete node.dataset.state;
    const [icon, word] = state ? MARKS[state[0]] : ["", ""];
    node.querySelector(".badge").textContent = state ? `${icon} ${word}` : "";
    const relabelled = state && state[0] === "relabelled";
    const target = relabelled ? state[1] : tile.suggested;
    const given = tile.given ?? "no label";
    words.replaceChildren(make(relabelled ? "s" : "span", {}, given));
    delete words.dataset.longer;
    if (relabelled || target !== tile.given) {
      words.dataset.longer = given.length > (target ?? "").length ? "given" : "target";
      words.append(make("span", { class: "arrow" }, " → "), make(relabelled ? "b" : "span", {}, target ?? "–"));
    }
    const sentence = `${given} → ${target ?? "–"}, suspicion ${share(tile.percentile)}` + (state ? `, ${word}` : "");
    node.setAttribute("aria-label", sentence);
    words.setAttribute("title", `${given} → ${target ?? "–"}`);
    node.querySelector(".hair").setAttribute("title", `Suspicion ${share(tile.percentile)}, influence +${number(tile.raw)}`);
  }

  click(event) {
    const button = event.target.closest("button[data-do]");
    if (button && button.dataset.index !== undefined) {
      this.focus = this.anchor = Number(button.dataset.index);
      this.decide(button.dataset.do, [this.focus]);
    } else if (button) {
      this.act(button.dataset.do);
    } else {
      const tile = event.target.closest(".tile");
      if (tile) this.pick(Number(tile.dataset.index), event.shiftKey);
    }
  }

  pick(index, range) {
    this.focus = index;
    if (range) {
      for (let k = Math.min(this.anchor, index); k <= Math.max(this.anchor, index); k++) this.selected.add(k);
    } else {
      if (!this.selected.delete(index)) this.selected.add(index);
      this.anchor = index;
    }
    this.find(".tiles").focus({ preventScroll: true });
    this.refresh();
  }

  act(name) {
    if (STATE_OF[name] || name === "accept") this.decide(name);
    else if (name === "undo") this.undo();
    else if (name === "label") this.choose();
    else if (name === "page") {
      this.data.tiles.forEach((_, index) => this.selected.add(index));
      this.refresh();
    } else if (name === "clear") {
      this.selected.clear();
      this.refresh();
    } else if (name === "help") {
      const help = this.find(".help");
      help.hidden = !help.hidden;
      this.find('[data-do="help"]').setAttribute("aria-expanded", String(!help.hidden));
    } else if (name === "close") this.toggleDrawer();
  }

  key(event) {
    const inside = event.composedPath();
    const target = inside[0];
    const chooser = this.find(".chooser");
    if (!chooser.hidden) return this.chooserKey(event);
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return undefined;
    const ours = inside.includes(this.find(".review"));
    const elsewhere = target.closest?.("input, textarea, select, [contenteditable=true], [role=dialog], [role=slider], [role=combobox], [role=radiogroup]");
    if (!ours && elsewhere) return undefined;
    const onButton = target.closest?.("button, a") && (event.key === "Enter" || event.key === " ");
    if (onButton || !this.data.tiles.length) return undefined;
    if (!this.perform(event.key, event.shiftKey)) return undefined;
    event.preventDefault();
    return event.stopPropagation();
  }

  perform(key, shift) {
    const letters = { a: "accept", Enter: "accept", k: "keep", x: "exclude", u: "unsure", z: "undo", l: "label", "?": "help" };
    const name = letters[key.length === 1 ? key.toLowerCase() : key];
    if (name) this.act(name);
    else if (key === " ") this.toggleDrawer();
    else if (key.startsWith("Arrow")) this.move(key, shift);
    else if (key === "Escape") this.escape();
    else if (key === "n" || key === "PageDown") this.turn(1);
    else if (key === "p" || key === "PageUp") this.turn(-1);
    else if (/^[0-9]$/.test(key)) return this.digit(Number(key));
    else return false;
    return true;
  }

  escape() {
    if (this.drawerOpen) this.toggleDrawer();
    else this.act("clear");
  }

  turn(by) {
    this.trigger("turn", by);
  }

  move(key, extend) {
    const columns = this.columns();
    const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[key];
    const next = this.focus + step;
    if (next < 0 || next >= this.data.tiles.length) return;
    if (extend) {
      this.selected.add(this.focus);
      this.selected.add(next);
    } else this.anchor = next;
    this.focus = next;
    this.reveal();
    this.refresh();
  }

  columns() {
    const nodes = [...this.find(".tiles").querySelectorAll(".tile")];
    const below = nodes.findIndex((node) => node.offsetTop > nodes[0].offsetTop + 4);
    return below < 0 ? nodes.length : below;
  }

  reveal() {
    this.find(`#tile-${this.focus}`)?.scrollIntoView({ block: "nearest" });
  }

  decide(action, indices = null, label = null) {
    const chosen = indices ?? (this.selected.size ? [...this.selected].sort((a, b) => a - b) : [this.focus]);
    const items = [];
    for (const index of chosen) {
      const tile = this.data.tiles[index];
      const target = action === "accept" ? tile.suggested : label;
      if (action === "accept" || action === "label") {
        if (target === null || target === undefined) continue;
        const same = target === tile.given;
        items.push({ row: tile.row, action: same ? "keep" : "relabel", label: same ? null : target });
      } else items.push({ row: tile.row, action, label: null });
    }
    if (!items.length) return;
    const one = !this.selected.size || indices;
    const command = { key: newKey(), session: this.data.session, items, at: Date.now() };
    command.before = Object.fromEntries(items.map(({ row }) => [row, this.stateOf(row)]));
    this.push(command);
    this.mine.push(command);
    if (one) this.advance();
    else this.selected.clear();
    this.refresh();
  }

  undo() {
    const last = this.mine.pop();
    this.push({
      key: newKey(), session: this.data.session, undo: true, target: last?.key ?? "", items: [],
      before: last?.before ?? {}, at: Date.now(),
    });
    const index = last ? this.data.tiles.findIndex((tile) => tile.row === last.items[0].row) : -1;
    if (index >= 0) this.focus = this.anchor = index;
    this.refresh();
  }

  advance() {
    const tiles = this.data.tiles;
    let next = this.focus + 1;
    while (next < tiles.length && this.stateOf(tiles[next].row)) next += 1;
    if (next < tiles.length) this.focus = this.anchor = next;
    this.reveal();
  }

  push(command) {
    this.pending.push(command);
    this.transmit();
  }

  transmit() {
    this.sentAt = Date.now();
    this.send("commands", this.pending.map(({ key, session, items, undo, target }) => ({ key, session, items, undo: !!undo, target: target ?? "" })));
  }

  retry() {
    if (!this.pending.length) return;
    if (Date.now() - this.sentAt > RESEND_AFTER) this.transmit();
    this.refresh();
  }

  confirmed(status) {
    const saved = new Set(status.saved);
    this.pending = this.pending.filter((command) => !saved.has(command.key));
    if (!this.data || status.page_id !== this.data.page_id) return;
    this.status = status;
    this.refresh();
  }

  digit(value) {
    const { classes } = this.data;
    const tile = this.data.tiles[this.focus];
    let label = null;
    if (classes.length <= 10) {
      label = classes.includes(String(value)) ? String(value) : classes[(value + 9) % 10];
    } else if (value > 0) label = tile.alternatives[value - 1]?.label;
    if (label === undefined || label === null) return false;
    this.decide("label", null, label);
    return true;
  }

  digitHelp() {
    const { classes } = this.data;
    if (classes.length > 10) return "choose the first, second … label of the evidence";
    if (classes.every((name) => /^[0-9]$/.test(name))) return "choose that label";
    return classes.map((name, index) => `${(index + 1) % 10} ${name}`).join(", ");
  }

  choose() {
    const area = this.find(".review").getBoundingClientRect();
    this.find(".chooser").style.left = `${area.left + area.width / 2}px`;
    this.find(".chooser").hidden = false;
    const input = this.find(".chooser input");
    input.value = "";
    this.listOptions();
    input.focus();
  }

  listOptions() {
    const typed = this.find(".chooser input").value.trim().toLowerCase();
    const ranked = this.data.tiles[this.focus].alternatives.map((entry) => entry.label);
    const names = [...new Set([...ranked, ...this.data.classes])];
    const hits = names.filter((name) => name.toLowerCase().includes(typed)).slice(0, 60);
    this.option = 0;
    this.find(".options").replaceChildren(...hits.map((name) => {
      const button = make("button", { type: "button", role: "option", tabindex: "-1" }, name);
      button.addEventListener("click", () => this.chosen(name));
      return button;
    }));
    this.options = hits;
    this.markOption();
  }

  markOption() {
    [...this.find(".options").children].forEach((node, index) => {
      node.toggleAttribute("data-on", index === this.option);
      if (index === this.option) node.scrollIntoView({ block: "nearest" });
    });
  }

  chooserKey(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (event.key === "Escape") this.closeChooser();
    else if (event.key === "Enter" && this.options.length) this.chosen(this.options[this.option]);
    else if (step) {
      this.option = Math.max(0, Math.min(this.options.length - 1, this.option + step));
      this.markOption();
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }

  chosen(label) {
    this.closeChooser();
    this.decide("label", null, label);
  }

  closeChooser() {
    this.find(".chooser").hidden = true;
    this.find(".tiles").focus({ preventScroll: true });
  }

  toggleDrawer() {
    this.drawerOpen = !this.drawerOpen;
    this.refresh();
    this.reveal();
  }

  drawDrawer() {
    const drawer = this.find(".drawer");
    const tile = this.data.tiles[this.focus];
    drawer.hidden = !this.drawerOpen || !tile;
    this.find(".review").classList.toggle("open", !drawer.hidden);
    if (drawer.hidden || drawer.dataset.row === `${this.data.page_id}/${tile.row}`) return;
    drawer.dataset.row = `${this.data.page_id}/${tile.row}`;
    clearTimeout(this.looking); // the bigger picture is asked for once the focus rests
    this.looking = setTimeout(() => this.send("look", tile.row), 200);
    drawer.replaceChildren(...evidence(tile, this.data.steps, (label) => this.decide("label", [this.focus], label)));
  }

  enlarge(look) {
    const shown = this.data?.tiles[this.focus];
    const image = this.find(".drawer img");
    if (look && look.src && image && shown?.row === look.row) image.setAttribute("src", look.src);
  }
}

//#include grid_evidence.js
