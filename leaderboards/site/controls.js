"use strict";
/* The parts that several views share: pickers, tabs, empty states. */

/** Buttons of which one is pressed. */
SE.segments = function (label, options, chosen, choose) {
  return SE.h("div", { class: "segments", role: "group", "aria-label": label },
    options.map(([value, text]) => SE.h("button", {
      type: "button", id: `${label}-${value}`.replace(/\W+/g, "-"), "aria-pressed": value === chosen ? "true" : "false",
      onclick: () => choose(value),
    }, text)));
};

SE.select = function (label, id, options, chosen, choose) {
  return SE.h("label", { class: "field" }, SE.h("span", {}, label),
    SE.h("select", { id, onchange: (event) => choose(event.target.value) },
      options.map(([value, text]) => SE.h("option", { value, selected: value === chosen }, text))));
};

/** Which score, and at which k. */
SE.scorePicker = function (table, state) {
  const family = SE.family(table, state);
  const names = Object.keys(table.families);
  const depth = table.families[family].mean[0].length;
  const k = SE.k(table, family, state);
  const words = { pass: "Pass@k", unbiased: "Unbiased", maj: "Majority", wmaj: "Weighted vote", best: "Best by score", value: table.score };
  return [
    names.length > 1 && SE.segments("Score", names.map((name) => [name, words[name]]), family, (score) => SE.go({ score })),
    SE.kPicker(depth, k),
  ];
};

/** How many candidates count: buttons for a few, a slider for many. */
SE.kPicker = function (depth, k) {
  if (depth < 2) return null;
  const choose = (value) => SE.go({ k: value, page: "" });
  if (depth <= 10) {
    const options = Array.from({ length: depth }, (_, at) => [at + 1, at + 1]);
    return SE.h("div", { class: "field" }, SE.h("span", {}, "k"), SE.segments("k", options, k, choose));
  }
  const shown = SE.h("b", {}, k);
  return SE.h("label", { class: "field slider" }, SE.h("span", {}, "k = ", shown),
    SE.h("input", {
      type: "range", id: "k", min: 1, max: depth, step: 1, value: k, "aria-label": "number of candidates k",
      oninput: (event) => { shown.textContent = event.target.value; },
      onchange: (event) => choose(event.target.value),
    }));
};

SE.search = function (state) {
  return SE.h("label", { class: "field" }, SE.h("span", {}, "Find"),
    SE.h("input", {
      type: "search", id: "find", placeholder: "method or model", value: state.find,
      oninput: (event) => SE.go({ find: event.target.value }),
    }));
};

/** A fold-out list of methods to show. */
SE.methodPicker = function (table, state) {
  const chosen = state.pick ? new Set(state.pick.split(",")) : new Set(table.rows.map((row) => row.id));
  const toggle = (id, on) => {
    const next = new Set(chosen);
    if (on) next.add(id);
    else next.delete(id);
    const all = table.rows.every((row) => next.has(row.id));
    SE.go({ pick: all ? "" : [...next].join(",") || "none" });
  };
  const shown = table.rows.filter((row) => chosen.has(row.id)).length;
  return SE.h("details", { class: "picker", id: "methods" },
    SE.h("summary", { id: "methods-summary" }, "Methods ", SE.h("b", {}, `${shown} of ${table.rows.length}`)),
    SE.h("div", { class: "sheet" },
      SE.h("p", { class: "row" },
        SE.h("button", { type: "button", id: "pick-all", onclick: () => SE.go({ pick: "" }) }, "All"),
        SE.h("button", { type: "button", id: "pick-none", onclick: () => SE.go({ pick: "none" }) }, "None")),
      SE.h("ul", {}, table.rows.map((row) => SE.h("li", {}, SE.h("label", {},
        SE.h("input", {
          type: "checkbox", id: `pick-${row.id}`, checked: chosen.has(row.id),
          onchange: (event) => toggle(row.id, event.target.checked),
        }),
        SE.swatch(row.id), SE.h("span", {}, row.name)))))));
};

SE.referencePicker = function (table, state) {
  const reference = SE.reference(table, state);
  const options = [["none", "none"], ...table.rows.map((row) => [row.id, row.name])];
  return SE.select("Compare with", "ref", options, reference === null ? "none" : table.rows[reference].id,
    (ref) => SE.go({ ref }));
};

/** What a reader must know of a row; what casts doubt on its score stands out. */
SE.flags = (row) => row.notes.map((note) => SE.h("span", { class: row.serious.includes(note) ? "flag serious" : "flag" }, note));

SE.empty = (title, text) => SE.h("div", { class: "empty" }, SE.h("p", { class: "big" }, title), SE.h("p", {}, text));

SE.method = (row) => SE.h("span", { class: "method" }, SE.swatch(row.id), SE.h("span", {}, row.name));

/** A tooltip that follows the pointer over a chart; it repeats what the page says elsewhere. */
SE.tip = function (element, lines) {
  element.append(SE.s("title", {}, lines.join("\n")));
  return element;
};
