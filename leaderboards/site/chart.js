"use strict";
/* Axes, and labels that do not run into each other. */

SE.frame = function (options) {
  const { width, height, left = 58, right = 170, top = 38, bottom = 46, x, y, xTitle, yTitle, label } = options;
  const [x0, x1, y0, y1] = [left, width - right, height - bottom, top];
  const toX = x.log
    ? (value) => x0 + ((x1 - x0) * (Math.log(value) - Math.log(x.low))) / (Math.log(x.high) - Math.log(x.low) || 1)
    : (value) => x0 + ((x1 - x0) * (value - x.low)) / (x.high - x.low || 1);
  const toY = (value) => y0 + ((y1 - y0) * (value - y.low)) / (y.high - y.low || 1);
  const root = SE.s("svg", { class: "chart", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label },
    (y.ticks || SE.ticks(y.low, y.high)).map((tick) => [
      SE.s("line", { class: "grid", x1: x0, x2: x1, y1: toY(tick), y2: toY(tick) }),
      SE.s("text", { class: "tick", x: x0 - 10, y: toY(tick) + 4, "text-anchor": "end" }, SE.tickText(tick)),
    ]),
    (x.ticks || SE.ticks(x.low, x.high)).map((tick) => [
      SE.s("line", { class: "stub", x1: toX(tick), x2: toX(tick), y1: y0, y2: y0 + 5 }),
      SE.s("text", { class: "tick", x: toX(tick), y: y0 + 20, "text-anchor": "middle" }, (x.text || SE.tickText)(tick)),
    ]),
    SE.s("line", { class: "stub", x1: x0, x2: x1, y1: y0, y2: y0 }),
    SE.s("text", { class: "title", x: (x0 + x1) / 2, y: height - 6, "text-anchor": "middle" }, xTitle),
    SE.s("text", { class: "title", x: x0 - 46, y: 14 }, yTitle));
  return { root, toX, toY, x0, x1, y0, y1 };
};

/** Labels at wished heights, moved apart until each has its line; a mark's y, moved, is `at`. */
SE.spread = function (labels, low, high, gap = 16) {
  const sorted = [...labels].sort((one, two) => one.y - two.y);
  sorted.forEach((label, index) => {
    label.at = Math.max(label.y, index ? sorted[index - 1].at + gap : low);
  });
  let limit = high;
  for (const label of sorted.reverse()) {
    label.at = Math.min(label.at, limit);
    limit = label.at - gap;
  }
  return labels;
};

SE.clip = (text, length) => (text.length > length ? text.slice(0, length - 1) + "…" : text);

/** Ticks at 1, 2, 5 times powers of ten, for a logarithmic axis. */
SE.logTicks = function (low, high) {
  const ticks = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power += 1) {
    for (const factor of [1, 2, 5]) {
      const tick = factor * 10 ** power;
      if (tick >= low * 0.999 && tick <= high * 1.001) ticks.push(tick);
    }
  }
  return ticks.length > 7 ? ticks.filter((tick) => Number.isInteger(Math.log10(tick) + 1e-12) || String(tick)[0] === "1") : ticks;
};

/** Low and high of all values with some air, kept within 0 and 1 where the values are. */
SE.range = function (values) {
  const known = values.filter((value) => value !== null && value !== undefined);
  let [low, high] = [Math.min(...known), Math.max(...known)];
  const unit = low >= 0 && high <= 1;
  const air = (high - low || 0.2) * 0.08;
  [low, high] = [low - air, high + air];
  return unit ? { low: Math.max(0, low), high: Math.min(1, high) } : { low, high };
};
