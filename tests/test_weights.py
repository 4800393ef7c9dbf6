"""weights: fetched with their digest checked; checkpoints read without running what is in them."""

from __future__ import annotations

import argparse
import hashlib
import http.server
import io
import json
import os
import pickle
import subprocess
import sys
import tarfile
import threading
import types
import zipfile
from collections import OrderedDict
from functools import partial

import pytest
import torch
from typer.testing import CliRunner

from mespot.cli import app
from mespot.errors import InputError
from mespot.faces import weights

SMALL = {"stage1.0.weight": (4, 3, 3, 3), "stage1.0.bias": (4,)}
MAGIC = 0x1950A86A20F9469CFC6C  # what files of torch.save's old form begin with


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder for weights, and networks of two small tensors."""
    monkeypatch.setenv("MESPOT_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setattr(weights, "_shapes", lambda name: SMALL)
    return tmp_path / "weights"


@pytest.fixture
def published(tmp_path, monkeypatch):
    """Write a checkpoint of the published forms: `published(new, edit)` gives its path."""

    def write(new=False, edit=None):
        models = types.ModuleType("models")
        utils = types.ModuleType("models.model_utils")
        utils.ModelConfig = type("ModelConfig", (), {"__module__": "models.model_utils"})
        config = utils.ModelConfig()
        config.__dict__.update(pts_num=69, num_stages=3, pretrained=True, argmax=3)
        arguments = argparse.Namespace(
            arch="itn_cpm", gpu_ids=[0, 1], sigma=4.0, modelconfig=config
        )
        content = {
            "epoch": 49,
            "args": arguments,
            "state_dict": tensors("module."),
            "optimizer": {"state": {7: {"momentum_buffer": torch.ones(2)}}, "param_groups": []},
        }
        if edit is not None:
            edit(content)
        path = tmp_path / "checkpoint_49.pth.tar"
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, "models", models)
            patch.setitem(sys.modules, "models.model_utils", utils)
            patch.setattr(torch.serialization, "location_tag", lambda storage: "cuda:0")
            torch.save(content, path, _use_new_zipfile_serialization=new)
        assert "models" not in sys.modules
        return path

    return write


def tensors(prefix=""):
    generator = torch.Generator().manual_seed(3)
    state = OrderedDict(
        (prefix + name, torch.randn(shape, generator=generator)) for name, shape in SMALL.items()
    )
    state._metadata = {"": {"version": 1}}  # as modules leave it
    return state


def run(*words):
    return CliRunner().invoke(app, ["weights", *map(str, words)])


# Importing


@pytest.mark.parametrize("new", [False, True])
@pytest.mark.parametrize("name", ["san", "retinaface"])
def test_the_published_forms_are_imported_with_their_numbers(folder, published, name, new):
    path = published(new)
    assert run("import", name, path).exit_code == 0
    assert weights.find(name) == folder / f"{name}.safetensors"
    state = weights.load(weights.find(name), SMALL)
    assert all(torch.equal(state[key], tensor) for key, tensor in tensors().items())
    about = weights.facts(weights.find(name))
    assert about["file"] == path.name
    assert about["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert not [left for left in folder.iterdir() if left.suffix != ".safetensors"]


def test_whose_retinaface_it_is_is_known_by_its_names_or_said(folder, tmp_path):
    ternaus, biubug6 = weights.TRAINED_BY
    for prefix, said, whose in (
        ("module.", None, biubug6),
        ("", ternaus, ternaus),
        ("", biubug6, biubug6),
    ):
        state = tensors(prefix)
        state[f"{prefix}body.bn1.num_batches_tracked"] = torch.tensor(7)
        torch.save(state, tmp_path / "bare.pth")
        path = weights.import_weights("retinaface", tmp_path / "bare.pth", said)
        assert weights.facts(path)["trained_by"] == whose
        assert set(weights.load(path, SMALL)) == set(SMALL)
    path.unlink()
    for said in ((), ("--trained-by", "someone")):
        result = run("import", "retinaface", tmp_path / "bare.pth", *said)
        assert result.exit_code == 2
        assert "bare.pth: whose weights are these? Give --trained-by ternaus/" in result.stderr
    assert not path.exists()


def test_the_same_checkpoint_gives_the_same_bytes(folder, published):
    path = published()
    found = {weights.import_weights("san", path).read_bytes() for _ in range(4)}
    assert len(found) == 1


def test_half_precision_and_shared_memory_are_imported_as_float32(folder, published):
    def edit(content):
        one = torch.ones(1, dtype=torch.float16)
        content["state_dict"] = {name: one.expand(shape) for name, shape in SMALL.items()}

    state = weights.load(weights.import_weights("san", published(edit=edit)), SMALL)
    assert all(tensor.dtype == torch.float32 and (tensor == 1).all() for tensor in state.values())


def test_every_faulty_tensor_is_named(folder, published):
    def edit(content):
        content["state_dict"] = {
            "module.stage1.0.weight": torch.zeros(4, 3, 1, 1),
            "module.stage2.0.weight": torch.zeros(1),
        }

    with pytest.raises(InputError) as error:
        weights.import_weights("san", published(edit=edit))
    lines = str(error.value).splitlines()
    assert "checkpoint_49.pth.tar: not the weights of this network" in lines[0]
    assert [line.strip() for line in lines[1:]] == [
        "stage1.0.weight: (4, 3, 1, 1) where shape (4, 3, 3, 3) was expected",
        "stage1.0.bias: missing",
        "stage2.0.weight: unknown",
    ]
    assert not weights.folder().exists()


def _with_attribute():
    tensor = torch.zeros(4)
    tensor.float = "anything"
    return tensor


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (torch.full((4,), float("nan")), "stage1.0.bias: holds something that is no finite number"),
        (torch.zeros(4, dtype=torch.int64), "stage1.0.bias: no plain tensor of floating-point"),
        (torch.zeros(4).to_sparse(), "stage1.0.bias: no plain tensor"),
        (torch.zeros(4, device="meta"), "stage1.0.bias: no plain tensor"),
        (_with_attribute(), "stage1.0.bias: no plain tensor"),
        (argparse.Namespace(shape=(4,)), "stage1.0.bias: no plain tensor"),
        (None, "stage1.0.bias: no plain tensor"),
    ],
)
def test_what_is_no_plain_tensor_is_named(folder, published, value, message):
    path = published(
        True, lambda content: content["state_dict"].update({"module.stage1.0.bias": value})
    )
    with pytest.raises(InputError, match=message):
        weights.import_weights("san", path)


def test_what_is_no_checkpoint_is_named(folder, tmp_path, published):
    path = tmp_path / "x.pth"
    for content, message in (
        (b"", "x.pth: no checkpoint of tensors"),
        (b"not a pickle", "x.pth: no checkpoint of tensors"),
        (pickle.dumps({"state_dict": {}}), "x.pth: no checkpoint of tensors"),
        (_old([1]), "x.pth: no checkpoint: it holds a list"),
        (_old({"state_dict": 1}), "x.pth: no tensors by name"),
        (_old({"state_dict": {1: 2}}), "x.pth: no tensors by name"),
        (published().read_bytes()[:-50], "x.pth: no checkpoint of tensors"),
        (published(True).read_bytes()[:-50], "x.pth: no checkpoint of tensors"),
    ):
        path.write_bytes(content)
        with pytest.raises(InputError, match=message):
            weights.import_weights("san", path)
    with pytest.raises(InputError, match="absent.pth: no such file"):
        weights.import_weights("san", tmp_path / "absent.pth")
    with pytest.raises(InputError, match="'dlib': no network of that name; retinaface and san"):
        weights.import_weights("dlib", path)
    assert not folder.exists()


def test_a_checkpoint_in_tar_is_refused(folder, tmp_path):
    """torch's oldest form unpacks files to read it."""
    with tarfile.open(tmp_path / "x.pth", "w") as tar:
        for name in ("storages", "tensors", "pickle"):
            tar.addfile(tarfile.TarInfo(name), io.BytesIO())
    with pytest.raises(InputError, match="x.pth: no checkpoint of tensors"):
        weights.import_weights("san", tmp_path / "x.pth")


# Pickles that would run code


def _old(content):
    """The bytes of a checkpoint of the old form without storages; `content` may be a pickle."""
    if not isinstance(content, bytes):
        content = pickle.dumps(content, 2)
    head = [pickle.dumps(part, 2) for part in (MAGIC, 1001, {"little_endian": True})]
    return b"".join([*head, content, pickle.dumps([], 2)])


def _new(content):
    """The bytes of a checkpoint of the new form whose pickle is `content`."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", content)
        archive.writestr("archive/byteorder", "little")
        archive.writestr("archive/version", "3\n")
    return file.getvalue()


class Calls:
    """A pickle of it calls a function when it is read by pickle."""

    def __init__(self, function, *arguments):
        self.called = function, arguments

    def __reduce__(self):
        return self.called


class Sets:
    """A pickle of it sets a state."""

    def __init__(self, state):
        self.state = state

    def __getstate__(self):
        return self.state


def malicious(touched):
    """Pickles that would leave a file at `touched`, or change something, by name."""
    shell = f"touch {touched}"
    code = f"open({str(touched)!r}, 'w')"
    kinds = {
        "system": Calls(os.system, shell),
        "eval": Calls(eval, code),
        "exec": Calls(exec, code),
        "open": Calls(open, str(touched), "w"),
        "popen": Calls(subprocess.Popen, ["touch", str(touched)]),
        "getattr": Calls(getattr, Calls(__import__, "os"), "system"),
        "torch.load": Calls(torch.load, str(touched)),
        "torch.save": Calls(torch.save, {}, str(touched)),
        "partial": partial(os.system, shell),
        "state": Sets({"__class__": Calls(os.system, shell)}),
    }
    for name, payload in kinds.items():
        for protocol in range(5):
            yield f"{name}, protocol {protocol}", pickle.dumps({"state_dict": payload}, protocol)
    by_hand = {
        # INST and OBJ make an instance by calling; NEWOBJ_EX has keywords; EXT1 a registered number.
        "inst": f"(dS'state_dict'\n(S'{shell}'\nios\nsystem\ns.".encode(),
        "obj": f"(dS'state_dict'\n(cos\nsystem\nS'{shell}'\nos.".encode(),
        "global alone": b"\x80\x02cos\nsystem\n.",
        "dotted": b"\x80\x04\x8c\x05torch\x8c\x0eos.path.exists\x93\x8c\x01/\x85R.",
        "newobj_ex": b"\x80\x04csubprocess\nPopen\n)}\x92.",
        "ext": b"\x80\x02\x82\x01.",
        "put into a function": b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n}U\x05touchK\x01sb.",
        "put into a class": b"\x80\x02ccollections\nOrderedDict\n}U\x05touchK\x01sb.",
        "set on a class": b"\x80\x02ccollections\nOrderedDict\nN}U\x05touchK\x01s\x86b.",
        "append to a class": b"\x80\x02cbuiltins\nlist\nK\x01a.",
        "module storage": b"\x80\x02(U\x06modulecos\nsystem\nU\x01aU\x01btQ.",
        "text persistent id": b"Pstorage\n.",
        "import": b"\x80\x02cimported_by_pickle\nthing\n)\x81.",
        "import and call": b"\x80\x02cimported_by_pickle\nthing\n)R.",
        "through a rebuilder": b"\x80\x02ctorch._tensor\n_rebuild_from_type_v2\n(cimported_by_pickle\n"
        b"thing\nctorch\nTensor\n)}tR.",
    }
    yield from by_hand.items()


def changeable():
    """What a pickle might change of its reader."""
    rebuild = torch._utils._rebuild_tensor_v2
    allowed = set(torch.serialization.get_safe_globals())
    return dict(vars(rebuild)), dir(rebuild), dir(OrderedDict), allowed


@pytest.mark.parametrize("form", [_old, _new, bytes])
def test_a_pickle_that_would_run_code_runs_nothing(folder, tmp_path, monkeypatch, form):
    path, touched = tmp_path / "evil.pth", tmp_path / "was_here"
    (tmp_path / "imported_by_pickle.py").write_text(f"open({str(touched)!r}, 'w')\nthing = print\n")
    monkeypatch.syspath_prepend(tmp_path)
    before = changeable()
    for kind, content in malicious(touched):
        path.write_bytes(form(content))
        with pytest.raises(InputError, match="evil.pth: no") as error:
            weights.import_weights("san", path)
        assert "\n" not in str(error.value), "no advice of torch to read it in the unsafe way"
        assert not touched.exists(), kind
        assert "imported_by_pickle" not in sys.modules, kind
    assert changeable() == before
    assert not folder.exists()
    result = run("import", "san", path)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"mespot weights import: {path}: no checkpoint")
    assert len(result.stderr.splitlines()) == 1


def test_the_payloads_are_dangerous_to_who_reads_them_as_pickles(tmp_path):
    """Or the test above would show nothing."""
    touched = tmp_path / "was_here"
    for kind, content in malicious(touched):
        if kind.startswith(("system", "exec", "popen")) or kind in ("inst", "obj"):
            child = "import pickle, sys, subprocess; p = pickle.loads(sys.stdin.buffer.read())"
            wait = "; p = p['state_dict']; isinstance(p, subprocess.Popen) and p.wait()"
            subprocess.run([sys.executable, "-c", child + wait], input=content, check=True)
            assert touched.exists(), kind
            touched.unlink()


@pytest.mark.parametrize("new", [False, True])
def test_foreign_classes_hold_nothing_and_a_call_beside_the_weights_is_refused(
    folder, tmp_path, published, new
):
    content = weights._read(published(new))
    arguments = content["args"]
    assert type(arguments).__name__ == "argparse.Namespace"
    assert not hasattr(arguments, "__dict__")
    with pytest.raises(AttributeError):
        arguments.sigma = 1
    with pytest.raises(ValueError, match="calls argparse.Namespace"):
        type(arguments)()

    touched = tmp_path / "was_here"
    path = published(new, lambda content: content.update(args=Calls(open, str(touched), "w")))
    with pytest.raises(InputError, match="it calls io.open"):
        weights.import_weights("san", path)
    assert not touched.exists()


# Fetching


@pytest.fixture
def release(tmp_path, monkeypatch):
    """Serve a zip of one checkpoint: `release(part)` carries the digits of that `part` in its name."""
    served = tmp_path / "served"
    served.mkdir()
    state = io.BytesIO()
    torch.save(tensors(), state, _use_new_zipfile_serialization=False)
    with zipfile.ZipFile(served / "made.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("made.pth", state.getvalue())
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(served))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("no_proxy", "127.0.0.1")

    def publish(part):
        of = {
            "file": (served / "made.zip").read_bytes(),
            "content": state.getvalue(),
            "neither": b"something else",
        }
        name = f"made_2020-07-20-{hashlib.sha256(of[part]).hexdigest()[:9]}.zip"
        (served / "made.zip").rename(served / name)
        url = f"http://127.0.0.1:{server.server_port}/{name}"
        monkeypatch.setitem(weights.RELEASES, "retinaface", url)
        return served / name

    yield publish
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("part", ["file", "content"])
def test_a_release_is_fetched_checked_and_imported(folder, release, part):
    served = release(part)
    result = run("fetch", "retinaface")
    assert result.exit_code == 0, result.stderr
    assert str(folder / "retinaface.safetensors") in result.stdout
    state = weights.load(weights.find("retinaface"), SMALL)
    assert all(torch.equal(state[key], tensor) for key, tensor in tensors().items())
    record = json.loads((folder / f"{served.name}.json").read_text())
    digest = hashlib.sha256(served.read_bytes()).hexdigest()
    assert (record["sha256"], record["checked"]) == (digest, part)
    assert record["url"] == weights.RELEASES["retinaface"]
    assert weights.facts(weights.find("retinaface"))["sha256"] == digest
    names = {f"{served.name}.json", served.name, "retinaface.safetensors"}
    assert {path.name for path in folder.iterdir()} == names

    served.unlink()  # what is there is not downloaded again
    (folder / "retinaface.safetensors").unlink()
    assert weights.fetch("retinaface") == folder / "retinaface.safetensors"


def test_what_is_not_what_its_name_promises_is_not_kept(folder, release):
    served = release("neither")
    with pytest.raises(InputError, match=f"{served.name}: its SHA-256 is .* was expected"):
        weights.fetch("retinaface")
    assert not list(folder.iterdir())
    (folder / served.name).write_bytes(served.read_bytes())  # put there by hand
    with pytest.raises(InputError, match="delete it and fetch it again"):
        weights.fetch("retinaface")
    assert [path.name for path in folder.iterdir()] == [served.name]


@pytest.mark.parametrize("url", ["file:///nowhere/a-f168fae3c.zip", "http://127.0.0.1:9/a-f1.zip"])
def test_without_a_network_it_says_which_file_to_put_where(folder, monkeypatch, url):
    monkeypatch.setitem(weights.RELEASES, "retinaface", url)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    result = run("fetch", "retinaface")
    assert result.exit_code == 2
    name = url.rpartition("/")[2]
    assert result.stderr.startswith(f"mespot weights fetch: {url}: could not be downloaded (")
    assert f"put it at {folder / name} and run this command again" in result.stderr
    assert not list(folder.iterdir())


def test_the_release_is_the_one_that_the_package_names():
    """retinaface-pytorch 0.0.8, pre_trained_models.py; and its digits are found in its name."""
    url = weights.RELEASES["retinaface"]
    assert url.startswith("https://github.com/ternaus/retinaface/releases/download/0.01/")
    assert url.endswith("-f168fae3c.zip")


def test_what_cannot_be_fetched_or_is_not_there_says_what_to_do(folder):
    with pytest.raises(InputError, match="SAN/README.md.*run `mespot weights import san FILE`"):
        weights.fetch("san")
    with pytest.raises(InputError, match="retinaface.safetensors: no weights of retinaface; run"):
        weights.find("retinaface")
    with pytest.raises(InputError, match="no network of that name"):
        weights.fetch("dlib")


def test_the_folder_is_the_cache_unless_it_is_moved(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("MESPOT_WEIGHTS", raising=False)
    assert weights.folder() == tmp_path / ".cache" / "mespot"
    monkeypatch.setenv("MESPOT_WEIGHTS", "~/elsewhere")
    assert weights.folder() == tmp_path / "elsewhere"
    monkeypatch.setenv("MESPOT_WEIGHTS", "here")
    with pytest.raises(InputError, match="MESPOT_WEIGHTS=here: a path from / on"):
        weights.folder()


def test_a_file_in_place_of_the_folder_is_named(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("MESPOT_WEIGHTS", str(tmp_path / "file"))
    result = run("fetch", "retinaface")
    assert (result.exit_code, "file: a file; MESPOT_WEIGHTS" in result.stderr) == (2, True)


def test_a_zip_that_cannot_be_unpacked_is_named(folder, tmp_path, monkeypatch):
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.pth", b"x" * 1000)
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"x" * 1000, b"y" * 1000))
    with pytest.raises(InputError, match="x.zip: cannot be unpacked .Bad CRC"):
        weights.import_weights("san", path)
    monkeypatch.setattr(weights, "LARGEST", 999)
    path.write_bytes(whole)
    with pytest.raises(InputError, match="x.zip: cannot be unpacked .it unpacks to more than 999"):
        weights.import_weights("san", path)
    # Also what torch would unpack, alone or in another zip.
    with zipfile.ZipFile(tmp_path / "y.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("y/data.pkl", b"")
        archive.writestr("y/data/0", bytes(1000))
    with pytest.raises(InputError, match="y.pth: cannot be unpacked .it unpacks to more than 999"):
        weights.import_weights("san", tmp_path / "y.pth")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(tmp_path / "y.pth", "y.pth")
    with pytest.raises(InputError, match="x.zip: no checkpoint of .* unpacks to more than 999"):
        weights.import_weights("san", path)
    zipfile.ZipFile(path, "w").close()
    with pytest.raises(InputError, match="x.zip: cannot be unpacked"):
        weights.import_weights("san", path)


def test_weights_that_are_none_are_named(tmp_path):
    path = tmp_path / "san.safetensors"
    with pytest.raises(InputError, match="san.safetensors: no such file; import them again"):
        weights.load(path, SMALL)
    path.write_bytes(b"something")
    for read in (weights.facts, partial(weights.load, shapes=SMALL)):
        with pytest.raises(InputError, match="san.safetensors: not weights that"):
            read(path)


def test_where_weights_are_is_told_without_torch(folder, published):
    """Asked before each run of the workflow."""
    weights.import_weights("san", published())
    code = "import sys, mespot.faces as f; print(f.provenance('san')); sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert weights.facts(weights.find("san"))["sha256"] in done.stdout
