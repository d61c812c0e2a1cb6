// Pages, and who gets the keys. A page is asked for by its number, so that quick presses add up; while the
// images of a page or a filter are on their way, keys decide nothing and say so. The answer names the question:
// one that leads back to the page shown (N, then P) brings no new images, and an older one may still come.

const RESEND_PAGE = 4000;
const FILTER_EVENTS = ["pointerdown", "pointerup", "click", "keydown", "input"];
const TYPED = "input:not([type=checkbox]):not([type=radio])";

Object.assign(Grid.prototype, {
  turn(by) {
    const from = this.wanted ?? this.data.page;
    this.want(Math.max(1, Math.min(this.data.pages, from + by)));
  },

  goTo(event) {
    event.preventDefault();
    const typed = Number(this.find(".pager input").value);
    if (Number.isInteger(typed)) this.want(Math.max(1, Math.min(this.data.pages, typed)));
    this.takeKeys(true);
  },

  want(page) {
    if (page === (this.wanted ?? this.data.page)) {
      this.tell(page === 1 ? "This is the first page." : page === this.data.pages ? "This is the last page." : "");
      return;
    }
    this.wanted = page;
    this.tell("");
    this.request();
    this.refresh();
  },

  request() {
    clearTimeout(this.asking);
    if (this.wanted === undefined) return;
    this.asked = (this.asked ?? Date.now()) + 1; // not a number that a grid before this one has used
    this.send("page", { queue: this.data.queue, page: this.wanted, asked: this.asked });
    this.asking = setTimeout(() => this.request(), RESEND_PAGE);
  },

  // Images of another queue are here: no page of the last one is on its way any more.
  arrived(data) {
    if (this.queue !== data.queue) {
      this.turned();
      this.filtering = false;
    }
    this.queue = data.queue;
  },

  // The server has answered a question, and its images are those that are shown.
  answered({ page_id: page, asked }) {
    if (this.wanted !== undefined && asked === this.asked && page === this.data.page_id) this.turned();
  },

  turned() {
    this.wanted = undefined;
    clearTimeout(this.asking);
  },

  // Back and Forward: the address names a page of the same review.
  followAddress() {
    const place = location.pathname;
    this.onAddress = () => {
      const named = Number(new URLSearchParams(location.search).get("page") ?? 1);
      const known = Number.isInteger(named) && named >= 1 && named <= this.data.pages;
      if (location.pathname === place && known && named !== (this.wanted ?? this.data.page)) this.want(named);
    };
    addEventListener("popstate", this.onAddress);
  },

  // Whether what the person sees is what is decided on.
  ready() {
    if (this.wanted === undefined && !this.filtering) return true;
    this.tell(this.wanted !== undefined
      ? `Page ${this.wanted} is on its way. Keys decide again when its images are here.`
      : "The images of the new filter are on their way. Keys decide again when they are here.");
    return false;
  },

  drawPager() {
    const { page, pages, first, queue_size: total, tiles } = this.data;
    const pager = this.find(".pager");
    pager.hidden = pages < 2;
    this.find(".tiles").toggleAttribute("data-waiting", this.wanted !== undefined || Boolean(this.filtering));
    this.find(".tiles").setAttribute("aria-busy", String(this.wanted !== undefined));
    const input = this.find(".pager input");
    if (input !== this.root.activeElement && input.getRootNode().activeElement !== input) input.value = String(this.wanted ?? page);
    input.max = String(pages);
    this.find(".of").textContent = `of ${number0(pages)}`;
    this.find(".range").textContent = `${number0(first + 1)} to ${number0(first + tiles.length)} of ${number0(total)}`;
    this.find('[data-do="previous"]').disabled = (this.wanted ?? page) <= 1;
    this.find('[data-do="next"]').disabled = (this.wanted ?? page) >= pages;
  },

  // Enter, Space and letters are the grid's from the first moment, and again after a filter was set, unless the
  // person goes on in the filters.
  takeKeys(now) {
    const active = document.activeElement;
    const typing = active?.matches?.("input, textarea, select, [contenteditable=true]")
      && !(this.inFilters(active) && this.stealing !== false);
    if (now || !(typing || this.listOpen())) this.find(".tiles").focus({ preventScroll: true });
  },

  // A list of a filter is open: the person is choosing in it.
  listOpen() {
    return document.querySelector("[role=listbox]") !== null; // the grid's own are in its shadow
  },

  inFilters(node) {
    return Boolean(node?.closest?.(".st-key-review-side, .st-key-_run_switch"));
  },

  // A filter was set: its widget lets go of the keys, and the old images take no decisions any more.
  watchFilters() {
    this.onFilter = (event) => {
      const { target, type } = event;
      const inside = this.inFilters(target);
      if (type === "pointerdown") {
        if (inside) this.stealing = false; // the person goes on in the filters
      } else if (type === "input") {
        if (inside && target.matches(TYPED)) this.stealing = false; // what is typed there ends with an Enter for it
      } else if (type === "keydown") {
        if (event.key === "Tab") this.stealing = false;
        if (event.key === "Enter" && inside && target.matches(TYPED)) setTimeout(() => this.filtered(), 0);
      } else if (target.closest?.("[role=option]") || (inside && setsFilter(target))) this.filtered();
    };
    for (const type of FILTER_EVENTS) document.addEventListener(type, this.onFilter, true);
  },

  filtered() {
    const before = this.queue;
    this.filtering = this.stealing = true;
    this.drawPager();
    clearInterval(this.settling);
    let idle = 0;
    this.settling = setInterval(() => {
      if (this.stealing && this.inFilters(document.activeElement) && !this.listOpen()) this.takeKeys(true);
      const running = document.querySelector("[data-testid=stApp]")?.dataset.testScriptState === "running";
      idle = running ? 0 : idle + 1;
      if (this.queue !== before || idle > 8) {
        this.filtering = false;
        if (this.queue === before || idle > 2) clearInterval(this.settling);
        this.refresh();
      }
    }, 100);
  },

  forgetFilters() {
    clearInterval(this.settling);
    clearTimeout(this.asking);
    removeEventListener("popstate", this.onAddress);
    for (const type of FILTER_EVENTS) document.removeEventListener(type, this.onFilter, true);
  },
});

// Whether a click there sets a filter, rather than opening a list or a help text.
function setsFilter(target) {
  const button = target.closest("button, label, [role=switch], [role=radio], [role=checkbox]");
  if (!button || target.closest("[data-testid=stTooltipIcon]")) return false;
  const list = target.closest("[data-testid=stSelectbox]");
  return !list || /clear/i.test(button.getAttribute("aria-label") ?? "");
}
