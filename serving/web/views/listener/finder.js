/** The search for a listener. */

import { el, fill } from "../../dom.js";
import { country } from "../../format.js";

const WAIT_MS = 200;
const MOST = 8;

/** Return `{node, end}`: a search whose answers are links to listeners. */
export function finder(api, chosen) {
  const answers = el("ul", { class: "found", "aria-label": "Listeners found" });
  const heading = el("p", { class: "muted", id: "found-what", role: "status" });
  const field = el("input", {
    id: "find-listener", type: "search", autocomplete: "off", spellcheck: "false", placeholder: "Id or name",
    "aria-describedby": "found-what", oninput: () => later(),
  });
  const node = el(
    "section", { class: "card", role: "search", "aria-label": "Find a listener" },
    el("div", { class: "row" }, el("label", { for: "find-listener" }, "Find a listener"), field),
    heading, answers,
  );
  let timer = null;
  let asked = 0;

  function later() {
    clearTimeout(timer);
    timer = setTimeout(look, WAIT_MS);
  }

  async function look() {
    const mine = ++asked;
    const q = field.value.trim();
    try {
      const { users } = await api.get("users", { q, n: MOST });
      if (mine !== asked) return;
      const none = q ? `Nobody's id begins with “${q}”, and no name has it.` : "Nobody has listened yet.";
      fill(heading, users.length ? (q ? "Found:" : "Active last:") : none);
      fill(answers, users.map(link));
    } catch (problem) {
      if (mine === asked) fill(heading, problem.message);
    }
  }

  function link(user) {
    const place = [user.city, user.country && country(user.country)].filter(Boolean).join(", ");
    return el("li", {}, el(
      "a", { href: `#/listener/${encodeURIComponent(user.user_id)}`, "aria-current": user.user_id === chosen ? "true" : null },
      el("strong", {}, user.name ?? user.user_id), el("span", { class: "by" }, [user.user_id, place].filter(Boolean).join(" · ")),
    ));
  }

  look();
  return {
    node,
    end() {
      clearTimeout(timer);
      asked += 1;
    },
  };
}
