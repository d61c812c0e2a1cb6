// What lies over the grid: choosing a label, the person's name, accepting a whole filter.

Object.assign(Grid.prototype, {
  choose() {
    if (!this.ready() || !this.data.tiles.length) return;
    this.open(".chooser");
    const input = this.find(".chooser input");
    input.value = "";
    this.listOptions();
    input.focus();
  },

  open(selector) {
    const area = this.find(".review").getBoundingClientRect();
    this.find(selector).style.left = `${area.left + area.width / 2}px`;
    this.find(selector).hidden = false;
  },

  closeDialogs() {
    for (const dialog of [".chooser", ".who", ".all"]) this.find(dialog).hidden = true;
    this.afterName = null;
    this.takeKeys(true);
  },

  listOptions() {
    const typed = this.find(".chooser input").value.trim().toLowerCase();
    const ranked = this.data.tiles[this.focus].alternatives.map((entry) => entry.label);
    const names = [...new Set([...ranked, ...this.data.classes])];
    const hits = names.filter((name) => this.name(name).toLowerCase().includes(typed)).slice(0, 60);
    this.option = 0;
    this.find(".options").replaceChildren(...hits.map((name) => {
      const button = make("button", { type: "button", role: "option", tabindex: "-1" }, this.name(name));
      button.addEventListener("click", () => this.chosen(name));
      return button;
    }));
    this.options = hits;
    this.markOption();
  },

  markOption() {
    [...this.find(".options").children].forEach((node, index) => {
      node.toggleAttribute("data-on", index === this.option);
      if (index === this.option) node.scrollIntoView({ block: "nearest" });
    });
  },

  chooserKey(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (event.key === "Escape") this.closeDialogs();
    else if (event.key === "Enter" && this.options.length && !event.repeat) this.chosen(this.options[this.option]);
    else if (step) {
      this.option = Math.max(0, Math.min(this.options.length - 1, this.option + step));
      this.markOption();
    } else return;
    event.preventDefault();
    event.stopPropagation();
  },

  chosen(label) {
    this.closeDialogs();
    this.decide("label", null, label);
  },

  dialogKey(event) {
    if (event.key !== "Escape") return;
    this.closeDialogs();
    event.preventDefault();
    event.stopPropagation();
  },

  // The name belongs to this browser; without one the first decision asks for it and is made afterwards.
  askName(then = null) {
    if (this.box.signedIn) return;
    this.open(".who");
    this.afterName = then;
    const input = this.find(".who input");
    input.value = this.box.reviewer ?? "";
    input.focus();
    input.select();
  },

  named(event) {
    event.preventDefault();
    const name = this.find(".who input").value.split(/\s+/).filter(Boolean).join(" ").slice(0, 60);
    if (!name) return;
    const then = this.afterName;
    this.box.reviewer = name;
    this.closeDialogs();
    then?.();
    this.refresh();
  },

  async askAll() {
    if (!this.ready()) return;
    if (!this.box.reviewer) {
      this.askName(() => this.askAll());
      return;
    }
    const dialog = this.find(".all");
    const key = newKey(); // of the command that the button gives: pressed twice it is one
    this.accepting = null;
    this.find(".all-words").textContent = "Counting …";
    this.find('[data-do="all-yes"]').hidden = true;
    this.open(".all");
    const filter = this.data.filter;
    const answer = await this.box.ask({ filter });
    if (dialog.hidden) return;
    const count = answer?.acceptable;
    if (count === undefined || count === null) {
      this.find(".all-words").textContent = `They can't be counted now: ${this.box.problem || "the server does not answer"}.`;
      return;
    }
    const yes = this.find('[data-do="all-yes"]');
    yes.hidden = !count;
    yes.textContent = `Relabel ${number0(count)}`;
    this.find(".all-words").textContent = count
      ? `${number0(count)} ${count === 1 ? "sample" : "samples"} without a decision ${count === 1 ? "gets" : "get"} the suggested label, also those on other pages. Samples that are decided stay as they are. One undo takes all of it back.`
      : "Nothing to accept: every sample of this filter is decided, or keeps its label.";
    this.accepting = { ...this.command("accept", { ranking: this.data.ranking, filter, expected: count }), key };
    if (count) yes.focus();
  },

  acceptAll() {
    const command = this.accepting;
    if (!command) return;
    this.accepting = null;
    this.closeDialogs();
    this.box.add(command);
    const text = `all ${number0(command.expected)} suggestions of a filter`;
    this.push({ key: command.key, text, before: null });
    this.tell("");
    this.refresh();
  },
});
