/** The box to play, skip or like a track by hand, and the time that each hop of it took. */

import { card, el, fill, say } from "../../dom.js";
import { number } from "../../format.js";
import { searching } from "../../searching.js";

const FOUND = 5;
const ACTS = [["play", "Play"], ["skip", "Skip"], ["like", "Like"]];
const DONE = { play: "Play", skip: "Skip", like: "Like" };
const SHOWN = "shown here";
const OLD_MS = 10_000; // what was said is news for so long

/**
 * Return `{node, buttons(item), shown(items), end}`: `buttons` makes the three for an item, `shown` is
 * to be called with what is listed when a new list is on the page. `onServed` is called when the list
 * knows of the act; `listed` says what is listed.
 */
export function acting(api, userId, { onServed, listed }) {
  const may = api.may("write");
  const hops = el("div", { id: "hops" });
  const said = el("p", { role: "status", "aria-live": "polite", id: "act-said" });
  const answers = el("ul", { class: "found tracks", "aria-label": "Tracks found" });
  const field = el("input", {
    id: "find-track", type: "search", autocomplete: "off", spellcheck: "false",
    placeholder: "Title or artist", disabled: !may,
  });
  const ending = new AbortController();
  let growsOld = null;
  let act = null; // the one that is followed
  const every = new Set(); // the buttons there are

  const help = may
    ? el("p", { class: "muted" }, "Play, skip or like any track, here or in the list: it is a real event, sent to Kafka.")
    : el("p", { class: "muted" }, "This takes a key that may write: ", el("code", {}, "encore keys make me --role write"), ".");
  const node = card("Do something as this listener", {}, help,
    el("div", { class: "row" }, el("label", { for: "find-track" }, "Track"), field), answers, said, hops);

  const search = searching(field, {
    ask: (q) => (q ? api.get("items", { q, n: FOUND }) : null),
    show(found) {
      if (!found) fill(answers);
      else if (!found.items.length) fill(answers, el("li", { class: "empty" }, "No track has that in its title or artist."));
      else fill(answers, found.items.map((item) => el("li", {}, named(item), buttons(item))));
    },
    fail: (problem) => fill(answers, el("li", { class: "problem" }, problem.message)),
  });

  function tell(text) {
    say(said, text);
    said.classList.remove("old");
    clearTimeout(growsOld);
    growsOld = setTimeout(() => said.classList.add("old"), OLD_MS);
  }

  function buttons(item) {
    const title = item.title ?? item.item_id;
    return el("span", { class: "acts", role: "group", "aria-label": title }, ACTS.map(([name, label]) => {
      const button = el("button", {
        type: "button", class: "quiet", "data-act": name, "data-item": item.item_id,
        "aria-label": `${label} ${title}`, disabled: !may || act?.running, onclick: () => begin(name, item),
      }, label);
      every.add(button);
      return button;
    }));
  }

  async function begin(name, item) {
    if (act?.running) return;
    act = {
      name, title: item.title ?? item.item_id, before: listed(), began: performance.now(), running: true,
      served: false, hops: [],
    };
    const mine = act;
    lock(true);
    tell(`${DONE[name]} of ${mine.title}: on its way …`);
    draw();
    try {
      await api.trace("trace", { user_id: userId, item_id: item.item_id, act: name }, {
        hop: (hop) => reach(mine, hop),
        stopped: (stop) => halt(mine, stop),
      }, { signal: ending.signal });
    } catch (problem) {
      if (!ending.signal.aborted) halt(mine, { name: "sent", seen: problem.message, advice: "" });
    }
    mine.running = false;
    lock(false);
  }

  function reach(mine, hop) {
    mine.hops.push(hop);
    draw();
    if (hop.name !== "served") return;
    mine.served = true;
    onServed();
  }

  function halt(mine, stop) {
    mine.stop = stop;
    tell(`${DONE[mine.name]} of ${mine.title}: not ${stop.name}.`);
    draw();
  }

  /** The list on the page is the one that knows of the act. */
  function shown(items) {
    if (!act?.served || act.hops.some((one) => one.name === SHOWN)) return;
    act.hops.push({ name: SHOWN, seconds: (performance.now() - act.began) / 1000, seen: "since the button was pressed" });
    const after = `${number(act.hops.at(-1).seconds, 1)} s`;
    const change = difference(act.before, items);
    tell(`${DONE[act.name]} of ${act.title}: ${change ? `the list followed after ${after}: ${change}.`
      : `made anew after ${after}, the list is the same: what they did before outweighs it.`}`);
    draw();
  }

  function lock(running) {
    for (const one of every) {
      if (one.isConnected) one.disabled = running || !may;
      else every.delete(one);
    }
  }

  function draw() {
    fill(hops, act?.hops.length ? waterfall(act.hops) : null, act?.stop ? stopped(act.stop) : null);
  }

  return {
    node, buttons, shown,
    end() {
      clearTimeout(growsOld);
      search.end();
      ending.abort();
    },
  };
}

/** What is new and what moved in a list, in words; empty where it is the same. */
function difference(before, items) {
  const place = new Map(before.map((item, at) => [item, at]));
  const news = items.filter((item) => !place.has(item)).length;
  const moved = items.filter((item, at) => place.has(item) && place.get(item) !== at).length;
  return [news && `${news} new`, moved && `${moved} moved`].filter(Boolean).join(", ");
}

const named = (item) => el("span", {}, item.title ?? item.item_id, el("span", { class: "by" }, item.artist ?? ""));

const stopped = ({ name, seen, advice }) => el("p", { class: "problem" }, `Not ${name}: ${seen}. ${advice}`);

/** Hops as bars on one time axis, each from the one before. */
function waterfall(hops) {
  const total = Math.max(hops.at(-1).seconds, 0.001);
  let before = 0;
  return el(
    "table", { class: "bars hops" },
    el("caption", { class: "unseen" }, "What the event went through, in s since it was sent"),
    el("tbody", {}, hops.map((one) => {
      const bar = el("span", { class: "bar", "aria-hidden": "true" });
      bar.style.setProperty("--from", Math.min(before / total, 1));
      bar.style.setProperty("--share", Math.min(Math.max(one.seconds - before, 0) / total, 1));
      before = one.seconds;
      return el("tr", { "data-hop": one.name, title: one.seen },
        el("th", { scope: "row" }, one.name),
        el("td", {}, el("span", { class: "track" }, bar), el("span", { class: "value" }, `${number(one.seconds, 3)} s`)));
    })),
  );
}
