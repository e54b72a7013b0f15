
(() => {
"use strict";
const {add, r, path, lonely, ticks, logTicks, tickLabel, present, sign} = chart;
const data = JSON.parse(document.getElementById("data").textContent);
const plot = document.getElementById("plot");
if (!plot) return;
const readout = document.getElementById("readout"), when = document.getElementById("when");
const body = document.querySelector("#windows tbody"), rows = body ? body.rows : [];
const picker = document.getElementById("curve"), logButton = document.getElementById("log"), marked = document.getElementById("marked");
const buttons = [...document.querySelectorAll(".legend button")];
const count = data.start.length, series = data.series, curves = data.curves;
const LEVELS = ["simple", "constant"], LINES = ["schedule", "never", "served"]; // drawn in this order
const LABELS = {served: "losswatch", never: "never", schedule: "schedule", simple: "simple model", constant: "base rate"};
const HINT = matchMedia("(hover: none)").matches
  ? "Draw a finger over the chart to read a window; tap to keep it."
  : "Move over the chart, or focus it and press ←\u00a0→, to read a window; click or press Enter to keep it.";
const hidden = new Set();
let log = false, curve = 0, at = -1, pinned = false, view = null;

// ---- words and numbers
const number = v => chart.number(v, data.decimals);
const date = (time, hours = data.hours) => chart.date(time, hours);

// ---- drawing
const shown = name => series[name] && !hidden.has(name);

/** Losses that the axis must hold. */
function domain() {
  const values = [];
  for (const name of LINES) if (shown(name)) values.push(...present(series[name].values));
  for (const name of LEVELS) if (shown(name) && series[name].mean !== null) values.push(series[name].mean);
  const training = curves[curve] ? present([...curves[curve].training, ...curves[curve].validation]) : [];
  return chart.stretched(values, training, log, 0.05);
}

function layout(room) {
  const width = Math.max(room, 260), narrow = width < 600;
  const [low, high] = domain();
  const height = narrow ? 250 : Math.min(Math.max(width * 0.33, 280), 380);
  const marks = (log ? logTicks : ticks)(low, high, narrow ? 5 : 7);
  const labels = marks.map(v => tickLabel(v, marks, log));
  const left = Math.max(...labels.map(l => l.length), 2) * 7 + 10, top = 14;
  const training = !curves.length ? 0 : !count ? width - left - 12 : narrow ? width * 0.2 : Math.min(Math.max(width * 0.17, 120), 210);
  const from = left + training + (training ? (narrow ? 10 : 18) : 0);
  const right = width - (narrow || !count ? 8 : 96);
  const to = log ? Math.log : v => v;
  const y = v => top + height - (to(v) - to(low)) / (to(high) - to(low)) * height;
  const first = data.start[0], last = data.end[count - 1];
  const time = t => from + (t - first) / (last - first || 1) * (right - from);
  const x = i => time((data.start[i] + data.end[i]) / 2);
  return {width, narrow, low, high, height, top, bottom: top + height, marks, labels, left, training, from, right, y, time, x, first, last};
}

function draw(room = plot.clientWidth) {
  view = layout(room);
  const v = view, total = v.bottom + (count ? 68 : 26);
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", `0 0 ${v.width} ${r(total)}`);
  svg.setAttribute("aria-hidden", "true");
  const clip = add(add(svg, "defs", {}), "clipPath", {id: "inside"});
  add(clip, "rect", {x: 0, y: v.top - 4, width: v.width, height: v.height + 8});
  chart.grid(svg, v);
  if (count) drawService(svg);
  if (curves.length) drawTraining(svg);
  v.overlay = add(svg, "g", {});
  plot.replaceChildren(svg);
  mark();
}

function drawTraining(svg) {
  const v = view, chosen = curves[curve], end = v.left + v.training;
  const first = Math.min(...chosen.epoch), last = Math.max(...chosen.epoch);
  add(svg, "line", {class: "axis", x1: v.left, x2: end, y1: v.bottom, y2: v.bottom});
  const group = add(svg, "g", {"clip-path": "url(#inside)", class: "training-panel"});
  const x = chart.epochs(svg, group, v, curves, curve);
  drawBest(svg, chosen, x);
  const above = Math.max(...present(chosen.training.concat(chosen.validation)), v.low);
  if (above > v.high) add(svg, "text", {x: v.left + 6, y: v.top + 2}, "↑ " + number(above));
  const y = v.bottom + 17;
  if (last > first) add(svg, "text", {x: v.left, y}, String(first));
  add(svg, "text", {x: end, y, "text-anchor": "end"}, v.narrow ? String(last) : (last > first ? "" : "epoch ") + last);
  if (!v.narrow && last > first) add(svg, "text", {x: v.left + v.training / 2, y, "text-anchor": "middle"}, "epochs of v" + chosen.version);
  if (!v.narrow) chart.nameEnds(svg, v, chosen, x);
}

/** The epoch that was kept, and its loss as a promise up to where its version served. */
function drawBest(svg, chosen, x) {
  const v = view, known = present(chosen.validation);
  if (!known.length) return;
  const best = Math.min(...known), px = x(chosen.epoch[chosen.validation.indexOf(best)]), py = v.y(best);
  const served = data.version.map((version, i) => version === chosen.version ? i : -1).filter(i => i >= 0);
  if (served.length) add(svg, "line", {class: "promise", x1: r(px), x2: r(v.time(data.end[served.at(-1)])), y1: r(py), y2: r(py)});
  add(svg, "circle", {class: "dot", cx: r(px), cy: r(py), r: 4});
}

function drawService(svg) {
  const v = view, wide = (v.right - v.from) / count;
  add(svg, "line", {class: "axis", x1: v.from, x2: v.right, y1: v.bottom, y2: v.bottom});
  chart.timeAxis(svg, v, v.bottom, v.from, v.right, v.width, v.time);
  drawVersions(svg);
  const inside = add(svg, "g", {"clip-path": "url(#inside)"});
  const thickness = wide < 1.3 ? " hair" : wide < 3 ? " fine" : "";
  if (shown("served") && shown("never")) drawGain(inside);
  for (const name of LEVELS) if (shown(name) && series[name].mean !== null) {
    const y = r(v.y(series[name].mean));
    add(inside, "path", {class: "line " + name, d: `M${v.from} ${y}H${r(v.right)}`, "data-line": name});
  }
  for (const name of LINES) if (shown(name)) {
    const values = series[name].values;
    add(inside, "path", {class: "line " + name + thickness, d: path(values, v.x, v.y), "data-line": name});
    values.forEach((value, i) => {
      if (value !== null && (lonely(values, i) || (name === "served" && wide > 9)))
        add(inside, "circle", {class: "dot " + name, cx: r(v.x(i)), cy: r(v.y(value)), r: 2.8});
    });
  }
  drawSigns(svg, Math.min(Math.max(wide * 0.9, 11), 14));
  if (!v.narrow) labelSeries(svg);
}

/** The loss between the two versions: saved where losswatch lies lower, lost where it lies higher. */
function drawGain(parent) {
  const v = view, a = series.served.values, b = series.never.values, areas = {gain: "", harm: ""};
  const known = i => a[i] !== null && b[i] !== null;
  const piece = (x0, a0, b0, x1, a1, b1) => {
    areas[a0 + a1 > b0 + b1 ? "gain" : "harm"] += `M${r(x0)} ${r(a0)}L${r(x1)} ${r(a1)}L${r(x1)} ${r(b1)}L${r(x0)} ${r(b0)}Z`;
  };
  for (let i = 1; i < count; i++) {
    if (!known(i - 1) || !known(i)) continue;
    const [x0, x1] = [v.x(i - 1), v.x(i)], [a0, a1] = [v.y(a[i - 1]), v.y(a[i])], [b0, b1] = [v.y(b[i - 1]), v.y(b[i])];
    if (Math.abs(a0 - b0) + Math.abs(a1 - b1) < 0.3) continue;
    if ((a0 - b0) * (a1 - b1) >= 0) { piece(x0, a0, b0, x1, a1, b1); continue; }
    const share = (a0 - b0) / ((a0 - b0) - (a1 - b1)), xm = x0 + share * (x1 - x0), ym = a0 + share * (a1 - a0);
    piece(x0, a0, b0, xm, ym, ym);
    piece(xm, ym, ym, x1, a1, b1);
  }
  for (const name in areas) add(parent, "path", {class: name, d: areas[name]});
}

/** The versions as bands under the axis, and a thin line where one takes over. */
function drawVersions(svg) {
  const v = view, y = v.bottom + 46, gap = 1;
  if (!v.narrow && v.training > 110) {
    add(svg, "text", {x: v.left + v.training, y: v.bottom + 37, "text-anchor": "end"}, "retrainings");
    add(svg, "text", {x: v.left + v.training, y: y + 13, "text-anchor": "end"}, "version in service");
  }
  let from = 0, odd = false;
  for (let i = 1; i <= count; i++) {
    if (i < count && data.version[i] === data.version[from]) continue;
    const x0 = v.time(data.start[from]), x1 = i < count ? v.time(data.start[i]) : v.right, version = data.version[from];
    const chosen = curves[curve] && curves.length > 1 && curves[curve].version === version;
    add(svg, "rect", {class: odd ? "band odd" : "band", x: r(x0), y, width: r(Math.max(x1 - x0 - gap, 0.5)), height: 18, rx: 3});
    if (chosen) add(svg, "line", {class: "underline", x1: r(x0 + 2), x2: r(Math.max(x1 - gap - 2, x0 + 3)), y1: y + 21, y2: y + 21});
    const label = "v" + version;
    if (x1 - x0 > label.length * 7 + 4) add(svg, "text", {class: "strong in-band", x: r((x0 + x1 - gap) / 2), y: y + 13, "text-anchor": "middle"}, label);
    if (from > 0) add(svg, "line", {class: "change", x1: r(x0), x2: r(x0), y1: v.top, y2: v.bottom});
    from = i;
    odd = !odd;
  }
}

function drawSigns(svg, size) {
  const v = view, served = series.served.values;
  for (let i = 0; i < count; i++) {
    const small = data.verdict[i] === "thin" || data.verdict[i] === "benign";
    if (data.outcome[i]) sign(svg, data.outcome[i], v.time(data.end[i]), v.bottom + 33, Math.min(size, 12));
    if (data.verdict[i] === "quiet") continue;
    const y = served[i] === null || !shown("served") ? v.bottom - 7 : Math.min(Math.max(v.y(served[i]), v.top), v.bottom - 2);
    sign(svg, data.verdict[i], v.x(i), y, small ? size * 0.8 : size);
  }
}

/** Names at the right end, moved apart where they would meet. */
function labelSeries(svg) {
  const v = view, labels = [];
  for (const name in series) {
    if (!shown(name)) continue;
    const values = present(series[name].values), level = LEVELS.includes(name) ? series[name].mean : values.at(-1);
    if (level !== null && level !== undefined) labels.push({name, y: Math.min(Math.max(v.y(level), v.top + 4), v.bottom - 4)});
  }
  labels.sort((a, b) => a.y - b.y);
  for (let i = 1; i < labels.length; i++) labels[i].y = Math.max(labels[i].y, labels[i - 1].y + 15);
  for (let i = labels.length - 1, floor = v.bottom; i >= 0; i--, floor -= 15) labels[i].y = Math.min(labels[i].y, floor);
  for (const {name, y} of labels) add(svg, "text", {class: name === "served" ? "strong" : "", x: v.right + 8, y: r(y + 4)}, LABELS[name]);
}

// ---- choosing a window
function mark() {
  const v = view;
  v.overlay.replaceChildren();
  for (const row of body ? body.querySelectorAll(".at") : []) row.classList.remove("at", "pinned");
  for (const button of buttons) {
    const {mean, values} = series[button.dataset.series];
    button.querySelector("output").textContent = number(at < 0 ? mean : values[at]);
  }
  when.textContent = at < 0 ? "mean" : date(data.start[at]);
  tell();
  if (at < 0) return;
  const x = r(v.x(at));
  add(v.overlay, "line", {class: "cursor" + (pinned ? " pinned" : ""), x1: x, x2: x, y1: v.top, y2: v.bottom + 66});
  for (const name of LINES)
    if (shown(name) && series[name].values[at] !== null)
      add(v.overlay, "circle", {class: "dot " + name, cx: x, cy: r(v.y(series[name].values[at])), r: 4.5, "clip-path": "url(#inside)"});
  if (data.verdict[at] !== "quiet" && series.served.values[at] !== null && shown("served"))
    sign(v.overlay, data.verdict[at], x, v.y(series.served.values[at]), 16);
  const row = rows[at];
  row.classList.add("at");
  row.classList.toggle("pinned", pinned);
  const box = body.parentElement.parentElement, head = box.querySelector("thead").offsetHeight;
  if (row.offsetTop - head < box.scrollTop) box.scrollTop = row.offsetTop - head;
  else if (row.offsetTop + row.offsetHeight > box.scrollTop + box.clientHeight) box.scrollTop = row.offsetTop + row.offsetHeight - box.clientHeight;
}

/** The chosen window in words, under the chart and for a screen reader. */
function tell() {
  const first = document.createElement("p");
  if (at < 0) {
    first.className = "hint";
    first.textContent = count ? HINT : "No window has been in service yet.";
    plot.setAttribute("aria-valuetext", "no window chosen");
    readout.replaceChildren(first);
    return;
  }
  const cells = [...rows[at].cells], [verdict, action, reasons] = cells.slice(-3);
  const bold = document.createElement("b");
  bold.textContent = `${date(data.start[at])} to ${date(data.end[at])}`;
  first.append(bold, ` · ${cells[1].textContent} rows · v${data.version[at]} · `, ...copies(verdict), " · ", ...copies(action));
  const why = document.createElement("p");
  why.className = "why";
  why.append(...copies(reasons));
  readout.replaceChildren(first, why);
  const never = series.never ? `, never retrained ${number(series.never.values[at])}` : "";
  plot.setAttribute("aria-valuenow", String(at + 1));
  plot.setAttribute("aria-valuetext", `${date(data.start[at])}, loss ${number(series.served.values[at])}${never}, version ${data.version[at]}, ${verdict.textContent}, ${action.textContent}`);
}
const copies = cell => [...cell.childNodes].map(node => node.cloneNode(true));

function choose(i, pin = pinned) {
  at = i < 0 ? -1 : Math.min(i, count - 1);
  pinned = at >= 0 && pin;
  mark();
}

function nearest(event) {
  const box = plot.getBoundingClientRect(), px = (event.clientX - box.left) * view.width / box.width;
  if (!count || px < view.from - 6 || px > view.right + 8) return -1;
  let best = 0;
  for (let i = 1; i < count; i++) if (Math.abs(view.x(i) - px) < Math.abs(view.x(best) - px)) best = i;
  return best;
}

plot.addEventListener("pointermove", event => {
  if (pinned) return;
  const i = nearest(event);
  if (i >= 0 && i !== at) choose(i);
});
plot.addEventListener("pointerleave", event => {
  if (!pinned && event.pointerType === "mouse" && document.activeElement !== plot) choose(-1);
});
plot.addEventListener("click", event => {
  const i = nearest(event), place = i < 0 ? -1 : curves.findIndex(c => c.version === data.version[i]);
  if (picker && place >= 0 && event.target.closest(".band, .in-band")) train(place);
  else if (i >= 0) choose(i, !(pinned && i === at));
});
plot.addEventListener("blur", () => { if (!pinned) choose(-1); });
plot.addEventListener("keydown", event => {
  if (!count || event.ctrlKey || event.metaKey || event.altKey) return;
  const step = {ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageDown: 10, PageUp: -10}[event.key];
  if (step) choose(at < 0 ? (step > 0 ? 0 : count - 1) : Math.max(at + step, 0));
  else if (event.key === "Home") choose(0);
  else if (event.key === "End") choose(count - 1);
  else if (event.key === "Enter" || event.key === " ") choose(Math.max(at, 0), !pinned);
  else if (event.key === "Escape") choose(-1);
  else return;
  event.preventDefault();
});
if (body) body.addEventListener("click", event => {
  const row = event.target.closest("tr"), i = [...rows].indexOf(row);
  if (i >= 0) choose(i, !(pinned && i === at));
});
for (const button of buttons) button.addEventListener("click", () => {
  const name = button.dataset.series;
  if (!hidden.delete(name)) hidden.add(name);
  button.setAttribute("aria-pressed", String(!hidden.has(name)));
  draw();
});
function train(place) { curve = place; picker.value = String(place); draw(); }
if (picker) picker.addEventListener("change", () => train(Number(picker.value)));
if (marked) marked.addEventListener("click", () => {
  const only = body.parentElement.classList.toggle("marked");
  marked.setAttribute("aria-pressed", String(only));
});

// ---- the scale: logarithmic from the start where one line would flatten the others
const all = [...Object.values(series).flatMap(s => present(s.values)), ...curves.flatMap(c => present([...c.training, ...c.validation]))];
const lowest = Math.min(...all), service = Object.values(series).flatMap(s => present(s.values));
function scale(to) { log = to; logButton.setAttribute("aria-pressed", String(log)); }
if (!(lowest > 0)) { logButton.disabled = true; logButton.title = "needs losses above 0"; }
else if (service.length && Math.max(...service) / Math.min(...service) > 30) scale(true);
logButton.addEventListener("click", () => { scale(!log); draw(); });

let width = 0;
function fit() {
  if (Math.abs(plot.clientWidth - width) < 1) return;
  width = plot.clientWidth;
  draw();
}
fit(); // not only with the first frame, when the observer looks
new ResizeObserver(fit).observe(plot);
addEventListener("beforeprint", () => draw(760));
addEventListener("afterprint", () => draw());
})();
