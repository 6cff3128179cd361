"use strict";
/* One question: what was asked, what is right, and every method's candidates side by side. */

SE.questionPage = function (table, state) {
  const at = Number.parseInt(state.question, 10);
  return [SE.later(SE.h("div"), SE.oneQuestion(table, at), (data) => SE.questionBody(table, state, at, data))];
};

SE.oneQuestion = async function (table, at) {
  const part = SE.partOf(table.parts.answers, at);
  if (!part) throw new Error("There is no such question.");
  const [everything, packed] = await Promise.all([SE.everything(table), SE.load(part.name)]);
  const answers = await SE.unpack(packed);
  return { ...everything, answers: answers[at - part.first] };
};

/** Parts are in order; `first` is the first question that a part holds. */
SE.partOf = function (parts, at) {
  if (!Number.isInteger(at) || at < 0) return null;
  const found = parts.filter((part) => part.first <= at).pop();
  return found && at < found.first + found.count ? found : null;
};

SE.questionBody = function (table, state, at, { outcomes, questions, answers }) {
  const question = questions[at];
  const k = SE.k(table, table.headline, state);
  const rows = SE.beside(table, state);
  const [a, b] = SE.twoRows(table, state);
  const wanted = SE.questionFilter(table, state, outcomes, questions, SE.picked(table, state), k, a, b);
  const place = wanted.indexOf(at);
  const step = (offset) => (place < 0 ? null : wanted[place + offset] ?? null);
  return [
    SE.questionNavigation(table, state, place, wanted.length, step(-1), step(1)),
    SE.h("article", { class: "question panel" },
      SE.h("p", { class: "eyebrow" }, question.s || table.task, ` · question ${at + 1} of ${SE.count(questions.length)}`),
      SE.h("div", { class: "ask" }, SE.prose(question.q.trim())),
      SE.h("p", { class: "gold" }, SE.h("span", { class: "muted" }, "Gold answer"), SE.h("b", {}, SE.prose(SE.clip(question.a, 600))))),
    SE.besidePicker(table, state, rows, outcomes, at, k),
    SE.h("div", { class: `answers n${Math.min(rows.length, 4)}` },
      rows.map((row) => SE.answersOf(table, row, answers, question, outcomes, at))),
  ];
};

/** The methods shown side by side: the state's, else the first few. */
SE.beside = function (table, state) {
  const ids = state.side ? state.side.split(",") : [];
  const asked = ids.map((id) => SE.byId(table, id)).filter((index) => index >= 0);
  if (asked.length) return [...new Set(asked)].slice(0, 6);
  if (state.show !== "all" && table.rows.length > 1) return SE.twoRows(table, state);
  return SE.picked(table, state).slice(0, 3);
};

SE.questionNavigation = function (table, state, place, count, previous, next) {
  const link = (id, text, to) => (to === null ? SE.h("span", { class: "button off" }, text)
    : SE.h("a", { class: "button", id, href: SE.hash({ question: to }) }, text));
  return SE.h("nav", { class: "steps", "aria-label": "Questions" },
    SE.h("a", { class: "button", id: "back", href: SE.hash({ question: "" }) }, "← All questions"),
    SE.h("span", { class: "grow" }),
    place >= 0 && SE.h("span", { class: "muted" }, `${SE.count(place + 1)} of ${SE.count(count)} found`),
    link("previous", "Previous", previous), link("next", "Next", next));
};

SE.besidePicker = function (table, state, rows, outcomes, at, k) {
  const toggle = (index) => {
    const next = rows.includes(index) ? rows.filter((row) => row !== index) : [...rows, index].slice(-6);
    SE.go({ side: next.map((row) => table.rows[row].id).join(",") });
  };
  return SE.h("div", { class: "chips", role: "group", "aria-label": "Methods side by side" },
    table.rows.map((row, index) => SE.h("button", {
      type: "button", class: "chip", id: `beside-${row.id}`, "aria-pressed": rows.includes(index) ? "true" : "false",
      onclick: () => toggle(index),
    }, SE.swatch(row.id), row.name,
    outcomes.first && SE.h("span", { class: SE.solves(outcomes, index, at, k) ? "yes" : "no" },
      SE.solves(outcomes, index, at, k) ? "✓" : "✗"))));
};

SE.answersOf = function (table, index, answers, question, outcomes, at) {
  const row = table.rows[index];
  const found = answers.rows[index];
  const right = outcomes.right ? outcomes.right[index][at] : null;
  return SE.h("section", { class: "answer", "data-method": row.id },
    SE.h("h3", {}, SE.method(row), right !== null && SE.h("span", { class: "muted" }, `${right} of ${row.n} right`)),
    found.length ? found.map((candidate, place) =>
      SE.candidate(answers, candidate, place, found, SE.isRight(table, index, candidate, outcomes, at)))
      : SE.h("p", { class: "muted" }, "The samples hold no text for this question."));
};

/** Whether a candidate is right, `null` where unknown: of one value a question, what the table makes of it. */
SE.isRight = function (table, index, candidate, outcomes, at) {
  if (table.headline !== "value" || candidate.ok === null) return candidate.ok;
  return outcomes.first ? SE.solves(outcomes, index, at, 1) : null;
};

/** A candidate: rank, head pruned, verdict, extracted answer, text. Equal texts are shown once. */
SE.candidate = function (answers, candidate, place, found, right) {
  const twin = found.findIndex((other) => other.t === candidate.t);
  const verdict = right === null ? null : right ? ["yes", "✓ right"] : ["no", "✗ wrong"];
  return SE.h("div", { class: `candidate ${verdict ? verdict[0] : ""}` },
    SE.h("p", { class: "top" },
      SE.h("span", { class: "place" }, `#${place + 1}`),
      candidate.heads && SE.h("span", { class: "heads", title: "attention heads pruned" }, candidate.heads === "base" ? "no head pruned" : candidate.heads),
      verdict && SE.h("span", { class: `verdict ${verdict[0]}` }, verdict[1]),
      candidate.x !== null && candidate.x !== undefined && SE.h("span", { class: "extracted" }, "answer ", SE.h("b", { title: candidate.x }, SE.clip(candidate.x, 28))),
      candidate.status && SE.h("span", { class: "flag serious" }, candidate.status),
      candidate.cut && SE.h("span", { class: "flag serious" }, "truncated")),
    twin < place && found[twin].t !== null
      ? SE.h("p", { class: "same" }, `the same text as #${twin + 1}`)
      : SE.h("div", { class: "text", tabindex: "0" }, SE.prose(candidate.t === null ? "" : answers.texts[candidate.t].trim())),
    SE.h("p", { class: "foot" }, [
      candidate.tokens !== null && candidate.tokens !== undefined && `${candidate.tokens} tokens`,
      candidate.weight !== null && candidate.weight !== undefined && `weight ${candidate.weight.toFixed(3)}`,
    ].filter(Boolean).join(" · ")));
};

/* Arrow keys step through the questions found, where no field has the focus. */
document.addEventListener("keydown", (event) => {
  if (event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
  if (event.target.closest?.("input, select, textarea, details, .scroll, .text")) return;
  const id = { ArrowLeft: "previous", ArrowRight: "next", Escape: "back" }[event.key];
  const target = id && document.getElementById(id);
  if (target) target.click();
});
