"use strict";
/* Building blocks. Text reaches the page through text nodes and attributes only: there is no way in
   this file, or in any other, to turn a string into markup. */

const SE = { views: {}, parts: new Map() };

/** An HTML element: h("p", {class: "note", onclick: f}, "text", child, [more]). */
SE.h = function (tag, properties, ...children) {
  return SE.fill(document.createElement(tag), properties, children);
};

/** An SVG element. */
SE.s = function (tag, properties, ...children) {
  return SE.fill(document.createElementNS("http://www.w3.org/2000/svg", tag), properties, children);
};

SE.fill = function (element, properties, children) {
  for (const [name, value] of Object.entries(properties || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "value" || name === "checked" || name === "selected") element[name] = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
  return element;
};

/** A score to three places, a dash where there is none. */
SE.score = function (value) {
  return value === null || value === undefined ? "–" : value.toFixed(3);
};

/** A difference with its sign and a real minus. */
SE.signed = function (value, digits = 3) {
  if (value === null || value === undefined) return "–";
  const text = Math.abs(value).toFixed(digits);
  return Number(text) === 0 ? text : (value < 0 ? "−" : "+") + text;
};

SE.pText = function (p) {
  if (p === null || p === undefined) return "–";
  if (p >= 0.001) return p.toFixed(3);
  if (p >= 0.0001) return p.toFixed(4);
  return p.toExponential(0).replace("e-", " × 10⁻").replace(/(?<=⁻)\d+/, (digits) =>
    [...digits].map((digit) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[digit]).join(""));
};

SE.count = (value) => (value === null || value === undefined ? "" : value.toLocaleString("en"));

SE.questions = ({ questions }) => (questions === null ? "An unknown number of questions"
  : `${SE.count(questions)} ${questions === 1 ? "question" : "questions"}`);

/** A cost as people read it; blank where the run does not say. */
SE.cost = function (value, unit) {
  if (value === null || value === undefined) return "";
  if (unit === "s") return value < 1000 ? value.toFixed(1) : Math.round(value).toLocaleString("en");
  if (unit === "bytes") {
    return value >= 2 ** 30 ? `${(value / 2 ** 30).toFixed(2)} GiB` : `${Math.round(value / 2 ** 20)} MiB`;
  }
  if (unit === "weights") return value >= 1e9 ? `${(value / 1e9).toFixed(2)} B` : `${(value / 1e6).toFixed(1)} M`;
  return Math.round(value).toLocaleString("en");
};

/** A family's name at k: "pass@4". */
SE.label = (table, family, k) => (family === "value" ? table.score : table.families[family].name.replace("{}", k));

/** Round steps for an axis from low to high, about `wanted` of them. */
SE.ticks = function (low, high, wanted = 5) {
  const span = high - low || 1;
  const power = 10 ** Math.floor(Math.log10(span / wanted));
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((size) => span / size <= wanted) || span;
  const ticks = [];
  for (let at = Math.ceil(low / step - 1e-9) * step; at <= high + step * 1e-9; at += step) {
    ticks.push(Math.abs(at) < step * 1e-9 ? 0 : Number(at.toPrecision(12)));
  }
  return ticks;
};

SE.tickText = (value) => (Math.abs(value) >= 1000 ? SE.compact(value) : String(Number(value.toFixed(4))));

SE.compact = (value) => new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 }).format(value);

/** The methods of the whole board keep one colour, dash and marker on every view. */
SE.look = function (id) {
  const place = SE.order.get(id) ?? 0;
  return { colour: `c${place % 8}`, dash: ["", "7 4", "2 3", "9 3 2 3"][Math.floor(place / 8) % 4], shape: place % 4 };
};

/** A marker whose shape, too, tells methods apart. */
SE.marker = function (x, y, id, size = 5) {
  const look = SE.look(id);
  const classes = `mark ${look.colour}`;
  if (look.shape === 0) return SE.s("circle", { class: classes, cx: x, cy: y, r: size });
  if (look.shape === 1) {
    return SE.s("rect", { class: classes, x: x - size * 0.9, y: y - size * 0.9, width: size * 1.8, height: size * 1.8 });
  }
  const points = look.shape === 2
    ? [[0, -1.25], [1.15, 0.85], [-1.15, 0.85]]
    : [[0, -1.3], [1.3, 0], [0, 1.3], [-1.3, 0]];
  const path = points.map(([dx, dy]) => `${x + dx * size},${y + dy * size}`).join(" ");
  return SE.s("polygon", { class: classes, points: path });
};

/** A small swatch for a name in running text or a table. */
SE.swatch = function (id) {
  return SE.s("svg", { class: "swatch", viewBox: "0 0 14 14", width: 14, height: 14, "aria-hidden": "true" },
    SE.marker(7, 7, id, 4.6));
};
