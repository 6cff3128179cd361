"use strict";
/* The questions of a table: who solves which, and the way to each one's answers. */

SE.PAGE = 40;

SE.views.questions = function (table, state) {
  if (!table.parts.questions.length) {
    return [SE.empty("No questions to show.", table.logged ? "This metric has no value a question."
      : "These runs were made without --log_samples.")];
  }
  if (state.question !== "") return SE.questionPage(table, state);
  return [SE.later(SE.h("div"), SE.everything(table), (data) => SE.questionList(table, state, data))];
};

/** All questions and outcomes of a table. */
SE.everything = async function (table) {
  const [outcomes, ...parts] = await Promise.all([
    SE.load(`${table.id}-outcomes`), ...table.parts.questions.map((name) => SE.load(name)),
  ]);
  return { outcomes, questions: parts.flat() };
};

/** Whether a row solves a question with its first k candidates; ask only where `outcomes.first` is known. */
SE.solves = function (outcomes, row, question, k) {
  const first = outcomes.first[row][question];
  return first > 0 && first <= k;
};

SE.byId = (table, id) => table.rows.findIndex((row) => row.id === id);

SE.questionList = function (table, state, { outcomes, questions }) {
  const k = SE.k(table, table.headline, state);
  const rows = SE.picked(table, state);
  const [a, b] = SE.twoRows(table, state);
  const wanted = SE.questionFilter(table, state, outcomes, questions, rows, k, a, b);
  const page = Math.min(Math.max(0, Number(state.page) || 0), Math.max(0, Math.ceil(wanted.length / SE.PAGE) - 1));
  const shown = wanted.slice(page * SE.PAGE, (page + 1) * SE.PAGE);
  return [
    SE.questionControls(table, state, outcomes, questions, k, a, b),
    SE.h("p", { class: "muted", role: "status", id: "found" }, `${SE.count(wanted.length)} of ${SE.count(questions.length)} questions`,
      outcomes.first && state.show === "differ" && ` on which ${table.rows[a].name} and ${table.rows[b].name} differ at k = ${k}`),
    shown.length
      ? SE.h("ol", { class: "questions" }, shown.map((at) => SE.questionItem(table, outcomes, questions, at, rows, k)))
      : SE.empty("No question is like that.", "Widen the filters above."),
    wanted.length > SE.PAGE && SE.pages(page, Math.ceil(wanted.length / SE.PAGE)),
  ];
};

/** The two methods compared: the state's, else the reference or last and the first. */
SE.twoRows = function (table, state) {
  const a = SE.byId(table, state.a);
  const b = SE.byId(table, state.b);
  const first = a >= 0 ? a : 0;
  const reference = SE.reference(table, state);
  const fallback = reference !== null && reference !== first ? reference : table.rows.length - 1;
  return [first, b >= 0 && b !== first ? b : fallback === first ? 0 : fallback];
};

SE.questionFilter = function (table, state, outcomes, questions, rows, k, a, b) {
  const words = state.text.toLowerCase().split(/\s+/).filter(Boolean);
  const solved = (at) => rows.filter((row) => SE.solves(outcomes, row, at, k)).length;
  const tests = {
    all: () => true,
    differ: (at) => SE.solves(outcomes, a, at, k) !== SE.solves(outcomes, b, at, k),
    aonly: (at) => SE.solves(outcomes, a, at, k) && !SE.solves(outcomes, b, at, k),
    bonly: (at) => !SE.solves(outcomes, a, at, k) && SE.solves(outcomes, b, at, k),
    none: (at) => solved(at) === 0,
    some: (at) => solved(at) > 0 && solved(at) < rows.length,
    every: (at) => solved(at) === rows.length,
  };
  const test = (outcomes.first && tests[state.show]) || tests.all;
  return questions.map((question, at) => at).filter((at) => {
    const question = questions[at];
    if (state.subject && question.s !== state.subject) return false;
    const text = words.length ? `${question.q} ${question.a}`.toLowerCase() : "";
    return words.every((word) => text.includes(word)) && test(at);
  });
};

SE.questionControls = function (table, state, outcomes, questions, k, a, b) {
  const subjects = [...new Set(questions.map((question) => question.s).filter(Boolean))].sort();
  const names = table.rows.map((row) => [row.id, row.name]);
  const shows = [
    ["all", "all questions"], ["differ", "A and B differ"], ["aonly", "only A solves"], ["bonly", "only B solves"],
    ["some", "some methods solve"], ["none", "no method solves"], ["every", "every method solves"],
  ];
  const depth = table.families[table.headline].mean[0].length;
  const two = outcomes.first && table.rows.length > 1;
  return SE.h("div", { class: "controls" },
    outcomes.first && SE.select("Show", "show", shows.filter(([key]) => two || !["differ", "aonly", "bonly"].includes(key)),
      state.show, (show) => SE.go({ show, page: "" })),
    two && SE.select("A", "a", names, table.rows[a].id, (id) => SE.go({ a: id, page: "" })),
    two && SE.select("B", "b", names, table.rows[b].id, (id) => SE.go({ b: id, page: "" })),
    subjects.length > 1 && SE.select("Subject", "subject", [["", "all"], ...subjects.map((subject) => [subject, subject])],
      state.subject, (subject) => SE.go({ subject, page: "" })),
    SE.kPicker(depth, k),
    SE.h("label", { class: "field" }, SE.h("span", {}, "Words"),
      SE.h("input", { type: "search", id: "text", placeholder: "in the question", value: state.text, oninput: (event) => SE.go({ text: event.target.value, page: "" }) })),
    SE.methodPicker(table, state));
};

SE.questionItem = function (table, outcomes, questions, at, rows, k) {
  const question = questions[at];
  const solved = outcomes.first && rows.filter((row) => SE.solves(outcomes, row, at, k));
  return SE.h("li", {}, SE.h("a", { href: SE.hash({ view: "questions", question: at }), id: `q-${at}` },
    SE.h("span", { class: "ask" }, SE.prose(SE.clip(question.q.trim(), 300), 20)),
    SE.h("span", { class: "about" }, question.s && SE.h("span", { class: "subject" }, question.s),
      solved && SE.strip(table, outcomes, rows, at, k),
      solved && SE.h("span", { class: "tally" }, `${solved.length} of ${rows.length} solve`))));
};

/** One mark a method: filled where it solves the question. */
SE.strip = function (table, outcomes, rows, at, k) {
  const shown = rows.slice(0, 24);
  return SE.s("svg", { class: "strip", viewBox: `0 0 ${shown.length * 14} 14`, width: shown.length * 14, height: 14, role: "img",
    "aria-label": shown.map((row) => `${table.rows[row].name}: ${SE.solves(outcomes, row, at, k) ? "solved" : "not solved"}`).join("; ") },
  shown.map((row, place) => {
    const mark = SE.marker(place * 14 + 7, 7, table.rows[row].id, 4.2);
    if (!SE.solves(outcomes, row, at, k)) mark.classList.add("hollow");
    return SE.tip(mark, [table.rows[row].name, SE.solves(outcomes, row, at, k) ? "solved" : "not solved"]);
  }));
};

SE.pages = (page, count) => SE.h("nav", { class: "pages", "aria-label": "Pages" },
  SE.h("button", { type: "button", id: "previous-page", disabled: page === 0, onclick: () => SE.go({ page: page - 1 || "" }) }, "Previous"),
  SE.h("span", {}, `page ${page + 1} of ${count}`),
  SE.h("button", { type: "button", id: "next-page", disabled: page + 1 >= count, onclick: () => SE.go({ page: page + 1 }) }, "Next"));
