// The page's script. It fetches batcher.json once a second and keeps the answers of the last minutes. Their counts only grow, so
// that the page can show the differences between two answers.
import {age, between, count, mean, percent, point, quantile, ratio, time} from "./numbers.js";
import {batchSizes, costs, element, flushCauses, trend} from "./charts.js";

const HISTORY = 300, TIMEOUT = 4000; // seconds of answers to keep; ms to wait for an answer
const PROBLEMS = [ // name of the count; text; class of its row while the count grows
  ["shed_late", "rows shed: the prediction would have been late", "bad"], ["shed_full", "rows shed: the queue was full", "bad"],
  ["expired", "rows expired: the deadline passed in the queue", "bad"], ["refused", "rows refused: the model cannot score them", "bad"],
  ["failed", "rows failed: the run in the engine failed", "bad"], ["closed", "rows closed: the version was removed", "bad"],
  ["abandoned", "rows abandoned: the caller gave up", "noted"], ["rescued", "batches run by a waiting caller: all runners were busy", "noted"],
  ["run_errors", "engine runs with an error", "bad"], ["panics", "engine runs that panicked", "bad"]];
const CAUSES = [
  ["full", "full: the batch had room for no more rows"], ["idle", "idle: a runner was free, and waiting would not have helped"],
  ["due", "due: a row had waited for as long as it may"], ["close", "close: the queue was closing"]];

let answers = [];        // of the present process, the oldest first
let series = new Map();  // model → [{at, rows, …}], one point for each two successive answers
let cards = new Map();   // model → {part: element}
let answeredAt = 0, lostAt = 0, restartNote = ""; // times in Unix ms; 0: no answer yet, not lost

const byId = id => document.getElementById(id);

// ---- The card of a model.
function cardOf(name) {
  if (cards.has(name)) return cards.get(name);
  const section = byId("card").content.firstElementChild.cloneNode(true), parts = {};
  for (const e of section.querySelectorAll("[data-f]")) parts[e.dataset.f] = e;
  parts.trends = [...section.querySelectorAll("[data-trend]")];
  byId("models").append(section);
  cards.set(name, parts);
  return parts;
}

function versionText(m) {
  if (!m.stable) return m.store_error ? `no version serves: ${m.store_error}` : "no version serves yet";
  const describe = v => `version ${v.version} (${v.format}), exported ${age(v.age_seconds)} ago, ${v.learnt_rows ? `trained on ${count(v.learnt_rows)} rows` : "no rows learnt here"}`;
  const canary = m.canary ? `; canary for ${percent(m.canary_share)} of users: ${describe(m.canary)}` : "";
  const pin = m.pinned ? `; pinned since ${new Date(m.pinned.since).toLocaleString()}${m.pinned.reason ? `: ${m.pinned.reason}` : ""}` : "";
  return describe(m.stable) + canary + pin + (m.live_versions > (m.canary ? 2 : 1) ? "; another version is loading or answering its last rows" : "");
}

// idleText returns why there are no figures, or "" if there are some. d is the difference of two answers, null before the
// second.
function idleText(m, d, span) {
  if (!m.counts.claims) return "waiting for traffic";
  if (!d) return "measuring";
  return d.batches ? "" : `no traffic in the last ${age(span)}`;
}

// setValue shows a figure, or, if there is none, why.
function setValue(e, text, idle) {
  e.textContent = idle || text;
  e.classList.toggle("none", idle !== "");
}

function show(m, d, points, threading, span) {
  const c = cardOf(m.model), set = (part, text) => { c[part].textContent = text; };
  const maxRows = m.settings ? m.settings.max_rows : 128, rate = k => d ? d[k] / d.seconds : 0;
  const idle = idleText(m, d, span);
  set("model", m.model);
  set("version", versionText(m));
  c.version.className = m.stable ? "faint" : "bad";
  set("refused", m.refused.map(r => `version ${r.version} was refused: ${r.error}`).join("; "));
  c.body.hidden = c.traffic.hidden = !m.settings && !m.counts.claims;
  if (c.body.hidden) return;
  set("traffic", idle || "receiving traffic");
  c.traffic.classList.toggle("flows", !idle);
  const measuring = idle === "measuring" ? idle : "";
  setValue(c.rows, count(rate("rows")), measuring);
  set("claims", `${count(rate("claims"))} claims per second` + (d && d.claims ? `, ${count(d.claimed_rows / d.claims)} rows per claim` : ""));
  setValue(c.batches, count(rate("batches")), measuring);
  set("inline", idle ? "\u00a0" : `${percent(d.inline / d.batches)} run by a caller, without waking a runner`);
  setValue(c.mean, idle ? "" : count(mean(d.batch_rows)), idle);
  const rows = q => Math.round(quantile(d.batch_rows, q));
  set("spread", (idle ? "" : `p50 ${rows(.5)}, p99 ${rows(.99)}, `) + `limit ${maxRows} (max_rows)`);
  const pair = h => idle ? "" : `${time(quantile(d[h], .5))} · ${time(quantile(d[h], .99))}`;
  setValue(c.queued, pair("queue_seconds"), idle);
  setValue(c.ran, pair("run_seconds"), idle);
  showQueue(c, m.queue);
  for (const svg of c.trends) trend(svg, points);
  flushCauses(c.causes, c.causekeys, d ?? m.counts, CAUSES);
  c.trouble.replaceChildren(...PROBLEMS.map(([k, text, className]) => {
    const row = element("tr", "", d && d[k] ? className : ""), head = element("th", text);
    head.scope = "row";
    row.append(head, element("td", count(rate(k))), element("td", count(m.counts[k])));
    return row;
  }));
  showSettings(c.settings, m.settings, threading);
  costs(c.curve, m.curve, d ? d.sizes : [], maxRows);
  const r = d && d.prediction_ratio;
  set("ratio", r && r.count ? `Measured run time is ${ratio(d.actual_seconds / d.predicted_seconds)} the expected one; for single runs ` +
    `p50 ${ratio(quantile(r, .5))}, p99 ${ratio(quantile(r, .99))}.` : `No measurement: ${idle || "measuring"}.`);
  batchSizes(c.sizes, d ? d.batch_rows : {first: 0, counts: [], count: 0}, maxRows, idle);
}

function showQueue(c, q) {
  c.waiting.textContent = `${count(q.rows)} of ${count(q.capacity)}`;
  c.bound.textContent = `highest since start ${count(q.high)}; limit reached ${count(q.reached)} times; batches running: ${q.running}`;
  c.waiting.classList.toggle("bad", q.rows > .8 * q.capacity);
  c.fill.style.width = 100 * Math.min(q.rows / (q.capacity || 1), 1) + "%";
  c.mark.style.left = `min(${100 * q.high / (q.capacity || 1)}%, 100% - 2px)`;
}

function showSettings(list, s, threading) {
  const settings = s ? ["policy", "max_rows", "max_wait", "queue_rows", "max_runners", "weight"].map(k => [k, s[k]]) : [["the model has no queue", ""]];
  list.replaceChildren(...[...settings, ["tensorflow.threading", threading]].flatMap(([k, v]) => [element("dt", k), element("dd", v)]));
}

function showAll() {
  const now = answers[answers.length - 1], span = Number(byId("span").value);
  if (!now) return;
  let then = answers[0];
  for (const s of answers) if (s.at <= now.at - span * .95) then = s;
  const apart = then !== now && now.at > then.at;
  byId("bidder").textContent = `${now.bidder}, up for ${age(now.at)}`;
  const r = now.runners, busy = apart ? (r.busy_seconds - then.runners.busy_seconds) / (now.at - then.at) / r.count : 0;
  byId("runners").textContent = `${r.count} runner${r.count === 1 ? "" : "s"} on ${now.cpus} processor${now.cpus === 1 ? "" : "s"}: ${percent(busy)} busy`;
  let rows = 0;
  for (const m of now.models) {
    const d = apart ? between(then, now, m.model) : null;
    if (d) rows += d.rows / d.seconds;
    show(m, d, series.get(m.model) ?? [], now.tensorflow_threading, span);
  }
  document.title = (lostAt ? "no answer" : count(rows) + " rows/s") + " – Gavel batcher";
}

// ---- The connection to the bidder.

// keep adds an answer, and a point to the charts. An answer of another process replaces all earlier ones.
function keep(s) {
  const last = answers[answers.length - 1];
  if (last && (s.process !== last.process || s.at < last.at)) {
    answers = [];
    series.clear();
    restartNote = `The bidder restarted at ${new Date(s.process).toLocaleTimeString()}. Its counts and the charts start again from there.`;
  }
  const before = answers[answers.length - 1];
  if (before && s.at <= before.at) return;
  answers.push(s);
  while (answers[0].at < s.at - HISTORY) answers.shift();
  if (!before) return;
  for (const m of s.models) {
    const points = series.get(m.model) ?? [];
    points.push(point(s.at, between(before, s, m.model)));
    while (points[0].at < s.at - HISTORY) points.shift();
    series.set(m.model, points);
  }
}

function showLink(fault) {
  const link = byId("link"), note = byId("note");
  document.body.classList.toggle("lost-link", lostAt > 0);
  link.className = lostAt ? "lost" : "live";
  link.textContent = lostAt ? `no answer for ${age((Date.now() - lostAt) / 1000)}` : "connected";
  const from = answeredAt ? ` The figures below are from ${new Date(answeredAt).toLocaleTimeString()}.` : "";
  note.textContent = lostAt ? `The bidder does not answer (${fault}).${from} Trying again.` : restartNote;
  note.hidden = !note.textContent;
}

async function pollLoop() { // ends when the page is closed
  for (;;) {
    const began = Date.now();
    let fault = "";
    try {
      const response = await fetch("batcher.json", {cache: "no-store", signal: AbortSignal.timeout(TIMEOUT)});
      if (!response.ok) throw new Error(`status ${response.status}`);
      keep(await response.json());
      answeredAt = Date.now();
      lostAt = 0;
    } catch (e) {
      fault = e.name === "TimeoutError" ? `no answer within ${TIMEOUT / 1000} s` : e.name === "TypeError" ? "no connection" : e.message; // fetch throws a TypeError if it cannot connect
      lostAt ||= Date.now();
    }
    showLink(fault);
    showAll();
    await new Promise(done => setTimeout(done, Math.max(1000 - (Date.now() - began), 100)));
  }
}
byId("span").addEventListener("change", showAll);
addEventListener("resize", showAll);
pollLoop();
