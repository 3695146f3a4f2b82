/** One listener: what they do, what they like, what is recommended to them, and what a like changes. */

import { el, fill, notice } from "../dom.js";
import { finder } from "./listener/finder.js";
import { panel } from "./listener/panel.js";

export const title = "Listener";

export function mount(root, api, [userId]) {
  const place = el("div", { class: "stack" });
  const find = finder(api, userId);
  root.append(find.node, place);
  const shown = userId ? panel(place, api, userId) : fill(place, notice(
    "Nobody chosen yet", "Search a listener by id or name, or take one who is active just now."));
  return () => {
    find.end();
    shown.end?.();
  };
}
