"""Weights of the face networks: fetched or imported by command, kept as safetensors in one folder.

The folder is `~/.cache/mespot`, or what the environment variable MESPOT_WEIGHTS names. Nothing is
downloaded but by `mespot weights fetch`. Other people's checkpoints are pickles, which may hold
code: `mespot weights import` takes tensors and plain values out of them and runs nothing.

Looked up in the sources, and not run with the published files (there was no network):

- RetinaFace (arXiv 1905.00641). The package retinaface-pytorch 0.0.8 names the address below. The
  archive is a zip of one file, retinaface_resnet50_2020-07-20.pth, a bare state dict of its class
  RetinaFace("Resnet50"). Resnet50_Final.pth of github.com/biubug6/Pytorch_Retinaface, which
  AUW-GCN's authors used, has the same names behind `module.`. But the two see the image differently:
  the first was trained on RGB normalised as for ImageNet, the second on BGR less (104, 117, 123).
- SAN (arXiv 1803.04108). snapshots/SAN_300W_GTB_itn_cpm_3_50_sigma4_128x128x8/checkpoint_49.pth.tar
  of github.com/D-X-Y/landmark-detection is no tar but what torch.save of torch 0.4 wrote:
  {'epoch', 'args', 'state_dict', 'optimizer'}, args an argparse.Namespace with a
  models.model_utils.ModelConfig in it, the tensors' names behind `module.`.
"""

from __future__ import annotations

import hashlib
import http.client
import io
import json
import os
import pickletools
import re
import urllib.request
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from safetensors import safe_open

from mespot.errors import InputError, reading
from mespot.progress import progress
from mespot.store import parsed, replacing

if TYPE_CHECKING:  # it takes seconds, and where weights are is asked before anything runs
    import torch

RELEASES = {
    "retinaface": "https://github.com/ternaus/retinaface/releases/download/0.01/"
    "retinaface_resnet50_2020-07-20-f168fae3c.zip"
}
SOURCES = {
    "retinaface": f"{RELEASES['retinaface']} (or `mespot weights fetch retinaface`), or "
    "Resnet50_Final.pth of https://github.com/biubug6/Pytorch_Retinaface",
    "san": "checkpoint_49.pth.tar, to which https://github.com/D-X-Y/landmark-detection, SAN/README.md, "
    "links under `Evaluation on the Single Image`",
}
NO_WEIGHTS = "not weights that `mespot weights import` wrote", "import them again"
# Whose RetinaFace there is; the second's tensors have names behind `module.`.
TRAINED_BY = "ternaus/retinaface", "biubug6/Pytorch_Retinaface"
CHUNK = 1 << 20  # bytes
# What is in a zip may unpack to this, bytes: several times the largest checkpoint known.
LARGEST = 1 << 30


def folder() -> Path:
    """Where weights are kept. Raises InputError if that is a file, or relative."""
    path = Path(os.environ.get("MESPOT_WEIGHTS") or "~/.cache/mespot").expanduser()
    if not path.is_absolute():  # it would be another folder for each folder that mespot is run in
        raise InputError(f"MESPOT_WEIGHTS={path}: a path from / on was expected")
    if path.exists() and not path.is_dir():
        raise InputError(f"{path}: a file; MESPOT_WEIGHTS must name a folder for weights")
    return path


def find(name: str) -> Path:
    """The weights of a network. Raises InputError that says how to get them."""
    path = _path(name)
    if not path.is_file():
        raise InputError(
            f"{path}: no weights of {name}; run `mespot weights import {name} FILE` with {SOURCES[name]}"
        )
    return path


def load(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, torch.Tensor]:
    """The tensors of a file that `import_weights` wrote; InputError if they have not these shapes."""
    from safetensors.torch import load_file

    with reading(path, *NO_WEIGHTS):
        state = load_file(path)
    _check(path, shapes, state)
    return state


def facts(path: Path) -> dict[str, str]:
    """Where the weights of a file that `import_weights` wrote come from.

    `network`, `file` and `sha256` of the checkpoint; RetinaFace's also `trained_by`, which decides
    what the network expects to see. Raises InputError.
    """
    with reading(path, *NO_WEIGHTS), safe_open(path, "np") as file:
        return parsed(file.metadata()["mespot"], dict[str, str])


def fetch(name: str) -> Path:
    """Download the released weights and import them; the file that `find` then finds.

    An archive that lies in the folder already is taken as if downloaded. Its SHA-256 must begin with
    the digits in its name, and is written in full to a JSON file beside it. Raises InputError.
    """
    _path(name)
    if name not in RELEASES:
        raise InputError(
            f"{name}: not released where a program may fetch it; get {SOURCES[name]}, then run "
            f"`mespot weights import {name} FILE`"
        )
    url = RELEASES[name]
    archive = folder() / url.rpartition("/")[2]
    if archive.is_file():
        digests = _check_digest(archive, archive)
    else:
        with replacing(archive) as temporary:
            _download(url, temporary, archive)
            digests = _check_digest(temporary, archive)
    with replacing(archive.with_name(archive.name + ".json")) as temporary:
        temporary.write_text(json.dumps({"url": url, **digests}, indent=2) + "\n")
    return import_weights(name, archive, TRAINED_BY[0])


def import_weights(name: str, path: Path, trained_by: str | None = None) -> Path:
    """Take the tensors out of a published checkpoint; the safetensors file that `find` then finds.

    The file is what `torch.save` wrote, in its old or new form, or a zip of one such file; it holds
    the tensors by name or a dictionary whose `state_dict` does. Its metadata tell where the weights
    come from. `trained_by` (TRAINED_BY) says whose RetinaFace it is, where names behind `module.` do
    not: the networks differ in what they expect to see. Raises InputError, also where that is not
    known, and with a line for every tensor that is missing, unknown, of another shape or not finite.
    """
    from safetensors.torch import save_file

    out, shapes = _path(name), _shapes(name)
    content = _read(path)
    given = content.get("state_dict", content)
    if not isinstance(given, dict) or not all(isinstance(key, str) for key in given):
        raise InputError(
            f"{path}: no tensors by name, nor `state_dict`, in it; expected {SOURCES[name]}"
        )
    parallel = all(key.startswith("module.") for key in given)  # trained on several GPUs
    state = {
        key.removeprefix("module.") if parallel else key: tensor
        for key, tensor in given.items()
        if not key.endswith(".num_batches_tracked")  # of training only; old files have none
    }
    _check(path, shapes, state)
    about = {"network": name, "file": path.name, "sha256": _sha256(path)}
    if name == "retinaface":
        about["trained_by"] = trained_by or (TRAINED_BY[1] if parallel else None)
        if about["trained_by"] not in TRAINED_BY:
            raise InputError(
                f"{path}: whose weights are these? Give --trained-by {' or '.join(TRAINED_BY)}: the first "
                "see RGB as of ImageNet, the second BGR"
            )
    # One key: the library writes several in an order that changes from run to run.
    metadata = {"mespot": json.dumps(about, sort_keys=True)}
    tensors = {key: state[key].float().contiguous().clone() for key in shapes}
    with replacing(out) as temporary:
        save_file(tensors, temporary, metadata)
    return out


def _path(name: str) -> Path:
    if name not in SOURCES:
        raise InputError(f"{name!r}: no network of that name; {' and '.join(SOURCES)} are known")
    return folder() / f"{name}.safetensors"


def _check(path: Path, shapes: Mapping[str, tuple[int, ...]], state: Mapping[str, Any]) -> None:
    """Raise InputError with a line for each tensor that is not as expected."""
    import torch

    faults = []
    for name, shape in shapes.items():
        tensor = state.get(name)
        if name not in state:
            faults.append(f"{name}: missing")
        elif not _is_plain(tensor):
            faults.append(f"{name}: no plain tensor of floating-point numbers")
        elif tuple(tensor.shape) != shape:
            faults.append(f"{name}: {tuple(tensor.shape)} where shape {shape} was expected")
        elif not torch.isfinite(tensor.float()).all():
            faults.append(f"{name}: holds something that is no finite number")
    faults += [f"{name}: unknown" for name in state if name not in shapes]
    if faults:
        raise InputError(f"{path}: not the weights of this network:\n  " + "\n  ".join(faults))


def _is_plain(tensor: Any) -> bool:
    """Whether it is a tensor that has nothing but its numbers: checkpoints may hold other kinds."""
    import torch

    return (
        type(tensor) is torch.Tensor
        and not vars(tensor)
        and not tensor.is_nested
        and tensor.layout == torch.strided
        and tensor.device.type == "cpu"
        and tensor.is_floating_point()
    )


# Downloading


def _download(url: str, path: Path, archive: Path) -> None:
    """Write what is at `url` to `path`. Raises InputError that says how to do it by hand."""
    try:
        with urllib.request.urlopen(url, timeout=60) as response, open(path, "wb") as file:
            size = response.headers.get("Content-Length")
            chunks = iter(lambda: response.read(CHUNK), b"")
            for chunk in progress(chunks, f"{url}, MB", int(size) // CHUNK if size else None):
                file.write(chunk)
    except (OSError, http.client.HTTPException) as error:  # no network, no such page, no space
        raise InputError(
            f"{url}: could not be downloaded ({error}); download it in another way, put it at "
            f"{archive} and run this command again"
        ) from None


def _check_digest(path: Path, archive: Path) -> dict[str, Any]:
    """Digests of a file that is to be `archive`, whose name ends in the first digits of its SHA-256.

    By torch.hub's convention (`check_hash`) the digits are the download's. The package never checks
    them, so they may as well be those of the one file in the zip: either is taken. Raises InputError.
    """
    promised = re.search(r"-([a-f0-9]+)\.", archive.name)[1]
    digests = {"file": _sha256(path)}
    with _opened(path) as file:
        digests["content"] = hashlib.file_digest(file, "sha256").hexdigest()
    checked = [what for what, digest in digests.items() if digest.startswith(promised)]
    if not checked:
        raise InputError(
            f"{archive}: its SHA-256 is {digests['file']}, of the file in it {digests['content']}; one "
            f"beginning with {promised} was expected: the download is broken or not what its name says;"
            " delete it and fetch it again"
        )
    return {
        "sha256": digests["file"],
        "sha256_of_content": digests["content"],
        "checked": checked[0],
    }


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# Reading other people's pickles


def _read(path: Path) -> dict[Any, Any]:
    """The dictionary in a checkpoint: tensors and plain values; anything else is an empty shell.

    torch's own reader (`weights_only`) does the work: it knows a few instructions of pickles, looks
    no name up, imports no module, and calls those functions alone that put tensors and plain values
    together. It refuses a file that so much as names a class it does not know, as the published
    files do (argparse.Namespace). So each name is given a class of ours in its place, into which
    nothing can be put and that refuses to be called. Names that torch knows keep torch's meaning,
    and those that it bans (`os`, `sys`) stay banned. Raises InputError.
    """
    import torch

    try:
        with _opened(path) as file:
            shells = [(_shell(name), name) for name in sorted(_names(file))]
            file.seek(0)
            with torch.serialization.safe_globals(shells), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that the file is old
                content = torch.load(file, weights_only=True, map_location="cpu")
    except InputError:
        raise
    except Exception as error:  # a file of any content raises almost anything, and runs nothing
        raise InputError(
            f"{path}: no checkpoint of tensors and plain values ({_brief(error)}); nothing in it was "
            "run; get the published file again"
        ) from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: no checkpoint: it holds a {type(content).__name__}")
    return content


def _opened(path: Path) -> BinaryIO:
    """The file; if it is a zip of a single file, that, in memory. Raises InputError."""
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    if not zipfile.is_zipfile(path):
        return open(path, "rb")
    try:
        with zipfile.ZipFile(path) as archive:
            _check_size(archive)
            members = archive.infolist()
            if len(members) > 1:
                return open(path, "rb")
            return io.BytesIO(archive.read(members[0]))
    except Exception as error:  # a broken zip raises almost anything
        raise InputError(
            f"{path}: cannot be unpacked ({error}); a zip of one checkpoint was expected: get it again"
        ) from None


def _check_size(archive: zipfile.ZipFile) -> None:
    if sum(member.file_size for member in archive.infolist()) > LARGEST:
        raise ValueError(f"it unpacks to more than {LARGEST} bytes")


def _names(file: BinaryIO) -> set[str]:
    """The classes and functions, module.name, that a checkpoint names."""
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            _check_size(archive)
            pickles = [name for name in archive.namelist() if name.endswith("/data.pkl")]
            return {name for one in pickles for name in _globals(archive.open(one))}
    file.seek(0)
    # The old form: a magic number, the version, the machine, and only then the content.
    return {name for _ in range(4) for name in _globals(file)}


def _globals(file: BinaryIO) -> Iterator[str]:
    """The names in the pickle that begins here; the file is then at its end."""
    for operation, argument, _ in pickletools.genops(file):
        if operation.name == "GLOBAL":
            yield argument.replace(" ", ".", 1)


class _Uncallable(type):
    """A class of this type makes instances for `__new__`, as pickles do, but for no call."""

    def __call__(cls, *_arguments: Any) -> None:
        raise ValueError(f"it calls {cls.__name__}")


def _shell(name: str) -> type:
    """A class whose instances take anything and keep nothing."""
    methods = {
        "__slots__": (),
        "__new__": lambda cls, *_arguments: object.__new__(cls),
        "__setstate__": lambda self, state: None,
    }
    return _Uncallable(name, (), methods)


def _brief(error: Exception) -> str:
    """What torch says, without its advice to read the file in the unsafe way."""
    said = re.search(r"(Unsupported|Trying|Can only|Only persistent).*?(?=\. |\n|$)", str(error))
    return said[0] if said else f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"


def _shapes(name: str) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a network's tensors."""
    return import_module(f"mespot.faces.{name}").shapes()
