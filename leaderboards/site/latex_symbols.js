"use strict";
/* LaTeX names that stand for one character or word. */

SE.tex = {};

SE.tex.identifiers = {
  alpha: "α", beta: "β", gamma: "γ", delta: "δ", epsilon: "ϵ", varepsilon: "ε", zeta: "ζ", eta: "η", theta: "θ",
  vartheta: "ϑ", iota: "ι", kappa: "κ", lambda: "λ", mu: "μ", nu: "ν", xi: "ξ", pi: "π", rho: "ρ", sigma: "σ",
  tau: "τ", upsilon: "υ", phi: "ϕ", varphi: "φ", chi: "χ", psi: "ψ", omega: "ω", Gamma: "Γ", Delta: "Δ",
  Theta: "Θ", Lambda: "Λ", Xi: "Ξ", Pi: "Π", Sigma: "Σ", Phi: "Φ", Psi: "Ψ", Omega: "Ω", infty: "∞", ell: "ℓ",
  emptyset: "∅", varnothing: "∅", partial: "∂", nabla: "∇", Re: "ℜ", Im: "ℑ", hbar: "ℏ", aleph: "ℵ", dots: "…",
  ldots: "…", cdots: "⋯", vdots: "⋮", ddots: "⋱", angle: "∠", triangle: "△", square: "□", blacksquare: "■",
  prime: "′", degree: "°", pounds: "£", checkmark: "✓", star: "⋆",
};

SE.tex.operators = {
  times: "×", cdot: "⋅", div: "÷", pm: "±", mp: "∓", ast: "∗", circ: "∘", bullet: "∙", leq: "≤", le: "≤", geq: "≥",
  ge: "≥", lt: "<", gt: ">", neq: "≠", ne: "≠", equiv: "≡", approx: "≈", sim: "∼", simeq: "≃", cong: "≅", propto: "∝",
  ll: "≪", gg: "≫", in: "∈", notin: "∉", ni: "∋", subset: "⊂", subseteq: "⊆", supset: "⊃", supseteq: "⊇", cup: "∪",
  cap: "∩", setminus: "∖", land: "∧", wedge: "∧", lor: "∨", vee: "∨", lnot: "¬", neg: "¬", forall: "∀", exists: "∃",
  to: "→", rightarrow: "→", leftarrow: "←", Rightarrow: "⇒", Leftarrow: "⇐", implies: "⟹", iff: "⟺",
  leftrightarrow: "↔", Leftrightarrow: "⇔", mapsto: "↦", longrightarrow: "⟶", uparrow: "↑", downarrow: "↓",
  mid: "∣", nmid: "∤", parallel: "∥", perp: "⊥", oplus: "⊕", otimes: "⊗", therefore: "∴", because: "∵", colon: ":",
  lfloor: "⌊", rfloor: "⌋", lceil: "⌈", rceil: "⌉", langle: "⟨", rangle: "⟩", vert: "|", Vert: "‖", lvert: "|",
  rvert: "|", lbrace: "{", rbrace: "}", lbrack: "[", rbrack: "]", backslash: "\\", mod: "mod", bmod: "mod",
};

SE.tex.big = { sum: "∑", prod: "∏", coprod: "∐", bigcup: "⋃", bigcap: "⋂", int: "∫", iint: "∬", oint: "∮" };

SE.tex.functions = new Set(("sin cos tan cot sec csc arcsin arccos arctan sinh cosh tanh log ln lg exp lim max min sup "
  + "inf det dim ker gcd lcm deg arg Pr hom").split(" "));

SE.tex.accents = {
  bar: "¯", overline: "¯", hat: "^", widehat: "^", tilde: "~", widetilde: "~", vec: "→", overrightarrow: "→", dot: "˙", ddot: "¨",
};

SE.tex.spaces = { quad: "1em", qquad: "2em", ",": "0.17em", ":": "0.22em", ">": "0.22em", ";": "0.28em", "!": "-0.17em", " ": "0.25em", "~": "0.25em", enspace: "0.5em", thinspace: "0.17em" };

SE.tex.ignored = new Set(["displaystyle", "textstyle", "scriptstyle", "limits", "nolimits", "nonumber", "notag", "hfill",
  "centering", "small", "large", "Large", "normalsize", "hline", "rm", "bf", "it", "phantom"]);

SE.tex.fonts = { mathbf: "bold", boldsymbol: "bold", textbf: "bold", mathbb: "double-struck", mathcal: "script", mathscr: "script", mathfrak: "fraktur" };

SE.tex.sizes = new Set("big Big bigg Bigg bigl Bigl biggl Biggl bigr Bigr biggr Biggr middle".split(" "));

SE.tex.environments = {
  matrix: ["", ""], pmatrix: ["(", ")"], bmatrix: ["[", "]"], Bmatrix: ["{", "}"], vmatrix: ["|", "|"], Vmatrix: ["‖", "‖"],
  smallmatrix: ["", ""], cases: ["{", ""], array: ["", ""], aligned: ["", ""], align: ["", ""], "align*": ["", ""],
  gather: ["", ""], "gather*": ["", ""], gathered: ["", ""], equation: ["", ""], "equation*": ["", ""], split: ["", ""], alignat: ["", ""],
};
