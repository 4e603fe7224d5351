"""Find the files that travel beside the code: `sql/` and `web/`, in a checkout and in an installed wheel alike."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from ami_rotator.errors import RotatorError


def project_folder(name: Literal["sql", "web"]) -> Path:
    """Return the folder `sql` or `web`.

    Raises:
        RotatorError: the installation is incomplete.
    """
    package = Path(__file__).resolve().parent
    for folder in (package / "_files" / name, package.parent / name):
        if folder.is_dir():
            return folder
    raise RotatorError(f"The folder {name}/ is missing beside {package}. Install ami_rotator again.")
