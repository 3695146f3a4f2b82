/** Rejected records: why, what is in them, and to Kafka again. */

import { Problem } from "../../api.js";
import { card, el, fill, since, table } from "../../dom.js";
import { bytes, number } from "../../format.js";
import { confirmed, keepNew, outcome, takesAdmin } from "../../loading.js";

const SHOWN = 10;

export function rejected(api) {
  const [counted, records] = [el("div"), el("div")];
  const told = outcome();
  const asked = { reason: null, field: null, topic: null, replayed: false, offset: 0 };
  const replay = (what, ask, field) => sendAgain(api, told, what, ask, field).then((sent) => sent && everything());

  const reasons = keepNew(counted, (signal) => api.get("rejected/reasons", {}, { signal }), (root, found) => fill(root,
    found.all ? null : el("p", { class: "muted" }, `Of the newest ${number(found.counted)} that wait.`),
    table(reasonColumns(only, replay), found.reasons, { caption: "Why records were rejected", empty: "No rejected record waits." })),
  { seconds: 10 });
  const page = keepNew(records, (signal) => api.get("rejected", { ...asked, n: SHOWN }, { signal }), (root, found) => fill(root,
    table(recordColumns(replay), found.records, { caption: "Rejected records", empty: "There is no such record." }),
    paging(found, turn)), { seconds: 10 });

  const every = el("input", { type: "checkbox", id: "replayed", onchange: () => ask({ replayed: every.checked }) });
  const chosen = el("span", { class: "muted", id: "chosen" }, "All that wait");
  const all = el("button", { type: "button", class: "quiet", hidden: true, onclick: () => only({}) }, "Show all");

  function ask(change) {
    Object.assign(asked, { offset: 0 }, change);
    page.again();
  }
  function only({ topic = null, reason = null, field = null }) {
    all.hidden = !reason;
    chosen.textContent = reason ? `Only ${[reason, field, `of ${topic}`].filter(Boolean).join(" ")}` : "All that wait";
    ask({ topic, reason, field });
  }
  const turn = (by) => ask({ offset: Math.max(0, asked.offset + by * SHOWN) });
  const everything = () => Promise.all([reasons.again(), page.again()]);

  const filter = el("div", { class: "row filter" }, chosen, all, el("label", { class: "check" }, every, " with those sent again"));
  return {
    card: card("Rejected records", { id: "rejected", aside: el("span", { class: "muted" }, "kept as they were, and can be sent again") },
      told.place, counted, el("h3", { class: "below" }, "Records"), filter, records),
    end() {
      reasons.end();
      page.end();
    },
  };
}

const reasonColumns = (only, replay) => [
  { label: "Reason", cell: why },
  { label: "Records", number: true, cell: (one) => number(one.records) },
  { label: "", cell: (one) => el("div", { class: "acts" },
    button("Show", `show ${one.topic} ${one.reason} ${one.field}`, () => only(one)),
    button("Send again", `send ${one.topic} ${one.reason} ${one.field}`, () => {
      const { topic, reason, field } = one;
      return replay(`records of ${topic}: ${reason}${field ? ` ${field}` : ""}`, { topic, reason, ...(field ? { field } : {}) }, field);
    })) },
  { label: "Topic", cell: (one) => one.topic },
  { label: "Last arrival", cell: (one) => since(one.last_at) },
  { label: "What the contract says", cell: (one) => el("span", { class: "rule" }, one.rule) },
];

const recordColumns = (replay) => [
  { label: "Record", cell: (one) => [el("code", {}, one.place), el("span", { class: "by" }, "arrived ", since(one.arrived_at))] },
  { label: "Reason", cell: why },
  { label: "Key", cell: (one) => el("code", {}, one.key ?? "–") },
  { label: "Value", cell: value },
  { label: "", cell: (one) => (one.replayed_at
    ? el("span", { class: "muted" }, `sent again to ${one.replayed_to}, `, since(one.replayed_at))
    : button("Send again", `send ${one.place}`, () => replay(one.place, { places: [one.place] }, one.field))) },
];

function why(one) {
  return [el("span", { class: "tag bad", title: one.rule }, one.reason), el("span", { class: "by" }, one.field ?? "the record")];
}

function value(one) {
  if (one.value === null) return el("span", { class: "muted" }, "none");
  return el("details", { "data-mark": one.place },
    el("summary", {}, el("code", {}, one.value.length > 60 ? `${one.value.slice(0, 60)}…` : one.value)),
    el("pre", {}, one.value),
    el("p", { class: "muted" }, `${bytes(one.bytes)}. ${one.rule}`));
}

function button(text, mark, pressed) {
  return el("button", { type: "button", class: "quiet", "data-mark": mark, onclick: pressed }, text);
}

function paging({ offset, more, records }, turn) {
  if (!offset && !more) return null;
  return el("div", { class: "row" },
    el("button", { type: "button", class: "quiet", "data-mark": "newer", disabled: !offset, onclick: () => turn(-1) }, "Newer"),
    el("span", { class: "muted" }, `${number(offset + 1)} to ${number(offset + records.length)}`),
    el("button", { type: "button", class: "quiet", "data-mark": "older", disabled: !more, onclick: () => turn(1) }, "Older"));
}

/** Rehearse, ask, send; say what became of it. Resolves to whether something was tried. */
async function sendAgain(api, told, what, ask, field) {
  if (!api.may("admin")) {
    told.bad(takesAdmin(api));
    return false;
  }
  try {
    const rehearsed = await api.post("rejected/replay", { ...ask, dry_run: true });
    const edit = field ? editing(field) : null;
    const sure = await confirmed(`Send ${what} again?`, "Send",
      `${several(rehearsed.would_send)} would go to Kafka${skipped(rehearsed)}. Each is sent once, and marked when Kafka has it.`,
      "What breaks the contract still is rejected again, as a new record.", ...(edit ? [edit.place] : []));
    if (!sure) return false;
    const done = await api.post("rejected/replay", { ...ask, ...(edit?.changes() ?? {}) });
    const failed = Object.entries(done.failed).map(([error, times]) => `${number(times)} failed (${error})`);
    const text = [`${several(done.marked)} sent again${skipped(done)}`, ...failed, done.left ? `${number(done.left)} not tried` : null];
    (failed.length || done.left ? told.bad : told.good)(`${text.filter(Boolean).join("; ")}.`);
    return true;
  } catch (problem) {
    if (!(problem instanceof Problem || problem instanceof SyntaxError)) throw problem;
    told.bad(`It did not go through: ${problem.message}`);
    return false;
  }
}

const several = (records) => `${number(records)} ${records === 1 ? "record" : "records"}`;

function skipped({ skipped: reasons }) {
  const said = Object.entries(reasons).map(([why, times]) => `${number(times)} left out: ${why}`);
  return said.length ? `; ${said.join("; ")}` : "";
}

/** A field to set first, as JSON; left empty the records go as they are. */
function editing(field) {
  const input = el("input", { id: "set", autocomplete: "off", spellcheck: "false", placeholder: "as it is" });
  return {
    place: el("div", { class: "key-form" }, el("label", { for: "set" }, `Set ${field} first, to (JSON, such as "free" or 42)`), input),
    changes: () => (input.value.trim() ? { set: { [field]: JSON.parse(input.value) } } : {}),
  };
}
