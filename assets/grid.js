// The image grid. Decisions are shown at once and go to the outbox, which keeps them until they are on disk.
// A command names its run, its samples by id, and the state of each that the person saw.
// Labels and ids are data: they reach the page through textContent and setAttribute only.

const MARKS = {
  relabelled: ["↺", "relabelled"], kept: ["✓", "kept"], excluded: ["✕", "excluded"], unsure: ["?", "unsure"],
};
const STATE_OF = { relabel: "relabelled", keep: "kept", exclude: "excluded", unsure: "unsure" };
const DECISIONS = ["accept", "keep", "exclude", "unsure", "label"];
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

class Grid {
  constructor(root) {
    this.root = root;
    this.find = (selector) => root.querySelector(selector);
    this.box = outbox();
    this.known = new Map(); // row → { state, revision }: what the server said last
    this.mine = []; // what this tab decided in the run and has not taken back, oldest first
    this.undoable = []; // this person's last commands on the server, newest first
    this.selected = new Set();
    this.focus = 0;
    this.anchor = 0;
    this.drawerOpen = false;
    this.status = { queue: 0, decided: 0, states: {} };
    this.onKey = (event) => this.key(event);
    this.onStatus = (event) => this.counted(event.detail);
    this.onLook = (event) => this.enlarge(event.detail.look);
    this.find(".review").addEventListener("click", (event) => this.click(event));
    this.find(".chooser input").addEventListener("input", () => this.listOptions());
    this.find(".who").addEventListener("submit", (event) => this.named(event));
    this.find(".pager").addEventListener("submit", (event) => this.goTo(event));
    this.resized = new ResizeObserver(() => this.layOut());
  }

  attach() {
    if (this.attached) return;
    this.attached = true;
    document.addEventListener("keydown", this.onKey);
    document.addEventListener("saltflat-status", this.onStatus);
    document.addEventListener("saltflat-look", this.onLook);
    this.resized.observe(this.find(".tiles"));
    this.stopListening = this.box.listen((event) => this.heard(event));
    this.watch = () => ({
      run: this.data.run, rows: this.data.tiles.map((tile) => tile.row),
      reviewer: this.mine.length ? null : this.box.reviewer, // what else could be taken back is asked only then
    });
    this.box.watching = this.watch;
    this.watchFilters();
    this.followAddress();
  }

  detach() {
    this.attached = false;
    document.removeEventListener("keydown", this.onKey);
    document.removeEventListener("saltflat-status", this.onStatus);
    document.removeEventListener("saltflat-look", this.onLook);
    this.resized.disconnect();
    this.stopListening();
    if (this.box.watching === this.watch) this.box.watching = null; // another grid may have come already
    this.forgetFilters();
  }

  receive({ data, setStateValue }) {
    const before = this.data;
    this.data = data;
    this.send = setStateValue;
    this.box.signedIn = data.signed_in;
    this.attach();
    this.arrived(data);
    if (!before || before.page_id !== data.page_id) {
      this.selected.clear();
      this.known.clear();
      this.learn(data.tiles.map((tile) => tile.row), data.states, data.revision);
      this.status = { page_id: data.page_id, queue: data.queue_size, decided: null, states: data.states };
      if (!before || before.run !== data.run) this.mine = read("sessionStorage", `saltflat-mine/${data.run}`) ?? [];
      this.drawTiles();
      const waiting = document.saltflatStatus;
      if (waiting && waiting.page_id === data.page_id) {
        this.status = waiting;
        this.answered(waiting);
      }
      this.focus = Math.max(0, data.tiles.findIndex((tile) => !this.decided(tile.row)));
      this.anchor = this.focus;
      this.find(".digits").textContent = this.digitHelp();
      this.takeKeys(false);
      this.box.flush();
    }
    this.refresh();
    if (before && before.page_id !== data.page_id) this.reveal();
  }

  // What the outbox heard from the server.
  heard({ kind, watch, key, reason, command }) {
    if (kind === "watch" && watch.run === this.data.run) {
      this.learn(Object.keys(watch.states).map(Number), watch.states, watch.revision);
      if (watch.undoable) this.undoable = watch.undoable;
    }
    if (kind === "refused" && (!command || command.run === this.data.run)) {
      this.mine = this.mine.filter((entry) => entry.key !== key);
      this.tell(reason, true);
      this.box.dismiss();
    }
    this.refresh();
  }

  // A revision may be that of a look before a decision of which we have heard already.
  learn(rows, states, revision) {
    for (const row of rows) {
      const before = this.known.get(row);
      if (!before || revision >= before.revision) this.known.set(row, { state: states[row] ?? null, revision });
    }
  }

  counted(status) {
    if (!this.data || status.page_id !== this.data.page_id) return;
    this.status = status;
    this.answered(status);
    this.refresh();
  }

  name(label) {
    return label === null || label === undefined ? null : this.data.names[label] ?? label;
  }

  drawTiles() {
    const tiles = this.data.tiles.map((tile, index) => this.drawTile(tile, index));
    if (!tiles.length) tiles.push(make("div", { class: "empty" }, this.data.empty));
    this.find(".tiles").replaceChildren(...tiles);
    this.layOut();
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

  // One line or two for all tiles of a page: a decision moves nothing.
  layOut() {
    const first = this.find(".tile .words");
    if (!first || !first.clientWidth) return;
    const style = getComputedStyle(first);
    this.font = `600 ${style.fontSize} ${style.fontFamily}`;
    const width = first.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight) - 2;
    if (width === this.width && this.laidOut === this.data.page_id) return;
    [this.width, this.laidOut] = [width, this.data.page_id];
    const pairs = this.data.tiles.map((tile) => [this.name(tile.given) ?? "no label", this.name(tile.suggested)]);
    this.find(".tiles").dataset.lines = linesFor(pairs, width, this.font);
    const line = this.find(".focused");
    line.style.minHeight = `${20 * mostLines(pairs, line.clientWidth || 600, `14px ${style.fontFamily}`)}px`;
    for (const node of this.find(".tiles").querySelectorAll(".words")) delete node.dataset.shown;
    this.refresh();
  }

  // What the person sees: what the server said, with the commands that wait on top.
  stateOf(row) {
    let state = this.known.get(row)?.state ?? null;
    if (state?.[0] === "unreviewed") state = null;
    for (const command of this.box.of(this.data.run)) {
      if (command.kind === "undo" && command.before && row in command.before) state = command.before[row];
      const item = command.items?.find((entry) => entry.row === row);
      if (item) state = [STATE_OF[item.action], item.label, command.reviewer];
    }
    return state;
  }

  decided(row) {
    return this.stateOf(row) !== null;
  }

  // The last command that touched the row, sent or not: what the next decision is based on.
  versionOf(row) {
    let version = this.known.get(row)?.state?.[3] ?? "";
    for (const command of this.box.of(this.data.run)) {
      const touches = command.items?.some((entry) => entry.row === row) || (command.before && row in command.before);
      if (touches) version = command.key;
    }
    return version;
  }

  refresh() {
    if (!this.data) return;
    const nodes = this.find(".tiles").querySelectorAll(".tile");
    this.data.tiles.forEach((tile, index) => this.paint(nodes[index], tile, index));
    this.find(".bar").hidden = !this.selected.size;
    this.find(".chosen").textContent = `${this.selected.size} selected`;
    this.find(".tiles").setAttribute("aria-activedescendant", `tile-${this.focus}`);
    this.drawProgress();
    this.drawSign();
    this.drawFocused();
    this.drawPager();
    this.drawDrawer();
  }

  drawProgress() {
    const { queue, decided, states } = this.status;
    const was = (row) => states[row] && states[row][0] !== "unreviewed";
    let now = decided;
    if (decided !== null) for (const { row } of this.data.tiles) now += this.decided(row) - Boolean(was(row));
    this.find(".track i").style.width = `${queue && now !== null ? (100 * now) / queue : 0}%`;
    this.find(".progress").textContent = now === null ? "" : `${number0(now)} of ${number0(queue)} decided`;
    const open = this.data.tiles.some((tile) => !this.decided(tile.row));
    this.find(".done").textContent = this.data.tiles.length && !open ? "· page done, N for the next" : "";
  }

  drawSign() {
    const { box } = this;
    const waiting = box.waiting.length;
    const late = waiting && Date.now() - box.waiting[0].at > 4000;
    const sign = this.find(".saved");
    let text = "Saved";
    if (waiting) text = box.failures || late ? `${number0(waiting)} not saved yet` : `Saving ${number0(waiting)}`;
    else if (box.failures) text = "Can't save now";
    else if (box.parked.size) text = `${number0(box.parked.size)} not saved`;
    else if (!box.contacted) text = "Connecting";
    sign.dataset.state = box.failures || late || box.parked.size ? "failed" : waiting || !box.contacted ? "saving" : "saved";
    if (sign.textContent !== text) sign.textContent = text;
    const why = this.find(".why");
    why.textContent = box.failures ? `${box.problem}; trying again.` : "";
    const last = this.nextUndo();
    const undo = this.find('[data-do="undo"]');
    undo.setAttribute("title", last ? `Take back: ${last.text}` : "Nothing of yours to take back in this run");
    this.find(".name").textContent = box.reviewer ? `Signed as ${box.reviewer}` : "Your name";
    this.find(".name").disabled = box.signedIn !== null && box.signedIn !== undefined;
  }

  // The labels of the focused tile in full: nobody has to decide on what a tile has no room for.
  drawFocused() {
    const tile = this.data.tiles[this.focus];
    const line = this.find(".focused");
    line.hidden = !tile;
    if (!tile) return;
    const state = this.stateOf(tile.row);
    const shown = JSON.stringify([tile.row, state, this.data.page_id]);
    if (line.dataset.shown === shown) return;
    line.dataset.shown = shown;
    const target = state?.[0] === "relabelled" ? state[1] : tile.suggested;
    const parts = [make("bdi", {}, this.name(tile.given) ?? "no label")];
    if (target !== null && target !== tile.given) parts.push(make("span", { class: "arrow" }, ARROW), make("bdi", {}, this.name(target)));
    const by = state?.[2] ? `${MARKS[state[0]][1]} by ${state[2]} · ` : "";
    line.replaceChildren(...parts, make("span", { class: "by" }, `${by}${rank(tile)} · `, make("bdi", {}, tile.id)));
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
    const given = this.name(tile.given) ?? "no label";
    const target = this.name(relabelled ? state[1] : tile.suggested);
    const differs = target !== null && (relabelled || target !== given);
    const two = this.find(".tiles").dataset.lines === "two";
    const [first, second] = two && this.width ? cutPair(given, differs ? target : null, this.width, this.font) : [given, target];
    words.replaceChildren(make(relabelled ? "s" : "span", { class: "given" }, first));
    if (differs) words.append(make("span", { class: "arrow" }, two ? "→ " : ARROW), make(relabelled ? "b" : "span", { class: "target" }, second));
    const sentence = `${given} → ${target ?? "no suggestion"}, ${rank(tile)}` + (state ? `, ${word}` : "");
    node.setAttribute("aria-label", sentence);
    words.setAttribute("title", state?.[2] ? `${given} → ${target ?? "no suggestion"}\n${word} by ${state[2]}` : `${given} → ${target ?? "no suggestion"}`);
    node.querySelector(".hair").setAttribute("title", tile.unscored ? `Not ranked: ${tile.unscored}` : `Suspicion ${share(tile.percentile)}, influence +${number(tile.raw)}`);
  }

  click(event) {
    // The second half of a double click is no second wish.
    const again = event.detail > 1 && Date.now() - (this.pressed ?? 0) < 500;
    const button = event.target.closest("button[data-do]");
    if (again) return;
    if (button) this.pressed = Date.now();
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
    this.takeKeys(true);
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
    else if (name === "name") this.askName();
    else if (name === "all") this.askAll();
    else if (name === "all-yes") this.acceptAll();
    else if (name === "cancel") this.closeDialogs();
    else if (name === "next") this.turn(1);
    else if (name === "previous") this.turn(-1);
    else if (name === "untell") this.tell("");
  }

  key(event) {
    const inside = event.composedPath();
    const target = inside[0];
    if (!this.find(".chooser").hidden) return this.chooserKey(event);
    if (!this.find(".who").hidden || !this.find(".all").hidden) return this.dialogKey(event);
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || event.isComposing) return undefined;
    const ours = inside.includes(this.find(".review"));
    const typing = target.closest?.("input:not([type=checkbox]):not([type=radio]), textarea, select, [contenteditable=true], [role=dialog], [role=slider]");
    if (typing && !target.closest(".tiles")) return undefined;
    if (!ours && target.closest?.("[role=combobox], [role=listbox], [role=menu]")) return undefined;
    const onButton = target.closest?.("button, a, input, [role=radio], [role=switch]") && (event.key === "Enter" || event.key === " ");
    const onArrows = !ours && target.closest?.("[role=radiogroup], [role=tablist]") && event.key.startsWith("Arrow");
    if (onButton || onArrows) return undefined;
    if (!this.perform(event.key, event.shiftKey, event.repeat)) return undefined;
    event.preventDefault();
    return event.stopPropagation();
  }

  perform(key, shift, held) {
    const letters = { a: "accept", Enter: "accept", k: "keep", x: "exclude", u: "unsure", z: "undo", l: "label", "?": "help" };
    const name = letters[key.length === 1 ? key.toLowerCase() : key];
    const turns = { n: 1, PageDown: 1, p: -1, PageUp: -1 }[key.length === 1 ? key.toLowerCase() : key];
    const digit = /^[0-9]$/.test(key);
    if (!name && !turns && !digit && key !== " " && key !== "Escape" && !key.startsWith("Arrow")) return false;
    // A held key moves on, but it decides, takes back and turns only once.
    if (held && !key.startsWith("Arrow")) return true;
    if (name) this.act(name);
    else if (turns) this.turn(turns);
    else if (key === " ") this.toggleDrawer();
    else if (key === "Escape") this.escape();
    else if (digit) return this.digit(Number(key));
    else this.move(key, shift);
    return true;
  }

  escape() {
    if (this.drawerOpen) this.toggleDrawer();
    else this.act("clear");
  }

  move(key, extend) {
    const columns = this.columns();
    const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[key];
    const next = this.focus + step;
    if (!(next >= 0 && next < this.data.tiles.length)) return;
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
    drawer.replaceChildren(...evidence(tile, this.data.steps, (label) => this.name(label), (label) => this.decide("label", [this.focus], label)));
    this.enlarge(this.looked);
  }

  // The last picture is kept: who moves on and comes back asks for the same, which is not sent again.
  enlarge(look) {
    this.looked = look;
    const image = this.find(".drawer img");
    if (look?.src && image && this.find(".drawer").dataset.row === `${look.page_id}/${look.row}`) image.setAttribute("src", look.src);
  }

  // One line under the header: why something was not done, or what was done elsewhere.
  tell(text, wrong = false) {
    const told = this.find(".told");
    told.hidden = !text;
    told.toggleAttribute("data-wrong", wrong);
    this.find(".told-text").textContent = text;
  }
}

// The place among all samples, or why there is none.
function rank(tile) {
  return tile.unscored ? `not ranked: ${tile.unscored}` : `suspicion ${share(tile.percentile)}`;
}

function number0(value) {
  return value.toLocaleString("en-US");
}

//#include outbox.js
//#include grid_labels.js
//#include grid_decide.js
//#include grid_dialogs.js
//#include grid_pages.js
//#include grid_evidence.js
