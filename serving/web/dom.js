/** Making elements: text is always text, so that nothing that comes from the data is markup. */

import { ago } from "./format.js";

const AGE_MS = 1_000;

/**
 * Make an element.
 *
 * `attributes` are set as attributes, functions as listeners (`onclick`), booleans as present or
 * not; null leaves one out. `children` are nodes, text, or arrays of them; null leaves one out.
 */
export function el(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === "function") node.addEventListener(key.slice(2), value);
    else if (value === true) node.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(key, value);
  }
  node.append(...present(children));
  return node;
}

/** Put children in the place of those that a node has. */
export function fill(node, ...children) {
  node.replaceChildren(...present(children));
  return node;
}

/** Set the text of a node, if it is another: a screen reader is not told of the same again. */
export function say(node, text) {
  if (node.textContent !== String(text)) node.textContent = text;
}

/** A titled part of a view. `aside` stands beside the title. */
export function card(title, { aside = null, id = null, wide = false } = {}, ...children) {
  const heading = el("h2", {}, title);
  return el(
    "section",
    { class: wide ? "card wide" : "card", "aria-label": title, id },
    el("div", { class: "card-head" }, heading, aside),
    ...children,
  );
}

/**
 * A table. `columns` are `{label, number?, cell(row)}`, where `cell` returns text or a node;
 * `empty` is what is said where there are no rows.
 */
export function table(columns, rows, { caption, empty = "Nothing yet." } = {}) {
  if (!rows.length) return el("p", { class: "empty" }, empty);
  const side = (column) => ({ class: column.number ? "number" : null });
  return el(
    "div",
    { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    el(
      "table",
      {},
      caption ? el("caption", { class: "unseen" }, caption) : null,
      el("thead", {}, el("tr", {}, columns.map((one) => el("th", { scope: "col", ...side(one) }, one.label)))),
      el("tbody", {}, rows.map((row) => el("tr", {}, columns.map((one) => el("td", side(one), one.cell(row)))))),
    ),
  );
}

/** What is said where something cannot be shown. */
export function notice(title, ...text) {
  return el("section", { class: "notice" }, el("h2", {}, title), ...text.map((one) => (one instanceof Node ? one : el("p", {}, one))));
}

/** How long ago a moment was, which goes on counting while it is shown. */
export function since(moment) {
  return el("time", { datetime: moment }, ago(moment));
}

setInterval(() => {
  for (const one of document.querySelectorAll("time[datetime]")) say(one, ago(one.getAttribute("datetime")));
}, AGE_MS);

function present(children) {
  return children.flat(Infinity).filter((one) => one !== null && one !== undefined && one !== false);
}
