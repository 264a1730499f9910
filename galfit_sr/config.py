"""The configuration of a fit: TOML in, typed frozen objects out, and back, with everything needed to repeat the run."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from .choices import Choice
from .emulation.bundle import CARD
from .emulation.registry import find_emulator
from .errors import InputError
from .inference.likelihood import LikelihoodSettings
from .inference.nested import Nested
from .inference.samplers import SAMPLERS, Sampler, sampler_name
from .maps import MAP_NAMES
from .parameters import COMPONENT_NAMES, JITTER, Order, Parameters, default_parameters
from .priors import Prior
from .psf import PSF
from .psf_table import psf_table, read_psf
from .seeds import checked_seed
from .toml import check_keys, convert, dump, from_table, parse, to_table


@dataclasses.dataclass(frozen=True)
class ObservationConfig:
    """Which data, and what is known better than the file does.

    Attributes:
        file: MaNGA MAPS or observation file; None for the bundled mock galaxy.
        region: the user's mask, a FITS file or circles (see `observations.region`).
        masses: FITS file of stellar masses that go with a MAPS file (see `observations.masses`).
        psf_photometry, psf_kinematics: in place of the file's.
    """

    file: str | None = None
    region: str | tuple[str, ...] | None = None
    masses: str | None = None
    psf_photometry: PSF | None = None
    psf_kinematics: PSF | None = None


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """Which components, and how they meet the pixels (see `GalaxyModel`).

    Attributes:
        components: None for those of `FitConfig.components`.
        fidelity: `point` or `pixel`.
    """

    components: tuple[str, ...] | None = None
    fidelity: Literal["point", "pixel"] = "pixel"


@dataclasses.dataclass(frozen=True)
class FitConfig:
    """Everything that decides a fit.

    Attributes:
        observation, model, likelihood, sampler: the sections of the file.
        parameters: name -> choice, for the parameters that differ from the defaults.
        orders: between radii; None for the default.
        emulator: name of an installed one, or a folder with one; None for the full resolution.
        exact: whether what was found with the emulator is corrected to the full resolution's posterior.
        seed: of every random number.
        x64: whether numbers have double precision.
    """

    observation: ObservationConfig = ObservationConfig()
    model: ModelConfig = ModelConfig()
    parameters: Mapping[str, Choice] = dataclasses.field(default_factory=dict)
    orders: tuple[Order, ...] | None = None
    emulator: str | None = None
    exact: bool = False
    likelihood: LikelihoodSettings = dataclasses.field(default_factory=LikelihoodSettings)
    sampler: Sampler = dataclasses.field(default_factory=Nested)
    seed: int = 0
    x64: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "seed", checked_seed(self.seed))

    @property
    def components(self) -> tuple[str, ...]:
        """Of the model: as configured, else those that the emulator is for, else a bulge, two discs and a halo.

        Raises:
            InputError: no such emulator.
        """
        if self.model.components is not None:
            return self.model.components
        return COMPONENT_NAMES if self.emulator is None else find_emulator(self.emulator).card.recipe.components

    def apply(self, parameters: Parameters) -> Parameters:
        """`parameters` with this configuration's choices.

        Raises:
            InputError: an unknown name, or a tie that leads nowhere.
        """
        for name, choice in self.parameters.items():
            if name == JITTER.name and name not in parameters:
                parameters = dataclasses.replace(parameters, items=(*parameters.items, JITTER))
            prior = None if choice.prior is None else choice.prior.distribution()
            parameters = parameters.replace(name, prior=prior, value=choice.value, tied=choice.tied)
        return parameters if self.orders is None else dataclasses.replace(parameters, orders=self.orders)

    def override(
        self,
        *,
        file: str | None = None,
        region: str | None = None,
        masses: str | None = None,
        components: tuple[str, ...] | None = None,
        emulator: str | None = None,
        exact: bool = False,
        seed: int | None = None,
        x64: bool | None = None,
        kind: str | None = None,
        **sampler: Any,
    ) -> FitConfig:
        """This configuration with the given values, those that are not None.

        Args:
            kind: name of the sampler, with its default settings if it is not the one that was configured.
            sampler: fields of the sampler.

        Raises:
            InputError: the sampler has no such field.
        """
        settings = self.sampler
        if kind is not None and kind != sampler_name(settings):
            settings = SAMPLERS[kind]()
        given = {name: value for name, value in sampler.items() if value is not None}
        for name in given.keys() - {field.name for field in dataclasses.fields(settings)}:
            raise InputError(f"{name} is no setting of the sampler {sampler_name(settings)}; leave it out")
        return dataclasses.replace(
            self,
            observation=_replace(self.observation, file=file, region=region, masses=masses),
            model=_replace(self.model, components=components),
            sampler=dataclasses.replace(settings, **given),
            emulator=emulator or self.emulator,
            exact=exact or self.exact,
            seed=self.seed if seed is None else seed,
            x64=self.x64 if x64 is None else x64,
        )

    def complete(self, parameters: Parameters) -> FitConfig:
        """This configuration with every component, parameter and order spelled out: no default can change the run.

        Limits on time and calls are left out: they belong to one session, and a run that met them can be resumed.
        """
        choices = {p.name: Choice.of(p) for p in parameters}
        sampler = dataclasses.replace(self.sampler, max_seconds=None, max_calls=None)
        model = dataclasses.replace(self.model, components=self.components)
        return dataclasses.replace(self, model=model, parameters=choices, orders=parameters.orders, sampler=sampler)


def load_config(path: Path) -> FitConfig:
    """The configuration in a TOML file; paths in it are relative to its folder.

    Raises:
        InputError: no such file, not TOML, or anything in it that is not understood.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as a configuration: {error}") from error
    config = loads(text, str(path))
    folder = path.parent.absolute()
    data = config.observation
    located = dataclasses.replace(
        data,
        file=None if data.file is None else str(folder / data.file),
        region=locate_region(data.region, folder) if isinstance(data.region, str) else data.region,
        masses=None if data.masses is None else str(folder / data.masses),
    )
    emulator = None if config.emulator is None else locate_emulator(config.emulator, folder)
    return dataclasses.replace(config, observation=located, emulator=emulator)


def locate_emulator(emulator: str, folder: Path) -> str:
    """An emulator that is a folder's name as a path from `folder`; the name of an installed one as it is."""
    return str(folder / emulator) if (folder / emulator / CARD).is_file() else emulator


def locate_region(region: str, folder: Path) -> str:
    """A region that is a file's name as a path from `folder`; circles as they are."""
    return region if region.lstrip().lower().startswith("circle(") else str(folder / region)


def loads(text: str, source: str = "configuration") -> FitConfig:
    """The configuration in TOML text; `source` names it in messages.

    Raises:
        InputError: not TOML, an unknown key, a wrong type, or a value that is not allowed.
    """
    content = parse(text, source)
    try:
        return _from_content(content)
    except InputError as error:
        raise InputError(f"{source}: {error}") from error


def dumps(config: FitConfig) -> str:
    """TOML text from which `loads` makes an equal configuration."""
    observation = to_table(config.observation)
    for key in ("psf_photometry", "psf_kinematics"):
        psf = getattr(config.observation, key)
        if psf is not None:
            observation[key] = psf_table(psf)
    content: dict[str, Any] = {"seed": config.seed, "x64": config.x64}
    if config.emulator is not None:
        content["emulator"] = config.emulator
        content["exact"] = config.exact
    if config.orders is not None:
        content["orders"] = [to_table(order) for order in config.orders]
    return dump(
        {
            **content,
            "observation": observation,
            "model": to_table(config.model),
            "parameters": {name: choice.table() for name, choice in config.parameters.items()},
            "likelihood": {**to_table(config.likelihood), "weights": config.likelihood.weights._asdict()},
            "sampler": {"kind": sampler_name(config.sampler), **to_table(config.sampler)},
        }
    )


def _replace(section: Any, **values: Any) -> Any:
    return dataclasses.replace(section, **{k: v for k, v in values.items() if v is not None})


def _from_content(content: Mapping[str, Any]) -> FitConfig:
    check_keys(content, [f.name for f in dataclasses.fields(FitConfig)], "")
    known: dict[str, Any] = {
        key: convert(content[key], hint, "", key) for key, hint in _TOP_LEVEL.items() if key in content
    }
    if "observation" in content:
        known["observation"] = _observation(content["observation"])
    if "model" in content:
        known["model"] = from_table(ModelConfig, content["model"], "model")
    if "likelihood" in content:
        known["likelihood"] = _likelihood(content["likelihood"])
    if "sampler" in content:
        known["sampler"] = _sampler(content["sampler"])
    defaults = default_parameters(known.get("model", ModelConfig()).components or COMPONENT_NAMES)
    if "parameters" in content:
        table = convert(content["parameters"], Mapping[str, Mapping[str, Any]], "", "parameters")
        check_keys(table, [*(p.name for p in defaults), JITTER.name], "parameters")
        known["parameters"] = {name: Choice.read(name, entry) for name, entry in table.items()}
    config = FitConfig(**known)
    # Ties, orders and bounds that contradict each other show here, before any data are read.
    Prior(config.apply(defaults))
    return config


_TOP_LEVEL = {"seed": int, "x64": bool, "orders": tuple[Order, ...], "emulator": str, "exact": bool}


def _observation(table: Any) -> ObservationConfig:
    hints = {
        "file": str,
        "region": str | tuple[str, ...],
        "masses": str,
        "psf_photometry": Mapping[str, Any],
        "psf_kinematics": Mapping[str, Any],
    }
    table = convert(table, Mapping[str, Any], "", "observation")
    check_keys(table, list(hints), "observation")
    known = {key: convert(value, hints[key], "observation", key) for key, value in table.items()}
    for key in ("psf_photometry", "psf_kinematics"):
        if key in known:
            known[key] = read_psf(known[key], f"observation.{key}")
    return ObservationConfig(**known)


def _likelihood(table: Any) -> LikelihoodSettings:
    section = dict(convert(table, Mapping[str, Any], "", "likelihood"))
    if "weights" in section:
        weights = convert(section["weights"], Mapping[str, float], "likelihood", "weights")
        check_keys(weights, list(MAP_NAMES), "likelihood.weights")
        section["weights"] = LikelihoodSettings().weights._replace(**weights)
    return from_table(LikelihoodSettings, section, "likelihood")


def _sampler(table: Any) -> Sampler:
    table = convert(table, Mapping[str, Any], "", "sampler")
    kind = table.get("kind", "nested")
    if kind not in SAMPLERS:
        raise InputError(f"[sampler] kind = {kind!r}; allowed are {', '.join(map(repr, SAMPLERS))}")
    return from_table(SAMPLERS[kind], {k: v for k, v in table.items() if k != "kind"}, "sampler")
