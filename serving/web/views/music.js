/** What is played: trends, charts with movement, genres over time, open sessions; one track closely. */

import { bars, timeChart } from "../charts.js";
import { card, el, fill, since, table } from "../dom.js";
import { country, length, number, span } from "../format.js";
import { choice, keepNew } from "../loading.js";
import { mountItem, track } from "./music/item.js";

export const title = "Music";

const SPANS = [["hour", "Hour"], ["day", "Day"], ["week", "Week"]];
const BEFORE = { hour: "the hour before", day: "the day before", week: "the week before" };
const TIMES = [["24", "24 hours"], ["168", "7 days"], ["30", "30 days"]];
const GENRES = 6;
const SHOWN = 10;

export function mount(root, api, parts) {
  if (parts[0]) return mountItem(root, api, parts[0]);
  const made = [trends(api), charts(api), genres(api), sessions(api)];
  root.append(search(api), el("div", { class: "grid" }, made.map((one) => one.card)));
  return () => made.forEach((one) => one.end());
}

function search(api) {
  const field = el("input", { id: "find", type: "search", placeholder: "Words of a title or an artist", autocomplete: "off" });
  const found = el("div", { "aria-live": "polite" });
  let finding = null;
  const find = (event) => {
    event.preventDefault();
    finding?.end();
    const q = field.value.trim();
    if (!q) return fill(found);
    finding = keepNew(found, (signal) => api.get("items", { q, n: SHOWN }, { signal }), (place, { items }) =>
      fill(place, table(TRACK, items, { caption: "Tracks found", empty: `Nothing is called “${q}”, or nearly that.` })));
  };
  const form = el("form", { onsubmit: find, class: "key-form", role: "search" },
    el("label", { for: "find" }, "Find a track"),
    el("div", { class: "row" }, field, el("button", { type: "submit" }, "Find")));
  return el("div", { class: "card" }, form, found);
}

const TRACK = [
  { label: "Track", cell: track },
  { label: "Album", cell: (one) => one.album ?? "–" },
  { label: "Genres", cell: (one) => one.genres.join(", ") || "–" },
  { label: "Length", number: true, cell: (one) => length(one.duration_ms) },
];

function trends(api) {
  const place = el("div");
  const load = (signal) => api.get("trending", { n: SHOWN }, { signal });
  const show = (root, { items }) => bars(root, items.map((one) => ({ label: track(one.item), value: one.score, note: one.item.title })), {
    caption: "Trending now", unit: "complete plays", format: (value) => number(value, 1),
    empty: "Nothing trends yet: nothing was played.",
  });
  const kept = keepNew(place, load, show, { seconds: 10 });
  return {
    card: el("div", { class: "half" }, card("Trending now", { id: "trending", aside: el("span", { class: "muted" }, "complete plays, older ones count less") }, place)),
    end: kept.end,
  };
}

function charts(api) {
  const place = el("div");
  const asked = { span: "hour", genre: "" };
  const load = (signal) => api.get("charts", { ...asked, n: SHOWN }, { signal });
  const kept = keepNew(place, load, (root, found) => {
    offer(found.genre);
    fill(root, table(chartColumns(found.span), found.items, {
      caption: `Most played in the last ${found.span}, against ${BEFORE[found.span]}`,
      empty: `Nothing${found.genre ? ` of ${found.genre}` : ""} was played in the last ${found.span}.`,
    }));
  }, { seconds: 30 });
  const select = el("select", { "aria-label": "Genre", onchange: () => ask("genre", select.value) }, el("option", { value: "" }, "All genres"));
  const ask = (name, value) => {
    asked[name] = value;
    kept.again();
  };
  const offer = once(() => api.get("genres/activity", { by: "day", n: 30, most: 100 }).then(({ genres: known }) =>
    select.append(...known.map((one) => one.genre).sort().map((one) => el("option", { value: one }, one))), () => {}));
  const aside = el("div", { class: "row" }, choice("Span", SPANS, asked.span, (value) => ask("span", value)), select);
  return { card: el("div", { class: "half" }, card("Charts", { aside }, place)), end: kept.end };
}

function once(work) {
  let done = false;
  return () => {
    if (!done) work();
    done = true;
  };
}

const chartColumns = (asked) => [
  { label: "Place", number: true, cell: (one) => number(one.rank) },
  { label: "Moved", cell: movement },
  { label: "Track", cell: (one) => track(one.item) },
  { label: "Plays", number: true, cell: (one) => number(one.plays) },
  { label: `Plays in ${BEFORE[asked]}`, number: true, cell: (one) => number(one.before?.plays ?? 0) },
];

function movement({ rank, before }) {
  if (!before) return el("span", { class: "tag good" }, "new");
  const by = before.rank - rank;
  if (!by) return el("span", { class: "muted" }, "same");
  const text = by > 0 ? `▲ up ${number(by)}` : `▼ down ${number(-by)}`;
  return el("span", { class: by > 0 ? "moved up" : "moved down", title: `Was at place ${number(before.rank)}` }, text);
}

function genres(api) {
  const [place, words] = [el("div"), el("div")];
  let buckets = "24";
  let chart = null;
  let drawn = null;
  const load = (signal) =>
    api.get("genres/activity", { by: buckets === "30" ? "day" : "hour", n: buckets, most: GENRES }, { signal });
  const kept = keepNew(words, load, (root, found) => {
    fill(root);
    const names = found.genres.map((one) => one.genre);
    const wanted = JSON.stringify([found.by, names]);
    if (wanted !== drawn) draw(found.by, names);
    drawn = wanted;
    const times = names.length ? found.starts.map((one) => Date.parse(one) / 1000) : [];
    chart.set(times, ...(names.length ? found.genres.map((one) => one.plays) : [[]]));
  }, { seconds: 30 });

  function draw(by, names) {
    chart?.end();
    fill(place);
    chart = timeChart(place, {
      label: "Plays by genre", unit: `plays by the ${by}; the last ${by} is still on`,
      series: (names.length ? names : ["plays"]).map((label) => ({ label })),
    });
  }

  const aside = choice("Time", TIMES, buckets, (value) => {
    buckets = value;
    kept.again();
  });
  return {
    card: card("Genres over time", { aside }, place, words),
    end() {
      kept.end();
      chart?.end();
    },
  };
}

function sessions(api) {
  const place = el("div");
  const count = el("span", { class: "muted", id: "open-sessions" });
  const load = (signal) => api.get("sessions/open", { n: SHOWN }, { signal });
  const kept = keepNew(place, load, (root, found) => {
    count.textContent = found.open > found.sessions.length
      ? `${number(found.open)} open, the ${found.sessions.length} newest` : `${number(found.open)} open`;
    fill(root, table(SESSION, found.sessions, { caption: "Sessions open now", empty: "Nobody is listening at the moment." }));
  }, { seconds: 5 });
  return { card: card("Sessions open now", { aside: count }, place), end: kept.end };
}

const SESSION = [
  { label: "Listener", cell: ({ user_id: id, name }) =>
    el("a", { href: `#/listener/${encodeURIComponent(id)}` }, name ?? id) },
  { label: "Country", cell: (one) => country(one.country) },
  { label: "Last track", cell: (one) => (one.last_item ? track(one.last_item) : "–") },
  { label: "Plays", number: true, cell: (one) => number(one.plays) },
  { label: "Skips", number: true, cell: (one) => number(one.skips) },
  { label: "Lasts", number: true, cell: (one) => span((Date.parse(one.last_event_at) - Date.parse(one.started_at)) / 1000) },
  { label: "Last event", number: true, cell: (one) => since(one.last_event_at) },
];
