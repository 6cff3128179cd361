"use strict";
/* Where each row comes from, what keeps tables apart, and what was left out. */

SE.views.runs = function (table, state) {
  const rows = SE.picked(table, state);
  return [
    SE.h("div", { class: "controls" }, SE.search(state), SE.methodPicker(table, state)),
    SE.h("section", { class: "panel" }, SE.h("h3", {}, "What the rows of this table share"),
      SE.h("dl", { class: "facts" }, Object.entries(table.settings).map(([name, value]) =>
        SE.h("div", {}, SE.h("dt", {}, name), SE.h("dd", {}, value))))),
    rows.map((index) => SE.runCard(table, index, state.side === table.rows[index].id)),
    SE.skipped(),
  ];
};

SE.runCard = function (table, index, open) {
  const row = table.rows[index];
  const facts = [
    ["id", row.id], ["candidates a question", row.n + (row.deterministic ? ", one answer whatever k" : "")], ["run began", row.date || ""],
    ...row.details,
    ...SE.board.costs.map((cost) => [SE.costTitle(cost), SE.cost(row.costs[cost.key], cost.unit)]),
    ...Object.entries(row.counts).map(([name, value]) => [SE.countWords[name] || name, SE.count(value)]),
    ...row.older.map((date, at) => [`older run ${at + 1}, left out`, date]),
  ].filter(([, value]) => value !== "" && value !== null && value !== undefined);
  return SE.h("details", { class: "panel run", open, id: `run-${row.id}` },
    SE.h("summary", {}, SE.method(row), SE.flags(row)),
    SE.h("dl", { class: "facts" }, facts.map(([name, value]) => SE.h("div", {}, SE.h("dt", {}, name), SE.h("dd", {}, value)))),
    SE.allScores(table, index));
};

SE.countWords = {
  truncated: "candidates cut at the token limit", no_answer: "candidates without an answer", timed_out: "grader time-outs",
  failed: "candidates not graded", repeated: "candidates that repeat a text", short: "candidates missing", extra: "padding candidates dropped",
};

SE.allScores = function (table, index) {
  const depth = Math.max(...Object.values(table.families).map((family) => family.mean[0].length));
  const ks = Array.from({ length: depth }, (_, at) => at);
  if (depth === 1) return null;
  return SE.h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "All scores" }, SE.h("table", { class: "small" },
    SE.h("thead", {}, SE.h("tr", {}, SE.h("th", {}, "k"), ks.map((at) => SE.h("th", { class: "numeric", scope: "col" }, at + 1)))),
    SE.h("tbody", {}, Object.entries(table.families).map(([name, family]) => SE.h("tr", {},
      SE.h("th", { scope: "row" }, family.name.replace("@{}", "@k")),
      ks.map((at) => SE.h("td", { class: "numeric" }, SE.score(family.mean[index][at]),
        family.low[index][at] !== null && SE.h("small", {}, `${SE.score(family.low[index][at])} to ${SE.score(family.high[index][at])}`))))))));
};

SE.skipped = function () {
  const board = SE.board;
  return SE.h("section", { class: "panel" }, SE.h("h3", {}, "What was read"), SE.h("p", {}, board.summary),
    board.problems.length > 0 && SE.h("ul", { class: "problems" }, board.problems.map(([path, reason]) =>
      SE.h("li", {}, SE.h("code", {}, path), " ", reason))));
};
