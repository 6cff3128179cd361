"""What of a file may be shown."""

from __future__ import annotations

import pytest

from sprint_eval.leaderboards.fields import masked


@pytest.mark.parametrize(
    "name",
    [
        *(
            "token",
            "hf_token",
            "auth_token",
            "access_tokens",
            "api_key",
            "secret",
            "password",
            "Authorization",
        ),
        # A credential for a tokenizer, or with a word of one in its name, is a credential.
        *("tokenizer_api_key", "tokenizer_auth_token", "send_token", "renew_tokens", "access_token_id"),
    ],
)
def test_credentials_are_masked_by_their_names(name: str) -> None:
    assert masked(name, "value") == "***"


@pytest.mark.parametrize(
    "name",
    [
        *("tokenizer", "tokenizer_revision", "use_fast_tokenizer", "tokenized_requests", "prefix_token_id"),
        *("custom_prefix_token_id", "add_bos_token", "think_end_token", "stop_token_ids", "max_tokens"),
        *("skip_special_tokens", "max_num_batched_tokens", "min_new_tokens", "max_gen_toks"),
    ],
)
def test_settings_of_a_tokenizer_are_shown(name: str) -> None:
    assert masked(name, "value") == "value"
    assert masked(name, "hf_abcdefghijklmnopqrst") == "***"


def test_a_user_and_password_go_from_an_address() -> None:
    assert masked("base_url", "http://me:pw@host/v1") == "http://***@host/v1"
