/** The data: whether every record is accounted for, how large the tables are, what was rejected. */

import { bars } from "../charts.js";
import { card, el, fill, since, table } from "../dom.js";
import { bytes, moment, number } from "../format.js";
import { keepNew } from "../loading.js";
import { rejected } from "./data/rejected.js";

export const title = "Data";

const LARGEST = 8;

export function mount(root, api) {
  const made = [accounts(api), sizes(api), rejected(api)];
  root.append(el("div", { class: "grid" }, made.map((one) => one.card)));
  return () => made.forEach((one) => one.end());
}

function accounts(api) {
  const place = el("div", { class: "stack" });
  const kept = keepNew(place, (signal) => api.get("data/accounting", {}, { signal }), (root, found) => {
    if (!found.topics.length) return fill(root, el("p", { class: "empty" }, "Nothing was read yet: encore stream reads."));
    fill(root,
      el("p", { id: "closes" }, el("span", { class: found.closes ? "tag good" : "tag bad" }, found.closes ? "adds up" : "does not add up"),
        found.closes ? " Every record that was read was accepted, dropped as a duplicate, or rejected."
          : " Some records are not accounted for. encore verify --accounting says which."),
      table(TOPIC, found.topics, { caption: "What became of the records of each topic" }),
      found.topics.map((one) => el("details", { "data-mark": one.topic },
        el("summary", {}, `${one.topic} by partition`),
        table(PARTITION, one.partitions, { caption: `What became of the records of each partition of ${one.topic}` }))));
  }, { seconds: 5 });
  return { card: card("Accounting", { aside: el("span", { class: "muted" }, "read = accepted + duplicate + rejected"), id: "accounting" }, place), end: kept.end };
}

const count = (label, name) => ({ label, number: true, cell: (one) => number(one[name]) });
const COUNTS = [
  count("Read", "read"), count("Accepted", "accepted"), count("of them late", "late"),
  count("Duplicate", "duplicate"), count("Rejected", "rejected"),
  { label: "", cell: (one) => (one.closes ? el("span", { class: "tag good" }, "adds up") : el("span", { class: "tag bad" }, "does not")) },
];
const TOPIC = [{ label: "Topic", cell: (one) => one.topic }, ...COUNTS];
const PARTITION = [
  { label: "Partition", number: true, cell: (one) => number(one.partition) },
  count("From offset", "first_offset"), count("To offset", "next_offset"), count("Gaps", "gaps"),
  ...COUNTS,
  { label: "Newest record", cell: (one) => (one.closed_at ? `given up ${moment(one.closed_at)}` : since(one.arrived_at)) },
];

function sizes(api) {
  const place = el("div", { class: "stack" });
  const total = el("span", { class: "muted", id: "database-size" });
  const kept = keepNew(place, (signal) => api.get("data/tables", {}, { signal }), (root, found) => {
    total.textContent = `${bytes(found.database_bytes)} in all`;
    const largest = el("div");
    bars(largest, found.tables.slice(0, LARGEST).map((one) => ({ label: one.table, value: one.bytes, note: one.meaning })), {
      caption: "The largest tables, with their indexes", unit: "", format: bytes,
    });
    fill(root, largest, el("details", { "data-mark": "all" }, el("summary", {}, `All ${found.tables.length} tables`),
      table(TABLE, found.tables, { caption: "Tables by size" })));
  }, { seconds: 30 });
  return { card: card("Tables", { aside: total, id: "tables" }, place), end: kept.end };
}

const TABLE = [
  { label: "Table", cell: (one) => [el("code", {}, one.table), el("span", { class: "by" }, one.meaning)] },
  { label: "Rows, about", number: true, cell: (one) => number(one.rows) },
  { label: "Size", number: true, cell: (one) => bytes(one.bytes) },
  { label: "of it indexes", number: true, cell: (one) => bytes(one.index_bytes) },
  { label: "Partitions", number: true, cell: (one) => (one.partitions ? number(one.partitions) : "–") },
];
