"use strict";
/* Pass@k against k, one line a method, named at its end. */

SE.views.curves = function (table, state) {
  const family = SE.family(table, state);
  const rows = SE.picked(table, state);
  const names = Object.keys(table.families).filter((name) => name !== "value");
  const controls = SE.h("div", { class: "controls" },
    names.length > 1 && SE.segments("Score", names.map((name) => [name, { pass: "Pass@k", unbiased: "Unbiased", maj: "Majority", wmaj: "Weighted vote", best: "Best by score" }[name]]),
      family, (score) => SE.go({ score })),
    SE.search(state), SE.methodPicker(table, state));
  if (family === "value") {
    return [controls, SE.empty("One value a question.", `${table.score} has no k to draw a curve over: see the ranking.`)];
  }
  if (!rows.length) return [controls, SE.empty("No method is left.", "Clear the search, or pick methods again.")];
  return [controls, SE.curves(table, family, rows), SE.h("p", { class: "muted legend" },
    table.compared && rows.length <= 3 && "Shaded: 95 % bootstrap intervals over questions. ",
    table.compared && rows.length > 3 && "Point at a line to see its 95 % bootstrap interval over questions. ",
    rows.length > 12 ? `The first 12 of ${rows.length} methods are named; pick methods to see others. ` : "",
    "The ranking holds all values as numbers.")];
};

SE.curves = function (table, family, rows) {
  const data = table.families[family];
  const depth = data.mean[0].length;
  const named = rows.slice(0, 12);
  const values = rows.flatMap((index) => [...data.mean[index], ...(rows.length <= 12 ? [...data.low[index], ...data.high[index]] : [])]);
  const narrow = globalThis.innerWidth < 720;
  const width = narrow ? 420 : 1040;
  const frame = SE.frame({
    width, height: narrow ? 360 : 520, right: narrow ? 24 : 210,
    x: { low: 1, high: Math.max(depth, 2), ticks: SE.whole(1, depth) }, y: SE.range(values),
    xTitle: "candidates k", yTitle: SE.label(table, family, "k").replace("@{}", "@k"),
    label: `${table.task}: score against the number of candidates`,
  });
  const labels = [];
  for (const index of [...rows].reverse()) {
    const row = table.rows[index];
    const points = data.mean[index].map((value, at) => [at + 1, value]).filter(([, value]) => value !== null);
    if (!points.length) continue;
    frame.root.append(SE.curve(table, frame, data, index, points, rows.length, named.includes(index)));
    const last = points[points.length - 1];
    if (named.includes(index)) labels.push({ y: frame.toY(last[1]), from: frame.toX(last[0]), row, value: last[1] });
  }
  if (!narrow) {
    SE.spread(labels, frame.y1, frame.y0, 19);
    for (const label of labels) {
      frame.root.append(
        SE.s("path", { class: "leader", d: `M${label.from + 8},${label.y} L${frame.x1 + 20},${label.at}` }),
        SE.s("text", { class: `end t${SE.look(label.row.id).colour.slice(1)}`, x: frame.x1 + 24, y: label.at + 4 },
          SE.clip(label.row.name, 22), SE.s("tspan", { class: "endvalue", dx: 6 }, SE.score(label.value))));
    }
  }
  return SE.h("figure", { class: "panel" }, frame.root, narrow && SE.key(table, named));
};

SE.curve = function (table, frame, data, index, points, count, named) {
  const row = table.rows[index];
  const look = SE.look(row.id);
  const path = (list) => list.map(([x, y], at) => `${at ? "L" : "M"}${frame.toX(x)},${frame.toY(y)}`).join(" ");
  const group = SE.s("g", { class: `curve ${named ? "" : "faint"}`, "data-method": row.id });
  if (count <= 12 && data.low[index][0] !== null) {
    const low = points.map(([x]) => [x, data.low[index][x - 1]]);
    const high = points.map(([x]) => [x, data.high[index][x - 1]]).reverse();
    group.append(SE.s("path", { class: `band ${look.colour} ${count > 3 ? "asked" : ""}`, d: `${path(low)} ${path(high).replace("M", "L")} Z` }));
  }
  group.append(SE.s("path", { class: `line ${look.colour}`, d: path(points), "stroke-dasharray": look.dash || null }));
  for (const [k, value] of points) {
    if (points.length > 16 && k % 4 && k !== 1) continue;
    group.append(SE.marker(frame.toX(k), frame.toY(value), row.id, named ? 4.6 : 3));
  }
  return SE.tip(group, [row.name, ...points.map(([k, value]) => `k = ${k}: ${SE.score(value)}`)]);
};

SE.whole = function (low, high) {
  const step = Math.max(1, Math.ceil((high - low) / 8));
  const ticks = [];
  for (let at = low; at <= high; at += step) ticks.push(at);
  return ticks;
};

SE.key = (table, rows) => SE.h("ul", { class: "key" }, rows.map((index) => SE.h("li", {}, SE.method(table.rows[index]))));
