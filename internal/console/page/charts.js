// The charts. A chart's coordinates are CSS pixels, as wide as its element, so that text keeps its size on a narrow screen.
import {age, count, octaves, percent, short, time} from "./numbers.js";

export function element(tag, text, className) {
  const e = document.createElement(tag);
  e.textContent = text;
  if (className) e.className = className;
  return e;
}

function draw(tag, attributes, text) {
  const e = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const k in attributes) e.setAttribute(k, attributes[k]);
  if (text !== undefined) e.textContent = text;
  return e;
}

// canvas makes the svg's coordinates CSS pixels. It returns the width.
function canvas(svg, height) {
  const width = Math.max(svg.clientWidth, 200);
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  return width;
}

const horizontal = (x1, x2, y) => draw("line", {class: "axis", x1, x2, y1: y, y2: y});
const path = points => points.map(([x, y], i) => `${i ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");

// gappedPath returns a path that leaves a gap at each point without a value. A point between two gaps becomes a dot.
function gappedPath(points) {
  let text = "", joined = false;
  for (const [x, y] of points) {
    const known = Number.isFinite(y);
    if (known) text += `${joined ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}${joined ? "" : "h0"}`;
    joined = known;
  }
  return text;
}

// linear returns a scale from 0 to a round number, logarithmic one between two powers of ten. A scale has the values to label,
// and a function from a value to its place, 0 (lowest) to 1.
function linear(values) {
  const highest = Math.max(...values, 0);
  if (!highest) return {labels: [0], place: () => 0};
  const unit = 10 ** Math.floor(Math.log10(highest)), top = [1, 2, 3, 4, 6, 8, 10].find(step => step * unit >= highest * .999) * unit;
  return {labels: [0, top / 2, top], place: v => v / top};
}
function logarithmic(values, least) {
  const low = Math.floor(Math.log10(Math.max(Math.min(...values), least))), decades = Math.max(Math.ceil(Math.log10(Math.max(...values, least))) - low, 1);
  const step = Math.ceil(decades / 3), high = low + step * Math.ceil(decades / step), labels = [];
  for (let e = low; e <= high; e += step) labels.push(10 ** e);
  return {labels, place: v => Math.max((Math.log10(Math.max(v, least)) - low) / (high - low), 0)};
}

// The charts over time, by their data-trend: the format of a value, the scale, the unit, and the lines' names.
const TRENDS = {
  rows: {write: count, scale: linear, unit: "rows per second", lines: [""]},
  batches: {write: count, scale: linear, unit: "batches per second", lines: [""]},
  mean: {write: count, scale: linear, unit: "rows per batch", lines: [""]},
  queue: {write: time, scale: v => logarithmic(v, 1e-6), unit: "queue time", lines: ["p50", "p99"]},
  run: {write: time, scale: v => logarithmic(v, 1e-6), unit: "run time", lines: ["p50", "p99"]},
};

// trend draws one chart over time, with the latest values at the right and the highest value below. If points has no value for
// it, the chart is an empty axis.
export function trend(svg, points) {
  const kind = svg.dataset.trend, {write, scale, unit, lines} = TRENDS[kind];
  const height = 96, left = 46, upper = 8, lower = 74, width = canvas(svg, height), right = width - 52;
  const end = points.length ? points[points.length - 1].at : 0, past = points.length ? end - points[0].at : 0;
  const span = [60, 120, 300].find(s => s >= past) ?? past;
  const values = points.flatMap(p => p[kind]).filter(Number.isFinite);
  const parts = [
    draw("text", {x: left, y: height - 5}, `${age(span)} ago`),
    draw("text", {x: right, y: height - 5, "text-anchor": "end"}, "now"),
  ];
  if (!values.length) {
    svg.setAttribute("aria-label", `${unit}: no data`);
    svg.replaceChildren(horizontal(left, right, lower), ...parts);
    return;
  }
  const {labels, place} = scale(values), y = v => lower - (lower - upper) * place(v), x = at => right - (right - left) * (end - at) / span;
  for (const v of labels) parts.push(horizontal(left, right, y(v)), draw("text", {x: left - 6, y: y(v) + 4, "text-anchor": "end"}, short(write(v))));
  const highest = write(Math.max(...values)), named = lines.length > 1 ? ` ${lines[lines.length - 1]}` : "";
  parts.push(draw("text", {x: (left + right) / 2, y: height - 5, "text-anchor": "middle"}, `highest${named} ${highest}`));
  const latest = points[points.length - 1][kind], names = ["first", "second"];
  const labelY = latest.map(v => y(v) + 4);
  if (labelY.length > 1 && labelY[0] - labelY[1] < 12) labelY[1] = labelY[0] - 12; // keeps the labels apart
  lines.forEach((_, i) => {
    parts.push(draw("path", {class: `line ${names[i]}`, d: gappedPath(points.map(p => [x(p.at), Number.isFinite(p[kind][i]) ? y(p[kind][i]) : NaN]))}));
    if (!Number.isFinite(latest[i])) return;
    parts.push(draw("circle", {class: `${names[i]} last`, cx: right, cy: y(latest[i]), r: 2.5}));
    parts.push(draw("text", {class: `${names[i]} last`, x: right + 6, y: labelY[i]}, write(latest[i])));
  });
  svg.setAttribute("aria-label", `${unit}, last ${age(span)}: now ${latest.map((v, i) => `${lines[i]} ${write(v)}`.trim()).join(", ")}, highest ${highest}`);
  svg.replaceChildren(...parts);
}

// costs draws run time over rows, both on logarithmic scales: the expected curve, the band up to the high estimate, and a dot
// for the measured mean of each size. curve is a list of [rows, expected seconds, high seconds], and sizes one of
// {runs, rows, seconds}.
export function costs(svg, curve, sizes, maxRows) {
  const height = 250, left = 58, upper = 22, lower = 205, width = canvas(svg, height), right = width - 12;
  const times = [...curve.flatMap(c => [c[1], c[2]]), ...sizes.map(s => s.seconds / s.runs)].filter(t => t > 0);
  if (!times.length) {
    svg.replaceChildren(draw("text", {class: "none", x: width / 2, y: height / 2, "text-anchor": "middle"}, "no run has been measured yet"));
    return;
  }
  const lowest = Math.log10(Math.min(...times)) - .1, highest = Math.max(Math.log10(Math.max(...times)) + .1, lowest + .5);
  const span = Math.log2(Math.max(maxRows, 2));
  const x = rows => left + (right - left) * Math.log2(Math.max(rows, 1)) / span;
  const y = t => lower - (lower - upper) * (Math.log10(Math.max(t, 1e-9)) - lowest) / (highest - lowest);
  const parts = [draw("text", {x: 0, y: 10}, "run time"), draw("text", {x: right, y: height - 6, "text-anchor": "end"}, "rows per batch")];
  for (let decade = Math.floor(lowest); decade <= highest; decade++) {
    for (const step of highest - lowest > 2.5 ? [1] : [1, 2, 5]) {
      const t = step * 10 ** decade, at = Math.log10(t);
      if (at < lowest || at > highest) continue;
      parts.push(horizontal(left, right, y(t)), draw("text", {x: left - 6, y: y(t) + 4, "text-anchor": "end"}, short(time(t))));
    }
  }
  for (let rows = 1; rows <= maxRows; rows *= 2) parts.push(draw("text", {x: x(rows), y: lower + 18, "text-anchor": "middle"}, rows));
  parts.push(draw("path", {class: "high", d: curve.length ? path([...curve.map(c => [x(c[0]), y(c[1])]), ...curve.map(c => [x(c[0]), y(c[2])]).reverse()]) + "Z" : ""}));
  parts.push(draw("path", {class: "expected", d: path(curve.map(c => [x(c[0]), y(c[1])]))}));
  const most = Math.max(...sizes.map(s => s.runs));
  for (const s of sizes) {
    const dot = draw("circle", {class: "actual", cx: x(s.rows / s.runs), cy: y(s.seconds / s.runs), r: 3 + 5 * Math.sqrt(s.runs / most)});
    dot.append(draw("title", {}, `${count(s.runs)} runs, mean ${count(s.rows / s.runs)} rows: mean ${time(s.seconds / s.runs)}`));
    parts.push(dot);
  }
  svg.replaceChildren(...parts);
}

// batchSizes draws the share of batches by rows, an octave a bar. If there was no batch, it shows the text idle.
export function batchSizes(svg, histogram, maxRows, idle) {
  const height = 126, upper = 20, lower = 94, width = canvas(svg, height), bars = Math.ceil(Math.log2(Math.max(maxRows, 2))) + 1;
  const shares = octaves(histogram, bars), step = width / bars, top = Math.max(...shares, .01);
  const parts = shares.flatMap((share, i) => {
    const barHeight = Math.max((lower - upper) * share / top, .5), low = 2 ** (i - 1) + 1, high = Math.min(2 ** i, maxRows), middle = (i + .5) * step;
    return [
      draw("rect", {class: "bars", x: i * step + step * .12, width: step * .76, y: lower - barHeight, height: barHeight}),
      draw("text", {x: middle, y: lower - 6 - barHeight, "text-anchor": "middle"}, share ? percent(share) : ""),
      draw("text", {x: middle, y: lower + 15, "text-anchor": "middle"}, i < 2 || low >= high ? high : `${low}–${high}`),
    ];
  });
  if (!histogram.count) parts.push(draw("text", {class: "none", x: width / 2, y: (upper + lower) / 2, "text-anchor": "middle"}, idle));
  parts.push(draw("text", {x: width - 2, y: height - 2, "text-anchor": "end"}, "rows per batch"));
  svg.replaceChildren(...parts);
}

// flushCauses draws the share of each cause in one bar, and the key below it. causes is a list of [name in counts, text].
export function flushCauses(bar, keys, counts, causes) {
  const all = causes.reduce((sum, [k]) => sum + counts[k], 0);
  bar.replaceChildren(...causes.map(([k]) => {
    const part = element("span", "", k);
    part.style.width = all ? 100 * counts[k] / all + "%" : "0";
    return part;
  }));
  keys.replaceChildren(...causes.map(([k, text]) => {
    const key = element("span", all ? `${text} ${percent(counts[k] / all)}` : text);
    key.prepend(element("i", "", k));
    return key;
  }));
}
