"use strict";
/* LaTeX to MathML, for text that nobody can be trusted to have written well: bounded in length and
   depth, and whatever it does not know stays the text it was. Only elements are built, never markup. */

SE.tex.MAX_LENGTH = 2000;
SE.tex.MAX_DEPTH = 30;

SE.m = function (tag, attributes, ...children) {
  return SE.fill(document.createElementNS("http://www.w3.org/1998/Math/MathML", tag), attributes, children);
};

/** A <math> element, or null where the source is too long, too deep or not understood. */
SE.math = function (source, display) {
  if (source.length > SE.tex.MAX_LENGTH) return null;
  try {
    const reader = new SE.tex.Reader(source);
    const row = reader.row();
    if (!reader.done()) return null;
    const math = SE.m("math", display ? { display: "block" } : {}, row);
    math.setAttribute("aria-label", source.trim());
    return math;
  } catch (error) {
    if (error instanceof SE.tex.Unknown) return null;
    throw error;
  }
};

SE.tex.Unknown = class extends Error {};

SE.tex.Reader = class {
  constructor(source) {
    this.tokens = source.match(/\\[a-zA-Z]+\*?|\\[^]|\d+(?:[.,]\d+)*|\s+|[^]/gu) || [];
    this.at = 0;
    this.depth = 0;
  }

  done() { return this.at >= this.tokens.length; }

  peek() { return this.tokens[this.at]; }

  next() { return this.tokens[this.at++]; }

  skip() { while (!this.done() && /^\s/.test(this.peek())) this.at += 1; }

  fail() { throw new SE.tex.Unknown(); }

  /** Atoms with their scripts, until one of `stops` (not taken) or the end. */
  row(stops = []) {
    if ((this.depth += 1) > SE.tex.MAX_DEPTH) this.fail();
    const children = [];
    for (this.skip(); !this.done() && !stops.includes(this.peek()); this.skip()) {
      if (this.peek() === "}" || this.peek() === "&") this.fail();
      const atom = this.scripts(this.atom());
      if (atom) children.push(atom);
    }
    this.depth -= 1;
    return children.length === 1 ? children[0] : SE.m("mrow", {}, children);
  }

  /** An argument: a group in braces, or the one token that follows. */
  argument() {
    this.skip();
    if (this.done()) this.fail();
    if (this.peek() !== "{") {
      // \frac12 takes one digit each.
      if (/^\d\d/.test(this.peek())) {
        const token = this.next();
        this.tokens.splice(this.at, 0, token.slice(1));
        return SE.m("mn", {}, token[0]);
      }
      return this.atom() || this.fail();
    }
    this.next();
    const row = this.row(["}"]);
    if (this.next() !== "}") this.fail();
    return row;
  }

  /** The raw text of a group in braces. */
  text() {
    this.skip();
    if (this.next() !== "{") this.fail();
    let depth = 1;
    let text = "";
    while (!this.done()) {
      const token = this.next();
      if (token === "{") depth += 1;
      if (token === "}") depth -= 1;
      if (depth === 0) return text;
      if (token !== "{" && token !== "}") text += token.length === 2 && token[0] === "\\" ? token[1] : token;
    }
    return this.fail();
  }

  scripts(base) {
    let [below, above] = [null, null];
    for (this.skip(); this.peek() === "_" || this.peek() === "^" || this.peek() === "'"; this.skip()) {
      const token = this.next();
      if (token === "'") above = above ? SE.m("mrow", {}, above, SE.m("mo", {}, "′")) : SE.m("mo", {}, "′");
      else if (token === "_" && !below) below = this.argument();
      else if (token === "^") above = above ? SE.m("mrow", {}, above, this.argument()) : this.argument();
      else this.fail();
    }
    if (!below && !above) return base;
    const core = base || SE.m("mrow", {});
    const limits = core.limits === true;
    if (below && above) return SE.m(limits ? "munderover" : "msubsup", {}, core, below, above);
    if (below) return SE.m(limits ? "munder" : "msub", {}, core, below);
    return SE.m(limits ? "mover" : "msup", {}, core, above);
  }

  atom() {
    const token = this.next();
    if (token === "{") {
      const row = this.row(["}"]);
      if (this.next() !== "}") this.fail();
      return row;
    }
    if (token === "_" || token === "^") {
      this.at -= 1;
      return null;
    }
    if (token.startsWith("\\")) return this.command(token.slice(1));
    if (/^\d/.test(token)) return SE.m("mn", {}, token);
    if (/^[a-zA-Z]$/.test(token)) return SE.m("mi", {}, token);
    if (token === "~") return SE.m("mspace", { width: "0.25em" });
    if (token === "$" || token === "#" || token === "%") return token === "%" ? SE.m("mo", {}, "%") : this.fail();
    if (/^[\p{L}]$/u.test(token)) return SE.m("mtext", {}, token);
    return SE.m("mo", "()[]|".includes(token) ? { stretchy: "false" } : {}, token === "-" ? "−" : token);
  }

  command(name) {
    const tex = SE.tex;
    const own = (table) => Object.hasOwn(table, name);
    if (own(tex.identifiers)) return SE.m("mi", {}, tex.identifiers[name]);
    if (own(tex.operators)) return SE.m("mo", {}, tex.operators[name]);
    if (own(tex.spaces)) return SE.m("mspace", { width: tex.spaces[name] });
    if (tex.ignored.has(name)) return null;
    if (tex.functions.has(name)) return this.limited(SE.m("mi", {}, name), ["lim", "max", "min", "sup", "inf"].includes(name));
    if (own(tex.big)) return this.limited(SE.m("mo", {}, tex.big[name]), !name.includes("int"));
    if (own(tex.accents)) return SE.m("mover", { accent: "true" }, this.argument(), SE.m("mo", {}, tex.accents[name]));
    if (own(tex.fonts)) return SE.m("mstyle", { mathvariant: tex.fonts[name], class: `tex-${tex.fonts[name]}` }, this.argument());
    if (tex.sizes.has(name)) return SE.m("mo", {}, this.delimiter());
    if ("{}%$#&_| ".includes(name)) return SE.m("mo", {}, name === "|" ? "‖" : name);
    return this.structure(name);
  }

  limited(node, limits) {
    node.limits = limits;
    return node;
  }

  structure(name) {
    if (/^[dtc]?frac$/.test(name)) return SE.m("mfrac", {}, this.argument(), this.argument());
    if (/^[dt]?binom$/.test(name)) {
      return SE.m("mrow", {}, SE.m("mo", {}, "("), SE.m("mfrac", { linethickness: "0" }, this.argument(), this.argument()), SE.m("mo", {}, ")"));
    }
    if (name === "sqrt") return this.root();
    if (/^(text|mathrm|mbox|textrm|textit|mathit|mathsf|mathtt|texttt|operatorname\*?)$/.test(name)) return SE.m("mtext", {}, this.text());
    if (name === "boxed" || name === "fbox") return SE.m("mrow", { class: "boxed" }, this.argument());
    if (name === "underline") return SE.m("munder", {}, this.argument(), SE.m("mo", {}, "_"));
    if (name === "underbrace") return SE.m("munder", {}, this.argument(), SE.m("mo", {}, "⏟"));
    if (name === "overbrace") return SE.m("mover", {}, this.argument(), SE.m("mo", {}, "⏞"));
    if (name === "overset" || name === "stackrel") return this.stacked("mover");
    if (name === "underset") return this.stacked("munder");
    if (name === "pmod") return SE.m("mrow", {}, SE.m("mtext", {}, " (mod "), this.argument(), SE.m("mo", {}, ")"));
    if (name === "not") return SE.m("mrow", {}, this.atom(), SE.m("mo", {}, "\u0338"));
    if (name === "cancel") return SE.m("mrow", { class: "cancel" }, this.argument());
    if (name === "left") return this.fenced();
    if (name === "begin") return this.environment();
    return this.fail();
  }

  stacked(tag) {
    const script = this.argument();
    return SE.m(tag, {}, this.argument(), script);
  }

  root() {
    this.skip();
    if (this.peek() !== "[") return SE.m("msqrt", {}, this.argument());
    this.next();
    const degree = this.row(["]"]);
    if (this.next() !== "]") this.fail();
    return SE.m("mroot", {}, this.argument(), degree);
  }

  delimiter() {
    this.skip();
    if (this.done()) this.fail();
    const token = this.next();
    if (token === ".") return "";
    if (!token.startsWith("\\")) return token;
    const name = token.slice(1);
    if (name === "|") return "‖";
    if ("{}".includes(name)) return name;
    return Object.hasOwn(SE.tex.operators, name) ? SE.tex.operators[name] : this.fail();
  }

  fenced() {
    const open = this.delimiter();
    const row = this.row(["\\right"]);
    if (this.next() !== "\\right") this.fail();
    return SE.m("mrow", {}, SE.m("mo", { fence: "true" }, open), row, SE.m("mo", { fence: "true" }, this.delimiter()));
  }

  environment() {
    const name = this.text();
    if (!Object.hasOwn(SE.tex.environments, name)) this.fail();
    if (name === "array" || name === "alignat") this.text();
    const [open, close] = SE.tex.environments[name];
    const lines = [[]];
    for (;;) {
      lines[lines.length - 1].push(SE.m("mtd", {}, this.row(["&", "\\\\", "\\end"])));
      const token = this.next();
      if (token === "\\end") break;
      if (token === undefined || lines.length > 60) this.fail();
      if (token === "\\\\") lines.push([]);
    }
    if (this.text() !== name) this.fail();
    const align = /^(align|split|cases)/.test(name) ? "tex-align" : "";
    const table = SE.m("mtable", { class: align }, lines.map((cells) => SE.m("mtr", {}, cells)));
    return open || close ? SE.m("mrow", {}, SE.m("mo", { fence: "true" }, open), table, SE.m("mo", { fence: "true" }, close)) : table;
  }
};
