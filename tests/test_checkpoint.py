"""Checkpoints: back as they were, refused when they aren't what they should be, never half written."""

import json
import os
import re

import numpy as np
import pytest

from tinyar.training import checkpoint
from tinyar.data.archive import digest
from tinyar.backend import to_device, to_host
from tinyar.models import GatedPixelCNN, PixelCNN

SMALL = dict(channels=6, blocks=1, first_kernel=3, kernel_size=3)


def make(**options):
    return PixelCNN(**{**SMALL, **options})


def same(one, other):
    return all((to_host(a) == to_host(b)).all() for (_, a, _), (_, b, _) in zip(one.parameters(), other.parameters()))


def rewrite(path, **changes):
    """Save the checkpoint again with some of the header's entries (or whole arrays) changed; None drops an array."""
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    header = json.loads(bytes(arrays["header"]))
    for key, value in changes.items():
        if key in header:
            header[key] = value
        else:
            arrays[key.replace("__", "/")] = value
    arrays["header"] = np.frombuffer(json.dumps(header).encode(), dtype=np.uint8)
    arrays = {name: array for name, array in arrays.items() if array is not None}
    digests = {"header": digest({"header": arrays["header"]}), "model": digest(checkpoint.of_room("model", arrays)),
               "state": digest(checkpoint.of_room("state", arrays))}
    arrays["digests"] = np.frombuffer(json.dumps(digests).encode(), dtype=np.uint8)
    np.savez(path, **arrays)


def test_a_model_comes_back_as_it_was(tmp_path):
    model = make(levels=5, seed=3)
    checkpoint.save(tmp_path / "deep" / "model.npz", model)
    loaded, state = checkpoint.load(tmp_path / "deep" / "model.npz")
    assert same(loaded, model) and loaded.config == model.config and state == {}
    x = to_device(np.random.default_rng(0).integers(0, 5, (2, 4, 4, 1)))
    np.testing.assert_array_equal(to_host(loaded(x)), to_host(model(x)))
    other = make(levels=5, seed=3)
    next(other.parameters())[1][...] = 0
    assert checkpoint.load(tmp_path / "deep" / "model.npz", other)[0] is other and same(other, model)


def test_a_state_comes_back_exactly(tmp_path):
    state = {"t": 3, "rows": [{"a": 0.1, "b": None}],
             "m": {"a.w": to_device(np.arange(3.0)), "b": np.ones(2, dtype=np.float32)}, "name": "x", "empty": {}}
    checkpoint.save(tmp_path / "c.npz", make(), state)
    _, loaded = checkpoint.load(tmp_path / "c.npz")
    assert {key: loaded[key] for key in ("t", "rows", "name", "empty")} == {key: state[key] for key in
                                                                            ("t", "rows", "name", "empty")}
    np.testing.assert_array_equal(loaded["m"]["a.w"], np.arange(3.0))
    assert loaded["m"]["b"].dtype == np.float32


def test_a_model_of_a_class_outside_tinyar_comes_back(tmp_path):
    class Own(PixelCNN):
        pass
    model = Own(**SMALL)
    checkpoint.save(tmp_path / "c.npz", model)
    loaded, _ = checkpoint.load(tmp_path / "c.npz", Own)
    assert type(loaded) is Own and same(loaded, model) and loaded.config == model.config
    with pytest.raises(checkpoint.CheckpointError, match="holds a 'Own'.*give it as well"):
        checkpoint.load(tmp_path / "c.npz")
    with pytest.raises(checkpoint.CheckpointError, match="expected a PixelCNN, found a Own"):
        checkpoint.load(tmp_path / "c.npz", PixelCNN)


def test_a_class_of_ones_own_by_the_name_of_tinyars_isnt_taken_for_it(tmp_path):
    own = type("PixelCNN", (PixelCNN,), {})
    checkpoint.save(tmp_path / "c.npz", own(**SMALL))
    with pytest.raises(checkpoint.CheckpointError, match=f"holds a 'PixelCNN' of {own.__module__}; .* give it as well"):
        checkpoint.load(tmp_path / "c.npz")
    assert type(checkpoint.load(tmp_path / "c.npz", own)[0]) is own


@pytest.mark.parametrize("kind, options", [
    (PixelCNN, dict(image_channels=3, channels=9, blocks=1, first_kernel=3, kernel_size=3)),
    (GatedPixelCNN, dict(image_channels=3, channels=6, first_kernel=3, dilations=(1,)))])
def test_a_file_of_version_1_which_named_the_weights_of_colours_otherwise_is_read(tmp_path, kind, options):
    model = kind(**options)
    checkpoint.save(tmp_path / "c.npz", model, {"m": {name: param for name, param, _ in model.parameters()}})
    with np.load(tmp_path / "c.npz") as file:
        arrays = {checkpoint.before_version_2(name): file[name] for name in file.files}
    assert any("centre_1" in name for name in arrays) and not any(".centre.w" in name for name in arrays)
    header = bytes(arrays["header"]).decode().replace('"version": 2', '"version": 1')
    header = re.sub(r'"([\w./]+)"', lambda found: f'"{checkpoint.before_version_2(found[1])}"', header)
    arrays["header"] = np.frombuffer(header.encode(), dtype=np.uint8)
    np.savez(tmp_path / "old.npz", **arrays)
    loaded, state = checkpoint.load(tmp_path / "old.npz")
    assert same(loaded, model) and state["m"].keys() == {name for name, _, _ in model.parameters()}


def test_an_option_that_the_file_does_not_know_counts_as_its_default(tmp_path):
    model = make(levels=5)
    checkpoint.save(tmp_path / "c.npz", model)
    config = {name: value for name, value in model.config.items() if name != "residual"}
    rewrite(tmp_path / "c.npz", config=config)
    assert checkpoint.load(tmp_path / "c.npz", make(levels=5))[0].config["residual"] is True
    with pytest.raises(checkpoint.CheckpointError, match="expected residual=False, found True"):
        checkpoint.load(tmp_path / "c.npz", make(levels=5, residual=False))


class HandsOptionsOn(PixelCNN):
    def __init__(self, reach=3, **options):
        super().__init__(**options)


def test_options_that_only_one_of_two_models_was_given_are_named(tmp_path):
    one, other = HandsOptionsOn(channels=4, blocks=0), HandsOptionsOn(channels=4, blocks=0, levels=2)
    checkpoint.save(tmp_path / "c.npz", one)
    with pytest.raises(checkpoint.CheckpointError, match="another model: expected levels=2, found none"):
        checkpoint.load(tmp_path / "c.npz", other)
    checkpoint.save(tmp_path / "c.npz", other)
    with pytest.raises(checkpoint.CheckpointError, match="expected levels=as it is by default, found 2"):
        checkpoint.load(tmp_path / "c.npz", one)


def test_numpy_numbers_among_options_and_state_are_saved_as_plain_ones(tmp_path):
    model = make(levels=np.int64(5), blocks=np.int32(1))
    checkpoint.save(tmp_path / "c.npz", model, {"seed": np.int64(3)})
    loaded, state = checkpoint.load(tmp_path / "c.npz", model)
    assert state == {"seed": 3} and loaded is model


def test_nothing_is_left_behind_and_the_old_file_stays_when_saving_fails(tmp_path):
    path, model = tmp_path / "c.npz", make()
    checkpoint.save(path, model)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="can't be saved"):
        checkpoint.save(path, model, {"bad": object()})
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["c.npz"]


def test_a_write_that_breaks_off_leaves_the_old_file(tmp_path, monkeypatch):
    path, model = tmp_path / "c.npz", make()
    checkpoint.save(path, model)
    before = path.read_bytes()

    def half_a_file(file, **arrays):
        file.write(b"half")
        raise OSError("disk full")
    monkeypatch.setattr(np, "savez", half_a_file)
    with pytest.raises(OSError, match="disk full"):
        checkpoint.save(path, model)
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["c.npz"]


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="can't write to the folder .*file"):
        checkpoint.save(tmp_path / "file" / "c.npz", make())


def test_another_model_is_refused_and_left_alone(tmp_path):
    checkpoint.save(tmp_path / "c.npz", make(levels=5))
    other, twin = make(levels=4), make(levels=4)
    with pytest.raises(checkpoint.CheckpointError, match="another model: expected levels=4, found 5"):
        checkpoint.load(tmp_path / "c.npz", other)
    assert same(other, twin)


@pytest.mark.parametrize("changes, message", [
    (dict(version=99), "version 99, this tinyar reads versions 1 and 2"),
    (dict(format="other"), "not a complete checkpoint"),
    (dict(model="ResNet"), "holds a 'ResNet'"), (dict(model="os"), "holds a 'os'"),
    (dict(config={"levels": 1}), "2 to 256"), (dict(config={"layers": 1}), "unexpected keyword"),
    ({"model__net.links.0.w": None}, "parameters differ"),
    ({"model__net.links.0.w": np.zeros((1, 2))}, r"has shape \(1, 2\), expected"),
])
def test_a_checkpoint_with_something_wrong_in_it_is_refused(tmp_path, changes, message):
    checkpoint.save(tmp_path / "c.npz", make())
    rewrite(tmp_path / "c.npz", **changes)
    with pytest.raises(checkpoint.CheckpointError, match=message):
        checkpoint.load(tmp_path / "c.npz")


@pytest.mark.parametrize("share", [0, 0.1, 0.5, 0.9, 0.999])
def test_a_truncated_checkpoint_is_refused(tmp_path, share):
    checkpoint.save(tmp_path / "c.npz", make())
    whole = (tmp_path / "c.npz").read_bytes()
    (tmp_path / "c.npz").write_bytes(whole[:int(share * len(whole))])
    with pytest.raises(checkpoint.CheckpointError, match="c.npz: not a complete checkpoint"):
        checkpoint.load(tmp_path / "c.npz")


def test_a_flipped_bit_is_noticed(tmp_path):
    checkpoint.save(tmp_path / "c.npz", make())
    content = bytearray((tmp_path / "c.npz").read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "c.npz").write_bytes(content)
    with pytest.raises(checkpoint.CheckpointError, match="damaged"):
        checkpoint.load(tmp_path / "c.npz")


def test_pickles_and_other_files_are_refused(tmp_path):
    np.savez(tmp_path / "pickle.npz", header=np.array([{"format": "tinyar"}], dtype=object))
    np.savez(tmp_path / "plain.npz", a=np.zeros(3))
    np.save(tmp_path / "single.npy", np.zeros(3))
    (tmp_path / "text.npz").write_text("hello")
    for name in ("pickle.npz", "plain.npz", "single.npy", "text.npz"):
        with pytest.raises(checkpoint.CheckpointError, match=f"{name}: not a complete checkpoint"):
            checkpoint.load(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        checkpoint.load(tmp_path / "missing.npz")
