/** The search for a listener. */

import { el, fill } from "../../dom.js";
import { country } from "../../format.js";
import { searching } from "../../searching.js";

const MOST = 8;

/** Return `{node, end}`: a search whose answers are links to listeners. */
export function finder(api, chosen) {
  const answers = el("ul", { class: "found", "aria-label": "Listeners found" });
  const heading = el("p", { class: "muted", id: "found-what", role: "status" });
  const field = el("input", {
    id: "find-listener", type: "search", autocomplete: "off", spellcheck: "false", placeholder: "Id or name",
    "aria-describedby": "found-what",
  });
  const node = el(
    "section", { class: "card", role: "search", "aria-label": "Find a listener" },
    el("div", { class: "row" }, el("label", { for: "find-listener" }, "Find a listener"), field),
    heading, answers,
  );
  const search = searching(field, {
    ask: (q) => api.get("users", { q, n: MOST }),
    show({ users }, q) {
      const none = q ? `Nobody's id begins with “${q}”, and no name is like it.` : "Nobody has listened yet.";
      fill(heading, users.length ? (q ? "Found:" : "Active last:") : none);
      fill(answers, users.map(link));
    },
    fail: (problem) => fill(heading, problem.message),
  });

  field.addEventListener("keydown", async (event) => {
    if (event.key !== "Enter" || !field.value.trim()) return;
    await search.look();
    answers.querySelector("a")?.click();
  });

  function link(user) {
    const place = [user.city, user.country && country(user.country)].filter(Boolean).join(", ");
    return el("li", {}, el(
      "a", { href: `#/listener/${encodeURIComponent(user.user_id)}`, "aria-current": user.user_id === chosen ? "true" : null },
      el("strong", {}, user.name ?? user.user_id), el("span", { class: "by" }, [user.user_id, place].filter(Boolean).join(" · ")),
    ));
  }

  search.look();
  return { node, end: search.end };
}
