/**
 * The frame: five views by the hash of the address, the key, and what to say when something is away.
 *
 * A view is a module with `title` and `mount(root, api, parts)`, which shows itself in an empty
 * element and returns what ends it (streams, timers, charts). `parts` is the rest of the hash:
 * `#/listener/u394` mounts `listener` with `["u394"]`. When PostgreSQL is back, the view is mounted
 * anew, so it need not look after that itself; what it wants to keep it keeps in the hash.
 */

import { Api } from "./api.js";
import { el, fill, notice, say } from "./dom.js";

const VIEWS = ["now", "music", "listener", "models", "data"];
const NAMES = { now: "Now", music: "Music", listener: "Listener", models: "Models", data: "Data" };
const ROLES = { read: "May read", write: "May read and write", admin: "Administrator" };

const api = new Api();
const view = document.getElementById("view");
const banner = document.getElementById("banner");
let unmount = () => {};
let mounting = 0;

function place() {
  const [name, ...parts] = location.hash.replace(/^#\/?/, "").split("/").map(decode);
  return VIEWS.includes(name) ? { name, parts } : { name: "now", parts: [] };
}

function decode(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

async function show() {
  const mine = ++mounting;
  leave();
  const { name, parts } = place();
  markCurrent(name);
  document.title = `${NAMES[name]} · Encore`;
  if (!api.caller) {
    fill(view, api.state === "away" ? notice("Nothing to show yet", api.problem.message) : keyForm());
    return;
  }
  const module = await import(`./views/${name}.js`);
  if (mine !== mounting) return; // another view was asked for meanwhile
  document.title = `${module.title} · Encore`;
  const root = el("div", { class: "view", id: `view-${name}` }, el("h1", {}, module.title));
  fill(view, root);
  unmount = module.mount(root, api, parts) ?? (() => {});
}

function leave() {
  const ending = unmount;
  unmount = () => {};
  ending();
  view.replaceChildren();
}

function markCurrent(name) {
  for (const link of document.querySelectorAll("#nav a")) {
    if (link.dataset.view === name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

function keyForm() {
  const refused = api.state === "refused";
  const field = el("input", {
    id: "key", type: "password", autocomplete: "off", spellcheck: "false", required: true,
    placeholder: "encore_…", "aria-describedby": "key-help", "aria-invalid": refused ? "true" : null,
  });
  const submit = (event) => {
    event.preventDefault();
    api.use(field.value);
  };
  const form = el(
    "form", { class: "key-form", onsubmit: submit },
    el("label", { for: "key" }, "Key of the API"),
    el("div", { class: "row" }, field, el("button", { type: "submit", class: "primary" }, "Open")),
  );
  return notice(
    refused ? "The key was refused" : "A key, please",
    refused ? el("p", { role: "alert" }, "This key is unknown or revoked: is all of it there?") : null,
    form,
    el("p", { id: "key-help", class: "muted" },
      "Make one with ", el("code", {}, "encore keys make me --role write"),
      "; the demo prints one when it starts. It stays in this tab and is sent to nobody but this server."),
  );
}

function tell() {
  const { state, problem, caller } = api;
  say(document.getElementById("caller"), caller ? ROLES[caller.role] : "");
  document.getElementById("change-key").hidden = !caller;
  const away = state === "away";
  banner.hidden = !away;
  if (away && banner.dataset.said !== problem.message) {
    banner.dataset.said = problem.message;
    fill(banner,
      el("p", {}, el("strong", {}, problem.message), " What is shown may be old. This page goes on by itself when it is back."),
      el("button", { type: "button", onclick: () => api.look() }, "Retry"));
  }
  if (!away) delete banner.dataset.said;
}

function changed() {
  tell();
  // While something is away, what is shown stays; when it is back, all is read anew.
  if (api.state !== "away" || !api.caller) show();
}

function open() {
  document.getElementById("nav").append(...VIEWS.map((name) =>
    el("li", {}, el("a", { href: `#/${name}`, "data-view": name }, NAMES[name]))));
  document.getElementById("change-key").addEventListener("click", () => api.use(""));
  document.getElementById("skip").addEventListener("click", () => view.focus());
  addEventListener("hashchange", async () => {
    await show();
    view.focus({ preventScroll: true });
  });
  api.addEventListener("state", changed);
  api.open();
}

open();
