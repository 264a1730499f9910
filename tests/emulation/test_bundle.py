"""Bundles: weights and card in a folder, and what is said when they do not belong together."""

import hashlib
import json

import jax
import numpy as np
import pytest
from flax import nnx
from safetensors.numpy import load, save
from small_network import RECIPE, Small, same

from galfit_sr.emulation.bundle import load_bundle, load_card, save_bundle
from galfit_sr.emulation.card import Card
from galfit_sr.emulation.error import ErrorNetwork
from galfit_sr.emulation.network import Weights, learnt_error
from galfit_sr.emulation.scale_free import CONTEXT
from galfit_sr.errors import InputError

NETWORK = Small()


def numbers(*networks):
    """Random numbers of each."""
    with jax.enable_x64(False):
        return [nnx.to_pure_dict(nnx.state(network.build(nnx.Rngs(3)), nnx.Param)) for network in networks]


@pytest.fixture
def bundle(tmp_path):
    """A folder with a bundle, and what went into it."""
    network, error = numbers(NETWORK, ErrorNetwork(4))
    ranges = np.array([[0.0, -1.0, 0.0, 0.1], [1.0, 1.0, 2.0, 9.0]], np.float32)
    weights = Weights(network, ranges, error)
    card = Card("small", "A test.", RECIPE, ranges={"bulge_slope": (0.0, 2.4)}, known_failures=("None is known.",))
    return tmp_path, save_bundle(tmp_path, card, weights), weights


def rewrite(folder, tensors):
    """Other weights, with a card that says they are right."""
    content = save(tensors)
    (folder / "weights.safetensors").write_bytes(content)
    card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    card["sha256"] = hashlib.sha256(content).hexdigest()
    (folder / "card.json").write_text(json.dumps(card), encoding="utf-8")


def test_a_bundle_comes_back_as_it_was_saved(bundle):
    folder, card, weights = bundle
    loaded = load_bundle(folder, NETWORK)
    assert loaded.card == card == load_card(folder)
    assert card.weights == 20
    assert same(loaded.weights, weights)
    assert sorted(path.name for path in folder.iterdir()) == ["card.json", "weights.safetensors"]


def test_an_error_may_be_told_more_than_the_galaxy(tmp_path):
    network, error = numbers(NETWORK, ErrorNetwork(4, facts=len(CONTEXT) + 2))
    weights = Weights(network, np.zeros((2, 4), np.float32), error)
    save_bundle(tmp_path, Card("small", "A test.", RECIPE), weights)
    assert same(load_bundle(tmp_path, NETWORK, more_facts=2).weights, weights)
    with pytest.raises(InputError, match=r"for 'error\.context\.kernel'"):
        load_bundle(tmp_path, NETWORK)


def test_an_error_is_as_wide_as_it_was_saved(tmp_path):
    network, error = numbers(NETWORK, ErrorNetwork(4, features=48))
    weights = Weights(network, np.zeros((2, 4), np.float32), error)
    save_bundle(tmp_path, Card("small", "A test.", RECIPE), weights)
    loaded = load_bundle(tmp_path, NETWORK)
    assert same(loaded.weights, weights)
    low, context = np.ones((1, 20, 20, 4), np.float32), np.ones((1, len(CONTEXT)), np.float32)
    assert learnt_error(loaded.weights.error, low, context, 4).shape == (1, 80, 80, 4)


@pytest.mark.parametrize("damage", [lambda content: content[:-4], lambda content: content[:-1] + b"\x01"])
def test_truncated_or_tampered_weights_are_refused(bundle, damage):
    folder, _, _ = bundle
    path = folder / "weights.safetensors"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(InputError, match="is not the file that its card was written for") as refusal:
        load_bundle(folder, NETWORK)
    assert "\n" not in str(refusal.value)


def test_weights_that_are_no_weights_are_refused(bundle):
    folder, _, _ = bundle
    card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    card["sha256"] = hashlib.sha256(b"nonsense").hexdigest()
    (folder / "card.json").write_text(json.dumps(card), encoding="utf-8")
    (folder / "weights.safetensors").write_bytes(b"nonsense")
    with pytest.raises(InputError, match="is not a safetensors file"):
        load_bundle(folder, NETWORK)


def test_weights_of_another_network_are_refused(bundle):
    folder, _, _ = bundle
    with pytest.raises(InputError, match=r"\(1, 1, 4, 4\) for 'network.convolution.kernel'; .* \(3, 3, 4, 4\)"):
        load_bundle(folder, Small(size=3))
    tensors = load((folder / "weights.safetensors").read_bytes())
    rewrite(folder, {name: array for name, array in tensors.items() if name != "ranges"})
    with pytest.raises(InputError, match="has nothing for 'ranges'"):
        load_bundle(folder, NETWORK)
    rewrite(folder, {**tensors, "error.last.bias": np.zeros(3, np.float32)})
    with pytest.raises(InputError, match=r"\(3,\) for 'error.last.bias'; .* \(64,\)"):
        load_bundle(folder, NETWORK)
    rewrite(folder, {**tensors, "network.more": np.zeros(1, np.float32)})
    with pytest.raises(InputError, match=r"holds 11 arrays; .* needs 10"):
        load_bundle(folder, NETWORK)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda card: card | {"maps": ["velocity", "brightness", "dispersion", "ml"]}, "in this order"),
        (lambda card: card | {"nam": "x"}, "'nam'; did you mean 'name'"),
        (lambda card: card | {"weights": "many"}, "a whole number is needed"),
        (lambda card: {k: v for k, v in card.items() if k != "name"}, "has no 'name'"),
    ],
)
def test_a_card_that_is_none_is_refused(bundle, change, sentence):
    folder, _, _ = bundle
    card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    (folder / "card.json").write_text(json.dumps(change(card)), encoding="utf-8")
    with pytest.raises(InputError, match=sentence):
        load_bundle(folder, NETWORK)


@pytest.mark.parametrize("name", ["card.json", "weights.safetensors"])
def test_a_file_that_is_missing_is_named(bundle, name):
    folder, _, _ = bundle
    (folder / name).unlink()
    with pytest.raises(InputError, match=name):
        load_bundle(folder, NETWORK)


def test_what_cannot_be_written_leaves_the_bundle_before(bundle):
    folder, card, weights = bundle
    with pytest.raises(InputError, match="cannot write"):
        save_bundle(folder / "card.json", card, weights)
    assert load_bundle(folder, NETWORK).card == card
