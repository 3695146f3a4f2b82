/** All about one listener, live: read anew when they did something or have another list. */

import { bars } from "../../charts.js";
import { card, el, fill, notice, since, table } from "../../dom.js";
import { count, country, number, percent, span } from "../../format.js";
import { acting } from "./acting.js";
import { recommended } from "./recommended.js";

const SHOWN = 10;

/** Fill `root`; return `{end}`. */
export function panel(root, api, userId) {
  const path = `users/${encodeURIComponent(userId)}`;
  const who = el("div", { class: "who" });
  const totals = el("dl", { class: "tiles", "aria-label": "In total" });
  const plays = el("div", { id: "plays" });
  const genres = el("div", { id: "genres" });
  const artists = el("div");
  const act = acting(api, userId, { onServed: () => list.load(), listed: () => list.listed() });
  const list = recommended(api, userId, act);
  const half = (...given) => { const node = card(...given); node.classList.add("half"); return node; };
  let seen = new Set();
  let ended = false;

  async function load() {
    try {
      const [person, features, history] = await Promise.all([
        api.get(path), api.get(`${path}/features`, { n: SHOWN }), api.get(`${path}/history`, { n: SHOWN }),
      ]);
      if (!ended) show(person, features, history.history);
    } catch (problem) {
      if (problem.status === 404) fill(root, notice("Nobody of that id", problem.message));
    }
  }

  function show(person, features, history) {
    const place = [person.city, person.country && country(person.country)].filter(Boolean).join(", ");
    fill(who, el("h2", {}, person.name ?? person.user_id), el("p", { class: "muted" },
      [person.user_id, place, person.birth_year && `born ${person.birth_year}`, person.level].filter(Boolean).join(" · ")));
    fill(totals, tiles(features.activity));
    const key = (one) => `${one.item.item_id} ${one.last_at}`;
    fill(plays, table(columns(), history, { caption: "What they did last, by track", empty: "They have done nothing yet." }));
    markNew(plays, history.map((one) => seen.size > 0 && !seen.has(key(one))));
    seen = new Set(history.map(key));
    const asBars = (rows, name) => rows.filter((one) => one.signal > 0).map((one) => ({
      label: one[name] ?? one.artist_id, value: one.signal, note: `${count(one.plays, "play")}, ${count(one.likes, "like")}`,
    }));
    const said = { unit: "complete plays", format: (value) => number(value, 1), empty: "Nothing is known of their taste yet." };
    bars(genres, asBars(features.genres, "genre"), { caption: "Genre", ...said });
    bars(artists, asBars(features.artists, "artist"), { caption: "Artist", ...said });
  }

  const unit = () => el("span", { class: "muted" }, "in complete plays, fading");
  root.replaceChildren(
    who, totals,
    el("div", { class: "grid" },
      list.node,
      el("div", { class: "stack beside" }, act.node, card("What they did last", {}, plays))),
    el("div", { class: "grid" },
      half("Genres they like", { aside: unit() }, genres),
      half("Artists they like", { aside: unit() }, artists)),
  );
  load();
  list.load();
  const close = api.stream(`stream/${path}`, {
    listener: () => {
      load();
      list.load();
    },
  });
  return {
    end() {
      ended = true;
      close();
      list.end();
      act.end();
    },
  };
}

function tiles(activity) {
  if (!activity) return el("div", { class: "tile" }, el("dt", {}, "In total"), el("dd", {}, "nothing yet"));
  const tile = (label, value, note) => el("div", { class: "tile" }, el("dt", {}, label), el("dd", {}, value), el("div", { class: "note" }, note));
  return [
    tile("Plays", number(activity.plays), `${number(activity.completes)} complete`),
    tile("Played", span(60 * activity.minutes_played), `on ${count(activity.active_days, "day")}`),
    tile("Skipped", percent(activity.skip_rate), count(activity.skips, "play")),
    tile("Likes", number(activity.likes), count(activity.dislikes, "dislike")),
    tile("Sessions", number(activity.sessions), ["last seen ", since(activity.last_seen_at)]),
  ];
}

function columns() {
  return [
    { label: "track", cell: (one) => [one.item.title ?? one.item.item_id, el("span", { class: "by" }, one.item.artist ?? "")] },
    { label: "plays", number: true, cell: (one) => [number(one.plays), one.skips ? el("span", { class: "by" }, `${one.skips} skipped`) : null] },
    { label: "liked", cell: (one) => (one.likes > one.unlikes ? el("span", { class: "tag good" }, "liked") : one.dislikes ? el("span", { class: "tag bad" }, "disliked") : "") },
    { label: "last", number: true, cell: (one) => since(one.last_at) },
  ];
}

function markNew(place, news) {
  place.querySelectorAll("tbody tr").forEach((row, at) => row.classList.toggle("new", news[at]));
}
