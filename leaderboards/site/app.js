"use strict";
/* Put the page together, and again whenever its address changes. */

SE.titles = [
  ["overview", "Overview"], ["ranking", "Ranking"], ["curves", "Pass@k"], ["cost", "Cost"], ["pairs", "Pairs"],
  ["questions", "Questions"], ["runs", "Runs"],
];

SE.start = function () {
  SE.nonce = document.currentScript.nonce;
  SE.board = JSON.parse(document.getElementById("board").textContent);
  SE.order = new Map();
  for (const table of SE.board.tables) {
    table.rows.forEach((row, index) => {
      row.place = row.rank ? row.rank[0] + index / 1e6 : 1e6 + index;
      if (!SE.order.has(row.id)) SE.order.set(row.id, SE.order.size);
    });
  }
  if (SE.board.tables.length > 1) SE.defaults.view = "overview";
  globalThis.addEventListener("hashchange", SE.render);
  let narrow = globalThis.innerWidth < 720;
  globalThis.addEventListener("resize", () => {
    if (narrow !== globalThis.innerWidth < 720) {
      narrow = !narrow;
      SE.render();
    }
  });
  document.addEventListener("click", (event) => {
    for (const picker of document.querySelectorAll("details.picker[open]")) {
      if (!picker.contains(event.target)) picker.open = false;
    }
  });
  SE.render();
  document.documentElement.dataset.ready = "yes";
  performance.mark("ready");
};

SE.render = function () {
  const state = SE.read();
  const table = SE.table(state);
  const kept = SE.keep();
  const main = document.getElementById("main");
  const moved = main.dataset.at !== undefined && main.dataset.at !== `${state.view} ${state.question} ${table.id}`;
  main.dataset.at = `${state.view} ${state.question} ${table.id}`;
  main.replaceChildren(...[SE.head(table, state), SE.tabs(state), SE.views[state.view](table, state)].flat(Infinity).filter(Boolean));
  if (moved && state.view === "questions") globalThis.scrollTo(0, 0);
  SE.restore(kept);
};

SE.head = function (table, state) {
  if (state.view === "overview") {
    return SE.h("section", { class: "lead" }, SE.h("p", { class: "verdict" }, SE.board.summary));
  }
  const tables = SE.board.tables;
  return SE.h("section", { class: state.view === "ranking" ? "lead" : "lead small" },
    tables.length > 1
      ? SE.select("Table", "table", tables.map((item) => [item.id, item.title]), table.id,
        (t) => SE.go({ t, question: "", page: "", k: "", a: "", b: "", pick: "", sort: "" }, true))
      : SE.h("h2", {}, table.title),
    state.view === "ranking" && SE.h("p", { class: "verdict", id: "verdict" }, table.verdict),
    SE.h("p", { class: "muted" }, SE.about(table)));
};

SE.about = function (table) {
  const models = [...new Set(table.rows.map((row) => row.model).filter(Boolean))];
  const shots = table.settings["few-shot examples"];
  return [
    SE.questions(table),
    shots !== "default" && `${shots}-shot`,
    models.length === 1 && models[0],
    models.length > 1 && `${models.length} base models`,
    `${table.rows.length} ${table.rows.length === 1 ? "method" : "methods"}`,
  ].filter(Boolean).join(" · ");
};

SE.tabs = function (state) {
  const several = SE.board.tables.length > 1;
  return SE.h("nav", { class: "tabs", "aria-label": "Views" }, SE.titles.filter(([key]) => several || key !== "overview")
    .map(([key, title]) => SE.h("a", {
      href: SE.hash({ view: key, question: "", side: "", page: "" }), id: `tab-${key}`,
      "aria-current": key === state.view ? "page" : null,
    }, title)));
};

/** What a reader was busy with, so that drawing the page again does not disturb it. */
SE.keep = function () {
  const active = document.activeElement;
  return {
    id: active && active.id, start: active && active.selectionStart, end: active && active.selectionEnd,
    open: [...document.querySelectorAll("details.picker[open]")].map((element) => element.id),
    scroll: [...document.querySelectorAll(".scroll")].map((element) => element.scrollLeft),
    sheet: document.querySelector(".sheet")?.scrollTop || 0,
  };
};

SE.restore = function (kept) {
  for (const id of kept.open) {
    const element = document.getElementById(id);
    if (element) element.open = true;
  }
  document.querySelectorAll(".scroll").forEach((element, at) => { element.scrollLeft = kept.scroll[at] || 0; });
  const sheet = document.querySelector(".sheet");
  if (sheet) sheet.scrollTop = kept.sheet;
  const element = kept.id && document.getElementById(kept.id);
  if (element && element !== document.activeElement) {
    element.focus({ preventScroll: true });
    if (element.type === "search" && kept.start !== null) element.setSelectionRange(kept.start, kept.end);
  }
};

SE.start();
