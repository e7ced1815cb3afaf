"""Predicts a call's cost before it is sent, and prices an answered call that came without a cost."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from functools import lru_cache

from .._providers.catalogue import MODELS, REFERENCE, mean_cost
from ..models import Messages, Usage
from .cost_model import ENOUGH, CostModel, CostState
from .price_model import PriceModel
from .protocol import ListPrice, Price
from .units import UNITS_PER_CREDIT, ceil_units

# List prices of the reference model, in units for a token. Other models are scaled by their published mean
# cost: good enough as a predictor, since only its ratio to real costs is used.
_LIST_PRICE = MODELS[REFERENCE].list_price
assert _LIST_PRICE is not None
_INPUT = float(_LIST_PRICE.input) * 1e-6 * UNITS_PER_CREDIT
_OUTPUT = float(_LIST_PRICE.output) * 1e-6 * UNITS_PER_CREDIT

BYTES_PER_TOKEN = 4

_OUTPUT_BOUNDS = ("max_completion_tokens", "max_tokens")


_MAX_TEMPLATES = 256
"""Templates with a cost model of their own; with more of them, system prompts are not templates."""


_MOST_KEPT, _MOST_OF_A_MODEL = 400, 100
"""Finished calls that are kept over a restart, of all models and of each: 2 kB for each model."""


@lru_cache(maxsize=256)
def first_guess(model: str) -> int:
    """Return the mean cost of a call of *model* in units, as published."""
    return ceil_units(mean_cost(model))


_REFERENCE = first_guess(REFERENCE)


class Estimates:
    """A cost model and a price model for each model in use, and a cost model for each template."""

    __slots__ = ("_first_cost", "_models", "_price_models", "_templates")

    def __init__(self, first_cost: Decimal | None) -> None:
        self._first_cost = first_cost
        self._models: dict[str, CostModel] = {}
        self._price_models: dict[str, PriceModel] = {}
        self._templates: dict[tuple[str, int], CostModel] = {}

    def of(self, model: str) -> CostModel:
        """Return the cost model of all calls of *model*."""
        found = self._models.get(model)
        if found is None:
            guess = first_guess(model) if self._first_cost is None else ceil_units(self._first_cost)
            found = self._models[model] = CostModel(guess, model)
        return found

    def of_template(self, model: str, template: int | None) -> CostModel:
        """Return the cost model of the calls of *model* with this template; None: of all its calls."""
        if template is None:
            return self.of(model)
        found = self._templates.get((model, template))
        if found is None:
            whole = self.of(model)
            if len(self._templates) >= _MAX_TEMPLATES:
                return whole
            found = self._templates[model, template] = CostModel(whole.first_guess, model, whole)
        return found

    def state(self) -> dict[str, CostState]:
        """Return what a later process needs to know of the calls of each model.

        The templates' own statistics are not in it: they are soon made again, and those of their model do
        until then.
        """
        known = {model: found for model, found in self._models.items() if found.known}
        most = max(ENOUGH, min(_MOST_OF_A_MODEL, _MOST_KEPT // max(1, len(known))))
        return {model: found.state(most) for model, found in known.items()}

    def restore(self, state: Mapping[str, CostState]) -> None:
        """Go on from what an earlier process knew, but for models of which calls have finished here."""
        for model, kept in state.items():
            self.of(model).restore(kept)

    def price(self, model: str, named: Decimal | None, usage: Usage) -> Price:
        """Return the price of an answered call: the cost that the service *named*, else by its tokens."""
        if named is not None:
            return Price(ceil_units(named))
        if usage.input_tokens is None and usage.output_tokens is None:
            return Price()
        scale = first_guess(model) / _REFERENCE
        price_model = self._price_models.setdefault(model, PriceModel())
        inputs, outputs = (usage.input_tokens or 0) * _INPUT, (usage.output_tokens or 0) * _OUTPUT
        return Price(listed=ListPrice(price_model, scale * inputs, scale * outputs))


def template_of(messages: Messages) -> int | None:
    """Return a hash of the system prompt, which calls of one template have in common; None without one.

    Subagents of different roles answer at different lengths, whatever the question.
    """
    first = None if isinstance(messages, str) else messages[0]
    if first is None or first.get("role") != "system":
        return None
    text = first.get("content")
    return hash(text) if isinstance(text, str) else None


_MOST_TOKENS = 10**7
"""Of an answer. A caller may name any number, also one that no float can hold."""


def predict_cost(model: str, body: bytes, parameters: Mapping[str, object]) -> float | None:
    """Predict a call's cost, in units, from its length and its limit on the answer; None for one with images.

    A predictor to compare with those of other calls of the model, not a price: the cost model learns how
    real costs relate to it.
    """
    if b'"image' in body or b'"inlineData"' in body:
        return None  # an image's bytes say nothing about its tokens
    units: float = first_guess(model) / _REFERENCE * (len(body) / BYTES_PER_TOKEN * _INPUT)
    if parameters:
        bound = next((parameters[name] for name in _OUTPUT_BOUNDS if name in parameters), 0)
        tokens = min(max(0, bound), _MOST_TOKENS) if isinstance(bound, int) else 0
        units += first_guess(model) / _REFERENCE * tokens * _OUTPUT
    return units
