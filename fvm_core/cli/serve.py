"""`saltflat app`: serve the dashboard."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import psutil

from fvm_core.errors import SaltflatError


def _own_names(host: str) -> set[str]:
    """The names under which a browser may reach this machine at `host`; any other name is refused."""
    if host not in ("0.0.0.0", "::"):
        return {f"[{host}]" if ":" in host else host}
    family = socket.AF_INET if host == "0.0.0.0" else socket.AF_INET6
    found = {socket.gethostname(), socket.getfqdn()}
    for addresses in psutil.net_if_addrs().values():
        for address in addresses:
            if address.family == family:
                plain = address.address.partition("%")[0]
                found.add(f"[{plain}]" if ":" in plain else plain)
    return found


def serve(host: str, port: int) -> None:
    """Run `app.py` under uvicorn, which answers small requests without delay (TCP_NODELAY).

    Raises:
        SaltflatError: the screens are not there, or the port is taken.
    """
    root = Path(__file__).parents[2]
    if not (root / "app.py").is_file():
        raise SaltflatError(
            f"The screens are not in {root}. Install Saltflat from its source folder with `pip install -e .`."
        )
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise SaltflatError(
                f"Port {port} on {host} can't be used ({error.strerror}). Choose another with --port."
            ) from None
    import uvicorn

    # Streamlit reads .streamlit/config.toml from the working directory.
    os.chdir(root)
    os.environ["SALTFLAT_ALLOWED_HOSTS"] = " ".join(sorted(_own_names(host)))
    uvicorn.run("app:app", host=host, port=port, app_dir=str(root), log_level="warning")
