"""`saltflat app`: serve the dashboard."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from fvm_core.errors import SaltflatError


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
    uvicorn.run("app:app", host=host, port=port, app_dir=str(root), log_level="warning")
