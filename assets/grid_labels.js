// Labels on a tile: whole where they fit, on a second line where two don't fit on one, and cut where the two
// are the same, so that what tells them apart is seen. Widths are measured, not guessed.

const ARROW = " → ";
let ruler = null;

function measure(font) {
  ruler ??= document.createElement("canvas").getContext("2d");
  ruler.font = font;
  return (text) => ruler.measureText(text).width;
}

// How the labels of tiles are written at a width: "one" line, or "two".
function linesFor(pairs, width, font) {
  const wide = measure(font);
  const fits = ([given, target]) => wide(target === null ? given : given + ARROW + target) <= width;
  return pairs.every(fits) ? "one" : "two";
}

// Lines that the longest pair takes when it is written in full, so that moving the focus moves no image.
function mostLines(pairs, width, font) {
  const wide = measure(font);
  const longest = Math.max(...pairs.map(([given, target]) => wide(given + ARROW + (target ?? ""))), 0);
  return Math.min(4, Math.ceil((longest * 1.1) / width) || 1);
}

// Both labels of a tile for lines of `width`; each alone on its line. Two that differ stay different.
function cutPair(given, target, width, font) {
  const wide = measure(font);
  const [a, b] = [[...given], [...(target ?? given)]];
  let start = 0;
  while (start < Math.min(a.length, b.length) && a[start] === b[start]) start += 1;
  let end = 0;
  while (end < Math.min(a.length, b.length) - start && a.at(-1 - end) === b.at(-1 - end)) end += 1;
  if (target === null || target === given) [start, end] = [a.length, 0];
  const first = cutAround(a, start, a.length - end, (text) => wide(text) <= width);
  if (target === null) return [first, null];
  const second = cutAround(b, start, b.length - end, (text) => wide("→ " + text) <= width);
  return first === second && given !== target ? [given, target] : [first, second];
}

// A text cut to what fits, with the signs from `from` to `to` in it.
function cutAround(signs, from, to, fits) {
  if (fits(signs.join(""))) return signs.join("");
  const written = (i, j) => {
    const head = i > 4 ? signs.slice(0, 3).join("") + "…" : signs.slice(0, i).join("");
    return head + signs.slice(i, j).join("") + (j < signs.length ? "…" : "");
  };
  if (!fits(written(from, to))) return cutMiddle(signs, from, fits);
  let [i, j] = [from, to];
  for (let grown = true; grown;) {
    grown = false;
    if (i > 0 && fits(written(i - 1, j))) { i -= 1; grown = true; }
    if (j < signs.length && fits(written(i, j + 1))) { j += 1; grown = true; }
  }
  return written(i, j);
}

// The part that differs is itself too long: its beginning and its end.
function cutMiddle(signs, from, fits) {
  const head = from > 4 ? signs.slice(0, 3).join("") + "…" : signs.slice(0, from).join("");
  let kept = 1;
  const written = (n) => head + signs.slice(from, from + Math.ceil(n / 2)).join("") + "…" + signs.slice(signs.length - Math.floor(n / 2)).join("");
  while (kept < signs.length - from && fits(written(kept + 1))) kept += 1;
  return written(kept);
}
