/** The list of a listener as it is now, with what moved since it was last shown. */

import { card, el, fill, since } from "../../dom.js";
import { moment } from "../../format.js";

const SHOWN = 10;

/** Return `{node, load, listed, end}`; `act` makes the buttons of each entry and is told of a new list. */
export function recommended(api, userId, act) {
  const entries = el("ol", { class: "recommended", id: "recommended" });
  const made = el("span", { class: "muted", id: "made" });
  const node = card("Recommended", { aside: made }, entries);
  node.classList.add("main-part");
  let ranks = null; // of the list on the page, by item
  let told = null;
  let asked = 0;

  async function load() {
    const mine = ++asked;
    try {
      const answer = await api.get(`recommend/${encodeURIComponent(userId)}`, { n: SHOWN });
      if (mine === asked) show(answer);
    } catch (problem) {
      if (mine === asked && !ranks) fill(entries, el("li", { class: "empty" }, problem.message));
    }
  }

  function show(answer) {
    const items = answer.recommendations.map((one) => one.item.item_id);
    const same = ranks && told.made_at === answer.made_at && items.join("\n") === [...ranks.keys()].join("\n");
    told = answer;
    head();
    if (!same) {
      const before = ranks;
      ranks = new Map(items.map((item, at) => [item, at + 1]));
      fill(entries, answer.recommendations.length ? answer.recommendations.map((one) => entry(one, before)) : el("li", { class: "empty" }, "Nothing to recommend yet: no track was played."));
    }
    act.shown(items);
  }

  function entry(one, before) {
    const { item } = one;
    return el(
      "li", { "data-item": item.item_id, class: before && !before.has(item.item_id) ? "new" : null },
      el("span", { class: "rank", "aria-label": `Rank ${one.rank}` }, one.rank),
      el("span", { class: "what" },
        el("span", { class: "entry" }, item.title ?? item.item_id, movement(one, before)),
        el("span", { class: "by" }, [item.artist, item.genres[0]].filter(Boolean).join(" · ")),
        el("span", { class: "why" }, el("span", { class: "tag" }, one.source), " ", one.reason === one.source ? "" : one.reason)),
      act.buttons(item),
    );
  }

  function head() {
    if (told.model_run_id === null) return fill(made, "no model yet");
    const by = { live: "made anew", run: "as published" }[told.made_by];
    made.title = moment(told.made_at);
    return fill(made, `run ${told.model_run_id}, ${by} `, since(told.made_at));
  }

  return {
    node, load, listed: () => [...(ranks?.keys() ?? [])],
    end() {
      asked += 1;
    },
  };
}

function movement(one, before) {
  if (!before) return null;
  const was = before.get(one.item.item_id);
  if (was === undefined) return el("span", { class: "tag good moved" }, "new");
  if (was === one.rank) return null;
  const up = was > one.rank;
  return el("span", { class: "tag moved", "aria-label": `${up ? "up" : "down"} ${Math.abs(was - one.rank)}` }, `${up ? "▲" : "▼"} ${Math.abs(was - one.rank)}`);
}
