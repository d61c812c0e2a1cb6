// How numbers are written, and the evidence drawer: a bigger picture, the ranked labels, where the score
// comes from.

function number(value) {
  if (value === null || value === undefined) return "–";
  const size = Math.abs(value);
  if (size === 0 || (size >= 1e-3 && size < 1e6)) {
    const rounded = Number(value.toPrecision(3));
    return size >= 1000 ? rounded.toLocaleString("en-US") : String(rounded);
  }
  const [mantissa, exponent] = value.toExponential(2).split("e");
  return `${mantissa} × 10${[...String(Number(exponent))].map((sign) => "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"["-0123456789".indexOf(sign)]).join("")}`;
}

function share(value) {
  return value === null || value === undefined ? "–" : `${value.toFixed(1)}\u202f%`;
}

function percent(value) {
  return value === null || value === undefined ? "–" : `${(100 * value).toFixed(1)}\u202f%`;
}

function picture(tile) {
  if (!tile.img) return make("span", { class: "missing" }, "image can't be read");
  const image = make("img", { src: tile.img, alt: "", draggable: "false" });
  image.addEventListener("load", () => image.classList.toggle("tiny", Math.max(image.naturalWidth, image.naturalHeight) <= 48));
  return image;
}

function evidence(tile, steps, name, choose) {
  const ranked = tile.alternatives.filter((entry) => entry.influence !== null);
  const others = tile.alternatives.filter((entry) => entry.influence === null);
  const close = make("button", { type: "button", class: "close", "data-do": "close" }, "Close ", make("kbd", {}, "Space"));
  const parts = [
    close,
    picture(tile),
    make("div", { class: "title" }, make("bdi", {}, name(tile.given) ?? "no label"), " → ", make("bdi", {}, name(tile.suggested) ?? "–")),
    make("div", { class: "id" }, tile.id),
    make("h4", {}, "Why it is here"),
    make("p", {}, tile.unscored ? `Not ranked, and without a suggestion: ${tile.unscored}.` : `Suspicion ${share(tile.percentile)}: ${tile.why}`),
    make("p", { class: "quiet" }, `Influence +${number(tile.raw)} (gᵀP⁻¹g, no unit). It is never negative; large means suspicious.`),
    make("p", { class: "quiet" }, `The model gives the given label ${percent(tile.p_given)}; its loss is ${number(tile.loss)}.`),
    ...options("Labels, smallest influence first", ranked, tile, name, choose),
    ...options(ranked.length ? "Next by the model's probability, not ranked by influence" : "Labels, most probable first", others, tile, name, choose, !ranked.length),
  ];
  if (tile.path && tile.path.some((value) => value > 0)) {
    parts.push(make("h4", {}, "Influence over the tuning steps (log axis)"), sparkline(steps, tile.path));
  }
  return parts;
}

function options(title, entries, tile, name, choose, plain = false) {
  return entries.length ? [make("h4", {}, title), ...entries.map((entry) => option(entry, tile, name, choose, plain))] : [];
}

function option(entry, tile, name, choose, plain) {
  const same = entry.label === tile.given;
  const button = make("button", { type: "button" }, same ? "Keep" : "Choose");
  button.addEventListener("click", (event) => {
    event.stopPropagation();
    choose(entry.label);
  });
  return make("div", { class: "option" },
    make("span", { class: "name" }, name(entry.label) + (same ? " (given)" : "")),
    make("span", { class: "value" }, percent(entry.probability)),
    button,
    make("span", { class: "raw" }, entry.influence === null
      ? (plain ? "" : "its influence was not computed: it is above those listed")
      : `influence with this label +${number(entry.influence)}`));
}

function shape(tag, attributes, text = null) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  if (text !== null) node.textContent = text;
  return node;
}

function sparkline(steps, values) {
  const [width, height, left, bottom] = [300, 110, 40, 18];
  const logs = values.map((value) => (value > 0 ? Math.log10(value) : null));
  const known = logs.filter((value) => value !== null);
  const low = Math.min(...known);
  const span = Math.max(Math.max(...known) - low, 0.1);
  const x = (index) => left + ((width - left - 8) * index) / Math.max(steps.length - 1, 1);
  const y = (log) => 8 + (height - bottom - 16) * (1 - (log - low) / span);
  const points = logs.map((log, index) => (log === null ? null : `${x(index).toFixed(1)},${y(log).toFixed(1)}`)).filter(Boolean);
  const svg = shape("svg", { viewBox: `0 0 ${width} ${height}`, width: "100%", role: "img", "aria-label": "Influence over tuning steps" });
  svg.append(shape("polyline", { points: points.join(" "), fill: "none", stroke: "#3F7FB0", "stroke-width": "2" }));
  for (const point of points) {
    const [cx, cy] = point.split(",");
    svg.append(shape("circle", { cx, cy, r: "2.5", fill: "#3F7FB0" }));
  }
  svg.append(shape("text", { x: "0", y: y(low) + 3 }, number(10 ** low)));
  if (span > 0.1) svg.append(shape("text", { x: "0", y: y(low + span) + 3 }, number(10 ** (low + span))));
  steps.forEach((step, index) => svg.append(shape("text", { x: x(index), y: height - 2, "text-anchor": "middle" }, String(step))));
  return svg;
}
