"""Parameters and their priors as JSON text, so that a saved posterior knows them."""

from __future__ import annotations

import inspect
import json
from importlib import import_module
from typing import Any

import numpy as np
import numpyro.distributions as dist

from ..errors import InputError
from ..parameters import Order, Parameter, Parameters

# A file may come from anybody: only these packages are searched for the distribution it names.
_TRUSTED = ("numpyro.distributions", "galfit_sr")


def to_json(parameters: Parameters) -> str:
    """Everything in `parameters`, as JSON.

    Raises:
        InputError: a prior that is not made of numbers and other distributions.
    """
    items = [
        {
            "name": p.name,
            "unit": p.unit,
            "label": p.label,
            "description": p.description,
            "prior": None if p.prior is None else _describe(p.name, p.prior),
            "value": p.value,
            "tied": p.tied,
            "periodic": p.periodic,
            "limits": p.limits,
        }
        for p in parameters
    ]
    orders = [{"smaller": list(o.smaller), "larger": o.larger} for o in parameters.orders]
    return json.dumps({"items": items, "orders": orders})


def from_json(text: str) -> Parameters:
    """The inverse of `to_json`: equal to what was stored.

    Raises:
        InputError: a prior of an unknown kind.
    """
    content = json.loads(text)
    items = []
    for item in content["items"]:
        prior = None if item["prior"] is None else _build(item["prior"])
        items.append(Parameter(**{**item, "prior": prior, "limits": tuple(item["limits"])}))
    orders = tuple(Order(tuple(o["smaller"]), o["larger"]) for o in content["orders"])
    return Parameters(tuple(items), orders)


def _describe(name: str, prior: dist.Distribution) -> dict[str, Any]:
    kind = type(prior)
    # Whether a distribution checks its arguments is part of what makes two of them equal (and one compiled program
    # serve both), but NumPyro keeps it private.
    checks = vars(prior).get("_validate_args")
    arguments: dict[str, Any] = {} if checks is None else {"validate_args": checks}
    for argument in inspect.signature(kind.__init__).parameters:
        value = getattr(prior, argument, None)
        if argument in ("self", "validate_args") or value is None:
            continue
        if isinstance(value, dist.Distribution):
            arguments[argument] = _describe(name, value)
        elif np.ndim(value) == 0 and np.issubdtype(np.asarray(value).dtype, np.number):
            arguments[argument] = float(value)
        else:
            raise InputError(
                f"prior of {name!r}: {kind.__name__} has {argument} = {value!r}; only priors made of numbers and other"
                " distributions can be stored"
            )
    return {"module": kind.__module__, "kind": kind.__name__, "arguments": arguments}


def _build(content: dict[str, Any]) -> dist.Distribution:
    module = content["module"]
    if not any(module == name or module.startswith(f"{name}.") for name in _TRUSTED):
        raise InputError(f"prior from module {module!r}; allowed are those of {' and '.join(_TRUSTED)}")
    kind = getattr(import_module(module), content["kind"], None)
    if not (inspect.isclass(kind) and issubclass(kind, dist.Distribution)):
        raise InputError(f"unknown prior {content['kind']!r} in {module!r}; a distribution is needed")
    arguments = {k: _build(v) if isinstance(v, dict) else v for k, v in content["arguments"].items()}
    return kind(**arguments)
