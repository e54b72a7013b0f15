
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
return {add, r, path, lonely, ticks, logTicks, tickLabel, present, timeTicks, two, MONTHS};
})();
