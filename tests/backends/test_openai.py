"""Decoding on an OpenAI-compatible server: right answers, whatever the server does."""

from __future__ import annotations

import itertools
import json
import threading
import time
from typing import Any

import pytest

from sprint_eval.backends.http import JsonClient, Patience
from sprint_eval.backends.openai import OpenAIBackend, ServerModels
from sprint_eval.engine.plain import PlainEngine
from sprint_eval.engine.request import Generation, Request, Sampling
from sprint_eval.engine.settings import DecodingSettings
from sprint_eval.errors import ArgumentError, GenerationError
from sprint_eval.heads import HeadSet

SETS = [HeadSet.parse(text) for text in ("base", "L0H0", "L1H2", "L0H1+L2H3")]


def _requests(tokenizer: Any, questions: int = 3) -> list[Request]:
    return [
        Request(tuple(tokenizer.encode(f"Q: {number} + 4 =")), heads, 6, ("\n\n",))
        for number in range(questions)
        for heads in SETS
    ]


@pytest.fixture(scope="module")
def wanted(tiny_pair: tuple[Any, Any]) -> list[Generation]:
    """What the built-in decoding gives."""
    model, tokenizer = tiny_pair
    answers = PlainEngine(model, tokenizer).generate(_requests(tokenizer))
    assert len({answer.tokens for answer in answers}) > 6, "the masks must change answers"
    return answers


def _backend(client: JsonClient, pair: tuple[Any, Any], **options: Any) -> OpenAIBackend:
    model, tokenizer = pair
    return OpenAIBackend(client, tokenizer, DecodingSettings.from_model(model, tokenizer), **options)


def test_answers_equal_the_built_in_ones(
    server: Any, client: JsonClient, tiny_pair: tuple[Any, Any], wanted: list[Generation]
) -> None:
    backend, told = _backend(client, tiny_pair, concurrency=3), []
    assert backend.generate(_requests(tiny_pair[1]), told.append) == wanted
    assert sum(told) == len(wanted)
    assert backend.counters.requests == len(wanted)
    assert backend.counters.generated_tokens == sum(len(answer.tokens) for answer in wanted)
    assert 1 < server.most_at_once <= 3
    # One adapter after the other, so that the server swaps little and shares prefixes.
    names = [body["model"] for body in server.bodies if "logprobs" not in body]
    assert sum(a != b for a, b in itertools.pairwise(names)) < 8
    assert backend.generate([]) == []


def test_servers_without_token_ids(
    server: Any, client: JsonClient, tiny_pair: tuple[Any, Any], wanted: list[Generation]
) -> None:
    server.token_ids = False
    backend = _backend(client, tiny_pair, token_ids=False)
    answers = backend.generate(_requests(tiny_pair[1]))
    assert [answer.text for answer in answers] == [answer.text for answer in wanted]
    assert [answer.finish_reason for answer in answers] == [answer.finish_reason for answer in wanted]
    assert "return_token_ids" not in server.bodies[0]
    assert backend.counters.generated_tokens == sum(len(answer.tokens) for answer in wanted)


@pytest.mark.parametrize("fault", [500, 503, 429, "garbage"])
def test_passing_errors_are_tried_again(
    fault: Any, server: Any, client: JsonClient, tiny_pair: tuple[Any, Any], wanted: list[Generation]
) -> None:
    server.fault = lambda n: fault if n % 3 == 0 else None
    assert _backend(client, tiny_pair).generate(_requests(tiny_pair[1])) == wanted
    assert len(server.bodies) > len(wanted)


def test_lasting_errors_end_with_one_line(server: Any, client: JsonClient, tiny_pair: Any) -> None:
    server.fault = lambda n: 500 if n >= 4 else None
    with pytest.raises(GenerationError, match=r"/completions failed 4 times, last with: HTTP 500") as error:
        _backend(client, tiny_pair).generate(_requests(tiny_pair[1]))
    assert "\n" not in str(error.value)
    time.sleep(0.2)
    asked = len(server.bodies)
    time.sleep(0.3)
    assert len(server.bodies) == asked, "the other requests must stop too"


def test_slow_answers_are_tried_again(
    server: Any, tiny_pair: tuple[Any, Any], wanted: list[Generation]
) -> None:
    client = JsonClient(server.url, Patience(timeout=1.0, retries=4, down=20.0, first_wait=0.01))
    server.fault = lambda n: 1.5 if n in (1, 2) else None
    assert _backend(client, tiny_pair).generate(_requests(tiny_pair[1])) == wanted
    server.fault = lambda n: 1.5
    impatient = JsonClient(server.url, Patience(timeout=0.1, retries=1, down=20.0, first_wait=0.01))
    with pytest.raises(GenerationError, match=r"no answer within 0\.1 s"):
        _backend(impatient, tiny_pair).generate(_requests(tiny_pair[1], 1))


def test_a_server_that_restarts_is_waited_for(
    server: Any, client: JsonClient, tiny_pair: tuple[Any, Any], wanted: list[Generation]
) -> None:
    stopped = threading.Event()

    def fault(number: int) -> None:
        if number == 5 and not stopped.is_set():
            stopped.set()
            threading.Thread(target=restart).start()

    def restart() -> None:
        server.kill()
        time.sleep(0.5)
        server.start()

    server.fault = fault
    assert _backend(client, tiny_pair, concurrency=2).generate(_requests(tiny_pair[1])) == wanted
    assert stopped.is_set()


def test_a_server_that_restarts_between_two_calls_is_waited_for(
    server: Any, client: JsonClient, tiny_pair: tuple[Any, Any], wanted: list[Generation]
) -> None:
    """As between two batches of a sweep, where nothing is in flight."""
    backend, requests = _backend(client, tiny_pair), _requests(tiny_pair[1])
    assert backend.generate(requests[:4]) == wanted[:4]
    server.kill()
    restart = threading.Timer(0.5, server.start)
    restart.start()
    assert backend.generate(requests[4:]) == wanted[4:]
    restart.join()


def test_a_server_that_stays_away_ends_with_one_line(server: Any, tiny_pair: tuple[Any, Any]) -> None:
    client = JsonClient(server.url, Patience(timeout=5.0, retries=2, down=0.3, first_wait=0.02))
    server.kill()
    with pytest.raises(GenerationError, match=r"could not be reached for \d s \(.*refused"):
        _backend(client, tiny_pair).generate(_requests(tiny_pair[1]))


def test_missing_adapters_are_named_before_anything_is_decoded(
    server: Any, client: JsonClient, tiny_pair: tuple[Any, Any]
) -> None:
    server.adapters.remove("L1H2")
    with pytest.raises(ArgumentError, match=r"serves no adapter named L1H2; .* --lora-modules L1H2=DIR/L1H2"):
        _backend(client, tiny_pair).generate(_requests(tiny_pair[1]))
    assert server.bodies == []


def test_an_adapter_lost_on_the_way_is_not_the_base(
    server: Any, client: JsonClient, tiny_pair: tuple[Any, Any]
) -> None:
    def fault(number: int) -> None:
        if number == 3:
            server.adapters.clear()  # restarted without its adapters

    server.fault = fault
    with pytest.raises(GenerationError, match=r"has no model named .* any more"):
        _backend(client, tiny_pair, concurrency=1).generate(_requests(tiny_pair[1]))


def test_a_server_that_ignores_the_name_is_refused(
    server: Any, client: JsonClient, tiny_pair: tuple[Any, Any]
) -> None:
    server.echo_model = "tiny"
    with pytest.raises(GenerationError, match="does not choose adapters by the model's name"):
        _backend(client, tiny_pair).generate(_requests(tiny_pair[1]))


@pytest.mark.parametrize(
    ("status", "message"),
    [(400, "token_ids=False"), (401, "OPENAI_API_KEY"), (422, "made to answer 422")],
)
def test_refusals_are_not_tried_again(
    status: int, message: str, server: Any, client: JsonClient, tiny_pair: tuple[Any, Any]
) -> None:
    server.fault = lambda n: status
    with pytest.raises(GenerationError, match=message):
        _backend(client, tiny_pair, concurrency=1).generate(_requests(tiny_pair[1]))
    assert len(server.bodies) <= 2


def test_adapters_that_change_nothing_are_refused(
    server: Any, client: JsonClient, tiny_pair: tuple[Any, Any]
) -> None:
    server.inert = True
    with pytest.raises(GenerationError, match="change nothing, so this engine"):
        _backend(client, tiny_pair).generate(_requests(tiny_pair[1]))
    assert all("logprobs" in body for body in server.bodies)


def test_answers_without_a_completion(server: Any, client: JsonClient, tiny_pair: tuple[Any, Any]) -> None:
    server.fault = lambda n: "empty"
    with pytest.raises(GenerationError, match="gave no completion"):
        _backend(client, tiny_pair).generate(_requests(tiny_pair[1]))


@pytest.mark.parametrize(
    ("choice", "more", "message"),
    [
        ({}, {"usage": [1]}, r"gave usage = \[1\]: expected a whole number"),
        ({}, {"usage": {"completion_tokens": "many"}}, "'many'}: expected a whole number"),
        ({"token_ids": ["x"]}, {}, r"gave token_ids = \['x'\]: expected a list of token ids"),
        ({"token_ids": [10**12]}, {}, r"gave token_ids = \[1000000000000\].*token_ids=False"),
        ({"token_ids": [-5]}, {}, r"gave token_ids = \[-5\]"),
        ({"token_ids": 7}, {}, "gave token_ids = 7"),
        ({"text": 5}, {}, "gave text = 5: expected a text"),
        ({"text": "\ud800"}, {}, "expected a text"),
    ],
)
def test_malformed_answers_end_with_one_line(
    choice: dict[str, Any],
    more: dict[str, Any],
    message: str,
    server: Any,
    client: JsonClient,
    tiny_pair: Any,
) -> None:
    answer = {"choices": [{"text": "a", "finish_reason": "stop"} | choice]} | more
    server.fault = lambda n: json.dumps(answer).encode()
    with pytest.raises(GenerationError, match=message) as error:
        _backend(client, tiny_pair).generate([Request((5, 6), max_new_tokens=4)])
    assert "\n" not in str(error.value)


def test_token_ids_that_were_not_asked_for_are_left_aside(
    server: Any, client: JsonClient, tiny_pair: tuple[Any, Any]
) -> None:
    server.fault = lambda n: b'{"choices": [{"text": "12", "token_ids": ["x"]}]}'
    backend = _backend(client, tiny_pair, token_ids=False)
    assert backend.generate([Request((5, 6), max_new_tokens=4)])[0].text == "12"


def test_models_whose_parents_are_no_names(client: JsonClient, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = {"data": [{"id": "tiny", "parent": [1]}, {"id": "L0H0", "parent": "tiny"}]}
    monkeypatch.setattr(client, "get", lambda path: listed)
    assert ServerModels.ask(client).base == "tiny"


def test_thinking_that_ends_at_a_token_needs_token_ids(
    server: Any, client: JsonClient, tiny_pair: tuple[Any, Any]
) -> None:
    settings = DecodingSettings((), think_end_token=9)
    with pytest.raises(ArgumentError, match=r"think_end_token = 9: .*give the token's text"):
        OpenAIBackend(client, tiny_pair[1], settings, token_ids=False)
    server.token_ids = False  # asked for, and not given
    with pytest.raises(ArgumentError, match="give the token's text"):
        OpenAIBackend(client, tiny_pair[1], settings).generate([Request((5, 6), max_new_tokens=4)])


def test_the_base_is_found_by_its_adapters_or_named(server: Any, client: JsonClient) -> None:
    assert ServerModels.ask(client).base == "tiny"
    server.parents = False
    with pytest.raises(ArgumentError, match="served_model=NAME"):
        ServerModels.ask(client)
    assert ServerModels.ask(client, "tiny").adapters == {"L0H0", "L1H2", "L0H1+L2H3"}
    with pytest.raises(ArgumentError, match="serves L0H0, L0H1"):
        ServerModels.ask(client, "huge")


def test_adapters_named_after_their_base() -> None:
    models = ServerModels("org/M", frozenset({"L0H0", "base"}), "{base}:{name}")
    assert models.name_of(HeadSet.parse("L0H0")) == "org/M:L0H0"
    assert models.name_of(HeadSet()) == "org/M:base"
    assert ServerModels("org/M", frozenset({"L0H0"}), "{base}:{name}").name_of(HeadSet()) == "org/M"
    models.check([HeadSet.parse("L0H0")], "here")


def test_what_is_asked_for(server: Any, client: JsonClient, tiny_pair: tuple[Any, Any]) -> None:
    sampling = Sampling(True, 0.7, 40, 0.9, seed=5, repetition_penalty=1.25)
    request = Request((5, 6, 7), HeadSet.parse("L0H0"), 4, ("\n",), sampling)
    _backend(client, tiny_pair).generate([request])
    body = server.bodies[-1]
    expected = {
        "model": "L0H0",
        "prompt": [5, 6, 7],
        "max_tokens": 4,
        "temperature": 0.7,
        "top_p": 0.9,
        "top_k": 40,
        "seed": 5,
        "repetition_penalty": 1.25,
        "stop": ["\n"],
    }
    assert expected.items() <= body.items()


def test_bad_concurrency(client: JsonClient, tiny_pair: tuple[Any, Any]) -> None:
    for count in (0, 1025):
        with pytest.raises(ArgumentError, match=f"concurrency = {count}: expected 1 to 1024"):
            _backend(client, tiny_pair, concurrency=count)
    with pytest.raises(ArgumentError, match="naming = 'adapter'"):
        _backend(client, tiny_pair, naming="adapter")
