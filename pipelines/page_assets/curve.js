
(() => {
"use strict";
const {add, r, path, lonely, ticks, logTicks, tickLabel, present} = chart;
const data = JSON.parse(document.getElementById("data").textContent);
const find = id => document.getElementById(id);

// ---- words and numbers
const number = (v, decimals = data.decimals) => v === null || v === undefined ? "–"
  : Math.abs(v) >= 1e7 ? v.toExponential(1).replace("-", "−")
  : v.toLocaleString("en", {minimumFractionDigits: decimals, maximumFractionDigits: decimals}).replace("-", "−");
const short = v => v === null || v === undefined ? "–" : String(+v.toPrecision(3)).replace("-", "−");
const count = v => v.toLocaleString("en");
const range = values => values.length > 1 ? `${number(Math.min(...values))} to ${number(Math.max(...values))}` : number(values[0]);
const bold = text => { const node = document.createElement("b"); node.textContent = text; return node; };
const paragraph = (style, ...parts) => { const p = document.createElement("p"); p.className = style; p.append(...parts); return p; };

/** The place of the value nearest to a number in an ascending list. */
function nearest(values, x) {
  let low = 0, high = values.length - 1;
  while (high - low > 1) { const middle = (low + high) >> 1; if (values[middle] < x) low = middle; else high = middle; }
  return Math.abs(values[low] - x) <= Math.abs(values[high] - x) ? low : high;
}
const quantile = (values, share) => values.length ? [...values].sort((a, b) => a - b)[Math.floor(share * (values.length - 1))] : NaN;

/** An axis that holds these values: its ends, its marks and where a value stands on it. */
function axis(values, log, top, height, want, pad = 0.05) {
  const to = log ? Math.log : v => v, back = log ? Math.exp : v => v;
  let low = to(Math.min(...values)), high = to(Math.max(...values));
  if (!(high - low > Math.abs(high) * 1e-9 + 1e-12)) { const half = log ? 0.1 : Math.abs(high) * 0.1 || 1; low -= half; high += half; }
  const room = (high - low) * pad;
  low = back(low - room); high = back(high + room);
  const marks = (log ? logTicks : ticks)(low, high, want), shown = marks.map(v => tickLabel(v, marks, log));
  const y = v => top + height - (to(Math.max(v, log ? Number.MIN_VALUE : -Infinity)) - to(low)) / (to(high) - to(low)) * height;
  return {low, high, marks, shown, y, top, bottom: top + height, clamp: v => Math.min(Math.max(y(v), top), top + height)};
}
function grid(svg, scale, left, right) {
  scale.marks.forEach((mark, i) => {
    add(svg, "line", {class: "grid", x1: left, x2: right, y1: r(scale.y(mark)), y2: r(scale.y(mark))});
    add(svg, "text", {x: left - 8, y: r(scale.y(mark) + 4), "text-anchor": "end"}, scale.shown[i]);
  });
}
function drawing(width, height) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", `0 0 ${width} ${r(height)}`);
  svg.setAttribute("aria-hidden", "true");
  return svg;
}
/** What lies outside a panel is not drawn. */
function inside(svg, id, x, y, width, height) {
  add(add(add(svg, "defs", {}), "clipPath", {id}), "rect", {x: r(x), y: r(y), width: r(Math.max(width, 0)), height: r(height)});
  return add(svg, "g", {"clip-path": `url(#${id})`});
}
const triangle = (parent, x, y, style = "spike") => add(parent, "path", {class: style, d: `M${r(x - 5)} ${r(y - 9)}h10l-5 9Z`});

/** Redraws where a box has another width, and for paper. */
function follow(box, draw) {
  let width = 0;
  function fit() {
    if (Math.abs(box.clientWidth - width) < 1) return;
    width = box.clientWidth;
    draw(width);
  }
  fit(); // not only with the first frame, when the observer looks
  new ResizeObserver(fit).observe(box);
  addEventListener("beforeprint", () => draw(760));
  addEventListener("afterprint", () => draw(box.clientWidth));
}

// ---- the training
function training() {
  const plot = find("plot");
  if (!plot) return;
  const readout = find("readout"), when = find("when"), logButton = find("log");
  const closer = find("closer"), wider = find("wider"), whole = find("whole");
  const buttons = [...document.querySelectorAll(".legend button")], body = document.querySelector("#epochs tbody");
  const epochs = data.epochs, steps = data.steps, gradients = data.gradients, hidden = new Set();
  const FIRST = Math.min(epochs.length ? epochs[0] : Infinity, steps ? Math.floor(steps.x[0]) : Infinity);
  const LAST = Math.max(epochs.length ? epochs.at(-1) : -Infinity, steps ? steps.x.at(-1) : -Infinity);
  const SMALLEST = Math.max((LAST - FIRST) / 500, steps ? 20 * (LAST - FIRST) / steps.x.length : 1);
  const HINT = matchMedia("(hover: none)").matches
    ? "Draw a finger over the chart to read it; tap to keep a place. + and − zoom."
    : "Move over the chart, or focus it and press ←\u00a0→, to read it; click or press Enter to keep a place. Drag over a part to zoom in; press 0 for the whole.";
  let log = data.logarithmic, from = FIRST, to = LAST, at = null, pinned = false, view = null, held = null;
  const shown = name => !hidden.has(name);
  const epochOf = x => epochs.length ? Math.min(Math.max(Math.ceil(x - 1e-6), epochs[0]), epochs.at(-1)) : null;

  /** The places of a line that can be seen, with a neighbour on each side. */
  function part(x) {
    let first = x.findIndex(v => v >= from), last = x.length - 1;
    while (last >= 0 && x[last] > to) last--;
    return first < 0 ? [0, 0] : [Math.max(first - 1, 0), Math.min(last + 2, x.length)];
  }
  /** The losses that the axis must hold; single steps may leave it. */
  function losses() {
    const values = [], [a, b] = part(epochs);
    for (const name of ["training", "validation"]) if (shown(name)) values.push(...present(data[name].slice(a, b)));
    if (steps) {
      const [c, d] = part(steps.x);
      if (shown("steps")) values.push(...present(steps.smooth.slice(c, d)));
      if (shown("raw")) {
        const low = present(steps.low.slice(c, d)), high = present(steps.high.slice(c, d));
        if (low.length) values.push(quantile(low, 0.05), quantile(high, 0.5));
      }
    }
    if (shown("starts")) for (const one of data.starts) values.push(...present(one.slice(Math.max(Math.floor(from), 0), Math.ceil(to) + 1)));
    for (const level of data.levels) if (shown("level-" + level.name)) values.push(level.loss);
    const known = log ? values.filter(v => v > 0) : values;
    return known.length ? known : [0.5, 1];
  }
  function layout(room) {
    const width = Math.max(room, 260), narrow = width < 600, top = 16, tall = narrow ? 240 : Math.min(Math.max(width * 0.34, 280), 400);
    const scale = axis(losses(), log, top, tall, narrow ? 5 : 7, 0.04);
    const rates = present(data.rate).filter(v => v > 0), panels = [];
    let below = scale.bottom;
    if (rates.length) { panels.push(["rate", below += 30, 48]); below += 48; }
    if (gradients) { panels.push(["gradients", below += 30, narrow ? 80 : 110]); below += narrow ? 80 : 110; }
    const scales = Object.fromEntries(panels.map(([name, start, height]) => {
      if (name === "rate") return [name, axis(rates, true, start, height, 1.5, 0.1)];
      const [a, b] = part(gradients.x), known = present([...gradients.low.slice(a, b), ...gradients.high.slice(a, b)]);
      return [name, axis(known.length ? known : [1], true, start, height, 4)];
    }));
    const labels = [scale, ...Object.values(scales)].flatMap(one => one.shown);
    const left = Math.max(...labels.map(l => l.length), 2) * 7 + 10, right = width - (narrow || !data.levels.length ? 8 : 104);
    const x = v => left + 4 + (v - from) / (to - from || 1) * (right - left - 8);
    const place = px => from + (px - left - 4) / (right - left - 8) * (to - from);
    return {width, narrow, left, right, x, place, scale, rate: scales.rate, gradients: scales.gradients, bottom: below};
  }
  function draw(room = plot.clientWidth) {
    if (!room) return;
    view = layout(room);
    const v = view, svg = drawing(v.width, v.bottom + 38);
    drawLoss(svg);
    if (v.rate) drawRate(svg);
    if (v.gradients) drawGradients(svg);
    const every = ticks(from, to, Math.max(2, (v.right - v.left) / 60)), marks = every.filter(Number.isInteger);
    for (const mark of marks.length > 1 ? marks : every) {
      add(svg, "line", {class: "axis", x1: r(v.x(mark)), x2: r(v.x(mark)), y1: v.bottom, y2: v.bottom + 5});
      const end = v.x(mark) > v.right - 20 ? "end" : "middle";
      add(svg, "text", {x: r(v.x(mark)), y: v.bottom + 18, "text-anchor": end}, mark === -1 ? "start" : short(mark));
    }
    add(svg, "text", {x: r((v.left + v.right) / 2), y: v.bottom + 34, "text-anchor": "middle"}, "epoch");
    v.overlay = add(svg, "g", {});
    plot.replaceChildren(svg);
    whole.disabled = wider.disabled = from === FIRST && to === LAST;
    closer.disabled = to - from <= SMALLEST;
    mark();
  }
  function stepLine(group, line, scale, rawShown, smoothShown) {
    const [a, b] = part(line.x), x = i => view.x(line.x[a + i]);
    const low = line.low.slice(a, b), high = line.high.slice(a, b);
    if (rawShown && line.size > 1) {
      const back = low.map((v, i) => v === null ? "" : `L${r(x(i))} ${r(scale.y(v))}`).reverse().join("");
      const forth = path(high.map(v => v === null ? null : v), x, scale.y);
      if (forth) add(group, "path", {class: "band-of", d: forth + back + "Z", "data-line": "raw"});
    } else if (rawShown) add(group, "path", {class: "line raw", d: path(high, x, scale.y), "data-line": "raw"});
    if (!smoothShown) return;
    const smooth = line.smooth.slice(a, b);
    add(group, "path", {class: "line steps", d: path(smooth, x, scale.y), "data-line": "steps"});
    smooth.forEach((v, i) => lonely(smooth, i) && add(group, "circle", {class: "dot steps", cx: r(x(i)), cy: r(scale.y(v)), r: 2.5}));
  }
  function drawLoss(svg) {
    const v = view, scale = v.scale;
    grid(svg, scale, v.left, v.right);
    const group = inside(svg, "in-loss", v.left, scale.top - 4, v.right - v.left, scale.bottom - scale.top + 8);
    if (steps) stepLine(group, steps, scale, shown("raw"), shown("steps"));
    for (const level of data.levels) if (shown("level-" + level.name)) {
      const y = r(scale.y(level.loss));
      add(group, "path", {class: "line level " + level.style, d: `M${v.left} ${y}H${r(v.right)}`, "data-line": level.style});
    }
    if (shown("starts")) for (const values of data.starts)
      add(group, "path", {class: "line starts", d: path(values, v.x, scale.y), "data-line": "starts"});
    const few = v.x(1) - v.x(0) > 9;
    for (const name of ["training", "validation"]) if (shown(name)) {
      const values = data[name], y = value => scale.y(value);
      add(group, "path", {class: "line " + name + (steps ? "" : " alone"), d: path(values, i => v.x(epochs[i]), y), "data-line": name});
      values.forEach((value, i) => {
        if (value !== null && (lonely(values, i) || (few && name === "validation")))
          add(group, "circle", {class: "dot " + name, cx: r(v.x(epochs[i])), cy: r(y(value)), r: 2.8});
      });
    }
    if (data.best && data.best.epoch >= from && data.best.epoch <= to) {
      const x = r(v.x(data.best.epoch));
      add(group, "line", {class: "kept-at", x1: x, x2: x, y1: scale.top, y2: scale.bottom});
      add(group, "circle", {class: "ring-of", cx: x, cy: r(scale.y(data.best.loss)), r: 6});
    }
    for (const spike of data.spikes) if (spike.x >= from && spike.x <= to) triangle(svg, v.x(spike.x), scale.clamp(spike.value) + 3);
    if (!v.narrow) labelLevels(svg);
  }
  /** Names at the right end, moved apart where they would meet. */
  function labelLevels(svg) {
    const v = view, labels = data.levels.filter(level => shown("level-" + level.name))
      .map(level => ({name: level.name, y: v.scale.clamp(level.loss)})).sort((a, b) => a.y - b.y);
    for (let i = 1; i < labels.length; i++) labels[i].y = Math.max(labels[i].y, labels[i - 1].y + 15);
    for (let i = labels.length - 1, floor = v.scale.bottom; i >= 0; i--, floor -= 15) labels[i].y = Math.min(labels[i].y, floor);
    for (const {name, y} of labels) add(svg, "text", {x: v.right + 8, y: r(y + 4)}, name);
  }
  function drawRate(svg) {
    const v = view, scale = v.rate;
    add(svg, "text", {class: "panel", x: v.left, y: scale.top - 9}, "learning rate");
    grid(svg, scale, v.left, v.right);
    const group = inside(svg, "in-rate", v.left, scale.top - 4, v.right - v.left, scale.bottom - scale.top + 8);
    add(group, "path", {class: "line rate", d: path(data.rate, i => v.x(epochs[i]), scale.y), "data-line": "rate"});
  }
  function drawGradients(svg) {
    const v = view, scale = v.gradients;
    add(svg, "text", {class: "panel", x: v.left, y: scale.top - 9}, "length of the gradient");
    grid(svg, scale, v.left, v.right);
    const group = inside(svg, "in-gradients", v.left, scale.top - 4, v.right - v.left, scale.bottom - scale.top + 8);
    for (const spike of data.spikes)
      add(group, "line", {class: "spike-at", x1: r(v.x(spike.x)), x2: r(v.x(spike.x)), y1: scale.top, y2: scale.bottom});
    stepLine(group, gradients, scale, true, true);
    for (const spike of data.gradient_spikes) if (spike.x >= from && spike.x <= to) triangle(svg, v.x(spike.x), scale.clamp(spike.value) + 2);
  }

  // ---- choosing a place
  function mark() {
    const v = view;
    v.overlay.replaceChildren();
    for (const row of body ? body.querySelectorAll(".at") : []) row.classList.remove("at", "pinned");
    tell();
    if (at === null) return;
    const x = r(v.x(at)), i = epochs.indexOf(epochOf(at));
    add(v.overlay, "line", {class: "cursor" + (pinned ? " pinned" : ""), x1: x, x2: x, y1: v.scale.top, y2: v.bottom});
    if (i >= 0 && shown("validation") && data.validation[i] !== null && epochs[i] >= from && epochs[i] <= to)
      add(v.overlay, "circle", {class: "dot validation", cx: r(v.x(epochs[i])), cy: r(v.scale.clamp(data.validation[i])), r: 4.5});
    if (steps && shown("steps") && steps.smooth[nearest(steps.x, at)] !== null)
      add(v.overlay, "circle", {class: "dot steps", cx: x, cy: r(v.scale.clamp(steps.smooth[nearest(steps.x, at)])), r: 4.5});
    if (!body || i < 0) return;
    const row = body.rows[i], box = body.parentElement.parentElement, head = box.querySelector("thead").offsetHeight;
    row.classList.add("at");
    row.classList.toggle("pinned", pinned);
    if (row.offsetTop - head < box.scrollTop) box.scrollTop = row.offsetTop - head;
    else if (row.offsetTop + row.offsetHeight > box.scrollTop + box.clientHeight) box.scrollTop = row.offsetTop + row.offsetHeight - box.clientHeight;
  }
  /** The chosen place in words, in the legend, under the chart and for a screen reader. */
  function tell() {
    const none = at === null, x = none ? (data.best ? data.best.epoch : LAST) : at, i = epochs.indexOf(epochOf(x));
    const k = steps ? nearest(steps.x, x) : -1;
    const values = {training: i < 0 ? null : data.training[i], validation: i < 0 ? null : data.validation[i]};
    if (steps) Object.assign(values, {steps: steps.smooth[k], raw: steps.size > 1 ? undefined : steps.high[k]});
    for (const button of buttons) {
      const name = button.dataset.line, level = data.levels.find(one => "level-" + one.name === name);
      const raw = name === "raw" && steps && steps.size > 1;
      button.querySelector("output").textContent = level ? number(level.loss)
        : name === "starts" ? range(present(data.starts.map(one => one[epochs[i]] ?? null)))
        : raw ? (steps.low[k] === null ? "–" : `${number(steps.low[k])} to ${number(steps.high[k])}`) : number(values[name]);
    }
    when.textContent = i < 0 ? "no epoch" : none ? (data.best ? `epoch ${epochs[i]}, kept` : `epoch ${epochs[i]}`) : `epoch ${epochs[i]}`;
    if (none) {
      plot.setAttribute("aria-valuetext", "no epoch chosen");
      readout.replaceChildren(paragraph("hint", HINT));
      return;
    }
    const parts = [bold(i < 0 ? "before the end of an epoch" : `Epoch ${epochs[i]}${data.best && epochs[i] === data.best.epoch ? ", kept" : ""}`)];
    if (i >= 0) parts.push(` · training ${number(data.training[i])} · validation ${number(data.validation[i])} · learning rate ${short(data.rate[i])}`);
    const more = data.metrics.filter(() => i >= 0).map(one => `${one.name} ${number(one.training[i], 4)}, validation ${number(one.validation[i], 4)}`);
    readout.replaceChildren(paragraph("", ...parts), paragraph("why", [...stepWords(k), ...more].join(" · ")));
    plot.setAttribute("aria-valuenow", String(i < 0 ? 0 : epochs[i]));
    plot.setAttribute("aria-valuetext", `epoch ${i < 0 ? "–" : epochs[i]}, training ${number(values.training)}, validation ${number(values.validation)}`);
  }
  /** What is known of the steps near a place. */
  function stepWords(k) {
    if (k < 0) return [];
    const first = k * steps.size, last = Math.min(first + steps.size, data.count) - 1;
    const name = first === last ? `step ${count(first)}` : `steps ${count(first)} to ${count(last)}`;
    const cost = steps.low[k] === null ? "not finite" : first === last ? number(steps.high[k]) : `${number(steps.low[k])} to ${number(steps.high[k])}`;
    const words = [`${name} of ${count(data.count)}: ${cost}, smoothed ${number(steps.smooth[k])}`];
    const near = data.spikes.find(spike => spike.step >= first && spike.step <= last);
    if (near) words.push(`a spike: ${number(near.value)} against ${number(near.around)} around it`);
    if (gradients) { const g = nearest(gradients.x, steps.x[k]); words.push(`gradient ${short(gradients.smooth[g])}, at most ${short(gradients.high[g])} here`); }
    return words;
  }
  function choose(x, pin = pinned) {
    at = x === null ? null : Math.min(Math.max(x, FIRST), LAST);
    pinned = at !== null && pin;
    if (at !== null && (at < from || at > to)) { const half = (to - from) / 2; zoom(at - half, at + half); }
    else mark();
  }
  function zoom(a, b) {
    const span = Math.min(Math.max(b - a, SMALLEST), LAST - FIRST);
    const middle = Math.min(Math.max((a + b) / 2, FIRST + span / 2), LAST - span / 2);
    [from, to] = span >= LAST - FIRST ? [FIRST, LAST] : [middle - span / 2, middle + span / 2];
    draw();
  }
  function scaleBy(factor) {
    const centre = at === null ? (from + to) / 2 : at, half = (to - from) * factor / 2;
    zoom(centre - half, centre + half);
  }
  const pixel = event => { const box = plot.getBoundingClientRect(); return (event.clientX - box.left) * view.width / box.width; };
  /** The place under a pointer: of a step where steps are known, else of an epoch. */
  function under(event) {
    const px = pixel(event);
    if (px < view.left - 6 || px > view.right + 8) return null;
    const x = Math.min(Math.max(view.place(px), from), to), known = steps ? steps.x : epochs;
    return known.length ? known[nearest(known, x)] : null;
  }
  plot.addEventListener("pointerdown", event => {
    if (event.pointerType === "mouse" && event.button === 0) held = {px: pixel(event), moved: false};
  });
  plot.addEventListener("pointermove", event => {
    if (held && Math.abs(pixel(event) - held.px) > 6) {
      held.moved = true;
      const [a, b] = [held.px, pixel(event)].sort((one, other) => one - other);
      if (held.box) held.box.remove();
      held.box = add(view.overlay, "rect", {class: "chosen-part", x: r(a), y: view.scale.top, width: r(b - a), height: r(view.bottom - view.scale.top)});
      return;
    }
    if (pinned) return;
    const x = under(event);
    if (x !== null && x !== at) choose(x);
  });
  addEventListener("pointerup", event => {
    if (!held) return;
    const drag = held;
    held = null;
    if (!drag.moved) return;
    if (drag.box) drag.box.remove();
    const [a, b] = [view.place(drag.px), view.place(pixel(event))].sort((one, other) => one - other);
    drag.done = true;
    zoom(Math.max(a, FIRST), Math.min(b, LAST));
    skip = true;
  });
  let skip = false;
  plot.addEventListener("click", event => {
    if (skip) { skip = false; return; }
    const x = under(event);
    if (x !== null) choose(x, !(pinned && x === at));
  });
  plot.addEventListener("dblclick", () => zoom(FIRST, LAST));
  plot.addEventListener("pointerleave", event => {
    if (!pinned && !held && event.pointerType === "mouse" && document.activeElement !== plot) choose(null);
  });
  plot.addEventListener("blur", () => { if (!pinned) choose(null); });
  plot.addEventListener("keydown", event => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const move = {ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageDown: 10, PageUp: -10}[event.key];
    if (move && event.shiftKey && steps) {
      const k = at === null ? (move > 0 ? -1 : steps.x.length) : nearest(steps.x, at);
      choose(steps.x[Math.min(Math.max(k + move, 0), steps.x.length - 1)]);
    } else if (move && epochs.length) {
      const i = at === null ? (move > 0 ? -1 : epochs.length) : epochs.indexOf(epochOf(at));
      choose(epochs[Math.min(Math.max(i + move, 0), epochs.length - 1)]);
    } else if (event.key === "Home") choose(epochs.length ? epochs[0] : FIRST);
    else if (event.key === "End") choose(LAST);
    else if (event.key === "Enter" || event.key === " ") choose(at === null ? LAST : at, !pinned);
    else if (event.key === "Escape") choose(null);
    else if (event.key === "+" || event.key === "=") scaleBy(0.5);
    else if (event.key === "-" || event.key === "−") scaleBy(2);
    else if (event.key === "0") zoom(FIRST, LAST);
    else return;
    event.preventDefault();
  });
  if (body) body.addEventListener("click", event => {
    const row = event.target.closest("tr"), i = [...body.rows].indexOf(row);
    if (i >= 0) choose(epochs[i], !(pinned && epochs[i] === epochOf(at)));
  });
  for (const button of buttons) button.addEventListener("click", () => {
    const name = button.dataset.line;
    if (!hidden.delete(name)) hidden.add(name);
    button.setAttribute("aria-pressed", String(!hidden.has(name)));
    draw();
  });
  closer.addEventListener("click", () => scaleBy(0.5));
  wider.addEventListener("click", () => scaleBy(2));
  whole.addEventListener("click", () => zoom(FIRST, LAST));
  logButton.disabled = !data.logarithmic;
  logButton.title = data.logarithmic ? "" : "needs losses above 0";
  logButton.setAttribute("aria-pressed", String(log));
  logButton.addEventListener("click", () => { log = !log; logButton.setAttribute("aria-pressed", String(log)); draw(); });
  for (const button of buttons) if (button.dataset.line === "training" && !steps) button.querySelector(".key").classList.add("alone");
  follow(plot, draw);
}

// ---- one figure at a time, over epochs or over rows
function small(name, choices, settings) {
  const box = find(name + "-plot");
  if (!box) return;
  const picker = find(name + "-choice"), readout = find(name + "-readout");
  let at = -1, view = null;
  const chosen = () => choices[Number(picker.value)];
  function draw(room = box.clientWidth) {
    if (!room) return;
    const one = chosen(), xs = settings.x(one), lines = settings.lines(one), width = Math.max(room, 260), narrow = width < 600;
    const known = present([...lines.flatMap(line => line.values), ...(one.lowest || []), ...(one.highest || [])]);
    const scale = axis(known.length ? known : [0, 1], false, 12, narrow ? 180 : 240, narrow ? 4 : 6);
    const left = Math.max(...scale.shown.map(l => l.length), 2) * 7 + 10, right = width - (narrow ? 12 : 104);
    const to = settings.log ? Math.log : v => v, span = to(xs.at(-1)) - to(xs[0]);
    const x = i => left + 8 + (span ? (to(xs[i]) - to(xs[0])) / span : 0.5) * (right - left - 16);
    const svg = drawing(width, scale.bottom + 38);
    grid(svg, scale, left, right);
    if (one.lowest) add(svg, "path", {class: "spread", d: path(one.highest, x, scale.y) + one.lowest.map((v, i) => v === null ? "" : `L${r(x(i))} ${r(scale.y(v))}`).reverse().join("") + "Z"});
    if (settings.kept !== undefined && xs.includes(settings.kept)) {
      const px = r(x(xs.indexOf(settings.kept)));
      add(svg, "line", {class: "kept-at", x1: px, x2: px, y1: scale.top, y2: scale.bottom});
    }
    for (const line of lines) {
      add(svg, "path", {class: "line alone " + line.style, d: path(line.values, x, scale.y), "data-line": line.style});
      if (xs.length < 60) line.values.forEach((v, i) => v !== null && add(svg, "circle", {class: "dot " + line.style, cx: r(x(i)), cy: r(scale.y(v)), r: 2.8}));
    }
    let free = -Infinity;
    xs.forEach((value, i) => {
      const label = settings.label(value), half = label.length * 3.5;
      if (x(i) - half < free || x(i) + half > width) return;
      add(svg, "text", {x: r(x(i)), y: scale.bottom + 18, "text-anchor": "middle"}, label);
      free = x(i) + half + 12;
    });
    add(svg, "text", {x: r((left + right) / 2), y: scale.bottom + 34, "text-anchor": "middle"}, settings.axis);
    if (!narrow) {
      const ends = lines.map(line => ({name: line.name, y: scale.clamp(present(line.values).at(-1) ?? 0)})).sort((a, b) => a.y - b.y);
      for (let i = 1; i < ends.length; i++) ends[i].y = Math.max(ends[i].y, ends[i - 1].y + 15);
      for (const end of ends) add(svg, "text", {x: right + 8, y: r(end.y + 4)}, end.name);
    }
    view = {width, x, xs, lines, scale, overlay: add(svg, "g", {})};
    box.setAttribute("aria-valuemax", String(xs.length));
    box.replaceChildren(svg);
    mark();
  }
  function mark() {
    const v = view;
    v.overlay.replaceChildren();
    if (at < 0) { readout.textContent = settings.hint; box.setAttribute("aria-valuetext", "nothing chosen"); return; }
    at = Math.min(at, v.xs.length - 1);
    const px = r(v.x(at));
    add(v.overlay, "line", {class: "cursor", x1: px, x2: px, y1: v.scale.top, y2: v.scale.bottom});
    for (const line of v.lines) if (line.values[at] !== null) add(v.overlay, "circle", {class: "dot " + line.style, cx: px, cy: r(v.scale.y(line.values[at])), r: 4.5});
    const one = chosen(), spread = one.lowest && one.lowest[at] !== null ? ` (${short(one.lowest[at])} to ${short(one.highest[at])})` : "";
    const words = v.lines.map(line => `${line.name} ${number(line.values[at], 4)}${line.style === "validation" ? spread : ""}`).join(" · ");
    readout.replaceChildren(bold(`${settings.axis[0].toUpperCase()}${settings.axis.slice(1)} ${count(v.xs[at])}`), ` · ${words}`);
    box.setAttribute("aria-valuenow", String(at + 1));
    box.setAttribute("aria-valuetext", readout.textContent);
  }
  function choose(i) { at = i; mark(); }
  box.addEventListener("pointermove", event => {
    const edge = box.getBoundingClientRect(), px = (event.clientX - edge.left) * view.width / edge.width;
    choose(nearest(view.xs.map((_, i) => view.x(i)), px));
  });
  box.addEventListener("pointerleave", event => { if (event.pointerType === "mouse" && document.activeElement !== box) choose(-1); });
  box.addEventListener("blur", () => choose(-1));
  box.addEventListener("keydown", event => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const move = {ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1}[event.key], last = view.xs.length - 1;
    if (move) choose(at < 0 ? (move > 0 ? 0 : last) : Math.min(Math.max(at + move, 0), last));
    else if (event.key === "Home") choose(0);
    else if (event.key === "End") choose(last);
    else if (event.key === "Escape") choose(-1);
    else return;
    event.preventDefault();
  });
  picker.addEventListener("change", () => draw());
  follow(box, draw);
}

const HOVER = matchMedia("(hover: none)").matches ? "Draw a finger over the chart to read it." : "Move over the chart, or focus it and press ← →, to read it.";
training();
small("metrics", data.metrics, {
  x: () => data.epochs, log: false, axis: "epoch", label: v => v === -1 ? "start" : String(v), hint: HOVER, kept: data.best ? data.best.epoch : undefined,
  lines: one => [{name: "training", style: "training", values: one.training}, {name: "validation", style: "validation", values: one.validation}]
    .filter(line => present(line.values).length),
});
small("rows", data.curves, {
  x: one => one.rows, log: true, axis: "rows learned from", label: v => v >= 1e6 ? short(v / 1e6) + "M" : v >= 1e3 ? short(v / 1e3) + "k" : String(v), hint: HOVER,
  lines: one => [{name: "learned rows", style: "training", values: one.seen}, {name: "unseen rows", style: "validation", values: one.unseen}],
});
})();
