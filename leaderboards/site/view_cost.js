"use strict";
/* Score against cost, with the front of those that nothing beats on both. */

SE.views.cost = function (table, state) {
  const family = SE.family(table, state);
  const k = SE.k(table, family, state);
  const stated = SE.board.costs.filter((cost) => table.rows.some((row) => row.costs[cost.key] !== null));
  const cost = stated.find((item) => item.key === state.cost) || stated[0];
  const rows = SE.picked(table, state);
  const controls = SE.h("div", { class: "controls" },
    cost && SE.select("Cost", "cost", stated.map((item) => [item.key, SE.costTitle(item)]), cost.key, (value) => SE.go({ cost: value })),
    cost && SE.segments("Axis", [["", "linear"], ["1", "logarithmic"]], state.log, (log) => SE.go({ log })),
    SE.scorePicker(table, state), SE.search(state), SE.methodPicker(table, state));
  if (!cost) {
    return [controls, SE.empty("No run says what it cost.", "Runs of our models write seconds, tokens and memory into their results; plain runs at least their total time.")];
  }
  const data = table.families[family];
  const known = rows.filter((index) => table.rows[index].costs[cost.key] !== null && data.mean[index][k - 1] !== null);
  const silent = rows.filter((index) => !known.includes(index));
  return [
    controls,
    known.length ? SE.scatter(table, family, k, cost, known, state.log === "1")
      : SE.empty("None of these methods states this cost.", "Choose another cost, or other methods."),
    SE.h("p", { class: "muted legend" }, `${cost.about[0].toUpperCase()}${cost.about.slice(1)}. `,
      "The stepped line joins methods that no other beats on both. ",
      silent.length > 0 && `Not drawn, since their runs do not say: ${silent.map((index) => table.rows[index].name).join(", ")}.`),
  ];
};

SE.costTitle = (cost) => ({
  decode_seconds: "Seconds of decoding", total_seconds: "Seconds in all", generated_tokens: "Generated tokens",
  forwards: "Forward passes", parameters: "Parameters", peak_memory_bytes: "Peak memory",
})[cost.key] || cost.title;

/** Which of the drawn rows are beaten by none: no other is as cheap and better, or cheaper and as good. */
SE.front = function (points, lower) {
  const sign = lower ? -1 : 1;
  return points.filter((one) => !points.some((two) => two.cost <= one.cost && sign * two.score >= sign * one.score
    && (two.cost < one.cost || sign * two.score > sign * one.score))).sort((one, two) => one.cost - two.cost);
};

SE.scatter = function (table, family, k, cost, rows, log) {
  const data = table.families[family];
  const points = rows.map((index) => ({
    index, cost: table.rows[index].costs[cost.key], score: data.mean[index][k - 1],
    low: data.low[index][k - 1], high: data.high[index][k - 1],
  }));
  const drawn = log ? points.filter((point) => point.cost > 0) : points;
  if (!drawn.length) return SE.empty("Nothing to draw.", "A logarithmic axis has no room for a cost of zero.");
  const costs = drawn.map((point) => point.cost);
  const [least, most] = [Math.min(...costs), Math.max(...costs)];
  const x = log ? { low: least / 1.25, high: most * 1.25, log: true } : { low: 0, high: most * 1.06 || 1 };
  x.ticks = log ? SE.logTicks(x.low, x.high) : SE.ticks(x.low, x.high, 6);
  x.text = cost.unit === "bytes" ? (value) => SE.cost(value, "bytes") : SE.compact;
  const narrow = globalThis.innerWidth < 720;
  const frame = SE.frame({
    width: narrow ? 420 : 1040, height: narrow ? 380 : 540, right: narrow ? 24 : 60, x,
    y: SE.range(drawn.flatMap((point) => [point.low, point.high, point.score])),
    xTitle: SE.costTitle(cost).toLowerCase(), yTitle: SE.label(table, family, k),
    label: `${table.task}: score against ${cost.title}`,
  });
  const front = SE.front(drawn, table.lower);
  frame.root.append(SE.s("path", { class: "front", d: SE.steps(frame, front) }));
  for (const point of drawn) frame.root.append(SE.dot(table, frame, cost, point, front.includes(point)));
  if (!narrow) SE.nameDots(table, frame, drawn);
  return SE.h("figure", { class: "panel" }, frame.root, narrow && SE.key(table, rows.slice(0, 24)));
};

SE.steps = function (frame, front) {
  return front.map((point, at) => (at
    ? `H${frame.toX(point.cost)} V${frame.toY(point.score)}`
    : `M${frame.toX(point.cost)},${frame.toY(point.score)}`)).join(" ") + ` H${frame.x1}`;
};

SE.dot = function (table, frame, cost, point, first) {
  const row = table.rows[point.index];
  const [x, y] = [frame.toX(point.cost), frame.toY(point.score)];
  const group = SE.s("g", { class: first ? "dot first" : "dot", "data-method": row.id },
    point.low !== null && SE.s("line", {
      class: `bar thin ${SE.look(row.id).colour}`, x1: x, x2: x, y1: frame.toY(point.low), y2: frame.toY(point.high),
    }),
    SE.marker(x, y, row.id, 6.5));
  return SE.tip(group, [row.name, `${SE.score(point.score)}`, SE.cost(point.cost, cost.unit)]);
};

SE.nameDots = function (table, frame, points) {
  const placed = [];
  for (const point of [...points].sort((one, two) => two.score - one.score).slice(0, 24)) {
    const name = SE.clip(table.rows[point.index].name, 24);
    const width = name.length * 7.6;
    const right = frame.toX(point.cost) + 12 + width < frame.x1 + 56;
    const x = right ? frame.toX(point.cost) + 12 : frame.toX(point.cost) - 12 - width;
    let y = frame.toY(point.score) - 9;
    while (placed.some((box) => Math.abs(box.y - y) < 15 && x < box.x + box.width && box.x < x + width)) y += 15;
    placed.push({ x, y, width });
    frame.root.append(SE.s("text", { class: "end", x: right ? x : x + width, y, "text-anchor": right ? "start" : "end" }, name));
  }
};
