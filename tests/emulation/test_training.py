"""Training: settings, epochs, checkpoints, and what is left when it ends early."""

import dataclasses
import json
import math

import jax
import numpy as np
import pytest
from small_network import SETTINGS, Small, examples, ranges, same, silent, source

from galfit_sr.emulation import epochs, learning
from galfit_sr.emulation.bundle import load_bundle
from galfit_sr.emulation.examples import drawn, stored
from galfit_sr.emulation.learning import Descent, begin, learn_from, losses, mean_loss, noise
from galfit_sr.emulation.making import make_store
from galfit_sr.emulation.manifest import Plan
from galfit_sr.emulation.network import normalised, predict, restored
from galfit_sr.emulation.recipe import Recipe
from galfit_sr.emulation.training import train
from galfit_sr.emulation.training_settings import Training, read_training
from galfit_sr.errors import InputError

NETWORK = Small()


def run(folder, settings=SETTINGS, network=NETWORK, **options):
    return train("small", network, settings, folder, progress=options.pop("progress", silent), **options)


def curve(folder):
    lines = (folder / "training" / "curve.csv").read_text(encoding="utf-8").splitlines()[1:]
    return [line.split(",")[:4] for line in lines]  # all but the seconds


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A training of four epochs."""
    folder = tmp_path_factory.mktemp("whole")
    return folder, run(folder)


def test_training_lowers_the_loss_and_ships_the_best(whole):
    folder, card = whole
    validation = [float(row[2]) for row in curve(folder)]
    assert len(validation) == SETTINGS.epochs
    assert min(validation) < validation[0]
    held_out = examples()
    weights = load_bundle(folder, NETWORK).weights
    descent = Descent(NETWORK, "l1", SETTINGS.learning_rate, SETTINGS.beta1, SETTINGS.beta2)
    with jax.enable_x64(False):
        shipped = mean_loss(descent, weights.network, weights.ranges, held_out, 8)
    assert shipped == pytest.approx(min(validation), rel=1e-6)
    assert card.training["best_epoch"] == 1 + int(np.argmin(validation))
    assert card.training["ended"] == "all epochs"
    assert card.network == {"name": "small", "size": 1}
    assert card.weights == 20
    assert card.held_out["inside"]["not_finite"] == card.held_out["outside"]["not_finite"] == 0


@pytest.mark.parametrize("ended_by", ["Ctrl-C", "epochs"])
def test_a_resumed_training_gives_the_very_same_weights(whole, tmp_path, monkeypatch, ended_by):
    """Stopped by Ctrl-C in the second epoch, or by its number of epochs after two."""
    folder, _ = whole
    monkeypatch.setattr(epochs, "SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    if ended_by == "Ctrl-C":
        seen = []

        def interrupt(stage, fraction, detail):
            seen.append(stage)
            if stage == "epochs" and seen.count(stage) == 2:
                raise KeyboardInterrupt

        card = run(tmp_path, progress=interrupt)
        assert card.training["ended"] == "interrupted"
        assert card.training["epochs"] == 1
    else:
        run(tmp_path, dataclasses.replace(SETTINGS, epochs=2))
    load_bundle(tmp_path, NETWORK)
    run(tmp_path, resume=True)
    assert same(load_bundle(tmp_path, NETWORK).weights, load_bundle(folder, NETWORK).weights)
    assert curve(tmp_path) == curve(folder)


def test_many_steps_in_one_program_are_the_steps_one_by_one(monkeypatch):
    """As accelerators take them."""
    some = examples()
    limits = ranges(some)
    descent, rows = Descent(NETWORK, "l1", 0.01, 0.9, 0.9), np.arange(6).reshape(3, 2)
    state, together = learn_from(descent, begin(descent, 0), limits, some, rows, 1.0)
    other, alone = begin(descent, 0), []
    for batch in rows:
        other, loss = learn_from(descent, other, limits, some, batch[None], 1.0)
        alone.append(float(loss[0]))
    np.testing.assert_allclose(together, alone, rtol=1e-6)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), state.weights, other.weights)
    one_by_one = mean_loss(descent, state.weights, limits, some, 3)
    monkeypatch.setattr(learning, "steps_at_once", lambda steps: steps)
    assert mean_loss(descent, state.weights, limits, some, 3) == pytest.approx(one_by_one, rel=1e-6)


def test_another_seed_gives_other_weights(whole, tmp_path):
    folder, _ = whole
    run(tmp_path, dataclasses.replace(SETTINGS, seed=1, epochs=1))
    assert not same(load_bundle(tmp_path, NETWORK).weights.network, load_bundle(folder, NETWORK).weights.network)


def test_fresh_galaxies_differ_from_epoch_to_epoch_and_from_those_held_out(tmp_path):
    settings = dataclasses.replace(SETTINGS, fresh=True, epochs=2)
    chosen = [source(settings).training(epoch) for epoch in range(3)] + [source(settings).validation]
    assert len(set(np.concatenate(chosen).tolist())) == 3 * 24 + 8
    run(tmp_path, settings)
    assert len(curve(tmp_path)) == 2


def test_time_that_is_over_leaves_one_epoch(tmp_path):
    card = run(tmp_path, max_seconds=0.0)
    assert card.training["ended"] == "time"
    assert len(curve(tmp_path)) == 1


def test_training_ends_when_there_is_no_progress(tmp_path):
    card = run(tmp_path, dataclasses.replace(SETTINGS, learning_rate=1e-12, epochs=9, stop_after=2))
    assert card.training["ended"] == "no progress"
    assert len(curve(tmp_path)) < 9


def test_the_learning_rate_falls_when_the_loss_does_not(tmp_path):
    run(tmp_path, dataclasses.replace(SETTINGS, learning_rate=1e-12, patience=2))
    assert [float(row[3]) for row in curve(tmp_path)] == [1.0, 1.0, 1.0, 0.5]


def test_a_loss_that_is_not_finite_is_refused(tmp_path):
    with pytest.raises(InputError, match="choose a smaller learning_rate"):
        run(tmp_path, dataclasses.replace(SETTINGS, learning_rate=1e38))
    assert not (tmp_path / "card.json").exists()


def test_a_store_is_as_good_as_a_design(whole, tmp_path):
    plan = Plan(SETTINGS.recipe, total=32, validation=8, shard_size=16)
    make_store(tmp_path / "pairs", plan, silent)
    card = run(tmp_path / "network", data=tmp_path / "pairs")
    assert card.recipe == SETTINGS.recipe
    # The maps on disk are rounded.
    assert card.training["validation_loss"] == pytest.approx(whole[1].training["validation_loss"], rel=1e-3)
    in_turn = stored(tmp_path / "pairs", 16, 8, True)
    assert len({*in_turn.training(0), *in_turn.training(1)}) == 24
    with pytest.raises(InputError, match="has 24 pairs to train with, and 25 are asked for"):
        stored(tmp_path / "pairs", 25, 8, False)


def test_a_damaged_store_is_refused(tmp_path):
    make_store(tmp_path / "pairs", Plan(SETTINGS.recipe, total=32, validation=8, shard_size=16), silent)
    shard = tmp_path / "pairs" / "pairs.zarr" / "high" / "c" / "1" / "0" / "0" / "0"
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(InputError, match="shard 1"):
        run(tmp_path / "other", data=tmp_path / "pairs")
    assert not (tmp_path / "other").exists()


def test_a_folder_is_not_given_up_unasked(whole, tmp_path):
    folder, _ = whole
    before = (folder / "card.json").read_bytes()
    with pytest.raises(InputError, match="holds this very training; go on with --resume"):
        run(folder)
    with pytest.raises(InputError, match="holds another training, with other loss; choose"):
        run(folder, dataclasses.replace(SETTINGS, loss="noise"), resume=True)
    with pytest.raises(InputError, match="holds no training to resume"):
        run(tmp_path, resume=True)
    (tmp_path / "card.json").write_text("{}", encoding="utf-8")
    with pytest.raises(InputError, match="holds a network already"):
        run(tmp_path)
    assert (folder / "card.json").read_bytes() == before


def test_a_damaged_checkpoint_is_named(tmp_path):
    run(tmp_path, dataclasses.replace(SETTINGS, epochs=1))
    (tmp_path / "training" / "curve.csv").write_text("epoch,training,validation,rate,seconds\n", encoding="utf-8")
    with pytest.raises(InputError, match="the loss curve ends at epoch 0; start over with --overwrite"):
        run(tmp_path, resume=True)
    run(tmp_path, dataclasses.replace(SETTINGS, epochs=1), overwrite=True)


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ({"epoch": 3}, "'epoch'; did you mean 'epochs'"),
        ({"batch": 0}, "batch is 0; a whole number of at least 1"),
        ({"batch": 9000}, "batch = 9000 is more than galaxies = 8192"),
        ({"factor": 1.0}, "factor = 1.0; a number between 0 and 1"),
        ({"learning_rate": math.inf}, "learning_rate = inf"),
        ({"loss": "l2"}, "loss = 'l2'; one of 'l1', 'noise'"),
        ({"network": {"sizes": 3}}, "'sizes'; did you mean 'size'"),
        ({"network": 3}, "network = 3; a table|network = 3"),
        ({"recipe": {"redshift": [0.03]}}, r"redshift = \[0.03\]"),
    ],
)
def test_settings_that_are_not_allowed(table, sentence):
    with pytest.raises(InputError, match=sentence):
        read_training(table, NETWORK)


@pytest.mark.parametrize(
    ("made", "sentence"),
    [
        (lambda: Training(epochs="many"), "epochs is 'many'; a whole number of at least 1"),
        (lambda: Training(learning_rate="fast"), "learning_rate = 'fast'; a positive number"),
        (lambda: Training(factor=None), "factor = None; a number between 0 and 1"),
        (lambda: Recipe(redshift="low"), "redshift is 'low'; the lowest and the highest"),
        (lambda: Recipe(redshift=("low", 1.0)), "redshifts reach from low to 1.0; positive ones"),
    ],
)
def test_what_is_no_number(made, sentence):
    with pytest.raises(InputError, match=sentence):
        made()


def test_settings_as_a_file_has_them():
    settings, network = read_training({"epochs": 3, "network": {"size": 3}, "recipe": {"draws": "prior"}}, NETWORK)
    assert settings.epochs == 3
    assert settings.recipe == Recipe(draws="prior")
    assert network == Small(3)
    table = json.loads(json.dumps(settings.table()))
    assert read_training(table, NETWORK)[0] == settings


def test_new_galaxies_need_draws_that_have_no_end():
    with pytest.raises(InputError, match="draws = 'prior' is needed"):
        drawn(Recipe(), 24, 8, True)


def test_a_broken_pixel_reaches_nobody():
    """A cusp at the centre of a low pixel makes it arbitrarily bright; the network sees no more than the brightest."""
    some = examples()
    low = np.asarray(some.low).copy()
    low[:, 9, 9, 0] = 300.0
    bright = normalised(low, ranges(some))
    assert bright.max() == 1.0
    low[:, 9, 9, 0] = ranges(some)[1, 0]
    np.testing.assert_array_equal(bright, normalised(low, ranges(some)))


def test_noise_loss_counts_in_typical_noise():
    with jax.enable_x64(False):
        some = examples()
        descent = Descent(NETWORK, "noise", 0.01, 0.9, 0.9)
        limits = ranges(some)
        weights = begin(descent, 0).weights
        made = restored(predict(NETWORK, weights, limits, some.low, some.context), limits)
        in_noise = (np.asarray(made) - some.high) / np.asarray(noise(some.unit))[:, None, None]
        wanted = np.sqrt(np.mean(in_noise**2, axis=(1, 2, 3)))
        found = losses(descent, weights, limits, some)
        np.testing.assert_allclose(found, wanted, rtol=1e-3)
        assert np.asarray(noise(some.unit))[0, 1] * some.unit.velocity[0] == pytest.approx(5.0)
