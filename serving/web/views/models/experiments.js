/** Experiments: what each variant shows to whom, and what came of it, with intervals. */

import { card, el, fill, table } from "../../dom.js";
import { moment, number, percent } from "../../format.js";
import { keepNew } from "../../loading.js";

export function experiments(api) {
  const place = el("div", { class: "stack" });
  const load = async (signal) => {
    const { experiments: all } = await api.get("experiments", {}, { signal });
    const shown = all.slice(0, 1);
    const results = await Promise.all(shown.map((one) => api.get(`experiments/${one.name}/results`, {}, { signal })));
    return { all, results };
  };
  const kept = keepNew(place, load, show, { seconds: 10 });
  return { card: card("Experiments", { id: "experiments", aside: el("span", { class: "muted" }, "click-through with its interval of 95 %") }, place), end: kept.end };
}

function show(root, { all, results }) {
  if (!all.length) return fill(root, el("p", { class: "empty" }, "No experiment was made yet: encore experiment makes one."));
  const [newest, ...others] = all;
  const variants = new Map(newest.variants.map((one) => [one.name, one]));
  fill(root,
    el("p", {}, el("strong", {}, newest.name), " ", state(newest)),
    table(columns(variants, results[0].variants), results[0].variants, {
      caption: `What came of ${newest.name}`, empty: "Nobody was shown one of its variants yet.",
    }),
    others.length ? table(OLDER, others, { caption: "Experiments before" }) : null);
}

function state({ started_at: since, stopped_at: until }) {
  return until ? el("span", { class: "tag" }, `stopped ${moment(until)}`) : el("span", { class: "tag good" }, `runs since ${moment(since)}`);
}

const OLDER = [
  { label: "Experiment", cell: (one) => one.name },
  { label: "Variants", cell: (one) => one.variants.map((variant) => variant.name).join(", ") },
  { label: "", cell: state },
];

function columns(variants, results) {
  const most = Math.max(...results.map((one) => one.high ?? 0));
  return [
    { label: "Variant", cell: (one) => [one.variant, el("span", { class: "by" }, shows(variants.get(one.variant)))] },
    { label: "Shown", number: true, cell: (one) => number(one.impressions) },
    { label: "Played", number: true, cell: (one) => number(one.plays) },
    { label: "Click-through", number: true, cell: (one) => percent(one.click_through, 1) },
    { label: "Interval", cell: (one) => interval(one, most) },
    { label: "Against the first", cell: difference },
  ];
}

function shows(variant) {
  if (!variant) return "";
  const said = [
    variant.model_run_id ? `run ${variant.model_run_id}` : null,
    variant.max_per_artist ? `${variant.max_per_artist} an artist at most` : null,
    variant.max_per_genre ? `${variant.max_per_genre} a genre at most` : null,
    variant.without.length ? `without ${variant.without.join(", ")}` : null,
  ].filter(Boolean);
  return `${percent(variant.share)} of listeners; ${said.join(", ") || "as to everybody"}`;
}

/** An interval between 0 and the highest end of all, as a line with its rate as a point. */
function interval({ click_through: rate, low, high }, most) {
  if (rate === null || !most) return "–";
  const line = el("span", { class: "interval", "aria-hidden": "true" });
  for (const [name, value] of [["--low", low], ["--high", high], ["--at", rate]]) line.style.setProperty(name, value / most);
  return [line, el("span", { class: "by" }, `${percent(low, 1)} to ${percent(high, 1)}`)];
}

function difference({ difference: by, difference_low: low, difference_high: high }) {
  if (by === null) return "–";
  const sure = low > 0 ? "tag good" : high < 0 ? "tag bad" : "tag";
  const word = low > 0 ? "better" : high < 0 ? "worse" : "not sure";
  const points = (value) => `${value < 0 ? "−" : "+"}${number(100 * Math.abs(value), 1)}`;
  return [el("span", { class: sure }, word), el("span", { class: "by" }, `${points(by)} points (${points(low)} to ${points(high)})`)];
}
