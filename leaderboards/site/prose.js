"use strict";
/* Text of a model or a data set: what is plainly LaTeX becomes MathML, all else stays as it is. */

SE.MATH = new RegExp([
  "\\$\\$([^]{1,2000}?)\\$\\$", "\\\\\\[([^]{1,2000}?)\\\\\\]", "\\\\\\(([^]{1,2000}?)\\\\\\)",
  "(\\\\begin\\{(?:align|equation|gather)\\*?\\}[^]{1,2000}?\\\\end\\{(?:align|equation|gather)\\*?\\})",
  "(?<![\\\\$\\w])\\$(?!\\s)((?:\\\\[^]|[^$\\\\\\n]){1,600}?)(?<!\\s)\\$(?![\\d$])",
  "(\\\\boxed(?=\\{))",
].join("|"), "g");

/** A list of nodes; at most `limit` formulas are drawn, the rest stays text. */
SE.prose = function (text, limit = 400) {
  const nodes = [];
  let from = 0;
  let drawn = 0;
  SE.MATH.lastIndex = 0;
  for (let found = SE.MATH.exec(text); found && drawn < limit; found = SE.MATH.exec(text)) {
    const [whole, dollars, brackets, parentheses, environment, inline, boxed] = found;
    let source = dollars ?? brackets ?? parentheses ?? environment ?? inline;
    let end = found.index + whole.length;
    if (boxed) {
      end = SE.closing(text, end);
      if (end === null) continue;
      source = text.slice(found.index, end);
    }
    if (inline !== undefined && SE.money(inline)) {
      SE.MATH.lastIndex = found.index + 1;
      continue;
    }
    const math = SE.math(source, dollars !== undefined || brackets !== undefined || environment !== undefined);
    if (!math) continue;
    nodes.push(text.slice(from, found.index), math);
    from = SE.MATH.lastIndex = end;
    drawn += 1;
  }
  nodes.push(text.slice(from));
  return nodes.filter((node) => node !== "");
};

/** "$5 for two pens and $7" is money: words, and no sign of a formula. */
SE.money = (source) => !/[\\^_=<>+]/.test(source) && /\p{L}{2,}/u.test(source);

/** Where the group that opens at `start` ends, if it does within bounds. */
SE.closing = function (text, start) {
  let depth = 0;
  for (let at = start; at < Math.min(text.length, start + 2000); at += 1) {
    if (text[at] === "\\") at += 1;
    else if (text[at] === "{") depth += 1;
    else if (text[at] === "}" && (depth -= 1) === 0) return at + 1;
  }
  return null;
};
