"""`galfit-sr train`, from the command line to a network that `fit` can use."""

import json

import pytest

from galfit_sr.emulation.registry import find_emulator

FEW = """
galaxies = 16
validation = 8
epochs = 2
batch = 8

[recipe]
fidelity = "point"
"""
SMALL = FEW + "\n[network]\nfeatures = 4\nshrunk = 3\nmappings = 0\n"


@pytest.fixture
def galfit(run, tmp_path):
    """Runs the command in an empty folder that has two settings files."""
    (tmp_path / "few.toml").write_text(FEW, encoding="utf-8")
    (tmp_path / "small.toml").write_text(SMALL, encoding="utf-8")
    return lambda *arguments: run("train", *arguments)


def test_train_resume_and_use(galfit, tmp_path):
    first = galfit("fsrcnn", "--config", "small.toml", "--epochs", "1", "--json")
    assert first.exit_code == 0, first.output
    told = json.loads(first.stdout)
    assert told["training"]["epochs"] == 1
    assert told["held_out"]["inside"]["galaxies"] == 8
    more = galfit("fsrcnn", "--config", "small.toml", "--resume")
    assert more.exit_code == 0, more.output
    assert "epochs          2 in" in more.stdout
    assert "galfit-sr fit --emulator fsrcnn_trained" in more.stdout
    emulator = find_emulator(str(tmp_path / "fsrcnn_trained"))
    assert emulator.card.network["features"] == 4
    assert emulator.card.training["epochs"] == 2
    assert sorted(path.name for path in (tmp_path / "fsrcnn_trained").iterdir()) == [
        "card.json",
        "training",
        "weights.safetensors",
    ]


def test_bicubic_is_only_measured(galfit, tmp_path):
    done = galfit("bicubic", "--config", "few.toml", "--out", "measured")
    assert done.exit_code == 0, done.output
    assert sorted(path.name for path in (tmp_path / "measured").iterdir()) == ["card.json", "weights.safetensors"]
    card = find_emulator(str(tmp_path / "measured")).card
    assert card.weights == 0
    assert "curve" not in card.training
    again = galfit("bicubic", "--config", "few.toml", "--out", "measured")
    assert again.exit_code == 2
    assert "--overwrite" in again.stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("isrcn",), "'isrcn'; did you mean 'isrcnn'"),
        (("fsrcnn", "--config", "bad.toml"), "'epoch'; did you mean 'epochs'"),
        (("fsrcnn", "--config", "wide.toml"), "makes 40x40 pixels of 10x10, and the recipe asks for 80x80"),
        (("fsrcnn", "--config", "no.toml"), "no.toml does not exist"),
        (("fsrcnn", "--config", "broken.toml"), "broken.toml is not valid TOML"),
        (("fsrcnn", "--resume", "--overwrite"), "exclude each other"),
        (("fsrcnn", "--resume"), "holds no training to resume"),
        (("fsrcnn", "--data", "."), "is not a store of training pairs"),
        (("fsrcnn", "--out", "few.toml"), "is a file"),
    ],
)
def test_bad_input_ends_in_one_sentence(galfit, tmp_path, arguments, sentence):
    (tmp_path / "bad.toml").write_text("epoch = 3\n", encoding="utf-8")
    (tmp_path / "broken.toml").write_text("epochs = \n", encoding="utf-8")
    wide = "[recipe]\nlow = { size = 10, pixel_scale = 4.0 }\n"
    (tmp_path / "wide.toml").write_text(wide, encoding="utf-8")
    before = sorted(tmp_path.rglob("*"))
    done = galfit(*arguments)
    assert done.exit_code == 2
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_a_folder_of_something_else_is_refused(galfit, tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.tex").write_text("")
    result = galfit("fsrcnn", "--config", "small.toml", "--out", "thesis")
    assert result.exit_code == 2
    assert "thesis holds files that are no network's" in result.stderr
    assert [path.name for path in (tmp_path / "thesis").iterdir()] == ["chapter1.tex"]
