// Formats of numbers, and the differences between two answers of batcher.json.

const round = x => x >= 100 ? x.toFixed(0) : x >= 10 ? x.toFixed(1) : x.toFixed(2);

// Every format below shows NONE for a value that is not finite: nothing was observed.
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

// short drops a decimal part that is all zeros: "2.00 ms" becomes "2 ms".
export const short = text => text.replace(/\.0+(?=\D|$)/, "");

// bound returns the upper bound of a native histogram bucket. There are eight buckets an octave.
const bound = index => 2 ** (index / 8);

// quantile interpolates within a bucket on a logarithmic scale, as Prometheus does. It returns NaN if the histogram is empty.
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

// octaves returns the shares of a histogram's values by octave: [0] is the share of values v ≤ 1, [i] that of
// 2^(i-1) < v ≤ 2^i. The last octave includes all greater values.
export function octaves(h, number) {
  const shares = new Array(number).fill(0);
  h.counts.forEach((n, i) => { shares[Math.min(Math.max(Math.ceil((h.first + i) / 8), 0), number - 1)] += n / (h.count || 1); });
  return shares;
}

// increase returns by how much a count grew. A count that is lower than before was reset, and has grown from 0.
const increase = (now, then) => now >= then ? now - then : now;

// histogramIncrease does the same for a histogram of batcher.json; then may be missing.
function histogramIncrease(now, then) {
  if (!then || now.count < then.count) then = {first: now.first, counts: [], zero: 0, sum: 0, count: 0};
  return {
    first: now.first, zero: now.zero - then.zero, sum: now.sum - then.sum, count: now.count - then.count,
    counts: now.counts.map((n, i) => n - (then.counts[now.first + i - then.first] ?? 0)),
  };
}

// between returns what the model did between two answers, as increases of its counts and histograms, and the seconds between
// them.
export function between(then, now, name) {
  const a = then.models.find(m => m.model === name), b = now.models.find(m => m.model === name);
  const seconds = now.at - then.at, d = {seconds};
  for (const k in b.counts) d[k] = increase(b.counts[k], a ? a.counts[k] : 0);
  for (const k of ["batch_rows", "queue_seconds", "run_seconds", "prediction_ratio"]) d[k] = histogramIncrease(b[k], a && a[k]);
  d.sizes = b.sizes.map(([size, runs, rows, secs]) => {
    const was = (a ? a.sizes : []).find(s => s[0] === size && s[1] <= runs) ?? [0, 0, 0, 0];
    return {runs: runs - was[1], rows: rows - was[2], seconds: secs - was[3]};
  }).filter(s => s.runs > 0);
  return d;
}

// point returns the values of all charts over time for d, the difference of two successive answers. The later one is of
// `at`, in seconds.
export const point = (at, d) => ({
  at, rows: [d.rows / d.seconds], batches: [d.batches / d.seconds], mean: [mean(d.batch_rows)],
  queue: [quantile(d.queue_seconds, .5), quantile(d.queue_seconds, .99)],
  run: [quantile(d.run_seconds, .5), quantile(d.run_seconds, .99)],
});
