"use strict";
/* What is being looked at lives in the address, so that a link shows another reader the same. */

SE.defaults = {
  view: "ranking", t: "", score: "", k: "", sort: "", dir: "", find: "", pick: "", ref: "",
  cost: "generated_tokens", log: "", a: "", b: "", show: "all", subject: "", text: "", question: "", page: "", side: "",
  all: "",
};

SE.read = function () {
  const state = { ...SE.defaults };
  for (const [name, value] of new URLSearchParams(location.hash.slice(1))) {
    if (Object.hasOwn(SE.defaults, name)) state[name] = value;
  }
  if (!Object.hasOwn(SE.views, state.view)) state.view = SE.defaults.view;
  return state;
};

SE.hash = function (changes) {
  const state = { ...SE.read(), ...changes };
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(state)) {
    if (value !== SE.defaults[name] && value !== null && value !== undefined) query.set(name, value);
  }
  return "#" + query.toString();
};

/** Change the state; a step that the back button should undo is kept in the history. */
SE.go = function (changes, keep = false) {
  const hash = SE.hash(changes);
  if (keep) location.hash = hash;
  else location.replace(hash);
};

/** Pick one table: by the state, else the first. */
SE.table = (state) => SE.board.tables.find((table) => table.id === state.t) || SE.board.tables[0];

SE.family = (table, state) => (Object.hasOwn(table.families, state.score) ? state.score : table.headline);

SE.k = function (table, family, state) {
  const depth = table.families[family].mean[0].length;
  const asked = Number.parseInt(state.k, 10);
  return Number.isInteger(asked) && asked >= 1 && asked <= depth ? asked : Math.min(table.k, depth);
};

/** Indices of the rows that the method picker and the search leave. */
SE.picked = function (table, state) {
  const ids = state.pick ? new Set(state.pick.split(",")) : null;
  const words = state.find.toLowerCase().split(/\s+/).filter(Boolean);
  const all = table.rows.map((row, index) => index);
  const found = all.filter((index) => {
    const row = table.rows[index];
    const text = `${row.name} ${row.kind} ${row.model || ""} ${row.id}`.toLowerCase();
    return (!ids || ids.has(row.id)) && words.every((word) => text.includes(word));
  });
  return found;
};

SE.reference = function (table, state) {
  const index = table.rows.findIndex((row) => row.id === state.ref);
  return index >= 0 ? index : state.ref === "none" ? null : table.reference;
};

/* Parts are scripts: a page opened from disk may load those, and may not fetch. */
SE.part = function (name, value) {
  SE.parts.get(name).resolve(value);
};

SE.policy = globalThis.trustedTypes
  ? trustedTypes.createPolicy("parts", { createScriptURL: (url) => SE.checked(url) })
  : { createScriptURL: (url) => SE.checked(url) };

SE.checked = function (url) {
  if (!/^data\/[a-z0-9@-]+\.js$/.test(url)) throw new TypeError("not a part of this page");
  return url;
};

/** Load a part once; the promise gives its value. */
SE.load = function (name) {
  if (!SE.parts.has(name)) {
    const entry = {};
    entry.promise = new Promise((resolve, reject) => {
      entry.resolve = resolve;
      const script = document.createElement("script");
      script.nonce = SE.nonce;
      script.src = SE.policy.createScriptURL(`data/${name}.js`);
      script.addEventListener("error", () => {
        SE.parts.delete(name);
        reject(new Error(`data/${name}.js is missing: the page needs the folder 'data' beside it`));
      });
      document.head.append(script);
    });
    SE.parts.set(name, entry);
  }
  return SE.parts.get(name).promise;
};

/** Unpack a compressed part. */
SE.unpack = async function (text) {
  const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
};

/** Fill `target` once a promise is there; say what went wrong if it is not. */
SE.later = function (target, promise, fill) {
  target.replaceChildren(SE.h("p", { class: "muted" }, "Loading…"));
  promise.then(
    (value) => target.replaceChildren(...[fill(value)].flat(Infinity).filter(Boolean)),
    (error) => target.replaceChildren(SE.h("p", { class: "empty", role: "alert" }, error.message)),
  );
  return target;
};
