import { notice } from "../dom.js";

export const title = "Data";

export function mount(root) {
  root.append(notice("Not here yet", "The REST API has it already: see docs/api.md."));
  return () => {};
}
