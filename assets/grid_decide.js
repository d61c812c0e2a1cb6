// Decisions and what takes them back.

const MOST_MINE = 200;

Object.assign(Grid.prototype, {
  decide(action, indices = null, label = null) {
    if (!this.ready() || !this.data.tiles.length) return;
    const chosen = indices ?? (this.selected.size ? [...this.selected].sort((a, b) => a - b) : [this.focus]);
    if (!this.box.reviewer) {
      this.askName(() => this.decide(action, indices, label));
      return;
    }
    const wanted = chosen.map((index) => this.item(action, this.data.tiles[index], label)).filter(Boolean);
    const items = wanted.filter((item) => !this.isSo(item));
    const one = !this.selected.size || indices;
    if (!wanted.length) this.tell(chosen.length > 1 ? "None of these images has a suggestion." : "There is no suggestion for this image: choose a label with L, or keep it.", true);
    if (items.length) {
      const command = this.command("decide", { items });
      command.before = Object.fromEntries(items.map(({ row }) => [row, this.stateOf(row)]));
      command.text = describe(items.length, items[0].action, this.name(items[0].given), this.name(items[0].label));
      this.tell("");
      this.box.add(command);
      this.push({ key: command.key, text: command.text, before: command.before });
    }
    if (one && wanted.length) this.advance();
    else if (!one) this.selected.clear();
    this.refresh();
  },

  item(action, tile, label) {
    const target = action === "accept" ? tile.suggested : label;
    const base = { sample: tile.id, row: tile.row, given: tile.given, version: this.versionOf(tile.row) };
    if (action !== "accept" && action !== "label") return { ...base, action, label: null };
    if (target === null || target === undefined) return null;
    return target === tile.given ? { ...base, action: "keep", label: null } : { ...base, action: "relabel", label: target };
  },

  // Whether the sample is that already: deciding the same again is no event.
  isSo({ row, action, label }) {
    const state = this.stateOf(row);
    return state !== null && state[0] === STATE_OF[action] && (state[1] ?? null) === label;
  },

  command(kind, more) {
    return { key: newKey(), kind, run: this.data.run, data: this.data.data, reviewer: this.box.reviewer, ...more };
  },

  // What Z takes back: the last decision of this tab, then what the server knows of earlier visits.
  nextUndo() {
    const own = this.mine.at(-1);
    if (own) return { ...own, own: true };
    const asked = new Set([...(this.takenBack ?? [])]);
    const last = this.undoable.find((entry) => !asked.has(entry.key));
    return last && { key: last.key, own: false, text: describe(last.samples, last.action, this.name(last.given), this.name(last.label)) };
  },

  undo() {
    if (!this.ready()) return;
    const last = this.nextUndo();
    if (!last && this.askingUndo !== this.data.run) { // what this person did in earlier visits may not be known yet
      this.askingUndo = this.data.run;
      this.box.flush().then(() => this.undo());
      return;
    }
    this.askingUndo = null;
    if (!last) {
      this.tell("Nothing of yours to take back in this run.", true);
      return;
    }
    if (!last.own && this.offered !== last.key) {
      this.offered = last.key;
      this.tell(`This takes back a decision of an earlier visit: ${last.text}. Press Z again to do it.`);
      return;
    }
    if (last.own) this.mine.pop();
    this.storeMine();
    (this.takenBack ??= []).push(last.key);
    this.box.add(this.command("undo", { target: last.key, before: last.before ?? {} }));
    const rows = Object.keys(last.before ?? {}).map(Number);
    const index = this.data.tiles.findIndex((tile) => rows.includes(tile.row));
    if (index >= 0) this.focus = this.anchor = index;
    this.tell(index >= 0 ? "" : `Taken back: ${last.text}.`);
    this.refresh();
  },

  push(entry) {
    this.mine = [...this.mine, entry].slice(-MOST_MINE);
    this.storeMine();
  },

  storeMine() {
    write("sessionStorage", `saltflat-mine/${this.data.run}`, JSON.stringify(this.mine));
  },

  advance() {
    const { tiles } = this.data;
    let next = this.focus + 1;
    while (next < tiles.length && this.decided(tiles[next].row)) next += 1;
    if (next < tiles.length) this.focus = this.anchor = next;
    this.reveal();
  },

  digit(value) {
    const { classes, tiles } = this.data;
    const tile = tiles[this.focus];
    let label = null;
    if (classes.length <= 10) {
      label = classes.includes(String(value)) ? String(value) : classes[(value + 9) % 10];
    } else if (value > 0) label = tile?.alternatives[value - 1]?.label;
    if (label === undefined || label === null) {
      this.tell(`No label has the number ${value} here. L chooses any label.`, true);
      return true;
    }
    this.decide("label", null, label);
    return true;
  },

  digitHelp() {
    const { classes } = this.data;
    if (classes.length > 10) return "choose the first, second … label of the evidence";
    if (classes.every((name) => /^[0-9]$/.test(name))) return "choose that label";
    return classes.map((name, index) => `${(index + 1) % 10} ${this.name(name)}`).join(", ");
  },
});

function describe(samples, action, given, label) {
  const word = { relabel: `${given ?? "no label"} → ${label}`, keep: `kept as ${given}`, exclude: "excluded", unsure: "unsure" }[action] ?? action;
  return samples === 1 ? word : `${samples.toLocaleString("en-US")} images, the first ${word}`;
}
