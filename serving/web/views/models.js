/** Model runs: what each was worth, which one readers see, and the way back to an older one. */

import { bars, timeChart } from "../charts.js";
import { card, el, fill, since, table } from "../dom.js";
import { moment, number, percent, span } from "../format.js";
import { confirmed, keepNew, outcome, takesAdmin } from "../loading.js";
import { experiments } from "./models/experiments.js";

export const title = "Models";

const SECONDS = 10;
const RUNS = 50;
const GOOD = { published: "good", refused: "bad", failed: "bad" };
const NONE = "No model is published yet: encore train publishes one. Until then everyone is recommended what is popular.";
const NAMES = { als: "ALS", blend: "ALS and more", popularity: "what is popular" };

export function mount(root, api) {
  const [head, made, origin, curve, runs] = Array.from({ length: 5 }, () => el("div"));
  const told = outcome();
  const chart = timeChart(curve, {
    label: "Quality of the runs", unit: "NDCG@10 on the newest part of the data, by start of the run",
    series: [{ label: "the model" }, { label: "what is popular", dash: [4, 4] }], format: (value) => number(value, 3),
  });
  const load = async (signal) => {
    const found = await api.get("models", { n: RUNS }, { signal });
    const variety = found.champion ? await api.get(`models/${found.champion}/diversity`, {}, { signal }) : null;
    return { ...found, variety };
  };
  const kept = keepNew(head, load, (place, found) => {
    const run = found.runs.find((one) => one.champion);
    fill(place, run ? tiles(run, found.variety) : el("p", { class: "empty" }, NONE));
    fill(made, run ? facts(run) : el("p", { class: "empty" }, "Nothing yet."));
    sources(origin, run ? found.variety.sources : {});
    draw(chart, found.runs);
    fill(runs, table(columns(found.runs, back), found.runs, { caption: "Model runs", empty: "No model was made yet: encore train makes one." }));
  }, { seconds: SECONDS });

  async function back(run, old) {
    if (!api.may("admin")) return told.bad(takesAdmin(api));
    const sure = await confirmed(`Show readers run ${run.model_run_id} again?`, "Roll back",
      `Readers see run ${old} now. They will see the lists of run ${run.model_run_id} at once and as they were (data to ${moment(run.data_to)}).`,
      `Run ${old} is kept: you can come back to it. The next training publishes its own run.`);
    if (!sure) return;
    try {
      const done = await api.post("models/rollback", undefined, { run: run.model_run_id });
      told.good(`Readers see run ${done.model_run_id} now. Before it was run ${done.before}.`);
    } catch (problem) {
      told.bad(`It did not go through: ${problem.message}`);
    }
    await kept.again();
  }

  const tried = experiments(api);
  root.append(told.place, head, el("div", { class: "grid" },
    el("div", { class: "half" }, card("What the champion was made from", {}, made)),
    el("div", { class: "half stack" }, card("Where its lists come from", {}, origin), card("Quality over time", {}, curve)),
    card("Runs", { id: "runs", aside: el("span", { class: "muted" }, "the newest first; challengers are refused when they are worse") }, runs),
    tried.card));
  return () => {
    kept.end();
    tried.end();
    chart.end();
  };
}

function tiles(run, variety) {
  const ours = ordering(run);
  const popular = run.quality.find((one) => one.model === "popularity");
  return el("dl", { class: "tiles" },
    tile("Champion", `run ${run.model_run_id}`, [`${run.algorithm}, published `, since(run.published_at)]),
    tile("NDCG@10", number(ours?.ndcg, 3), ours ? `${number(ours.ndcg_low, 3)} to ${number(ours.ndcg_high, 3)}; popular ${number(popular?.ndcg, 3)}` : "not measured"),
    tile("Recall@20", percent(ours?.recall, 1), `popular ${percent(popular?.recall, 1)}`),
    tile("Coverage", percent(ours?.coverage, 1), `of the tracks are in somebody's first 20; popular ${percent(popular?.coverage, 1)}`),
    tile("Artists in a list", number(variety.artists, 1), `in its first 10, mean of ${number(variety.lists)} lists`),
    tile("Genres in a list", number(variety.genres, 1), `${number(variety.items)} different tracks in these lists`));
}

function tile(name, value, note) {
  return el("div", { class: "tile" }, el("dt", {}, name), el("dd", {}, value), el("dd", { class: "note" }, note));
}

function facts(run) {
  const rows = [
    ["Data from", moment(run.data_from)],
    ["Data to", moment(run.data_to)],
    ["Listeners", number(run.users)],
    ["Tracks", number(run.items)],
    ["Listener and track pairs", number(run.interactions)],
    ["Measured on", `${number(run.test_users)} listeners`],
    ["Lists ordered by", NAMES[run.orders_lists] ?? "fallbacks"],
    ["Tracks in a list", number(run.list_length, 1)],
    ["Took", span(run.duration_seconds)],
  ];
  return el("table", {}, el("tbody", {}, rows.map(([name, value]) =>
    el("tr", {}, el("th", { scope: "row", class: "muted" }, name), el("td", { class: "number" }, value)))));
}

function sources(place, shares) {
  const rows = Object.entries(shares).sort((one, other) => other[1] - one[1]);
  bars(place, rows.map(([label, value]) => ({ label, value })), {
    caption: "Source of the first ten", unit: "of the entries", most: 1, format: (value) => percent(value, 1), empty: "Its lists are empty.",
  });
}

const ordering = (run) => run.quality.find((one) => one.model === run.orders_lists);

function draw(chart, runs) {
  const found = runs.filter((one) => ordering(one)).reverse();
  const measured = found.length > 1 ? found : []; // of one run there is no line
  chart.set(
    measured.map((one) => Date.parse(one.started_at) / 1000),
    measured.map((one) => ordering(one).ndcg),
    measured.map((one) => one.quality.find((other) => other.model === "popularity")?.ndcg ?? null),
  );
}

function columns(runs, back) {
  const old = runs.find((one) => one.champion)?.model_run_id;
  const again = (run) => run.kept && el("button", {
    type: "button", class: "quiet", "data-mark": `run ${run.model_run_id}`, onclick: () => back(run, old),
  }, `Roll back to ${run.model_run_id}`);
  return [
    { label: "Run", number: true, cell: (run) => run.model_run_id },
    { label: "Status", cell: (run) => el("span", { class: `tag ${GOOD[run.status] ?? ""}` }, run.champion ? "champion" : run.status) },
    { label: "", cell: (run) => again(run) || "" },
    { label: "NDCG@10", number: true, cell: (run) => number(ordering(run)?.ndcg, 3) },
    { label: "Recall@20", number: true, cell: (run) => percent(ordering(run)?.recall, 1) },
    { label: "Coverage", number: true, cell: (run) => percent(ordering(run)?.coverage, 1) },
    { label: "Model", cell: (run) => run.algorithm },
    { label: "Started", cell: (run) => moment(run.started_at) },
    { label: "Data to", cell: (run) => moment(run.data_to) },
    { label: "Pairs", number: true, cell: (run) => number(run.interactions) },
    { label: "Took", number: true, cell: (run) => span(run.duration_seconds) },
    { label: "Why, or a warning", cell: (run) => run.message ?? "" },
  ];
}
