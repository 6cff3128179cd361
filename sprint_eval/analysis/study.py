"""The head-impact study of one or several outcome matrices: files in a folder, and a report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from sprint_eval.analysis import plots
from sprint_eval.analysis.findings import (
    Catastrophe,
    Coverage,
    HeadTest,
    PairGain,
    catastrophes,
    coverage,
    head_tests,
    overall_gain,
    pair_gains,
)
from sprint_eval.analysis.impact import Complete, Impact, complete_part, impact_of
from sprint_eval.analysis.naming import label_all, ranges, slug, wrapped
from sprint_eval.analysis.report import Figure, Section, write_report
from sprint_eval.analysis.statistics import Gain
from sprint_eval.analysis.study_tables import (
    FEWEST,
    catastrophe_table,
    coverage_table,
    gain_table,
    impact_rows,
    impact_table,
    interval,
    shared_table,
    test_table,
)
from sprint_eval.errors import ArgumentError, StoreError
from sprint_eval.files import refuse_file
from sprint_eval.outcomes import Outcomes

_MOST_HEAT_MAPS = 8


@dataclass(frozen=True)
class StudyConfig:
    """How a study is made.

    Attributes:
        out: the folder for its files.
        threshold: share of questions that a catastrophic head loses more than.
        layers: layers with a heat map; by default all of up to 8, else first, quarter, middle, last.
        names: what to call the models, in the order of the matrices and then the impact tables.
    """

    out: str
    threshold: float = 0.1
    layers: tuple[int, ...] | None = None
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 0 < self.threshold < 1:
            raise ArgumentError(f"--threshold {self.threshold}: expected a share between 0 and 1, e.g. 0.1")


@dataclass(frozen=True)
class Case:
    """One matrix's findings."""

    label: str
    slug: str
    part: Complete
    impact: Impact
    overall: Gain
    pairs: list[PairGain]
    tests: list[HeadTest]
    cover: Coverage
    catastrophes: list[Catastrophe]


@dataclass
class Study:
    """What a study found and wrote.

    Attributes:
        cases: a matrix each.
        published: impact tables from elsewhere, accuracies alone.
        report: path of the report.
    """

    cases: list[Case] = field(default_factory=list)
    published: list[Impact] = field(default_factory=list)
    report: Path = Path()


def run_study(matrices: Sequence[Outcomes], config: StudyConfig, published: Sequence[Impact] = ()) -> Study:
    """Study matrices of any number of models and tasks; ``published`` join the plots they can.

    Raises:
        DataError: a matrix has no complete questions.
        StoreError: ``config.out`` cannot be written.
    """
    if not matrices and not published:
        raise ArgumentError("nothing to study: name one or more outcome stores, or --impact-csv files")
    out = Path(config.out)
    refuse_file(out)
    labels = label_all(matrices, published, config.names)
    study = Study(published=list(published))
    for outcomes, label in zip(matrices, labels, strict=False):
        study.cases.append(_case(outcomes, label, config))
    _check_layers([*(case.impact for case in study.cases), *published], config)
    try:
        study.report = write_report(out, _sections(study, labels, out, config))
    except OSError as error:
        raise StoreError(f"cannot write the study to {out}: {error}") from error
    return study


def _sections(study: Study, labels: Sequence[str], out: Path, config: StudyConfig) -> list[Section]:
    sections = [_case_section(case, out, config) for case in study.cases]
    for impact, label in zip(study.published, labels[len(study.cases) :], strict=True):
        sections.append(_published_section(impact, label, out, config))
    sections.insert(0, _gains_section(study, labels, out))
    if len(study.cases) > 1:
        sections.append(_shared_section(study.cases, out, config))
    return sections


def _check_layers(impacts: Sequence[Impact], config: StudyConfig) -> None:
    known = sorted({layer for impact in impacts for layer in impact.layers})
    missing = [layer for layer in config.layers or () if layer not in known]
    if missing:
        raise ArgumentError(
            f"--layers {', '.join(map(str, missing))}: no head of these layers was measured; "
            f"there are heads of {ranges(known)}"
        )


def _case(outcomes: Outcomes, label: str, config: StudyConfig) -> Case:
    part = complete_part(outcomes)
    tests = head_tests(part)
    return Case(
        label,
        slug(label),
        part,
        impact_of(part, label),
        overall_gain(part),
        pair_gains(part),
        tests,
        coverage(part),
        catastrophes(part, tests, config.threshold),
    )


def _examples(number: int | None) -> str:
    return "prompts of unknown form" if number is None else f"{number} worked examples"


def _case_section(case: Case, out: Path, config: StudyConfig) -> Section:
    folder = out / case.slug
    manifest, n = case.part.outcomes.manifest, case.impact.n
    left_out = len(case.part.outcomes.questions) - len(case.part.rows)
    section = Section(
        f"{case.label}",
        [
            f"Model {manifest.model} ({manifest.model_fingerprint}, {manifest.dtype}), task "
            f"{manifest.task} version {manifest.task_version}, {manifest.split} split, "
            f"{_examples(manifest.num_fewshot)}, greedy, grader {manifest.grader_version}. "
            f"N = {n} questions, {len(case.impact.heads)} single heads of layers "
            f"{ranges(case.impact.layers)}."
            + (f" {left_out} questions that are not complete are left out." if left_out else "")
        ],
    )
    _impact_files(section, case.impact, folder, out, config)
    where = f"{case.label}, N = {n}"
    section.add_table(out, folder, "coverage", coverage_table(case.cover, where))
    caption = (
        f"Oracle coverage on {where} questions: share solved by at least one of k head sets. Orange: cover "
        "chosen on the questions it is measured on; blue: chosen on one half, measured on the other."
    )
    section.add_figure(out, Figure(folder, "coverage", caption), plots.coverage_curves(case.cover))
    section.add_table(out, folder, "tests", test_table(case.tests, case.part, where), inline=False)
    section.text.append(_test_sentence(case))
    _catastrophe_files(section, case, folder, out, config)
    return section


def _impact_files(section: Section, impact: Impact, folder: Path, out: Path, config: StudyConfig) -> None:
    where = f"{impact.model}, N = {impact.n}" if impact.n else f"{impact.model}, N not stated"
    section.add_table(out, folder, "impact", impact_table(impact, where), inline=len(impact.heads) <= 40)
    section.add_csv(out, folder, "impact-long", impact_rows(impact))
    for layer in _heat_map_layers(impact, config):
        caption = (
            f"Pass@1 (per cent) of {where}, with each head of layer {layer} pruned; questions in brackets."
        )
        section.add_figure(
            out, Figure(folder, f"heatmap-layer-{layer}", caption), plots.heat_map(impact, layer)
        )
    caption = (
        f"Change of Pass@1 by pruning one head ({where}; base {impact.overall_base:.3f}). The colours end "
        "at the 98th percentile; heads beyond are written out."
    )
    section.add_figure(out, Figure(folder, "layer-map", caption), plots.layer_map(impact))


def _catastrophe_files(section: Section, case: Case, folder: Path, out: Path, config: StudyConfig) -> None:
    where = f"{case.label}, N = {case.impact.n}"
    table = catastrophe_table(case.catastrophes, where, config.threshold)
    section.add_table(out, folder, "catastrophic", table)
    if len(case.catastrophes) < 2:
        section.text.append(
            f"No head loses more than {100 * config.threshold:.0f} points of Pass@1 when it is pruned."
        )
    elif case.part.outcomes.has_texts:
        caption = (
            f"What the answers are when a head is pruned that loses more than {100 * config.threshold:.0f} "
            f"points of Pass@1 ({where} answers a bar; the worst 15)."
        )
        figure = Figure(folder, "catastrophic", caption)
        section.add_figure(out, figure, plots.output_kinds(case.catastrophes))


def _gains_section(study: Study, labels: Sequence[str], out: Path) -> Section:
    section = Section("Gain of the best pruned head", [])
    models = []
    for case in study.cases:
        gain = case.overall
        naive, honest = [pair.gain.naive for pair in case.pairs], [pair.gain.honest for pair in case.pairs]
        overall = (gain.honest, gain.low, gain.high) if gain.n >= FEWEST else None
        models.append(plots.Violin(wrapped(case.label), naive, honest, overall))
    for impact, label in zip(study.published, labels[len(study.cases) :], strict=True):
        models.append(plots.Violin(wrapped(label), [gain for *_, gain in impact.best_gains()]))
    sizes = [f"{case.label}: {len(case.pairs)} pairs, N = {case.impact.n}" for case in study.cases]
    sizes += [
        f"{label}: {len(impact.best_gains())} pairs, N {impact.n or 'not stated'}"
        for impact, label in zip(study.published, labels[len(study.cases) :], strict=True)
    ]
    caption = (
        "Best pruned head minus no-prune, a point a subject-layer pair (bar: quartiles, circle: median). "
        "Choosing the best of many heads on the questions it is measured on is biased upward; the blue "
        "violin and the diamond (95 % interval, all questions and heads; from "
        f"{FEWEST} questions on) choose it on the other half. " + "; ".join(sizes) + "."
    )
    if any(model.naive for model in models):
        section.add_figure(out, Figure(out, "gains", caption), plots.violins(models))
    else:
        section.text.append("No subject has two questions, so that there is no pair to draw.")
    if study.cases:
        section.add_table(
            out, out, "gains", gain_table([(case.label, case.overall, case.pairs) for case in study.cases])
        )
    return section


def _published_section(impact: Impact, label: str, out: Path, config: StudyConfig) -> Section:
    gains = [gain for *_, gain in impact.best_gains()]
    better = sum(gain > 0 for gain in gains)
    section = Section(
        label,
        [
            f"Published accuracies: {len(impact.heads)} heads of layers {ranges(impact.layers)}, "
            f"{len(impact.subjects)} subjects. In {better} of {len(gains)} subject-layer pairs the "
            "best pruned "
            f"head is above no-prune, by up to {100 * max(gains):.0f} points. Without the outcome of each "
            "question the honest gain cannot be told."
        ],
    )
    _impact_files(section, replace(impact, model=label), out / slug(label), out, config)
    return section


def _shared_section(cases: Sequence[Case], out: Path, config: StudyConfig) -> Section:
    section = Section("Catastrophic heads shared between tasks", [])
    models: dict[str, list[Case]] = {}
    for case in cases:
        models.setdefault(case.part.outcomes.manifest.model_fingerprint, []).append(case)
    for group in models.values():
        if len(group) > 1:
            found = [(case.label, case.tests) for case in group]
            name = f"shared-{group[0].part.outcomes.manifest.model_fingerprint}"
            table = shared_table(found, config.threshold)
            if table.rows:
                section.add_table(out, out, name, table)
            else:
                section.text.append(
                    f"{group[0].part.outcomes.manifest.model}: no head loses more than "
                    f"{100 * config.threshold:.0f} points on any of the {len(group)} tasks."
                )
    if not section.body and not section.text:
        section.text.append("No two of the matrices are of one model.")
    return section


def _test_sentence(case: Case) -> str:
    better = [test for test in case.tests if test.p_holm < 0.05 and test.difference > 0]
    worse = [test for test in case.tests if test.p_holm < 0.05 and test.difference < 0]
    gain = case.overall
    return (
        f"Against the base ({case.cover.base:.3f}), after Holm's correction over {len(case.tests)} "
        "head sets, "
        f"{len(better)} are better and {len(worse)} are worse at the 5 % level. The best on these questions, "
        f"{case.cover.best_heads}, gains {100 * gain.naive:+.1f} points; a head chosen on one half gains "
        f"{100 * gain.honest:+.1f}{interval(gain)} on the other."
    )


def _heat_map_layers(impact: Impact, config: StudyConfig) -> list[int]:
    layers = impact.layers
    if config.layers is not None:
        return [layer for layer in layers if layer in config.layers]
    if len(layers) <= _MOST_HEAT_MAPS:
        return layers
    return sorted({layers[0], layers[len(layers) // 4], layers[len(layers) // 2], layers[-1]})
