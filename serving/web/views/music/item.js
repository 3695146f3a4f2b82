/** One track: what is known of it, how it is played over time, and what is like it. */

import { timeChart } from "../../charts.js";
import { card, el, fill, table } from "../../dom.js";
import { length, number } from "../../format.js";
import { choice, keepNew } from "../../loading.js";

const GRAINS = [["5m", "5 minutes"], ["hour", "Hours"], ["day", "Days"]];
const BUCKETS = { "5m": 72, hour: 72, day: 60 };
const LINES = ["plays", "completes", "skips", "likes"];
const SOURCES = { factors: "the model", "co-listening": "who plays one plays the other", text: "alike in words" };

/** A track with its artist, leading to its page. */
export function track(item) {
  return el("div", { class: "track-of" },
    el("a", { href: `#/music/${encodeURIComponent(item.item_id)}` }, item.title ?? item.item_id),
    el("span", { class: "by" }, item.artist ?? "artist not announced"));
}

export function mountItem(root, api, id) {
  const path = `items/${encodeURIComponent(id)}`;
  const about = el("div");
  const made = [
    keepNew(about, (signal) => api.get(path, {}, { signal }), show),
    curve(api, path),
    similar(api, path),
  ];
  root.append(
    el("p", {}, el("a", { href: "#/music" }, "All music")),
    about,
    el("div", { class: "grid" },
      el("div", { class: "two-thirds" }, made[1].card),
      el("div", { class: "third" }, made[2].card)),
  );
  return () => made.forEach((one) => one.end());
}

function show(root, item) {
  const said = [
    item.artist ?? "Artist not announced",
    item.album,
    item.duration_ms ? length(item.duration_ms) : null,
    item.released_at ? `released ${new Date(item.released_at).toLocaleDateString("en-GB", { dateStyle: "long" })}` : null,
  ];
  fill(root, el("section", { class: "card", "aria-label": "Track" },
    el("h2", { class: "name" }, item.title ?? item.item_id),
    el("p", { class: "muted" }, said.filter(Boolean).join(" · ")),
    el("p", { class: "row" }, item.genres.map((one) => el("span", { class: "tag" }, one)))));
}

function curve(api, path) {
  const place = el("div");
  const chart = timeChart(place, {
    label: "How often it is played", unit: "events in each bucket of time (the last is still on)",
    series: LINES.map((label) => ({ label, area: label === "plays", steps: true })),
  });
  const said = el("p", { class: "muted" });
  const words = el("div");
  let by = "hour";
  const kept = keepNew(words, (signal) => api.get(`${path}/activity`, { by, n: BUCKETS[by] }, { signal }), (root, { buckets }) => {
    const times = buckets.map((one) => Date.parse(one.start) / 1000);
    chart.set(times, ...LINES.map((name) => buckets.map((one) => one[name])));
    const total = buckets.reduce((sum, one) => sum + one.plays, 0);
    said.textContent = total ? `${number(total)} plays in this time` : "It was not played in this time.";
    fill(root, said);
  }, { seconds: 10 });
  const aside = choice("Buckets", GRAINS, by, (value) => {
    by = value;
    kept.again();
  });
  return {
    card: card("Over time", { aside }, place, words),
    end() {
      kept.end();
      chart.end();
    },
  };
}

function similar(api, path) {
  const place = el("div");
  const kept = keepNew(place, (signal) => api.get(`${path}/similar`, { n: 10 }, { signal }), (root, found) =>
    fill(root, table(SIMILAR, found.similar, {
      caption: "Similar tracks",
      empty: found.model_run_id ? "The model found nothing like it." : "No model is published yet: encore train publishes one.",
    })));
  return { card: card("Similar tracks", {}, place), end: kept.end };
}

const SIMILAR = [
  { label: "Track", cell: (one) => track(one.item) },
  { label: "Says so", cell: (one) => el("span", { class: "tag", title: SOURCES[one.source] }, one.source) },
  { label: "Score", number: true, cell: (one) => number(one.score, 2) },
];
