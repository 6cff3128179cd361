"use strict";
/* Every pair of methods: how far apart, how sure, and what these questions could have shown. */

SE.views.pairs = function (table, state) {
  const controls = SE.h("div", { class: "controls" }, SE.scorePicker(table, state), SE.search(state), SE.methodPicker(table, state));
  if (!table.compared) {
    return [controls, SE.empty("These runs cannot be compared.", table.logged ? "This metric has no value a question."
      : "A paired comparison needs each question's outcome: run lm_eval with --log_samples.")];
  }
  if (table.rows.length < 2) return [controls, SE.empty("One method only.", "There is nothing to compare it with.")];
  const family = SE.family(table, state);
  const k = family === "unbiased" ? 1 : SE.k(table, family, state);
  const found = SE.picked(table, state);
  const rows = state.all === "1" ? found : found.slice(0, 30);
  const body = SE.later(SE.h("div", { class: "pairs" }), SE.load(`${table.id}-pairs-${family}-${k}`),
    (data) => SE.pairsBody(table, state, family, k, rows, SE.pairs(table, data)));
  return [
    controls,
    family === "unbiased" && SE.h("p", { class: "muted" }, "The unbiased estimate is compared at k = 1, where it is the mean accuracy of a method's candidates."),
    found.length > rows.length && SE.h("p", { class: "muted" }, `The first ${rows.length} of ${found.length} methods. `,
      SE.h("button", { type: "button", class: "link", id: "all-pairs", onclick: () => SE.go({ all: "1" }) }, "Show all")),
    body,
  ];
};

/** Access to the flat upper triangle by row and column; the lower one is its mirror. */
SE.pairs = function (table, data) {
  const size = table.rows.length;
  return function (first, second) {
    if (first === second) return null;
    const [one, two] = first < second ? [first, second] : [second, first];
    const at = one * size - (one * (one + 1)) / 2 + (two - one - 1);
    const [d, low, high] = [data.d[at], data.low[at], data.high[at]];
    if (d === null) return null;
    const turned = first > second;
    return {
      d: turned ? -d : d, low: turned ? SE.negative(high) : low, high: turned ? SE.negative(low) : high,
      p: data.p[at], holm: data.holm[at], detectable: data.detectable[at],
      only: data.only && (turned ? data.other[at] : data.only[at]), other: data.only && (turned ? data.only[at] : data.other[at]),
      sure: data.holm[at] !== null && data.holm[at] < 0.05,
    };
  };
};

SE.negative = (value) => (value === null ? null : -value);

SE.pairsBody = function (table, state, family, k, rows, pair) {
  if (rows.length < 2) return SE.empty("Fewer than two methods are left.", "Clear the search, or pick methods again.");
  const [a, b] = [SE.byId(table, state.a), SE.byId(table, state.b)];
  // Shares are read in points of 100, a metric of another kind in its own unit.
  const unit = family !== "value" || pair(rows[0], rows[1])?.only !== undefined ? 100 : 1;
  const most = Math.max(unit === 100 ? 0.02 : 1e-9, ...rows.flatMap((one) => rows.map((two) => Math.abs(pair(one, two)?.d ?? 0))));
  const chosen = rows.includes(a) && rows.includes(b) && a !== b ? [a, b] : [rows[0], rows[1]];
  return [
    SE.h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Differences of all pairs" },
      SE.h("table", { class: `matrix ${rows.length > 12 ? "dense" : ""}` },
        SE.h("caption", {}, `Row minus column, ${SE.label(table, family, k)}${unit === 100 ? ", in points of 100" : ""}`),
        SE.h("thead", {}, SE.h("tr", {}, SE.h("td"), rows.map((index) => SE.h("th", { scope: "col" }, SE.h("span", {}, table.rows[index].name))))),
        SE.h("tbody", {}, rows.map((one) => SE.h("tr", {}, SE.h("th", { scope: "row" }, SE.method(table.rows[one])),
          rows.map((two) => SE.cell(table, pair(one, two), { one, two, most, chosen, unit }))))))),
    SE.h("p", { class: "muted legend" }, "Blue: the row is ahead; orange: the column. Bold with a dot: p < 0.05 after Holm's correction over all pairs of the table. Choose a cell for its details."),
    SE.pairDetails(table, state, family, k, chosen[0], chosen[1], pair(chosen[0], chosen[1])),
  ];
};

SE.cell = function (table, found, { one, two, most, chosen, unit }) {
  if (one === two) return SE.h("td", { class: "self" }, "");
  if (!found) return SE.h("td", { class: "self" }, "–");
  const step = Math.min(4, Math.ceil((Math.abs(found.d) / most) * 4));
  const hue = found.d === 0 ? "even" : `${found.d > 0 !== table.lower ? "ahead" : "behind"}${step}`;
  const text = SE.signed(found.d * unit, unit === 1 ? 3 : table.rows.length > 12 ? 0 : 1);
  return SE.h("td", { class: `${hue} ${found.sure ? "sure" : ""}` },
    SE.h("button", {
      type: "button", id: `pair-${one}-${two}`, "aria-pressed": chosen[0] === one && chosen[1] === two ? "true" : "false",
      "aria-label": `${table.rows[one].name} minus ${table.rows[two].name}: ${text}${found.sure ? ", significant" : ""}`,
      onclick: () => SE.go({ a: table.rows[one].id, b: table.rows[two].id }),
    }, text));
};

SE.pairDetails = function (table, state, family, k, one, two, found) {
  if (!found) return null;
  const [first, second] = [table.rows[one], table.rows[two]];
  const facts = [
    ["Difference", SE.signed(found.d)],
    ["95 % interval", found.low === null ? "unknown" : `${SE.signed(found.low)} to ${SE.signed(found.high)}`],
    [found.only === undefined || found.only === null ? "p, paired permutation test" : "p, exact McNemar test", SE.pText(found.p)],
    ["p after Holm's correction", SE.pText(found.holm)],
    ["Smallest difference these questions show", found.detectable === null ? "none, or unknown" : SE.score(found.detectable)],
  ];
  const counted = found.only !== null && found.only !== undefined;
  if (counted) {
    facts.push([`Only ${first.name} solves`, SE.count(found.only)], [`Only ${second.name} solves`, SE.count(found.other)]);
  }
  return SE.h("section", { class: "panel details", "aria-live": "polite" },
    SE.h("h3", {}, SE.method(first), SE.h("span", { class: "muted" }, " against "), SE.method(second)),
    SE.h("p", { class: "said" }, SE.pairWords(table, first, second, found, SE.label(table, family, k))),
    SE.h("dl", { class: "facts" }, facts.map(([name, value]) => SE.h("div", {}, SE.h("dt", {}, name), SE.h("dd", {}, value)))),
    // The list of questions goes by the score that the table ranks by, right or wrong a question.
    counted && family === table.headline && table.parts.questions.length > 0 && SE.h("p", {}, SE.h("a", {
      class: "button", id: "differ", href: SE.hash({ view: "questions", show: "differ", a: first.id, b: second.id, k, question: "", page: "" }),
    }, "Questions where they differ")));
};

SE.pairWords = function (table, first, second, found, label) {
  const [ahead, behind] = found.d >= 0 !== table.lower ? [first, second] : [second, first];
  if (found.d === 0) return `The two have the same ${label} on these questions.`;
  if (found.sure) return `${ahead.name} is ahead of ${behind.name} at ${label}; chance alone would rarely do this.`;
  return `${ahead.name} is ahead on these questions, by no more than chance could do. ${found.detectable === null
    ? "No difference, however large, would show reliably with so few questions."
    : `A true difference under about ${found.detectable.toFixed(2)} would mostly stay hidden.`}`;
};
