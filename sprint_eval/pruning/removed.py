"""What was cut out of a model, as its config records it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sprint_eval.errors import HeadError, MismatchError
from sprint_eval.heads import Head, HeadLayout, HeadSet

CONFIG_FIELD = "sprint_pruning"
SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Removed:
    """Heads and feed-forward neurons that a model has lost, counted in the model it was cut from.

    Attributes:
        heads: the heads.
        neurons: layer → how many neurons its feed-forward part has lost. Which ones they were
            matters to nobody: a feed-forward layer is the same in any order of its neurons.
    """

    heads: HeadSet = field(default_factory=HeadSet)
    neurons: Mapping[int, int] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.heads.heads) or any(self.neurons.values())

    def to_dict(self) -> dict[str, Any]:
        """The config's field."""
        fields: dict[str, Any] = {
            "schema_version": SCHEMA_VERSION,
            "removed_heads": {str(layer): list(heads) for layer, heads in self.heads.by_layer().items()},
        }
        if any(self.neurons.values()):
            fields["removed_neurons"] = {str(k): n for k, n in sorted(self.neurons.items()) if n}
        return fields

    @classmethod
    def of_config(cls, config: Any) -> Removed:
        """What a model's config says was removed; nothing for a model that was never cut.

        Raises:
            MismatchError: the field is malformed, of a newer version, or names what the model
                never had.
        """
        values = getattr(config, CONFIG_FIELD, None)
        if values is None:
            return cls()
        text = config.get_text_config()
        layout = HeadLayout.uniform(int(text.num_hidden_layers), int(text.num_attention_heads))
        try:
            version = values["schema_version"]
            lists = values["removed_heads"].items()
            heads = HeadSet(tuple(Head(int(layer), _whole(head)) for layer, hs in lists for head in hs))
            neurons = {int(k): _whole(n) for k, n in values.get("removed_neurons", {}).items()}
        except (AttributeError, KeyError, TypeError, ValueError, HeadError) as error:
            raise MismatchError(f"the config's '{CONFIG_FIELD}' cannot be read: {error!r}") from error
        if version != SCHEMA_VERSION:
            raise MismatchError(
                f"the model was cut in format {version}, this version reads format {SCHEMA_VERSION}; "
                "update sprint-eval"
            )
        removed = cls(heads, neurons)
        removed._check(layout, int(getattr(text, "intermediate_size", 0) or 0))
        return removed

    def _check(self, layout: HeadLayout, width: int) -> None:
        try:
            layout.check(self.heads)
        except HeadError as error:
            raise MismatchError(f"the removed heads do not fit the model's config: {error}") from error
        for layer, count in self.neurons.items():
            if not 0 <= layer < layout.num_layers or not 0 <= count < width:
                raise MismatchError(
                    f"{count} neurons removed from layer {layer} do not fit the model's config: "
                    f"{layout.num_layers} layers of {width}"
                )


def _whole(value: Any) -> int:
    """A whole number of the config's JSON: neither a text nor a fraction is taken for one."""
    if type(value) is not int:
        raise TypeError(f"{value!r} is not a whole number")
    return value
