
(() => {
"use strict";
const {add, r, lonely, ticks, logTicks, tickLabel, present, timeTicks, sign} = chart;
const data = JSON.parse(document.getElementById("data").textContent);
const $ = id => document.getElementById(id);
const count = data.start.length, curves = data.curves, estimate = data.estimate, columns = data.columns;
const number = v => chart.number(v, data.decimals);
const whole = n => n.toLocaleString("en");
const percent = share => share === null ? "–" : `${(100 * share).toFixed(share < 0.1 ? 1 : 0)} %`;
const date = (time, hours = data.hours) => chart.date(time, hours);
const span = i => data.end[i] - data.start[i] <= 864e5 && !data.hours ? date(data.start[i])
  : `${date(data.start[i])} to ${date(data.hours ? data.end[i] : data.end[i] - 1)}`;
function element(name, text, className) {
  const node = document.createElement(name);
  if (text !== undefined) node.textContent = text;
  if (className) node.className = className;
  return node;
}
const tall = (svg, width, height) => {
  svg.setAttribute("viewBox", `0 0 ${r(width)} ${r(height)}`);
  svg.setAttribute("aria-hidden", "true");
};
const blank = () => document.createElementNS("http://www.w3.org/2000/svg", "svg");

// ---- what is shown: a stretch of windows, and one of them
let from = 0, to = count - 1, at = -1, pinned = false;
const painters = [];
const paint = () => painters.forEach(one => one());
/** Shows the windows from a to b, moved inside of what there is. */
function show(a, b) {
  const wide = Math.min(Math.max(Math.round(b - a), Math.min(2, count - 1)), count - 1);
  from = Math.round(Math.min(Math.max(a, 0), count - 1 - wide));
  to = from + wide;
  for (const button of document.querySelectorAll("[data-zoom]")) {
    const kind = button.dataset.zoom;
    button.disabled = kind === "in" ? to - from <= 2 : kind === "earlier" ? from === 0 : kind === "later" ? to === count - 1 : from === 0 && to === count - 1;
  }
  paint();
}
function zoom(kind) {
  const wide = to - from, middle = at >= from && at <= to ? at : (from + to) / 2, step = Math.max(Math.round(wide / 2), 1);
  if (kind === "all") show(0, count - 1);
  else if (kind === "in") show(middle - wide / 4, middle - wide / 4 + wide / 2);
  else if (kind === "out") show(middle - wide, middle + wide);
  else show(from + (kind === "later" ? step : -step), to + (kind === "later" ? step : -step));
}
for (const button of document.querySelectorAll("[data-zoom]")) button.addEventListener("click", () => zoom(button.dataset.zoom));

// ---- the loss
const plot = $("plot"), readout = $("readout"), logButton = $("log"), picker = $("curve");
let log = false, curve = 0, view = null;
const shownOf = values => present(values.slice(from, to + 1));

function domain() {
  const values = count ? shownOf(data.loss) : [];
  if (count) values.push(...estimates().map(one => one[2]));
  for (const [, since, until, loss] of data.services)
    if (count && loss !== null && since < data.end[to] && (until === null || until > data.start[from])) values.push(loss);
  const training = curves[curve] ? present([...curves[curve].training, ...curves[curve].validation]) : [];
  return chart.stretched(values, training, log, 0.06);
}

function layout(room) {
  const width = Math.max(room, 260), narrow = width < 600, [low, high] = domain();
  const height = narrow ? 230 : Math.min(Math.max(width * 0.3, 260), 340), top = 14;
  const marks = (log ? logTicks : ticks)(low, high, narrow ? 5 : 7), labels = marks.map(v => tickLabel(v, marks, log));
  const left = Math.max(...labels.map(l => l.length), 2) * 7 + 10;
  const training = !curves.length ? 0 : !count ? width - left - 12 : narrow ? width * 0.18 : Math.min(Math.max(width * 0.15, 110), 190);
  const begin = left + training + (training ? (narrow ? 10 : 18) : 0), right = width - 8;
  const scale = log ? Math.log : v => v;
  const y = v => top + height - (scale(v) - scale(low)) / (scale(high) - scale(low)) * height;
  const first = count ? data.start[from] : 0, last = !count ? 1 : to === count - 1 && data.pending.length ? data.pending.at(-1)[1] : data.end[to];
  const time = t => begin + (t - first) / (last - first || 1) * (right - begin);
  const x = i => time((data.start[i] + data.end[i]) / 2);
  return {width, narrow, low, high, height, top, bottom: top + height, marks, labels, left, training, begin, right, y, time, x, first, last};
}

function draw(room = plot.clientWidth) {
  view = layout(room);
  const v = view, svg = blank();
  tall(svg, v.width, v.bottom + (count ? 66 : 26));
  const defs = add(svg, "defs", {});
  add(add(defs, "clipPath", {id: "inside"}), "rect", {x: 0, y: v.top - 4, width: v.begin - 6, height: v.height + 8});
  add(add(defs, "clipPath", {id: "served"}), "rect", {x: v.begin, y: v.top - 6, width: v.right - v.begin + 6, height: v.height + 12});
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
  const group = add(svg, "g", {...(count ? {"clip-path": "url(#inside)"} : {}), class: "training-panel"});
  const x = chart.epochs(svg, group, v, curves, curve);
  const known = present(chosen.validation);
  if (known.length) {
    const best = Math.min(...known);
    add(group, "circle", {class: "dot", cx: r(x(chosen.epoch[chosen.validation.indexOf(best)])), cy: r(v.y(best)), r: 4});
  }
  const above = Math.max(...present(chosen.training.concat(chosen.validation)), v.low);
  if (above > v.high) add(svg, "text", {x: v.left + 6, y: v.top + 2}, "↑ " + number(above));
  const y = v.bottom + 17;
  if (v.narrow) add(svg, "text", {x: v.left + v.training / 2, y, "text-anchor": "middle"}, "v" + chosen.version);
  else {
    add(svg, "text", {x: v.left, y}, String(first));
    add(svg, "text", {x: end, y, "text-anchor": "end"}, String(last));
    add(svg, "text", {x: v.left + v.training / 2, y, "text-anchor": "middle"}, "epochs of v" + chosen.version);
    chart.nameEnds(svg, v, chosen, x);
  }
}

function drawService(svg) {
  const v = view, wide = (v.right - v.begin) / (to - from + 1);
  add(svg, "line", {class: "axis", x1: v.begin, x2: v.right, y1: v.bottom, y2: v.bottom});
  chart.timeAxis(svg, view, v.bottom, v.begin, v.right, v.right + 8, v.time);
  drawVersions(svg);
  const inside = add(svg, "g", {"clip-path": "url(#served)"});
  for (const [, since, until, loss] of data.services) {
    const end = until === null ? v.last : until;
    if (loss !== null && end > v.first && since < v.last)
      add(inside, "path", {class: "line reference", d: `M${r(v.time(Math.max(since, v.first)))} ${r(v.y(loss))}H${r(v.time(Math.min(end, v.last)))}`});
  }
  drawEstimate(inside);
  add(inside, "path", {class: "line served" + (wide < 1.3 ? " hair" : wide < 3 ? " fine" : ""), d: line(data.loss), "data-line": "served"});
  data.loss.forEach((value, i) => {
    if (value !== null && i >= from && i <= to && (lonely(data.loss, i) || wide > 9))
      add(inside, "circle", {class: "dot served", cx: r(v.x(i)), cy: r(v.y(value)), r: 2.8});
  });
  drawSigns(svg, Math.min(Math.max(wide * 0.9, 11), 14));
}

/** A path through the windows, with a gap where there is no loss, or no window was judged. */
function line(values) {
  let d = "", joined = false;
  for (let i = 0; i < count; i++) {
    if (i && data.end[i - 1] !== data.start[i]) joined = false;
    if (values[i] !== null) d += `${joined ? "L" : "M"}${r(view.x(i))} ${r(view.y(values[i]))}`;
    joined = values[i] !== null;
  }
  return d;
}
/** What was estimated of the windows shown, and of those after the last whose labels are not due: times, loss, interval. */
function estimates() {
  const found = [];
  for (let i = from; estimate && i <= to; i++)
    if (estimate.loss[i] !== null) found.push([data.start[i], data.end[i], estimate.loss[i], estimate.low[i], estimate.high[i], estimate.trusted[i]]);
  return to === count - 1 ? found.concat(data.pending) : found;
}
/** The interval as an area, fainter where the estimate was not to be trusted; its middle as a line. */
function drawEstimate(parent) {
  const v = view, found = estimates(), floor = low => log ? Math.max(low, v.low) : low;
  for (const [start, end, , low, high, trusted] of found)
    add(parent, "rect", {class: "between" + (trusted ? "" : " doubt"), x: r(v.time(start)), width: r(Math.max(v.time(end) - v.time(start), 0.5)),
      y: r(v.y(high)), height: r(Math.max(v.y(floor(low)) - v.y(high), 0.5))});
  const d = found.map(([start, end, loss], k) => `${k && found[k - 1][1] === start ? "L" : "M"}${r(v.time((start + end) / 2))} ${r(v.y(loss))}`).join("");
  if (found.length) add(parent, "path", {class: "line estimate", d, "data-line": "estimate"});
  found.forEach(([start, end, loss], k) => {
    if (!(k && found[k - 1][1] === start) && !(found[k + 1] && found[k + 1][0] === end))
      add(parent, "circle", {class: "dot estimate", cx: r(v.time((start + end) / 2)), cy: r(v.y(loss)), r: 2.8});
  });
}

/** The versions as bands under the axis, and a thin line where one takes over. */
function drawVersions(svg) {
  const v = view, y = v.bottom + 44;
  if (!v.narrow && v.training > 105) {
    add(svg, "text", {x: v.left + v.training, y: v.bottom + 37, "text-anchor": "end"}, "retrainings");
    add(svg, "text", {x: v.left + v.training, y: y + 13, "text-anchor": "end"}, "version");
  }
  const served = []; // services of one version in a row are one band
  for (const [version, since, until] of data.services) {
    if (served.length && served.at(-1)[0] === version) served.at(-1)[2] = until;
    else served.push([version, since, until]);
  }
  served.forEach(([version, since, until], k) => {
    const x0 = v.time(Math.max(since, v.first)), x1 = v.time(Math.min(until === null ? Infinity : until, v.last));
    if (!(x1 > x0)) return;
    add(svg, "rect", {class: k % 2 ? "band odd" : "band", x: r(x0), y, width: r(x1 - x0), height: 18, "data-version": version});
    const label = "v" + version;
    if (x1 - x0 > label.length * 7 + 4) add(svg, "text", {class: "strong in-band", x: r((x0 + x1) / 2), y: y + 13, "text-anchor": "middle", "data-version": version}, label);
    if (k && since > v.first) add(svg, "line", {class: "change", x1: r(x0), x2: r(x0), y1: v.top, y2: v.bottom});
  });
}

function drawSigns(svg, size) {
  const v = view;
  for (const [time, kind] of data.turns)
    if ((kind === "rolled back" || kind === "by hand") && time >= v.first && time <= v.last) sign(svg, "undone", v.time(time), v.bottom + 33, 12);
  for (let i = from; i <= to; i++) {
    if (data.outcome[i]) sign(svg, data.outcome[i], v.time(data.end[i]), v.bottom + 33, 12);
    if (data.verdict[i] === "quiet") continue;
    const small = data.verdict[i] === "thin" || data.verdict[i] === "benign", value = data.loss[i];
    sign(svg, data.verdict[i], v.x(i), value === null ? v.bottom - 7 : Math.min(Math.max(v.y(value), v.top), v.bottom - 2), small ? size * 0.8 : size);
  }
}

// ---- one window
function reference(i) {
  const time = (data.start[i] + data.end[i]) / 2, of = data.services.filter(one => one[1] <= data.end[i] && one[0] === data.version[i]);
  const running = of.filter(one => one[1] <= time).at(-1) || of.at(-1);
  return running ? running[3] : null;
}
function mark() {
  const v = view;
  v.overlay.replaceChildren();
  const values = {served: data.loss[at], estimate: estimate && estimate.loss[at], reference: at < 0 ? null : reference(at)};
  for (const item of document.querySelectorAll("[data-line] output")) item.textContent = at < 0 ? "" : number(values[item.parentElement.dataset.line]);
  if ($("when")) $("when").textContent = at < 0 ? "" : span(at);
  for (const item of document.querySelectorAll(".verdicts .at")) item.classList.remove("at");
  tell();
  if (at < from || at > to || at < 0) return;
  const x = r(v.x(at));
  add(v.overlay, "line", {class: "cursor" + (pinned ? " pinned" : ""), x1: x, x2: x, y1: v.top, y2: v.bottom + 64});
  if (data.loss[at] !== null) add(v.overlay, "circle", {class: "dot served", cx: x, cy: r(v.y(data.loss[at])), r: 4.5});
  if (estimate && estimate.loss[at] !== null) add(v.overlay, "circle", {class: "dot estimate", cx: x, cy: r(v.y(estimate.loss[at])), r: 4});
  if (data.verdict[at] !== "quiet" && data.loss[at] !== null) sign(v.overlay, data.verdict[at], x, v.y(data.loss[at]), 16);
}
const done = i => data.outcome[i] === "promoted" ? `${data.action[i]}, v${data.challenger[i]} let in`
  : data.outcome[i] === "refused" ? `${data.action[i]}, v${data.challenger[i]} refused` : data.action[i];
const hint = matchMedia("(hover: none)").matches
  ? "Tap the chart to read a window."
  : "Move over the chart, or focus it and press ←\u00a0→, to read a window; drag or press +\u00a0− to zoom; click or Enter keeps a window and shows its inputs below.";
function tell() {
  const first = element("p");
  if (at < 0) {
    first.className = "hint";
    first.textContent = count ? hint : "No window has been in service yet.";
    plot.setAttribute("aria-valuetext", "no window chosen");
    readout.replaceChildren(first);
    return;
  }
  const labelled = data.labelled[at] < data.rows[at] ? `, ${percent(data.labelled[at] / data.rows[at])} labelled` : "";
  const words = `window ${data.number[at]} · loss ${number(data.loss[at])} · ${whole(data.rows[at])} rows${labelled} · v${data.version[at]} · ${data.words[data.word[at]]} · ${done(at)} `;
  first.append(element("b", span(at)), " · ", words);
  const item = item_of(at);
  if (item) {
    const link = element("a", "evidence");
    link.href = "#w" + data.number[at];
    first.append(link);
    item.classList.add("at");
  }
  const why = element("p", data.why[data.number[at]] || "", "why");
  readout.replaceChildren(first, why);
  plot.setAttribute("aria-valuenow", String(at + 1));
  plot.setAttribute("aria-valuetext", `${span(at)}, ${words.replaceAll(" · ", ", ").trim()}${why.textContent ? ": " + why.textContent : ""}`);
}
const item_of = i => $("w" + data.number[i]);
function choose(i, pin = pinned) {
  at = i < 0 ? -1 : Math.min(i, count - 1);
  pinned = at >= 0 && pin;
  if (at >= 0 && (at < from || at > to)) show(at - (to - from) / 2, at + (to - from) / 2);
  else mark();
  if (pinned && columns) lookAt(null, at);
}
function nearest(px) {
  if (!count || px < view.begin - 6 || px > view.right + 8) return -1;
  let low = from, high = to;
  while (low < high) { const middle = low + high >> 1; if (view.time(data.end[middle]) < px) low = middle + 1; else high = middle; }
  return low;
}
const inPlot = event => { const box = plot.getBoundingClientRect(); return (event.clientX - box.left) * view.width / box.width; };
let dragged = null;
if (plot) {
  plot.addEventListener("pointerdown", event => {
    const px = inPlot(event);
    if (event.pointerType === "mouse" && event.button === 0 && px >= view.begin && count > 3) dragged = {px, i: nearest(px), moved: false};
  });
  plot.addEventListener("pointermove", event => {
    const px = inPlot(event), i = nearest(px);
    if (dragged && Math.abs(px - dragged.px) > 6) {
      dragged.moved = true;
      view.overlay.replaceChildren();
      const x0 = Math.max(Math.min(px, dragged.px), view.begin), x1 = Math.min(Math.max(px, dragged.px), view.right);
      add(view.overlay, "rect", {class: "drag", x: r(x0), width: r(x1 - x0), y: view.top, height: view.height});
    } else if (!pinned && i >= 0 && i !== at) choose(i);
  });
  addEventListener("pointerup", event => {
    if (!dragged || !dragged.moved) { dragged = null; return; }
    const end = nearest(Math.min(Math.max(inPlot(event), view.begin), view.right)), begin = dragged.i;
    show(Math.min(begin, end), Math.max(begin, end));
    setTimeout(() => { dragged = null; });
  });
  plot.addEventListener("pointerleave", event => {
    if (!pinned && !dragged && event.pointerType === "mouse" && document.activeElement !== plot) choose(-1);
  });
  plot.addEventListener("click", event => {
    if (dragged && dragged.moved) return;
    const version = Number(event.target.dataset.version), place = curves.findIndex(one => one.version === version);
    if (picker && event.target.dataset.version && place >= 0) { train(place); return; }
    const i = nearest(inPlot(event));
    if (i >= 0) choose(i, !(pinned && i === at));
  });
  plot.addEventListener("dblclick", () => show(0, count - 1));
  plot.addEventListener("blur", () => { if (!pinned) choose(-1); });
  plot.addEventListener("keydown", event => {
    if (!count || event.ctrlKey || event.metaKey || event.altKey) return;
    const step = {ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageDown: 10, PageUp: -10}[event.key];
    if (step) choose(at < 0 ? (step > 0 ? from : to) : Math.max(at + step, 0));
    else if (event.key === "Home") choose(0);
    else if (event.key === "End") choose(count - 1);
    else if (event.key === "Enter" || event.key === " ") choose(at < 0 ? to : at, !pinned);
    else if (event.key === "Escape") choose(-1);
    else if (event.key === "+" || event.key === "=") zoom("in");
    else if (event.key === "-") zoom("out");
    else if (event.key === "0") zoom("all");
    else return;
    event.preventDefault();
  });
  const all = [...present(data.loss), ...curves.flatMap(one => present([...one.training, ...one.validation]))], known = present(data.loss);
  const scale = value => { log = value; logButton.setAttribute("aria-pressed", String(log)); };
  if (!(Math.min(...all) > 0)) { logButton.disabled = true; logButton.title = "needs losses above 0"; }
  else if (known.length && Math.max(...known) / Math.min(...known) > 30) scale(true);
  logButton.addEventListener("click", () => { scale(!log); draw(); });
  if (picker) picker.addEventListener("change", () => train(Number(picker.value)));
  painters.push(() => draw());
}
function train(place) { curve = place; picker.value = String(place); draw(); }

// ---- columns by windows
const heat = $("heat"), told = $("heat-told"), orders = $("order"), more = $("more-columns"), detail = $("shares"), columnPicker = $("column");
const CODES = new Int16Array(128).fill(-1);
[..."ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"].forEach((letter, k) => { CODES[letter.charCodeAt(0)] = k; });
/** The k-th packed number, from 0 to largest; null where there is none. */
function unpack(text, k, largest) {
  const high = CODES[text.charCodeAt(2 * k)];
  return high < 0 ? null : ((high << 6) + CODES[text.charCodeAt(2 * k + 1)]) / 4095 * largest;
}
const FIRST = 20, ROW = 18;
let rowsShown = FIRST, order = [], map = null, cell = null, looked = {column: 0, window: -1};
const offset = columns ? count - columns.count : 0; // windows before the first that the map knows
const distanceOf = (c, i) => unpack(columns.distance[c], i - offset, columns.largest);
const thresholdOf = (c, i) => unpack(columns.threshold[c], i - offset, 1);
const faults = new Map(columns ? columns.faults.map(([c, k, text]) => [c + ":" + (k + offset), text]) : []);

function sortColumns() {
  order = columns.names.map((_, c) => c);
  if (orders.value === "name") order.sort((a, b) => columns.names[a].localeCompare(columns.names[b], "en", {numeric: true}));
}
const PAPER = {"--c0": "#e9eef4", "--c1": "#86aed6", "--o0": "#f5b183", "--o1": "#c2410c", "--o2": "#6b1f02", "--fault": "#8a6400", "--empty": "#f2f2ef"};
/** Colours by the ratio of distance and threshold, in 64 steps to three times the threshold. */
function ramp(paper) {
  const screen = getComputedStyle(document.documentElement), style = {getPropertyValue: name => paper ? PAPER[name] : screen.getPropertyValue(name)};
  const context = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
  const rgb = name => { context.fillStyle = style.getPropertyValue(name).trim(); context.fillRect(0, 0, 1, 1); return [...context.getImageData(0, 0, 1, 1).data].slice(0, 3); };
  const [c0, c1, o0, o1, o2] = ["--c0", "--c1", "--o0", "--o1", "--o2"].map(rgb);
  const mix = (a, b, t) => `rgb(${a.map((v, k) => Math.round(v + (b[k] - v) * t)).join(" ")})`;
  const steps = Array.from({length: 65}, (_, k) => {
    const ratio = k / 64 * 3;
    return ratio <= 1 ? mix(c0, c1, ratio ** 1.5) : ratio <= 2 ? mix(o0, o1, ratio - 1) : mix(o1, o2, ratio - 2);
  });
  return {steps, fault: style.getPropertyValue("--fault").trim(), empty: style.getPropertyValue("--empty").trim()};
}
function drawHeat(room = heat.clientWidth, paper = false) {
  const width = Math.max(room, 240), left = Math.min(Math.max(...columns.names.map(name => name.length)) * 6.4 + 14, width * 0.28, 190);
  const rows = order.slice(0, rowsShown), a = Math.max(from, offset), b = to;
  const height = rows.length * ROW, first = count ? data.start[Math.min(a, b)] : 0, last = data.end[b];
  const x = t => left + (t - first) / (last - first || 1) * (width - left);
  map = {rows, left, width, height, x, a, b};
  let canvas = heat.querySelector("canvas");
  if (!canvas) {
    canvas = element("canvas");
    heat.append(canvas, element("div", undefined, "names"), element("div", undefined, "times"));
  }
  const sharp = Math.min(window.devicePixelRatio || 1, 2);
  canvas.width = Math.round(width * sharp);
  canvas.height = Math.round(height * sharp);
  canvas.style.width = width + "px";
  canvas.style.height = height + "px";
  const context = canvas.getContext("2d"), colours = ramp(paper);
  context.scale(sharp, sharp);
  rows.forEach((c, row) => {
    for (let i = a; i <= b; i++) {
      const distance = distanceOf(c, i), x0 = x(data.start[i]), wide = Math.max(x(data.end[i]) - x0, 0.6), flag = columns.flag[c][i - offset];
      const ratio = distance === null ? null : distance / (thresholdOf(c, i) || 1);
      // a column that the verdict names is shown beyond its threshold, whatever test has named it
      const step = Math.round(Math.min(flag === "S" ? Math.max(ratio, 1.1) : ratio, 3) / 3 * 64);
      context.fillStyle = flag === "F" ? colours.fault : ratio === null ? colours.empty : colours.steps[step];
      context.fillRect(x0, row * ROW + 1, wide > 4 ? wide - 1 : wide + 0.3, ROW - 2);
    }
  });
  const names = heat.querySelector(".names");
  names.style.width = left + "px";
  names.replaceChildren(...rows.map(c => {
    const name = element("div", columns.names[c], c === looked.column ? "at" : "");
    name.style.height = name.style.lineHeight = ROW + "px";
    name.title = columns.names[c];
    return name;
  }));
  const times = [];
  let free = left;
  for (const [t, label] of timeTicks(first, last, (width - left) / 62)) {
    const px = x(t), half = label.length * 3.4;
    if (px - half < free || px + half > width) continue;
    const text = element("span", label);
    text.style.left = px + "px";
    times.push(text);
    free = px + half + 8;
  }
  heat.querySelector(".times").replaceChildren(...times);
  frame();
  if (more) {
    more.hidden = columns.names.length <= FIRST;
    more.textContent = rowsShown > FIRST ? `Only ${FIRST} columns` : `All ${columns.names.length} columns`;
  }
}
function frame() {
  for (const old of heat.querySelectorAll(".frame")) old.remove();
  const place = cell || (looked.window >= 0 ? {row: map.rows.indexOf(looked.column), i: looked.window} : null);
  if (!place || place.row < 0 || place.i < map.a || place.i > map.b) return;
  const box = element("div", undefined, "frame"), x0 = map.x(data.start[place.i]), wide = map.x(data.end[place.i]) - x0;
  box.style.left = x0 - 2 + "px";
  box.style.top = place.row * ROW - 1 + "px";
  box.style.width = Math.max(wide + 3, 6) + "px";
  box.style.height = ROW + 2 + "px";
  heat.append(box);
}
function saying(c, i) {
  const distance = distanceOf(c, i), threshold = thresholdOf(c, i), fault = faults.get(c + ":" + i) || faults.get("-1:" + i);
  const head = `${columns.names[c]}, ${span(i)}: `;
  if (fault) return head + "broken feed: " + fault.replace(columns.names[c] + ": ", "");
  if (distance === null) return head + "no rows";
  const limit = threshold !== null && threshold < 0.99 ? `, ${threshold.toFixed(3)} allowed` : ", too few rows to say more";
  return `${head}distance ${distance.toFixed(3)}${limit}${columns.flag[c][i - offset] === "S" ? "; named by the verdict" : ""}`;
}
function pointAt(row, i) {
  cell = row < 0 ? null : {row: Math.min(Math.max(row, 0), map.rows.length - 1), i: Math.min(Math.max(i, map.a), map.b)};
  told.textContent = cell ? saying(map.rows[cell.row], cell.i) : "";
  frame();
}
/** Shows a column of a window below the map; null leaves it as it is. */
function lookAt(c, i) {
  if (c !== null) looked.column = c;
  if (i !== null) looked.window = Math.max(i, offset);
  columnPicker.value = String(looked.column);
  cell = null;
  drawShares();
  for (const [row, name] of [...heat.querySelectorAll(".names div")].entries()) name.classList.toggle("at", map.rows[row] === looked.column);
  frame();
}

// ---- the reference against a window
const keptBefore = new Map();
function sharesOf(c, i, cells) {
  const kept = columns.kept[c], k = i - offset;
  if (kept[k] !== "1") return null;
  if (!keptBefore.has(c)) {
    const places = new Int32Array(columns.count);
    let place = 0;
    for (let j = 0; j < columns.count; j++) {
      places[j] = place;
      if (kept[j] === "1") { const cells = columns.references[data.version[j + offset]]?.[columns.names[c]]; place += cells ? cells[0].length : 0; }
    }
    keptBefore.set(c, places);
  }
  const begin = keptBefore.get(c)[k];
  return Array.from({length: cells}, (_, j) => unpack(columns.shares[c], begin + j, 1));
}
function drawShares(room = detail.clientWidth) {
  const c = looked.column, i = looked.window;
  const name = columns.names[c], known = i >= 0 ? columns.references[data.version[i]]?.[name] : null;
  $("window-before").disabled = i <= offset;
  $("window-after").disabled = i >= count - 1;
  if (!known) { detail.replaceChildren(element("p", "This window was not counted: the files of its version, or its rows, are gone.")); return; }
  const [labels, packed] = known, before = labels.map((_, j) => unpack(packed, j, 1)), after = sharesOf(c, i, labels.length);
  const head = element("p", saying(c, i), columns.flag[c][i - offset] === "." ? "" : "moved");
  const parts = [head];
  const legend = element("p");
  for (const [kind, text] of [["ref", `reference of v${data.version[i]}`], ["now", "this window"]]) legend.append(element("i", undefined, "swatch " + kind), text + "\u2003");
  if (after === null || after.some(share => share === null)) {
    parts.push(element("p", after === null ? "Its values are not inside this page, which holds those of the newest windows and of what stood out." : "No rows."));
  } else {
    const most = before.map((share, j) => [Math.abs(Math.sqrt(share) - Math.sqrt(after[j])), j]).sort((a, b) => b[0] - a[0])[0][1];
    legend.append(` the most moved: ${labels[most]}, ${percent(before[most])} → ${percent(after[most])} of rows`);
    const shown = labels.map((_, j) => j).filter(j => before[j] > 0 || after[j] > 0);
    parts.push(legend, columns.kinds[c] === "number" ? upright(room, labels, before, after, shown, most) : lying(room, labels, before, after, shown, most));
    parts.push(asTable(labels, before, after, shown));
  }
  const ways = element("p"), href = data.pages[data.number[i]];
  if (href) { const link = element("a", "Evidently’s report of this window"); link.href = href; ways.append(link); }
  else ways.append("Evidently’s report of this window: ", element("code", data.command + data.number[i]));
  detail.replaceChildren(...parts, ways);
}
/** The edges of a number's cells as short as they can be told apart, and the names of its other cells: place and text. */
function edgesOf(labels, shown) {
  const edge = label => label.includes(" to ") ? label.split(" to ")[0] : label.endsWith(" and above") ? label.slice(0, -10) : null;
  const edges = shown.map(j => edge(labels[j])), ranges = edges.some(text => text !== null), known = edges.filter(text => text !== null);
  const digits = [2, 3, 4, 5].find(n => new Set(known.map(text => Number(text).toPrecision(n))).size === new Set(known).size) || 6;
  return shown.map((j, place) => {
    if (edges[place] !== null) return [place, String(Number(Number(edges[place]).toPrecision(digits))).replace("-", "−")];
    return ranges && labels[j].startsWith("below ") && edges[place + 1] !== undefined ? null : [place + 0.5, labels[j]];
  }).filter(one => one !== null);
}
/** A histogram: cells side by side, the reference behind, the window before it. */
function upright(room, labels, before, after, shown, most) {
  const width = Math.max(room, 260), svg = blank(), high = Math.max(...shown.map(j => Math.max(before[j], after[j]))), top = 10, height = 150;
  const left = 44, wide = (width - left - 8) / shown.length, y = share => top + height - share / high * height;
  tall(svg, width, top + height + 24);
  for (const share of ticks(0, high, 3)) {
    add(svg, "line", {class: "grid", x1: left, x2: width - 4, y1: r(y(share)), y2: r(y(share))});
    add(svg, "text", {x: left - 5, y: r(y(share) + 4), "text-anchor": "end"}, percent(share));
  }
  shown.forEach((j, place) => {
    const x = left + place * wide;
    add(svg, "rect", {class: "ref", x: r(x + wide * 0.06), width: r(wide * 0.88), y: r(y(before[j])), height: r(top + height - y(before[j]))});
    add(svg, "rect", {class: "now" + (j === most ? " most" : ""), x: r(x + wide * 0.26), width: r(wide * 0.48), y: r(y(after[j])), height: r(top + height - y(after[j]))});
  });
  let free = left - 20;
  for (const [place, label] of edgesOf(labels, shown)) {
    const half = label.length * 3.1, px = Math.min(left + place * wide, width - half);
    if (px - half < free) continue;
    if (Number.isInteger(place)) add(svg, "line", {class: "axis", x1: r(px), x2: r(px), y1: top + height, y2: top + height + 4});
    add(svg, "text", {x: r(px), y: top + height + 16, "text-anchor": "middle"}, label);
    free = px + half + 6;
  }
  return svg;
}
/** Levels under each other, two bars each. */
function lying(room, labels, before, after, shown, most) {
  const width = Math.max(room, 260), svg = blank(), high = Math.max(...shown.map(j => Math.max(before[j], after[j]))), each = 24;
  const left = Math.min(Math.max(...shown.map(j => labels[j].length)) * 6.2 + 12, width * 0.38), x = share => share / high * (width - left - 96);
  tall(svg, width, shown.length * each + 6);
  shown.forEach((j, place) => {
    const y = place * each + 4, fit = Math.floor((left - 10) / 6.2), label = labels[j].length > fit ? labels[j].slice(0, fit - 1) + "…" : labels[j];
    add(svg, "text", {x: left - 8, y: y + 13, "text-anchor": "end"}, label);
    add(svg, "rect", {class: "ref", x: left, y, width: r(Math.max(x(before[j]), 0.5)), height: 8});
    add(svg, "rect", {class: "now" + (j === most ? " most" : ""), x: left, y: y + 9, width: r(Math.max(x(after[j]), 0.5)), height: 8});
    add(svg, "text", {x: r(left + Math.max(x(before[j]), x(after[j])) + 6), y: y + 13}, `${percent(before[j])} → ${percent(after[j])}`);
  });
  return svg;
}
function asTable(labels, before, after, shown) {
  const box = element("details"), table = element("table"), head = table.createTHead().insertRow(), body = table.createTBody();
  for (const text of ["values", "reference", "window"]) { const cell = element("th", text); cell.scope = "col"; head.append(cell); }
  for (const j of shown) {
    const row = body.insertRow();
    row.append(element("th", labels[j]), element("td", percent(before[j]), "n"), element("td", percent(after[j]), "n"));
  }
  box.append(element("summary", "as a table"), table);
  return box;
}

if (columns) {
  sortColumns();
  looked.window = count - 1;
  for (let i = count - 1; i >= offset; i--) { // the newest window in which anything stood out, in its furthest column
    const c = order.find(one => columns.flag[one][i - offset] !== ".");
    if (c !== undefined) { looked = {column: c, window: i}; break; }
  }
  columnPicker.value = String(looked.column);
  const place = event => {
    const box = heat.getBoundingClientRect(), px = event.clientX - box.left, row = Math.floor((event.clientY - box.top) / ROW);
    if (row < 0 || row >= map.rows.length) return null;
    let low = map.a, high = map.b;
    while (low < high) { const middle = low + high >> 1; if (map.x(data.end[middle]) < px) low = middle + 1; else high = middle; }
    return {row, i: px < map.left ? null : low};
  };
  heat.addEventListener("pointermove", event => { const found = place(event); if (found && found.i !== null) pointAt(found.row, found.i); });
  heat.addEventListener("pointerleave", () => { if (document.activeElement !== heat) pointAt(-1, 0); });
  heat.addEventListener("click", event => {
    const found = place(event);
    if (found) { lookAt(map.rows[found.row], found.i); if (found.i !== null) choose(found.i, true); }
  });
  heat.addEventListener("blur", () => pointAt(-1, 0));
  heat.addEventListener("keydown", event => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const now = cell || {row: Math.max(map.rows.indexOf(looked.column), 0), i: Math.min(Math.max(looked.window, map.a), map.b)};
    const step = {ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0], PageDown: [0, 10], PageUp: [0, -10]}[event.key];
    if (step) pointAt(Math.max(now.row + step[0], 0), now.i + step[1]);
    else if (event.key === "Home") pointAt(now.row, map.a);
    else if (event.key === "End") pointAt(now.row, map.b);
    else if (event.key === "Enter" || event.key === " ") { choose(now.i, true); lookAt(map.rows[now.row], now.i); }
    else if (event.key === "Escape") pointAt(-1, 0);
    else return;
    event.preventDefault();
  });
  orders.addEventListener("change", () => { sortColumns(); drawHeat(); });
  more.addEventListener("click", () => { rowsShown = rowsShown > FIRST ? FIRST : columns.names.length; drawHeat(); });
  columnPicker.addEventListener("change", () => lookAt(Number(columnPicker.value), null));
  for (const [id, step] of [["window-before", -1], ["window-after", 1]])
    $(id).addEventListener("click", () => { choose(Math.min(Math.max(looked.window + step, offset), count - 1), true); });
  painters.push(() => drawHeat());
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => drawHeat());
}

// ---- verdicts
const filters = [...document.querySelectorAll(".filters button")], items = [...document.querySelectorAll(".verdicts > li")];
const SHOWN = 12, rest = $("more-verdicts");
let kind = "all", most = SHOWN;
function list(tell) {
  const wanted = items.filter(item => kind === "all" || item.dataset.kind === kind || (kind === "retrained" && item.hasAttribute("data-retrained")));
  for (const item of items) item.hidden = true;
  wanted.slice(0, most).forEach(item => { item.hidden = false; });
  rest.hidden = wanted.length <= most;
  rest.textContent = wanted.length - most > 50 ? `Show 50 more of ${wanted.length - most}` : `Show ${wanted.length - most} more`;
  if (tell) $("filtered").textContent = `${Math.min(most, wanted.length)} of ${wanted.length} entries shown`;
}
for (const button of filters) button.addEventListener("click", () => {
  kind = button.dataset.kind;
  most = SHOWN;
  for (const other of filters) other.setAttribute("aria-pressed", String(other === button));
  list(true);
});
if (rest) {
  rest.addEventListener("click", () => {
    const next = most;
    most += 50;
    list(true);
    const found = items.filter(item => !item.hidden)[next];
    if (found) { found.tabIndex = -1; found.focus({preventScroll: true}); }
  });
  list(false);
}
/** Lists what a link on this page leads to. */
function reveal() {
  const item = location.hash.length > 2 && document.querySelector(`.verdicts > li[id="${CSS.escape(location.hash.slice(1))}"]`);
  if (!item) return;
  if (item.hidden) { kind = "all"; most = items.length; for (const other of filters) other.setAttribute("aria-pressed", String(other.dataset.kind === "all")); list(false); }
  item.scrollIntoView({block: "center"});
}
addEventListener("hashchange", reveal);
reveal();
for (const button of document.querySelectorAll(".go")) button.addEventListener("click", () => {
  const c = columns.names.indexOf(button.dataset.column), i = data.number.indexOf(Number(button.dataset.window));
  choose(i, true);
  lookAt(c, i);
  $("detail").scrollIntoView({block: "start", behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth"});
  columnPicker.focus({preventScroll: true});
});

// ---- labels
const coverage = $("coverage");
function drawCoverage(room = coverage.clientWidth) {
  const width = Math.max(room, 260), svg = blank(), left = 52, height = 90, top = 8, DAY = 864e5;
  const days = data.days.map(([day, rows, labelled]) => [Date.parse(day + "T00:00Z"), rows, labelled]);
  const first = days[0][0], last = days.at(-1)[0] + DAY, high = Math.max(...days.map(day => day[1]));
  const x = t => left + (t - first) / (last - first) * (width - left - 4), y = n => top + height - n / high * height;
  tall(svg, width, top + height + 24);
  for (const n of ticks(0, high, 3).filter(Number.isInteger)) {
    add(svg, "line", {class: "grid", x1: left, x2: width - 4, y1: r(y(n)), y2: r(y(n))});
    add(svg, "text", {x: left - 6, y: r(y(n) + 4), "text-anchor": "end"}, whole(n));
  }
  const bars = {waiting: "", labelled: ""}, bar = (px, wide, low, high) => `M${r(px)} ${r(y(low))}h${r(wide)}V${r(y(high))}h${r(-wide)}z`;
  for (const [day, rows, labelled] of days) {
    const px = x(day), wide = Math.max(x(day + DAY) - px - (x(first + DAY) - left > 3 ? 1 : 0), 0.4);
    bars.labelled += bar(px, wide, 0, labelled);
    if (labelled < rows) bars.waiting += bar(px, wide, labelled, rows);
  }
  for (const name in bars) add(svg, "path", {class: name, d: bars[name]});
  let free = left;
  for (const [t, label] of timeTicks(first, last, (width - left) / 62)) {
    const px = x(t), half = label.length * 3.2;
    if (px - half < free || px + half > width) continue;
    add(svg, "text", {x: r(px), y: top + height + 16, "text-anchor": "middle"}, label);
    free = px + half + 8;
  }
  coverage.replaceChildren(svg);
}
if (coverage) painters.push(() => drawCoverage());

let width = 0;
function fit() {
  const now = document.body.clientWidth;
  if (Math.abs(now - width) < 1) return;
  width = now;
  if (count) show(from, to); else paint();
  if (columns) lookAt(null, null);
}
fit();
new ResizeObserver(fit).observe(document.body);
addEventListener("beforeprint", () => { for (const item of items) item.hidden = false; if (plot) draw(760); if (columns) { drawHeat(660, true); drawShares(760); } if (coverage) drawCoverage(760); });
addEventListener("afterprint", () => { if (rest) list(false); paint(); if (columns) drawShares(); });
})();
