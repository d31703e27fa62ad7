"use strict";
/* Charts as SVG, for the scripts of pages. */
const SVG = "http://www.w3.org/2000/svg";
const colour = (i) => `var(--run${i % 6})`;
const make = (tag, parent, attributes = {}, text = "") => {
  const node = parent.namespaceURI === SVG || tag === "svg" ? document.createElementNS(SVG, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.textContent = text;
  parent.append(node);
  return node;
};

/* Round numbers between two, at least so far apart, or round powers where the numbers are logarithms. */
const ticks = (low, high, log, least = 0) => {
  if (log) {
    const found = [];
    for (let e = Math.floor(low); e <= high; e++) for (const n of [1, 2, 5]) found.push(Math.log10(n) + e);
    const inside = found.filter((v) => v >= low && v <= high);
    return inside.length > 2 ? inside : ticks(10 ** low, 10 ** high, false).map(Math.log10);
  }
  const step = 10 ** Math.floor(Math.log10((high - low) / 4));
  const nice = Math.max(least, [1, 2, 5, 10].map((n) => n * step).find((s) => (high - low) / s <= 5.5));
  const found = [];
  for (let v = Math.ceil(low / nice) * nice; v <= high + nice * 1e-6; v += nice) found.push(v);
  return found;
};
const label = (v) => (Math.abs(v) >= 1e4 ? v.toLocaleString("en", {maximumFractionDigits: 0}) : String(+v.toPrecision(4)));

/* series: [{name, colour, points: [[x, y], ...], dots}]; log: which axes are logarithmic; pick: called with an x. */
const chart = (parent, title, series, {log = "", xlabel = "", pick = null} = {}) => {
  series = series.filter((s) => s.points.length);
  if (!parent || !series.length) return {mark: () => {}};
  const isPositive = (axis) => series.every((s) => s.points.every((p) => p[axis === "x" ? 0 : 1] > 0));
  log = [...log].filter(isPositive).join("");  // zero and what is below have no logarithm
  const scale = (axis) => (log.includes(axis) ? Math.log10 : (v) => v);
  const back = (axis) => (log.includes(axis) ? (v) => 10 ** v : (v) => v);
  const range = (axis, i) => {
    const values = series.flatMap((s) => s.points.map((p) => scale(axis)(p[i])));
    const [low, high] = [Math.min, Math.max].map((best) => values.reduce((a, b) => best(a, b)));
    const pad = i ? (high - low || 1) * 0.06 : 0;
    return [low - pad, (high === low ? high + 1 : high) + pad];
  };
  const [W, H, L, R, T, B] = [innerWidth < 600 ? 340 : 520, 220, 52, 12, 10, 34];
  const [[x0, x1], [y0, y1]] = [range("x", 0), range("y", 1)];
  const x = (v) => L + ((scale("x")(v) - x0) / (x1 - x0)) * (W - L - R);
  const y = (v) => H - B - ((scale("y")(v) - y0) / (y1 - y0)) * (H - T - B);
  const box = make("div", parent, {class: pick ? "chart picks" : "chart"});
  make("h3", box, {}, title);
  const svg = make("svg", box, {viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": title});
  for (const v of ticks(y0, y1, log.includes("y"))) {
    const at = y(back("y")(v));
    make("line", svg, {class: "grid", x1: L, x2: W - R, y1: at, y2: at});
    make("text", svg, {x: L - 6, y: at + 4, "text-anchor": "end"}, label(back("y")(v)));
  }
  for (const v of ticks(x0, x1, log.includes("x"), 1)) make("text", svg, {x: x(back("x")(v)), y: H - B + 16, "text-anchor": "middle"}, label(back("x")(v)));
  make("text", svg, {x: (L + W - R) / 2, y: H - 4, "text-anchor": "middle"}, xlabel);
  for (const s of series) {
    const path = s.points.map((p, i) => `${i ? "L" : "M"}${x(p[0]).toFixed(1)} ${y(p[1]).toFixed(1)}`).join("");
    make("path", svg, {d: path, stroke: s.colour});
    if (s.dots || s.points.length === 1)
      for (const p of s.points) make("circle", svg, {cx: x(p[0]), cy: y(p[1]), r: 3, fill: s.colour});
  }
  if (series.length > 1) {
    const legend = make("div", box, {class: "legend"});
    for (const s of series) make("span", legend, {style: `--colour: ${s.colour}`}, s.name);
  }
  const cursor = pick && make("line", svg, {class: "cursor", y1: T, y2: H - B, x1: -9, x2: -9});
  if (pick)
    svg.addEventListener("click", (event) => {
      const place = svg.getBoundingClientRect();
      const at = ((event.clientX - place.left) / place.width) * W;
      pick(back("x")(x0 + ((at - L) / (W - L - R)) * (x1 - x0)));
    });
  return {mark: (v) => { cursor?.setAttribute("x1", x(v)); cursor?.setAttribute("x2", x(v)); }};
};
