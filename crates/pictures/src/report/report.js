"use strict";
(() => {
const $ = (id) => document.getElementById(id);
const { runs } = JSON.parse($("data").textContent);
const SVG = "http://www.w3.org/2000/svg";

/** An element with attributes and children. Text is never parsed as HTML. */
function make(tag, attributes = {}, ...children) {
  const drawn = ["svg", "path", "g", "text", "line", "rect"].includes(tag);
  const element = drawn ? document.createElementNS(SVG, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

// ---- Styles: a colour and a mark per run, a dash pattern per split.
const known = (split) => runs.some((run) => run[`${split}_loss`].some((x) => x !== null));
// The split by which runs are judged comes first.
const judged = known("validation") && !known("test") ? "validation" : "test";
const ORDER = [judged, "train", judged === "test" ? "validation" : "test"];
const DASHES = Object.fromEntries(ORDER.map((split, i) => [split, ["", "6 5", "1 5"][i]]));
const MARKS = [
  (r) => `M${-r} 0a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0z`,
  (r) => `M${-r} ${-r}h${2 * r}v${2 * r}h${-2 * r}z`,
  (r) => `M0 ${-1.3 * r}L${1.25 * r} ${r}h${-2.5 * r}z`,
  (r) => `M0 ${-1.4 * r}L${1.4 * r} 0L0 ${1.4 * r}L${-1.4 * r} 0z`,
  (r) => `M0 ${1.3 * r}L${1.25 * r} ${-r}h${-2.5 * r}z`,
];
const single = runs.length === 1;
const colour = (run, split) => {
  const index = single ? ORDER.indexOf(split) : run;
  return `var(--series-${(Math.max(index, 0) % 6) + 1})`;
};
const mark = (run, x, y, r, fill) =>
  make("path", { d: MARKS[run % MARKS.length](r), transform: `translate(${x} ${y})`, fill });
function swatch(run, split) {
  const svg = make("svg", { width: 30, height: 12, viewBox: "0 0 30 12", "aria-hidden": "true" });
  const stroke = run === null ? "currentColor" : colour(run, split);
  svg.append(make("path", { d: "M1.5 6h27", class: "series", stroke, "stroke-dasharray": DASHES[split] ?? "" }));
  if (run !== null) svg.append(mark(run, 15, 6, 4, stroke));
  return svg;
}

// ---- The charts.
const digits = (n) => (x) => x.toFixed(n);
const rate = (x) => String(Number(x.toPrecision(3)));
const CHARTS = [
  { id: "loss", title: "Loss", of: (split) => `${split}_loss`, value: digits(4), log: true },
  { id: "accuracy", title: "Accuracy", of: (split) => `${split}_accuracy`, value: (x) => `${x.toFixed(2)}%`, unit: "%", most: 100 },
  { id: "rate", title: "Learning rate", of: (split) => split === judged && "learning_rate", value: rate, log: true, zero: true },
  { id: "throughput", title: "Images per second", of: (split) => split === judged && "images_per_second", value: (x) => x.toFixed(x < 10 ? 1 : 0), zero: true },
];
const NAMES = { train: "train", test: "test", validation: "validation" };
const splits = Object.keys(NAMES).filter((s) => s === judged || known(s));
const hidden = { runs: new Set(), splits: new Set() };
let cursor = null; // the selected epoch

const shownRuns = () => runs.map((run, index) => ({ run, index })).filter(({ index }) => !hidden.runs.has(index));
const shownSplits = (chart) => splits.filter((s) => chart.of(s) && (chart.of("train") === false || !hidden.splits.has(s)));
const epochs = () => [...new Set(shownRuns().flatMap(({ run }) => run.epoch))].sort((a, b) => a - b);

// ---- Scales.
function ticks(low, high, count) {
  const rough = (high - low) / count || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((m) => m * power).find((s) => s >= rough * 0.999);
  const first = Math.ceil(low / step - 1e-9);
  return Array.from({ length: Math.floor(high / step + 1e-9) - first + 1 }, (_, i) => Number(((first + i) * step).toPrecision(12)));
}
function logTicks(low, high) {
  const [from, to] = [Math.floor(Math.log10(low)), Math.ceil(Math.log10(high))];
  const steps = to - from > 4 ? [1] : to - from > 2 ? [1, 3] : [1, 2, 5];
  const every = Math.ceil((to - from) / 8);
  const all = Array.from({ length: to - from + 1 }, (_, i) => from + i).filter((p) => (p - from) % every === 0);
  return all.flatMap((p) => steps.map((s) => Number((s * 10 ** p).toPrecision(3)))).filter((t) => t >= low * 0.999 && t <= high * 1.001);
}
function scale(chart, values) {
  if (!values.length) return null;
  let [low, high] = values.reduce(([a, b], v) => [Math.min(a, v), Math.max(b, v)], [Infinity, -Infinity]);
  if (chart.logarithmic) {
    if (low === high) [low, high] = [low / 2, high * 2];
    const [a, b] = [Math.log(low), Math.log(high)];
    return { ticks: logTicks(low, high), at: (v) => (Math.log(v) - a) / (b - a) };
  }
  if (chart.zero) low = 0;
  const pad = (high - low) * 0.06 || Math.abs(high) * 0.1 || 1;
  if (!chart.zero) low = Math.max(low - pad, Math.min(low, 0));
  high = Math.min(high + pad, Math.max(chart.most ?? Infinity, high));
  return { ticks: ticks(low, high, 6), at: (v) => (v - low) / (high - low) };
}

// ---- Drawing.
const MARGIN = { left: 52, right: 12, top: 10, bottom: 26 };
function draw(chart) {
  const { svg } = chart;
  const width = Math.max(chart.plot.clientWidth, 200);
  const height = Math.round(Math.min(Math.max(width * 0.55, 190), 300));
  const inner = { w: width - MARGIN.left - MARGIN.right, h: height - MARGIN.top - MARGIN.bottom };
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.replaceChildren();
  const usable = (v) => v !== null && (!chart.logarithmic || v > 0);
  chart.lines = shownRuns().flatMap(({ run, index }) => shownSplits(chart).map((split) => ({ run, index, split, values: run[chart.of(split)] })))
    .filter(({ values }) => values.some((v) => v !== null));
  const all = epochs();
  const [first, last] = [all[0] ?? 1, all[all.length - 1] ?? 1];
  chart.x = (epoch) => MARGIN.left + (first === last ? 0.5 : (epoch - first) / (last - first)) * inner.w;
  const y = scale(chart, chart.lines.flatMap(({ values }) => values.filter(usable)));
  chart.y = (v) => MARGIN.top + (1 - y.at(v)) * inner.h;
  chart.size = { width, height, bottom: MARGIN.top + inner.h };
  chart.usable = usable;
  chart.points = [];
  const label = (x, yy, text, anchor) => svg.append(make("text", { x, y: yy, "text-anchor": anchor }, text));
  for (const tick of y ? y.ticks : []) {
    svg.append(make("path", { class: "rule", d: `M${MARGIN.left} ${chart.y(tick)}h${inner.w}` }));
    label(MARGIN.left - 8, chart.y(tick) + 4, tick.toLocaleString("en", { maximumSignificantDigits: 4 }) + (chart.unit ?? ""), "end");
  }
  for (const tick of ticks(first, last, Math.max(inner.w / 70, 2)).filter(Number.isInteger)) label(chart.x(tick), height - 6, tick, "middle");
  if (!y) label(width / 2, height / 2, "no curve is selected", "middle");
  for (const line of chart.lines) drawLine(chart, line);
  chart.cursor = make("g", { class: "cursor" });
  svg.append(chart.cursor);
}
function drawLine(chart, { run, index, split, values }) {
  const points = run.epoch.map((epoch, i) => [epoch, values[i]]).map(([e, v]) => (chart.usable(v) ? [chart.x(e), chart.y(v)] : null));
  let pen = "M";
  const d = points.map((p) => { const part = p ? `${pen}${p[0].toFixed(1)} ${p[1].toFixed(1)}` : ""; pen = p ? "L" : "M"; return part; }).join("");
  chart.points.push(...points.filter(Boolean));
  const stroke = colour(index, split);
  const alone = chart.of("train") === false;
  chart.svg.append(make("path", { class: "series", d, stroke, "stroke-dasharray": alone ? "" : DASHES[split], "data-run": index, "data-split": split }));
  const every = Math.max(1, Math.ceil(points.length / 12));
  points.forEach((p, i) => {
    // Marks distinguish runs without colour. A single point needs one to be visible.
    if (p && (points.length === 1 || (!single && (split === judged || alone) && i % every === (index * 3) % every))) chart.svg.append(mark(index, p[0], p[1], 3.5, stroke));
  });
}

// ---- Tooltips of the selected epoch.
function select(epoch, from, announce) {
  cursor = epoch;
  for (const chart of CHARTS) {
    chart.cursor.replaceChildren();
    chart.plot.classList.toggle("active", chart === from);
    chart.tip.hidden = epoch === null || !chart.lines.length;
    if (epoch === null) continue;
    const x = chart.x(epoch);
    chart.cursor.append(make("line", { class: "cross", x1: x, x2: x, y1: MARGIN.top, y2: chart.size.bottom }));
    const values = showValues(chart, epoch);
    place(chart, x);
    chart.plot.setAttribute("aria-valuenow", epoch);
    if (announce) chart.plot.setAttribute("aria-valuetext", `epoch ${epoch}: ${values}`);
  }
}
/** Places the tooltip next to the epoch, inside the plot, where it hides fewer points. */
function place({ plot, tip, size, points }, x) {
  const scaled = plot.clientWidth / size.width;
  const right = x < size.width / 2;
  const wanted = right ? (x + 12) * scaled : (x - 12) * scaled - tip.offsetWidth;
  const left = Math.max(0, Math.min(wanted, plot.clientWidth - tip.offsetWidth));
  tip.style.left = `${left}px`;
  const under = points.filter((p) => p[0] * scaled >= left && p[0] * scaled <= left + tip.offsetWidth);
  const high = under.filter((p) => p[1] < size.bottom / 2).length > under.length / 2;
  tip.style.top = `${high ? Math.max(0, size.bottom * scaled - tip.offsetHeight - 6) : 0}px`;
}
function showValues(chart, epoch) {
  const columns = shownSplits(chart).filter((split) => chart.lines.some((line) => line.split === split));
  const named = chart.of("train") !== false;
  const table = make("table", {}, make("caption", {}, `Epoch ${epoch}`));
  const rows = shownRuns().filter(({ run }) => run.epoch.includes(epoch));
  const spoken = [];
  const at = ({ run, index }, split) => {
    const value = run[chart.of(split)][run.epoch.indexOf(epoch)];
    if (chart.usable(value)) chart.cursor.append(mark(index, chart.x(epoch), chart.y(value), 5, colour(index, split)));
    const text = value === null ? "–" : chart.value(value);
    spoken.push(`${single ? "" : `${run.name} `}${named ? `${NAMES[split]} ` : ""}${text}`);
    return make("td", { "data-run": index, "data-metric": chart.of(split) }, text);
  };
  if (single && rows.length) {
    for (const split of columns) table.append(make("tr", {}, make("th", { scope: "row" }, span(0, split), named ? NAMES[split] : chart.title), at(rows[0], split)));
  } else {
    if (named) table.append(make("thead", {}, make("tr", {}, make("th"), ...columns.map((split) => make("th", { scope: "col" }, NAMES[split])))));
    for (const row of rows) table.append(make("tr", {}, make("th", { scope: "row" }, span(row.index, judged), make("bdi", {}, row.run.name)), ...columns.map((split) => at(row, split))));
  }
  chart.tip.replaceChildren(table);
  return spoken.join(", ");
}
const span = (run, split) => make("span", { class: "swatch" }, swatch(run, split));

function nearest(chart, event) {
  const box = chart.svg.getBoundingClientRect();
  const x = ((event.clientX - box.left) / box.width) * chart.size.width;
  const distance = (epoch) => Math.abs(chart.x(epoch) - x);
  return epochs().reduce((best, epoch) => (best === null || distance(epoch) < distance(best) ? epoch : best), null);
}
function press(chart, event) {
  const all = epochs();
  if (!all.length) return;
  const last = all.length - 1;
  const now = cursor === null ? last : Math.max(all.indexOf(cursor), 0);
  const page = Math.max(1, Math.round(all.length / 10));
  const to = { ArrowLeft: now - 1, ArrowDown: now - 1, ArrowRight: now + 1, ArrowUp: now + 1, PageUp: now + page, PageDown: now - page, Home: 0, End: last }[event.key];
  if (event.key === "Escape") select(null);
  else if (to !== undefined) select(all[Math.min(Math.max(to, 0), last)], chart, true);
  else return;
  event.preventDefault();
}

// ---- Controls and setup.
const redraw = () => { CHARTS.forEach(draw); select(epochs().includes(cursor) ? cursor : null); };
function toggle(set, key, ...label) {
  const button = make("button", { type: "button", "aria-pressed": "true" }, ...label);
  button.onclick = () => {
    if (!set.delete(key)) set.add(key);
    button.setAttribute("aria-pressed", String(!set.has(key)));
    redraw();
  };
  return button;
}
function build() {
  const legend = $("legend");
  if (!single) legend.append(make("div", { role: "group", "aria-label": "Runs shown" }, ...runs.map((run, i) => toggle(hidden.runs, i, swatch(i, judged), make("bdi", { title: run.name }, run.name)))));
  legend.append(make("div", { role: "group", "aria-label": "Curves shown" }, ...splits.map((s) => toggle(hidden.splits, s, swatch(single ? 0 : null, s), NAMES[s]))));
  const all = epochs();
  for (const chart of CHARTS) {
    chart.svg = make("svg", { "aria-hidden": "true" });
    chart.tip = make("div", { class: "tip", hidden: "" });
    chart.plot = make("div", { class: "plot", tabindex: 0, role: "slider", "aria-label": `${chart.title} by epoch`, "aria-orientation": "horizontal", "aria-valuemin": all[0] ?? 1, "aria-valuemax": all[all.length - 1] ?? 1, "aria-valuenow": all[all.length - 1] ?? 1, "aria-valuetext": "use the arrow keys to read the values of an epoch" }, chart.svg, chart.tip);
    const head = make("header", {}, make("h3", {}, chart.title));
    if (chart.log) {
      const button = make("button", { type: "button", "aria-pressed": "false", "aria-label": `Logarithmic scale of ${chart.title.toLowerCase()}` }, "log");
      button.onclick = () => { chart.logarithmic = !chart.logarithmic; button.setAttribute("aria-pressed", String(chart.logarithmic)); redraw(); };
      head.append(button);
    }
    chart.plot.onpointermove = chart.plot.onpointerdown = (event) => select(nearest(chart, event), chart);
    chart.plot.onpointerleave = (event) => { if (event.pointerType === "mouse") select(null); };
    chart.plot.onkeydown = (event) => press(chart, event);
    chart.plot.onfocus = () => { if (cursor === null && chart.plot.matches(":focus-visible")) select(epochs().pop() ?? null, chart, true); };
    chart.plot.onblur = () => select(null);
    $("charts").append(make("figure", { class: "chart", id: `chart-${chart.id}` }, head, chart.plot));
  }
  $("hint").hidden = false;
  redraw();
  new ResizeObserver(redraw).observe($("charts"));
}

function theme() {
  const button = $("theme"), root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme ?? (system.matches ? "dark" : "light")) === "dark";
  const show = () => { button.textContent = isDark() ? "Light" : "Dark"; button.setAttribute("aria-label", `${button.textContent} colours`); };
  button.onclick = () => { root.dataset.theme = isDark() ? "light" : "dark"; show(); };
  system.addEventListener("change", show);
  button.hidden = false;
  show();
}
function copying() {
  for (const button of document.querySelectorAll(".copy")) {
    const code = button.parentElement.querySelector("code");
    button.hidden = false;
    button.onclick = async () => {
      try { await navigator.clipboard.writeText(code.textContent); button.textContent = "Copied"; }
      catch { getSelection().selectAllChildren(code); button.textContent = "Selected"; }
      setTimeout(() => (button.textContent = "Copy"), 2000);
    };
  }
}

document.querySelectorAll(".swatch[data-run]").forEach((place) => place.append(swatch(Number(place.dataset.run), judged)));
theme();
copying();
if ($("charts")) build();
})();
