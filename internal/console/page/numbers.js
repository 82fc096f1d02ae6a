// Numbers for people, and differences between two answers of batcher.json.

const round = x => x >= 100 ? x.toFixed(0) : x >= 10 ? x.toFixed(1) : x.toFixed(2);

// Each of these returns "no data" for what is not a number: nothing was observed.
const NONE = "no data";

export function count(x) {
  if (!Number.isFinite(x)) return NONE;
  if (x === 0) return "0";
  return x >= 1e9 ? round(x / 1e9) + " G" : x >= 1e6 ? round(x / 1e6) + " M" : x >= 1e4 ? round(x / 1e3) + " k" : Number.isInteger(x) ? String(x) : round(x);
}

export function time(s) {
  if (!Number.isFinite(s)) return NONE;
  if (s < 1e-6) return "< 1 µs";
  return s < 1e-3 ? round(s * 1e6) + " µs" : s < 1 ? round(s * 1e3) + " ms" : round(s) + " s";
}

export function age(s) {
  return s < 120 ? `${Math.round(s)} s` : s < 7200 ? `${Math.round(s / 60)} min` : s < 172800 ? `${Math.round(s / 3600)} h` : `${Math.round(s / 86400)} days`;
}

export function percent(x) {
  if (!Number.isFinite(x)) return NONE;
  return x > 0 && x < .001 ? "< 0.1 %" : (100 * x).toFixed(x > 0 && x < .1 ? 1 : 0) + " %";
}

export const ratio = x => Number.isFinite(x) ? round(x) + " ×" : NONE;

// short leaves out the zeros of a label on an axis: "2.00 ms" is "2 ms".
export const short = text => text.replace(/\.0+(?=\D|$)/, "");

// bound is the upper bound of a native histogram bucket: eight buckets an octave.
const bound = index => 2 ** (index / 8);

// quantile interpolates within a bucket on a logarithmic scale, as Prometheus does. NaN: the histogram is empty.
export function quantile(h, q) {
  if (!h.count) return NaN;
  let rank = q * h.count - h.zero;
  if (rank <= 0) return 0;
  for (let i = 0; i < h.counts.length; i++) {
    if (rank <= h.counts[i]) return bound(h.first + i - 1 + rank / h.counts[i]);
    rank -= h.counts[i];
  }
  return bound(h.first + h.counts.length - 1);
}

export const mean = h => h.count ? h.sum / h.count : NaN;

// octaves sums a histogram's shares by octave: [0] is of values up to 1, [i] of those above 2^(i-1), up to 2^i.
export function octaves(h, number) {
  const shares = new Array(number).fill(0);
  h.counts.forEach((n, i) => { shares[Math.min(Math.max(Math.ceil((h.first + i) / 8), 0), number - 1)] += n / (h.count || 1); });
  return shares;
}

// A count that fell belongs to a model that started again: all it has now is the difference.
const grown = (now, then) => now >= then ? now - then : now;

function histogramGrown(now, then) {
  if (!then || now.count < then.count) then = {first: now.first, counts: [], zero: 0, sum: 0, count: 0};
  return {
    first: now.first, zero: now.zero - then.zero, sum: now.sum - then.sum, count: now.count - then.count,
    counts: now.counts.map((n, i) => n - (then.counts[now.first + i - then.first] ?? 0)),
  };
}

// between is what a model did from one answer to a later one.
export function between(then, now, name) {
  const a = then.models.find(m => m.model === name), b = now.models.find(m => m.model === name);
  const seconds = now.at - then.at, d = {seconds};
  for (const k in b.counts) d[k] = grown(b.counts[k], a ? a.counts[k] : 0);
  for (const k of ["batch_rows", "queue_seconds", "run_seconds", "prediction_ratio"]) d[k] = histogramGrown(b[k], a && a[k]);
  d.sizes = b.sizes.map(([size, runs, rows, secs]) => {
    const was = (a ? a.sizes : []).find(s => s[0] === size && s[1] <= runs) ?? [0, 0, 0, 0];
    return {runs: runs - was[1], rows: rows - was[2], seconds: secs - was[3]};
  }).filter(s => s.runs > 0);
  return d;
}

// point is what the charts show of the time between two neighbouring answers, the later of which came at `at` seconds.
export const point = (at, d) => ({
  at, rows: [d.rows / d.seconds], batches: [d.batches / d.seconds], mean: [mean(d.batch_rows)],
  queue: [quantile(d.queue_seconds, .5), quantile(d.queue_seconds, .99)],
  run: [quantile(d.run_seconds, .5), quantile(d.run_seconds, .99)],
});
