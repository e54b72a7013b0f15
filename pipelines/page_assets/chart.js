
/** What every chart of these pages is drawn with. */
const chart = (() => {
"use strict";
function add(parent, name, attributes, text) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const key in attributes) node.setAttribute(key, attributes[key]);
  if (text !== undefined) node.textContent = text;
  parent.append(node);
  return node;
}
const r = x => Math.round(x * 10) / 10;

/** A path through the points that exist; a gap where one is missing. */
function path(values, x, y) {
  let d = "", pen = "M";
  values.forEach((v, i) => {
    if (v === null) { pen = "M"; return; }
    d += `${pen}${r(x(i))} ${r(y(v))}`;
    pen = "L";
  });
  return d;
}
const lonely = (values, i) => values[i] !== null && (i === 0 || values[i - 1] === null) && (i === values.length - 1 || values[i + 1] === null);

/** Round steps that cover low to high in about `want` parts. */
function ticks(low, high, want) {
  const raw = (high - low) / want, power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].map(m => m * power).find(s => s >= raw * 0.999);
  const found = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high * (1 + 1e-12) + 1e-12; k++) found.push(+(k * step).toPrecision(12));
  return found;
}
function logTicks(low, high, want) {
  if (high / low < 8) return ticks(low, high, want);
  let found = [];
  for (let k = Math.floor(Math.log10(low)); k <= Math.log10(high); k++)
    for (const m of [1, 2, 5]) if (m * 10 ** k >= low && m * 10 ** k <= high) found.push(+(m * 10 ** k).toPrecision(6));
  if (found.length > want * 1.7) {
    const tens = found.filter(v => Math.abs(Math.log10(v) % 1) < 1e-9);
    const every = Math.ceil(tens.length / (want * 1.5));
    found = tens.filter((_, i) => i % every === 0);
  }
  return found;
}
function tickLabel(v, all, log) {
  if (Math.abs(v) >= 1e6 || (v !== 0 && Math.abs(v) < 1e-4)) return v.toExponential(0).replace("e+", "e").replace("-", "−");
  const decimals = log ? 0 : Math.max(...all.map(t => (String(+t.toPrecision(6)).split(".")[1] || "").length));
  return v.toLocaleString("en", {minimumFractionDigits: decimals, maximumFractionDigits: 6}).replace("-", "−");
}
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const HOUR = 36e5, DAY = 24 * HOUR;
const two = n => String(n).padStart(2, "0");

/** Round times between two moments, and how to write them. */
function timeTicks(from, to, room) {
  const fit = step => (to - from) / step <= room;
  const found = [];
  for (const h of [1, 3, 6, 12]) if (fit(h * HOUR)) {
    for (let t = Math.ceil(from / (h * HOUR)) * h * HOUR; t <= to; t += h * HOUR) {
      const d = new Date(t);
      found.push([t, d.getUTCHours() ? two(d.getUTCHours()) + ":00" : `${d.getUTCDate()} ${MONTHS[d.getUTCMonth()]}`]);
    }
    return found;
  }
  for (const days of [1, 2, 7]) if (fit(days * DAY)) {
    for (let t = Math.ceil(from / DAY) * DAY; t <= to; t += days * DAY) {
      const d = new Date(t);
      found.push([t, `${d.getUTCDate()} ${MONTHS[d.getUTCMonth()]}`]);
    }
    return found;
  }
  const step = [1, 2, 3, 6, 12, 24, 60, 120, 240, 600, 1200].find(m => fit(m * 30.44 * DAY)) || 2400;
  const first = new Date(from);
  for (let m = Math.ceil((first.getUTCFullYear() * 12 + first.getUTCMonth() + (first.getUTCDate() > 1 ? 1 : 0)) / step) * step; ; m += step) {
    const year = Math.floor(m / 12), t = Date.UTC(year, m % 12);
    if (t > to) return found;
    found.push([t, step >= 12 ? `${year}` : MONTHS[m % 12] + (found.length === 0 || m % 12 < step ? ` ${year}` : "")]);
  }
}

const present = values => values.filter(v => v !== null);

// ---- words and numbers
const number = (v, decimals) => v === null || v === undefined ? "–"
  : Math.abs(v) >= 1e7 ? v.toExponential(1).replace("-", "−")
  : v.toLocaleString("en", {minimumFractionDigits: decimals, maximumFractionDigits: decimals}).replace("-", "−");
function date(time, hours) {
  const d = new Date(time);
  return `${d.getUTCDate()} ${MONTHS[d.getUTCMonth()]} ${d.getUTCFullYear()}`
    + (hours ? `, ${two(d.getUTCHours())}:${two(d.getUTCMinutes())}` : "");
}

// ---- the loss of training and service on one axis
const sign = (parent, name, x, y, size) =>
  add(parent, "use", {href: "#s-" + name, class: "sign " + name, x: r(x - size / 2), y: r(y - size / 2), width: size, height: size});

/** From where to where an axis goes that holds these values; a steep first epoch may stretch it by half, not more. */
function stretched(values, training, log, pad) {
  const held = values.length ? values : training.length ? training : [0, 1];
  const scale = log ? Math.log : v => v, back = log ? Math.exp : v => v;
  let low = scale(Math.min(...held)), high = scale(Math.max(...held));
  if (high - low < Math.abs(high) * 1e-6 + 1e-12) { low -= Math.abs(low) * 0.1 + 1e-3; high += Math.abs(high) * 0.1 + 1e-3; }
  const wide = high - low, reach = training.map(scale);
  low = Math.max(Math.min(low, ...reach), low - wide * 0.5);
  high = Math.min(Math.max(high, ...reach), high + wide * 0.5);
  const more = (high - low) * pad;
  return [back(low - more), back(high + more)];
}

/** The lines and numbers of the losses. v: the layout of the chart. */
function grid(svg, v) {
  v.marks.forEach((mark, i) => {
    add(svg, "line", {class: "grid", x1: v.left, x2: v.right, y1: r(v.y(mark)), y2: r(v.y(mark))});
    add(svg, "text", {x: v.left - 8, y: r(v.y(mark) + 4), "text-anchor": "end"}, v.labels[i]);
  });
}

/** The epochs of a version beside those of the others, faint; returns where an epoch lies. */
function epochs(svg, group, v, curves, curve) {
  const chosen = curves[curve], inner = v.training - 10;
  const first = Math.min(...chosen.epoch), last = Math.max(...chosen.epoch);
  const x = e => v.left + 5 + (last > first ? (e - first) / (last - first) : 0.5) * inner;
  curves.forEach((other, k) => {
    if (k === curve || other.epoch.length < 2) return;
    const low = Math.min(...other.epoch), wide = Math.max(...other.epoch) - low;
    add(group, "path", {class: "line ghost", d: path(other.validation, i => v.left + 5 + (other.epoch[i] - low) / wide * inner, v.y)});
  });
  for (const name of ["training", "validation"]) {
    const values = chosen[name];
    add(group, "path", {class: "line " + name, d: path(values, i => x(chosen.epoch[i]), v.y), "data-curve": name});
    values.forEach((value, i) => lonely(values, i) && add(group, "circle", {class: "dot", cx: r(x(chosen.epoch[i])), cy: r(v.y(value)), r: 2.5}));
  }
  return x;
}

/** Names beside the two curves, at the end where there is room. */
function nameEnds(svg, v, chosen, x) {
  const k = chosen.epoch.length - 1;
  const ends = ["training", "validation"].map(name => ({name, y: chosen[name][k] === null ? NaN : v.y(chosen[name][k])}));
  if (k < 3 || !(Math.abs(ends[0].y - ends[1].y) > 6)) return;
  ends.sort((a, b) => a.y - b.y).forEach(({name, y}, lower) => {
    const place = y + (lower ? 16 : -10);
    if (place > v.top + 8 && place < v.bottom - 3) add(svg, "text", {x: r(x(chosen.epoch[k])), y: r(place), "text-anchor": "end"}, name);
  });
}

/** Times under an axis at y, from left to right; a label that would meet what stands before it begins at its tick. */
function timeAxis(svg, v, y, left, right, end, time) {
  let free = -Infinity;
  for (const [t, label] of timeTicks(v.first, v.last, (right - left) / 62)) {
    const px = time(t), half = label.length * 3.4, start = px - half < left - 4;
    add(svg, "line", {class: "axis", x1: r(px), x2: r(px), y1: y, y2: y + 5});
    if ((start ? px : px - half) < free || px + (start ? 2 : 1) * half > end) continue;
    add(svg, "text", {x: r(px), y: y + 17, "text-anchor": start ? "start" : "middle"}, label);
    free = px + (start ? 2 : 1) * half + 8;
  }
}
return {add, r, path, lonely, ticks, logTicks, tickLabel, present, timeTicks, number, date, sign, stretched, grid, epochs, nameEnds, timeAxis};
})();
