"""What ``sprint-eval distill`` advises next."""

from __future__ import annotations

import argparse

from sprint_eval.commands import distill


def test_the_evaluation_advised_has_the_prompts_of_the_training() -> None:
    parser = argparse.ArgumentParser()
    distill.add_arguments(parser)
    given = ["--model", "m", "--task", "asdiv_pass_at_n_fewshot", "--out", "runs/a b"]
    plain = "lm_eval --model distilled-pruned --model_args 'pretrained=runs/a b/student' "
    assert distill._evaluation(parser.parse_args(given)) == plain + "--tasks asdiv_pass_at_n_fewshot"
    given += ["--num-fewshot", "0", "--metadata", "data_dir=d", "--apply-chat-template"]
    assert distill._evaluation(parser.parse_args(given)).endswith(
        "fewshot --num_fewshot 0 --metadata data_dir=d --apply_chat_template"
    )
