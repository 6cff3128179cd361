"use strict";
/* Several tables at once: a row a method, a column a table. */

SE.views.overview = function () {
  const tables = SE.board.tables;
  const names = new Map();
  for (const table of tables) for (const row of table.rows) if (!names.has(row.id)) names.set(row.id, row);
  const cells = new Map();
  tables.forEach((table, column) => table.rows.forEach((row, index) => {
    const key = `${row.id} ${column}`;
    if (!cells.has(key)) cells.set(key, { table, row, index });
  }));
  const ids = [...names.keys()].sort((one, two) => SE.coverage(tables, cells, two) - SE.coverage(tables, cells, one)
    || SE.place(tables, cells, one) - SE.place(tables, cells, two));
  return [
    SE.h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Overview" },
      SE.h("table", { class: "overview" },
        SE.h("thead", {}, SE.h("tr", {}, SE.h("th", { scope: "col" }, "Method"), tables.map((table) =>
          SE.h("th", { scope: "col" }, SE.h("a", { href: SE.hash({ view: "ranking", t: table.id }) }, table.title),
            SE.h("small", {}, `${SE.label(table, table.headline, table.k)} · ${SE.questions(table)}`))))),
        SE.h("tbody", {}, ids.map((id) => SE.h("tr", {}, SE.h("th", { scope: "row" }, SE.method({ id, name: names.get(id).full })),
          tables.map((table, column) => SE.overviewCell(cells.get(`${id} ${column}`)))))))),
    SE.h("p", { class: "muted legend" }, "A cell: the score, and the ranks that the questions leave open. The darker, the nearer to the best of its column. Tables apart are not to be compared with each other: their titles say what differs."),
  ];
};

SE.coverage = (tables, cells, id) => tables.filter((table, column) => cells.has(`${id} ${column}`)).length;

/** Mean place over the tables that a method is in. */
SE.place = function (tables, cells, id) {
  const places = tables.map((table, column) => cells.get(`${id} ${column}`)).filter(Boolean).map((cell) => cell.index);
  return places.reduce((sum, place) => sum + place, 0) / places.length;
};

SE.overviewCell = function (cell) {
  if (!cell) return SE.h("td", { class: "self" }, "");
  const { table, row, index } = cell;
  const means = table.families[table.headline].mean.map((values) => values[table.k - 1]);
  const known = means.filter((value) => value !== null);
  const [low, high] = [Math.min(...known), Math.max(...known)];
  const near = means[index] === null ? 0 : Math.round((3 * (means[index] - low)) / (high - low || 1));
  const step = table.lower ? 3 - near : near;
  return SE.h("td", { class: means[index] === null ? "self" : `near${step}` }, SE.h("b", {}, SE.score(means[index])),
    row.rank && SE.h("small", {}, `rank ${SE.rank(row)}`),
    row.serious.map((note) => SE.h("span", { class: "flag serious" }, note)));
};
