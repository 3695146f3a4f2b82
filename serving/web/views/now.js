/** What comes in, what is counted and what waits: this second, and since the start. */

import { bars, timeChart } from "../charts.js";
import { card, el, fill, say, since, table } from "../dom.js";
import { about, count, country, number, short, span } from "../format.js";

export const title = "Now";

const SPANS = [["15 min", 15], ["1 h", 60], ["6 h", 360], ["1 d", 1_440], ["Since the start", null]];
const REFRESH_MS = 5_000;
const SHOWN_BATCHES = 8;

export function mount(root, api) {
  const tiles = makeTiles();
  const charts = makeCharts();
  const phases = el("div");
  const batches = el("div");
  const countries = el("div");
  const chosen = { minutes: 15, times: 0 };
  const spans = el("div", { class: "row", role: "group", "aria-label": "Span of the charts" }, SPANS.map(([label, minutes]) =>
    el("button", {
      type: "button", class: "quiet", "aria-pressed": String(minutes === chosen.minutes),
      onclick: (event) => choose(event.currentTarget, minutes),
    }, label)));
  root.append(
    tiles.list,
    el("div", { class: "bar-head" }, el("h2", {}, "Over time"), spans),
    el("div", { class: "grid" },
      half(card("Events a second", {}, charts.rate.root)),
      half(card("Waiting", { aside: el("span", { class: "muted" }, "while watched") }, charts.lag.root)),
      half(card("Time of a batch", {}, charts.batch.root)),
      half(card("Active listeners", { aside: el("span", { class: "muted" }, "last 3 h at most") }, charts.listeners.root)),
      half(el("div", { class: "stack" },
        card("Where a batch spends its time", { aside: el("span", { class: "muted" }, "mean of the newest 20") }, phases),
        card("Newest batches", {}, batches))),
      half(card("By country", { aside: el("span", { class: "muted" }, "events of the last 15 min") }, countries))),
  );

  function choose(button, minutes) {
    for (const one of spans.children) one.setAttribute("aria-pressed", String(one === button));
    chosen.minutes = minutes;
    draw();
  }

  async function draw() {
    const asked = ++chosen.times;
    try {
      const told = await api.get("now/history", { minutes: chosen.minutes });
      if (asked === chosen.times) charts.set(told);
    } catch {
      // The frame says what is away; the next round tries again.
    }
  }

  function show(now) {
    tiles.set(now);
    bars(phases, meanPhases(now.batches), { caption: "Phase", unit: "", format: (ms) => `${number(ms)} ms`, empty: "No batch yet." });
    bars(countries, now.countries.slice(0, 12).map((one) => ({
      label: country(one.country), value: one.events, note: count(one.plays, "play"),
    })), { caption: "Country", unit: "events", format: short, empty: "Nothing happened lately." });
    fill(batches, table(BATCH_COLUMNS, now.batches.slice(0, SHOWN_BATCHES), { caption: "Newest batches", empty: "No batch yet: is `encore stream` running?" }));
  }

  const close = api.stream("stream/now", { now: show });
  const timer = setInterval(draw, REFRESH_MS);
  draw();
  return () => {
    close();
    clearInterval(timer);
    charts.end();
  };
}

const half = (node) => { node.classList.add("half"); return node; };

const BATCH_COLUMNS = [
  { label: "batch", cell: (one) => one.batch },
  { label: "committed", cell: (one) => since(one.committed_at) },
  { label: "read", number: true, cell: (one) => number(one.read) },
  { label: "took", number: true, cell: (one) => `${number(Object.values(one.phases).reduce((a, b) => a + b, 0))} ms` },
];

function makeTiles() {
  const tile = (label, key) => {
    const value = el("dd", { "data-now": key }, "–");
    const note = el("div", { class: "note" }, "\u00a0");
    const node = el("div", { class: "tile" }, el("dt", {}, label), value, note);
    return { node, set: (text, more = "", bad = false) => { say(value, text); say(note, more || "\u00a0"); node.classList.toggle("bad", bad); } };
  };
  const all = {
    arriving: tile("In, events/s", "arriving"),
    committed: tile("Committed, events/s", "committed"),
    lag: tile("Waiting", "lag"),
    newest: tile("Newest event", "newest"),
    accepted: tile("Accepted", "accepted"),
    rejected: tile("Rejected", "rejected"),
    listeners: tile("Active in 5 min", "listeners"),
  };
  const list = el("dl", { class: "tiles", "aria-label": "Now" }, Object.values(all).map((one) => one.node));
  function set(now) {
    const read = now.accepted + now.duplicate + now.rejected;
    const kafka = now.lag === null ? "Kafka does not say" : "";
    all.arriving.set(number(now.arriving_per_second), kafka || "mean of 10 s");
    all.committed.set(number(now.committed_per_second), `last batch ${now.since_commit_seconds === null ? "–" : `${about(now.since_commit_seconds)} ago`}`);
    all.lag.set(number(now.lag), kafka || "in Kafka, not counted");
    all.newest.set(now.newest_seconds < 10 ? span(now.newest_seconds) : about(now.newest_seconds), "since it arrived");
    all.accepted.set(number(now.accepted), `${number(now.late)} late, ${number(now.duplicate)} repeated`);
    all.rejected.set(number(now.rejected), `${number(now.rejected_lately)} in 15 min`, now.rejected > 0.05 * read);
    all.listeners.set(number(now.active_listeners), `${number(now.open_sessions)} open sessions`);
  }
  return { list, set };
}

function makeCharts() {
  const place = () => el("div");
  const rate = place(), lag = place(), batch = place(), listeners = place();
  const made = {
    rate: timeChart(rate, { label: "Events a second", unit: "events/s", series: [{ label: "committed", area: true }, { label: "in", dash: [5, 4] }] }),
    lag: timeChart(lag, { label: "Events that wait in Kafka", unit: "events", series: [{ label: "waiting", area: true }] }),
    batch: timeChart(batch, { label: "Mean time of a batch", unit: "ms", series: [{ label: "batch" }], format: (ms) => (ms === null ? "–" : `${number(ms)} ms`) }),
    listeners: timeChart(listeners, { label: "Active listeners by the minute", unit: "listeners a minute", series: [{ label: "active", area: true }] }),
  };
  function set(told) {
    made.rate.set(told.times, told.committed_per_second, told.arriving_per_second);
    made.lag.set(told.times, told.lag);
    made.batch.set(told.times, told.batch_ms);
    made.listeners.set(told.minutes.times, told.minutes.active_listeners);
  }
  return {
    rate: { root: rate }, lag: { root: lag }, batch: { root: batch }, listeners: { root: listeners }, set,
    end: () => Object.values(made).forEach((one) => one.end()),
  };
}

/** The mean of each phase over batches, in ms, in the order that they run in. */
function meanPhases(batches) {
  const total = new Map();
  for (const { phases } of batches) {
    for (const [name, ms] of Object.entries(phases)) total.set(name, (total.get(name) ?? 0) + ms / batches.length);
  }
  return [...total].map(([label, value]) => ({ label, value })).sort((a, b) => b.value - a.value);
}
