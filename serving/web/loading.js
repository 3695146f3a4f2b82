/** Showing what the API says, in words where it cannot, and keeping it new. */

import { Problem } from "./api.js";
import { el, fill } from "./dom.js";

/**
 * Fill `root` by `show(root, found)` with what `load(signal)` finds, again every `seconds` (0: once).
 *
 * What has not changed is not drawn again.
 * Returns `{again(), end()}`; `again` resolves when what it asked for is shown.
 */
export function keepNew(root, load, show, { seconds = 0 } = {}) {
  const ending = new AbortController();
  let timer = null;
  let shown = null;
  let asked = 0;
  fill(root, el("p", { class: "empty" }, "Loading…"));

  async function again() {
    clearTimeout(timer);
    const mine = ++asked;
    try {
      if (!document.hidden || shown === null) draw(mine, await load(ending.signal));
    } catch (problem) {
      if (ending.signal.aborted) return;
      if (!(problem instanceof Problem)) throw problem;
      if (mine === asked) complain(problem);
    } finally {
      if (seconds && mine === asked && !ending.signal.aborted) timer = setTimeout(again, 1000 * seconds);
    }
  }

  function draw(mine, found) {
    if (mine !== asked || ending.signal.aborted) return;
    const text = JSON.stringify(found);
    if (text === shown) return;
    shown = text;
    keepPlace(root, () => show(root, found));
  }

  function complain(problem) {
    if (shown !== null && problem.mayPass) return; // what is shown may be old: the banner says so
    shown = null;
    fill(root, el("p", { class: "problem", role: "alert" }, problem.message));
  }

  again();
  return {
    again,
    end() {
      clearTimeout(timer);
      ending.abort();
    },
  };
}

/** Draw a part anew, and leave focus and scrolling where they were. */
function keepPlace(root, draw) {
  const marks = "a[href], button[data-mark], details[data-mark] > summary";
  const mark = (node) => node.getAttribute("href") ?? node.dataset.mark ?? node.parentNode.dataset.mark;
  const had = root.contains(document.activeElement) && document.activeElement.matches(marks)
    ? mark(document.activeElement) : null;
  const open = [...root.querySelectorAll("details[open]")].map((one) => one.dataset.mark);
  const places = [...root.querySelectorAll(".scroll")].map((one) => [one.scrollLeft, one.scrollTop]);
  draw();
  for (const one of root.querySelectorAll("details")) if (open.includes(one.dataset.mark)) one.open = true;
  for (const [place, one] of root.querySelectorAll(".scroll").entries()) {
    [one.scrollLeft, one.scrollTop] = places[place] ?? [0, 0];
  }
  if (had !== null) [...root.querySelectorAll(marks)].find((one) => mark(one) === had)?.focus();
}

/**
 * Buttons of which one is pressed. `choices` are `[value, label]`; `chosen(value)` is called with
 * another one.
 */
export function choice(label, choices, value, chosen) {
  const buttons = choices.map(([one, text]) =>
    el("button", { type: "button", class: "quiet", "aria-pressed": String(one === value), onclick: () => press(one) }, text));
  function press(one) {
    for (const [place, [other]] of choices.entries()) buttons[place].setAttribute("aria-pressed", String(other === one));
    chosen(one);
  }
  return el("div", { class: "row", role: "group", "aria-label": label }, buttons);
}

/**
 * Ask before something is done. `body` are nodes or texts; `prepare(dialog)` may change it while it is
 * open. Resolves to whether it is to be done.
 */
export function confirmed(title, doing, ...body) {
  const dialog = el(
    "dialog", { "aria-labelledby": "asked" },
    el("form", { method: "dialog", class: "stack" },
      el("h2", { id: "asked" }, title),
      ...body.map((one) => (one instanceof Node ? one : el("p", {}, one))),
      el("div", { class: "row" },
        el("button", { value: "yes", class: "primary" }, doing),
        el("button", { value: "no", autofocus: true }, "Cancel"))));
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "yes");
    }, { once: true });
  });
}

/** A place that says what became of something that was asked for. */
export function outcome() {
  const place = el("p", { class: "outcome", role: "status", hidden: true });
  const tell = (text, bad) => {
    place.hidden = false;
    place.className = bad ? "outcome bad" : "outcome";
    place.textContent = text;
  };
  return { place, good: (text) => tell(text, false), bad: (text) => tell(text, true) };
}

/** What is said to a key that may not do something. */
export function takesAdmin(api) {
  return `This takes a key with the role admin. Yours has the role ${api.caller.role}: nothing was changed.`;
}
