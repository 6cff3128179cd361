"use strict";
/* The ranking: a sortable table with each interval drawn on one common scale. */

SE.views.ranking = function (table, state) {
  const family = SE.family(table, state);
  const k = SE.k(table, family, state);
  const rows = SE.sorted(table, SE.picked(table, state), state, family, k);
  const reference = SE.reference(table, state);
  const content = rows.length
    ? SE.rankingTable(table, state, rows, family, k, reference)
    : SE.empty("No method is left.", "Clear the search, or pick methods again.");
  return [
    SE.h("div", { class: "controls" }, SE.scorePicker(table, state), SE.search(state), SE.methodPicker(table, state),
      SE.referencePicker(table, state)),
    content,
    SE.rankingLegend(table, family, k, reference),
  ];
};

SE.rankingColumns = function (table, family, k, reference) {
  const data = table.families[family];
  const depth = data.mean[0].length;
  const columns = [
    { key: "rank", title: "Rank", about: "ranks that the questions leave open, 95 %", numeric: true,
      value: (index) => table.rows[index].place, cell: (index) => SE.rank(table.rows[index]) },
    { key: "method", title: "Method", value: (index) => table.rows[index].name.toLowerCase() },
    { key: "score", title: SE.label(table, family, k), numeric: true, strong: true,
      value: (index) => data.mean[index][k - 1], cell: (index) => SE.score(data.mean[index][k - 1]) },
    { key: "interval", title: "95 % interval", plot: true, value: (index) => data.mean[index][k - 1] },
  ];
  if (reference !== null && table.compared) {
    columns.push({ key: "delta", title: `vs ${SE.clip(table.rows[reference].name, 24)}`, numeric: true, wide: true,
      value: (index) => data.mean[index][k - 1] - data.mean[reference][k - 1],
      cell: (index) => (index === reference ? "reference" : SE.signed(SE.minus(data.mean[index][k - 1], data.mean[reference][k - 1]))) });
  }
  for (let at = 1; at <= depth; at += 1) {
    if (at === k || (depth > 8 && ![1, 2, 4, 8, 16, 32, 64].includes(at))) continue;
    columns.push({ key: `k${at}`, title: SE.label(table, family, at).replace(" (unbiased)", ""), numeric: true, wide: true,
      value: (index) => data.mean[index][at - 1], cell: (index) => SE.score(data.mean[index][at - 1]) });
  }
  for (const cost of SE.board.costs) {
    if (table.rows.some((row) => row.costs[cost.key] !== null)) {
      columns.push({ key: cost.key, title: cost.title, about: cost.about, numeric: true, wide: true,
        value: (index) => table.rows[index].costs[cost.key],
        cell: (index) => SE.cost(table.rows[index].costs[cost.key], cost.unit) });
    }
  }
  return columns;
};

SE.minus = (first, second) => (first === null || second === null ? null : first - second);

SE.rank = (row) => (row.rank === null ? "–" : row.rank[0] === row.rank[1] ? `${row.rank[0]}` : `${row.rank[0]}–${row.rank[1]}`);

/** Sorted by the state's column; what is unknown comes last in both directions. */
SE.sorted = function (table, indices, state, family, k) {
  const columns = SE.rankingColumns(table, family, k, SE.reference(table, state));
  const column = columns.find((item) => item.key === state.sort);
  if (!column && family === table.headline && k === table.k) return indices;
  const by = column || columns.find((item) => item.key === "score");
  const falling = column ? state.dir === "down" : !table.lower;
  const known = (value) => value !== null && value !== undefined && !Number.isNaN(value);
  return [...indices].sort((first, second) => {
    const [one, two] = [by.value(first), by.value(second)];
    if (!known(one) || !known(two)) return known(two) - known(one) || first - second;
    const order = one < two ? -1 : one > two ? 1 : 0;
    return (falling ? -order : order) || first - second;
  });
};

SE.rankingTable = function (table, state, rows, family, k, reference) {
  const columns = SE.rankingColumns(table, family, k, reference);
  const scale = SE.scale(table, rows, family, k);
  return SE.h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Ranking" },
    SE.h("table", { class: "ranking" },
      SE.h("thead", {}, SE.h("tr", {}, columns.map((column) => SE.heading(column, state, scale)))),
      SE.h("tbody", {}, rows.map((index) => SE.rankingRow(table, columns, index, family, k, reference, scale)))));
};

SE.heading = function (column, state, scale) {
  const sorted = state.sort === column.key;
  const direction = sorted ? (state.dir === "down" ? "descending" : "ascending") : null;
  const next = !sorted ? (column.numeric || column.plot) && column.key !== "rank" ? "down" : "" : state.dir === "down" ? "" : "down";
  const classes = ["numeric", "wide", "plot"].filter((name) => column[name]).join(" ");
  return SE.h("th", { scope: "col", class: classes, "aria-sort": direction || "none" },
    SE.h("button", {
      type: "button", class: "sort", id: `sort-${column.key}`, title: column.about,
      onclick: () => SE.go({ sort: column.key, dir: next }),
    }, column.title, SE.h("span", { class: "arrow", "aria-hidden": "true" }, sorted ? (state.dir === "down" ? "▾" : "▴") : "")),
    column.plot && SE.axis(scale));
};

SE.rankingRow = function (table, columns, index, family, k, reference, scale) {
  const row = table.rows[index];
  return SE.h("tr", { class: index === reference ? "reference" : null, "data-method": row.id },
    columns.map((column) => {
      if (column.key === "method") return SE.h("th", { scope: "row", class: "name" }, SE.nameCell(table, row));
      if (column.plot) return SE.h("td", { class: "plot" }, SE.whisker(table, index, family, k, reference, scale));
      const classes = [column.numeric && "numeric", column.wide && "wide", column.strong && "strong"].filter(Boolean).join(" ");
      return SE.h("td", { class: classes }, column.cell(index));
    }));
};

/** A row's name, its base model where the table has several, and its notes. */
SE.nameCell = function (table, row) {
  const several = table.rows.some((other) => other.model !== row.model);
  return [
    SE.h("div", { class: "line" }, SE.h("button", { type: "button", class: "link", id: `row-${row.id}`, onclick: () => SE.go({ view: "runs", find: "", side: row.id }, true) },
      SE.method(row)),
    row.letters && table.rows.length > 1 && SE.h("span", { class: "letters", title: "methods that share a letter are not shown to differ" }, row.letters)),
    several && row.model && SE.h("small", {}, row.model),
    row.notes.length > 0 && SE.h("div", { class: "flags" }, SE.flags(row)),
  ];
};

/** The span that the drawn intervals share. */
SE.scale = function (table, rows, family, k) {
  const data = table.families[family];
  const values = rows.flatMap((index) => [data.low[index][k - 1], data.high[index][k - 1], data.mean[index][k - 1]])
    .filter((value) => value !== null);
  let low = Math.min(...values, table.lower ? Infinity : 1);
  let high = Math.max(...values, 0);
  if (!Number.isFinite(low)) [low, high] = [0, 1];
  const margin = (high - low || 1) * 0.06;
  const within = family !== "value" || (low >= 0 && high <= 1);
  low = within ? Math.max(0, low - margin) : low - margin;
  high = within ? Math.min(1, high + margin) : high + margin;
  return { low, high, width: 240, x: (value) => 8 + (224 * (value - low)) / (high - low || 1), ticks: SE.ticks(low, high, 4) };
};

SE.axis = function (scale) {
  return SE.s("svg", { class: "axis", viewBox: "0 0 240 14", width: 240, height: 14, "aria-hidden": "true" },
    scale.ticks.map((tick) => SE.s("text", { x: scale.x(tick), y: 11, "text-anchor": "middle" }, SE.tickText(tick))));
};

SE.whisker = function (table, index, family, k, reference, scale) {
  const data = table.families[family];
  const [mean, low, high] = [data.mean[index][k - 1], data.low[index][k - 1], data.high[index][k - 1]];
  const row = table.rows[index];
  const label = mean === null ? "no value"
    : `${SE.score(mean)}${low === null ? "" : `, 95 % interval ${SE.score(low)} to ${SE.score(high)}`}`;
  const against = reference === null ? null : data.mean[reference][k - 1];
  return SE.s("svg", { class: "whisker", viewBox: "0 0 240 26", width: 240, height: 26, role: "img", "aria-label": label },
    SE.s("title", {}, label),
    scale.ticks.map((tick) => SE.s("line", { class: "grid", x1: scale.x(tick), x2: scale.x(tick), y1: 0, y2: 26 })),
    against !== null && SE.s("line", { class: "against", x1: scale.x(against), x2: scale.x(against), y1: 0, y2: 26 }),
    low !== null && SE.s("line", { class: `bar ${SE.look(row.id).colour}`, x1: scale.x(low), x2: scale.x(high), y1: 13, y2: 13 }),
    mean !== null && SE.marker(scale.x(mean), 13, row.id, 5.2));
};

SE.rankingLegend = function (table, family, k, reference) {
  const words = {
    pass: "Pass@k: at least one of the first k candidates is right.",
    unbiased: "Unbiased pass@k: the chance that k candidates drawn from a method's N hold a right one.",
    maj: "Majority: the answer that most of the first k candidates give is right.",
    value: "The task's own score, one value a question.",
  };
  return SE.h("p", { class: "muted legend" }, words[family],
    table.compared
      ? ` Bars are 95 % bootstrap intervals over ${SE.count(table.questions)} questions. Methods that share a letter are not shown to differ at ${SE.label(table, table.headline, table.k)} (exact tests, Holm's correction).`
      : table.logged
        ? " A metric without a value a question has no intervals."
        : " Runs without logged samples have no intervals.",
    reference !== null && ` The dashed line is ${table.rows[reference].name}.`);
};
