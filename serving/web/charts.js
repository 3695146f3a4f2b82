/** Charts: lines over time by uPlot, and bars, in the colours of the page, light or dark. */

import uPlot from "./vendor/uplot/uPlot.esm.js";
import { el, fill } from "./dom.js";
import { number, short } from "./format.js";

const HEIGHT = 234;
const NEW_DAY = "\n{D} {MMM}"; // below the first time of each day
const PALETTE = ["--series-1", "--series-2", "--series-3", "--series-4", "--series-5", "--series-6"];
const dark = matchMedia("(prefers-color-scheme: dark)");

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/**
 * Lines over time in `root`, with axes, a legend that shows the values under the pointer, and a
 * summary for who cannot see them.
 *
 * `series` are `{label, area?, steps?, dash?}`. `unit` stands at the axis, `format` shows a value.
 * Returns `{set(times, ...values), end()}`: times in s since 1970, ascending; a value of null is a
 * gap.
 */
export function timeChart(root, { label, unit, series, height = HEIGHT, format = number }) {
  let data = [[], ...series.map(() => [])];
  let plot = null;
  const place = el("div", { class: "plot", role: "img", "aria-label": label });
  const empty = el("p", { class: "empty" }, "Nothing to draw yet.");
  root.append(el("div", { class: "chart" }, el("p", { class: "unit" }, unit), place, empty));

  function draw() {
    plot?.destroy();
    plot = new uPlot(options(), data, place);
  }

  function options() {
    const ink = colour("--muted");
    const axis = {
      stroke: ink, grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false },
      font: `12px ${getComputedStyle(document.body).fontFamily}`,
    };
    return {
      width: Math.max(place.clientWidth, 200), height,
      padding: [8, 28, 0, 0],
      cursor: { drag: { x: false, y: false }, points: { size: 6 } },
      legend: { live: true },
      scales: { y: { range: (_, low, high) => [Math.min(0, low ?? 0), high > 0 ? high * 1.08 : 1] } },
      axes: [
        { ...axis, space: 76, size: 40, values: [
          [86_400, "{D} {MMM}", null, null, null, null, null, null, 1],
          [3_600, "{HH}:{mm}", null, null, NEW_DAY, null, null, null, 1],
          [60, "{HH}:{mm}", null, null, NEW_DAY, null, null, null, 1],
          [1, "{HH}:{mm}:{ss}", null, null, NEW_DAY, null, null, null, 1],
        ] },
        { ...axis, size: 52, space: 36, values: (_, ticks) => ticks.map(short) },
      ],
      series: [
        { label: "at", value: (_, at) => clock(at ?? data[0].at(-1)) },
        ...series.map((one, place) => line(one, colour(PALETTE[place % PALETTE.length]))),
      ],
    };
  }

  function line({ label: name, area = false, steps = false, dash = null }, stroke) {
    return {
      label: name, stroke, width: 1.75, dash, spanGaps: false,
      points: { show: true, size: 4, fill: stroke, filter: alone },
      fill: area ? `${stroke}22` : null,
      paths: steps ? uPlot.paths.stepped({ align: 1 }) : undefined,
      // While nothing is pointed at, the newest.
      value: (_, value, at, place) => format(place === null ? newest(data[at]) : value),
    };
  }

  const watching = new ResizeObserver(() => plot?.setSize({ width: Math.max(place.clientWidth, 200), height }));
  watching.observe(place);
  dark.addEventListener("change", draw);

  return {
    set(times, ...values) {
      data = [times, ...values];
      const some = times.length > 0;
      place.hidden = !some;
      empty.hidden = some;
      if (!some) return;
      if (plot) plot.setData(data);
      else draw();
      const last = series.map((one, at) => `${one.label} ${format(newest(values[at]))}`);
      place.setAttribute("aria-label", `${label}, ${unit}. Newest: ${last.join(", ")}.`);
    },
    end() {
      watching.disconnect();
      dark.removeEventListener("change", draw);
      plot?.destroy();
    },
  };
}

const clock = (at) => new Date(at * 1000).toLocaleTimeString("en-GB");
const newest = (values) => values.findLast((value) => value !== null) ?? null;

/** The places of values that no line would show: those without a neighbour. */
function alone(plot, at) {
  const values = plot.data[at];
  return values.flatMap((value, place) =>
    (value !== null && (values[place - 1] ?? null) === null && (values[place + 1] ?? null) === null ? [place] : []));
}

/**
 * Bars side by side, as a table that a screen reader reads: `rows` are `{label, value, note?}`,
 * where `label` may be a node. `unit` heads the values; `most` is the length of a full bar, the
 * largest value where it is left out.
 */
export function bars(root, rows, { caption, unit, most = null, format = number, empty = "Nothing yet." }) {
  if (!rows.length) return fill(root, el("p", { class: "empty" }, empty));
  const full = most ?? Math.max(...rows.map((one) => one.value), 0);
  return fill(root, el(
    "table", { class: "bars" },
    el("caption", { class: "unseen" }, caption),
    el("thead", { class: "unseen" }, el("tr", {}, el("th", { scope: "col" }, caption), el("th", { scope: "col" }, unit))),
    el("tbody", {}, rows.map((one) => bar(one, full, unit, format))),
  ));
}

function bar({ label, value, note = null }, full, unit, format) {
  const length = el("span", { class: "bar", "aria-hidden": "true" });
  length.style.setProperty("--share", full > 0 ? Math.max(value, 0) / full : 0);
  return el(
    "tr", { title: note },
    el("th", { scope: "row" }, label),
    el("td", {}, el("span", { class: "track" }, length), el("span", { class: "value" }, format(value), el("span", { class: "unseen" }, ` ${unit}`))),
  );
}
