"""Posteriors as ArviZ objects and as netCDF files that ArviZ opens.

ArviZ is imported only when an ArviZ object is asked for. The file is written with h5netcdf in the layout that all
versions of ArviZ share, so that saving and loading depend on none of them:

- root attributes: evidence, provenance and everything else that is not an array; mappings as JSON;
- `posterior`: equally weighted draws (chain, draw), what ArviZ's functions expect, and in `sample_stats` their
  log-likelihood;
- `weighted_posterior`: all samples with their weights, from which `read` restores the posterior exactly;
- `maps`: the model's maps at the best sample.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import h5netcdf
import numpy as np

from ..errors import InputError
from ..maps import MAP_NAMES, MAP_UNITS, Maps
from . import stored_parameters
from .arviz_library import arviz, is_first_arviz

_FORMAT = "galfit_sr posterior 1"
_ARRAYS = ("log_weights", "log_likelihood", "log_volume")
_MAPS = ("maps", "binned_maps")
_JSON = ("sampler_settings", "likelihood", "reduced_chi2", "truth", "timings", "warnings", "correction")


class _Variable(NamedTuple):
    dimensions: tuple[str, ...]
    values: np.ndarray
    unit: str = ""


def to_arviz(fields: Mapping[str, Any], draws: np.ndarray) -> Any:
    """An `InferenceData` (ArviZ 0.x) or a `DataTree` (ArviZ 1.x).

    Args:
        fields: of `results.Posterior`, by name.
        draws: (chains, draws) rows of `samples` that count the same.
    """
    # ArviZ brings xarray; nothing else here needs it.
    import xarray

    groups = {
        group: xarray.Dataset(
            {name: (v.dimensions, v.values, {"units": v.unit} if v.unit else {}) for name, v in variables.items()}
        )
        for group, variables in _groups(fields, draws).items()
    }
    attributes = _attributes(fields)
    if is_first_arviz():
        return arviz().InferenceData(attrs=attributes, **groups)
    root = xarray.Dataset(attrs=attributes)
    return xarray.DataTree.from_dict({"/": root, **{f"/{group}": data for group, data in groups.items()}})


def to_bytes(fields: Mapping[str, Any], draws: np.ndarray) -> bytes:
    """The netCDF file, see the head of this module; arguments as for `to_arviz`."""
    buffer = io.BytesIO()
    with h5netcdf.File(buffer, "w") as file:
        for name, value in _attributes(fields).items():
            file.attrs[name] = value
        for group_name, variables in _groups(fields, draws).items():
            group = file.create_group(group_name)
            for name, variable in variables.items():
                for dimension, size in zip(variable.dimensions, variable.values.shape, strict=True):
                    if dimension not in group.dimensions:
                        group.dimensions[dimension] = size
                stored = group.create_variable(name, variable.dimensions, data=variable.values)
                if variable.unit:
                    stored.attrs["units"] = variable.unit
    return buffer.getvalue()


def read(path: Path) -> dict[str, Any]:
    """The fields of a posterior, by name, from the file that holds what `to_bytes` gave.

    Raises:
        InputError: no such file, or not one of these.
    """
    if not path.is_file():
        raise InputError(f"no posterior at {path}; a posterior.nc that galfit_sr wrote is needed")
    try:
        with h5netcdf.File(io.BytesIO(path.read_bytes()), "r") as file:
            if file.attrs.get("format") != _FORMAT:
                raise InputError(f"{path} has format {file.attrs.get('format')!r}; {_FORMAT!r} is needed")
            return _restore(file)
    except (OSError, KeyError) as error:
        raise InputError(f"{path} cannot be read as a posterior ({error}); it may be damaged") from error


def _restore(file: h5netcdf.File) -> dict[str, Any]:
    attributes = dict(file.attrs)
    parameters = stored_parameters.from_json(attributes.pop("parameters"))
    fields: dict[str, Any] = {"parameters": parameters}
    for name, value in attributes.items():
        if name in _JSON:
            fields[name] = json.loads(value)
        elif name not in ("format", "inference_library", "inference_library_version"):
            fields[name] = value.item() if isinstance(value, np.generic) else value
    fields["converged"] = bool(fields["converged"])
    fields["warnings"] = tuple(fields["warnings"])
    weighted = file["weighted_posterior"]
    fields["samples"] = np.stack([weighted[name][...] for name in parameters.names], axis=1)
    fields |= {name: weighted[name][...] for name in _ARRAYS if name in weighted.variables}
    fields["best"] = weighted["best"][...]
    for kind in _MAPS:
        fields[kind] = Maps(*(file["maps"][f"{kind}_{name}"][...] for name in MAP_NAMES))
    return fields


def _groups(fields: Mapping[str, Any], draws: np.ndarray) -> dict[str, dict[str, _Variable]]:
    columns = {
        p.name: (np.asarray(column, dtype=np.float64), p.unit)
        for p, column in zip(fields["parameters"].free, np.asarray(fields["samples"]).T, strict=True)
    }
    chain = ("chain", "draw")
    weighted = {name: _Variable(("sample",), column, unit) for name, (column, unit) in columns.items()}
    for name in _ARRAYS:
        if fields[name] is not None:
            weighted[name] = _Variable(("sample",), np.asarray(fields[name], dtype=np.float64))
    weighted["best"] = _Variable(("parameter",), np.asarray(fields["best"], dtype=np.float64))
    maps = {
        f"{kind}_{name}": _Variable(("row", "column"), np.asarray(array, dtype=np.float64), MAP_UNITS[name])
        for kind in _MAPS
        for name, array in zip(MAP_NAMES, fields[kind], strict=True)
    }
    likelihood = np.asarray(fields["log_likelihood"], dtype=np.float64)
    return {
        "posterior": {name: _Variable(chain, column[draws], unit) for name, (column, unit) in columns.items()},
        "sample_stats": {"log_likelihood": _Variable(chain, likelihood[draws])},
        "weighted_posterior": weighted,
        "maps": maps,
    }


def _attributes(fields: Mapping[str, Any]) -> dict[str, Any]:
    attributes: dict[str, Any] = {
        "format": _FORMAT,
        "inference_library": "galfit_sr",
        "inference_library_version": fields["version"],
        "parameters": stored_parameters.to_json(fields["parameters"]),
    }
    arrays = ("parameters", "samples", "best", *_ARRAYS, *_MAPS)
    for name, value in fields.items():
        if name in arrays or value is None:
            continue
        if name in _JSON:
            plain = list(value) if name == "warnings" else dict(value)
            attributes[name] = json.dumps(plain, default=lambda number: number.item())
        else:
            # netCDF has no booleans.
            attributes[name] = int(value) if name == "converged" else value
    return attributes
