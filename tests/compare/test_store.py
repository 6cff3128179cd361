"""Answers come back under exactly what decided them, and under nothing else."""

from dataclasses import replace

import pytest

from sprint_eval.compare.stored import StoredBackend, generation_store
from sprint_eval.engine.counters import Counters
from sprint_eval.engine.request import Generation, Request, Sampling
from sprint_eval.errors import StoreError
from sprint_eval.heads import HeadSet

IDENTITY = {"model": "abc", "dtype": "float32"}
REQUEST = Request((1, 2, 3), HeadSet.parse("L0H1"), 8, ("\n",), group=0)


class Decoder:
    """Answers that say what they were asked; counts what it does."""

    def __init__(self):
        self.counters = Counters()
        self.asked = []

    def generate(self, requests, progress=None):
        self.asked.append(len(requests))
        self.counters.requests += len(requests)
        self.counters.decode_seconds += 1.0
        if progress:
            progress(len(requests))
        return [
            Generation((7, len(r.prompt)), f"{r.heads} \ud800\n{r.sampling.seed}", "stop", -0.5)
            for r in requests
        ]


def backend(folder, **identity):
    decoder = Decoder()
    return decoder, StoredBackend(decoder, generation_store(folder), IDENTITY | identity)


def test_a_second_run_decodes_nothing_and_says_the_same(tmp_path):
    requests = [replace(REQUEST, prompt=(i, 5)) for i in range(10)]
    decoder, first = backend(tmp_path)
    answers = first.generate(requests)
    assert decoder.asked == [10]
    assert first.counters.from_store == 0
    decoder, second = backend(tmp_path)
    seen = []
    assert second.generate(requests[::-1], seen.append) == answers[::-1]
    assert decoder.asked == []
    assert sum(seen) == 10
    assert second.counters == Counters(requests=10, prompt_tokens=20, generated_tokens=20, from_store=10)


@pytest.mark.parametrize(
    "change",
    [
        {"prompt": (1, 2)},
        {"heads": HeadSet()},
        {"max_new_tokens": 9},
        {"stop": ()},
        {"sampling": Sampling(True, seed=1)},
        {"sampling": Sampling(repetition_penalty=1.1)},
    ],
)
def test_whatever_decides_an_answer_is_part_of_its_key(tmp_path, change):
    backend(tmp_path)[1].generate([REQUEST])
    decoder, stored = backend(tmp_path)
    stored.generate([replace(REQUEST, **change)])
    assert decoder.asked == [1]


def test_the_model_is_part_of_the_key_and_the_group_is_not(tmp_path):
    backend(tmp_path)[1].generate([REQUEST])
    decoder, stored = backend(tmp_path, model="other")
    stored.generate([REQUEST])
    assert decoder.asked == [1]
    decoder, stored = backend(tmp_path)
    stored.generate([replace(REQUEST, group=99)])
    assert decoder.asked == []


def test_a_killed_run_keeps_what_it_had_and_a_torn_line_is_decoded_again(tmp_path, monkeypatch):
    monkeypatch.setattr("sprint_eval.compare.stored._AT_ONCE", 1024)

    class Dies(Decoder):
        def generate(self, requests, progress=None):
            if self.asked:
                raise KeyboardInterrupt
            return super().generate(requests, progress)

    requests = [replace(REQUEST, prompt=(i,), group=i // 5) for i in range(2400)]
    dying = StoredBackend(Dies(), generation_store(tmp_path), IDENTITY)
    with pytest.raises(KeyboardInterrupt):
        dying.generate(requests)
    (path,) = tmp_path.glob("*.jsonl")
    kept = len(path.read_bytes().splitlines())
    assert 1024 <= kept < 1030
    path.write_bytes(path.read_bytes()[:-5])
    decoder, again = backend(tmp_path)
    answers = again.generate(requests)
    assert sum(decoder.asked) == 2400 - kept + 1
    assert answers == Decoder().generate(requests)


def test_siblings_are_decoded_together(tmp_path, monkeypatch):
    monkeypatch.setattr("sprint_eval.compare.stored._AT_ONCE", 1024)
    requests = [replace(REQUEST, prompt=(i,), group=i // 400) for i in range(2800)]
    decoder, stored = backend(tmp_path)
    stored.generate(requests)
    assert decoder.asked == [1200, 1200, 400]


def test_prompts_that_begin_alike_are_decoded_together_and_answers_keep_their_order(tmp_path):
    seen = []

    class Remembers(Decoder):
        def generate(self, requests, progress=None):
            seen.extend(request.prompt for request in requests)
            return super().generate(requests, progress)

    requests = [replace(REQUEST, prompt=(i % 3, *range(i)), group=i) for i in range(9)]
    answers = StoredBackend(Remembers(), generation_store(tmp_path), IDENTITY).generate(requests)
    assert [prompt[0] for prompt in seen] == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert [answer.tokens[1] for answer in answers] == [i + 1 for i in range(9)]


def test_two_processes_share_a_folder(tmp_path):
    one, two = backend(tmp_path)[1], backend(tmp_path)[1]
    one.generate([REQUEST])
    two.generate([REQUEST, replace(REQUEST, prompt=(9,))])
    assert len(generation_store(tmp_path)) == 2
    assert len(list(tmp_path.iterdir())) == 2


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be read"):
        generation_store(tmp_path / "file" / "store")


def test_published_counters_leave_out_what_was_not_paid_here():
    assert "decode_seconds" in Counters(requests=2).published()
    published = Counters(requests=2, decode_seconds=1.0, from_store=1).published()
    assert published == {"requests": 2, "prompt_tokens": 0, "generated_tokens": 0, "from_store": 1}
