"""`saltflat app`: serve the dashboard."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import psutil

from fvm_core import start_folder
from fvm_core.access import places
from fvm_core.access import rules as access_rules
from fvm_core.access.network import is_loopback
from fvm_core.errors import SaltflatError
from fvm_core.workspace import Workspace

NO_SIGN_IN = (
    "--host {host} lets other machines in, so everybody has to sign in, and no sign-in is set up. Set a "
    "password first: `saltflat password`. Or name the people of your OIDC provider in {rules}; the README "
    "says how, under “Sign-in”."
)


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


def checked(host: str) -> access_rules.Rules:
    """The rules for signing in, if the app may be served at `host` with them.

    Raises:
        SaltflatError: others could reach the app, and nobody has to sign in.
    """
    workspace = Workspace.default()
    rules = access_rules.read(workspace)
    if not rules.sign_in and not is_loopback(host):
        raise SaltflatError(NO_SIGN_IN.format(host=host, rules=access_rules.path_of(workspace)))
    return rules


def serve(host: str, port: int, certificate: Path | None = None, key: Path | None = None) -> None:
    """Run `app.py` under uvicorn, which answers small requests without delay (TCP_NODELAY).

    Args:
        host: address to listen on; any but this machine's own needs a sign-in.
        port: to listen on.
        certificate: PEM file, for https.
        key: of the certificate, PEM file.

    Raises:
        SaltflatError: a sign-in is missing, the screens are not there, a file is missing, or the port is
            taken.
    """
    rules = checked(host)
    root = Path(__file__).parents[2]
    if not (root / "app.py").is_file():
        raise SaltflatError(
            f"The screens are not in {root}. Install Saltflat from its source folder with `pip install -e .`."
        )
    for option, file in (("--cert", certificate), ("--key", key)):
        if file is not None and not file.is_file():
            raise SaltflatError(f"There is no file {file} ({option}).")
    if (certificate is None) != (key is None):
        raise SaltflatError("For https give both, --cert and --key.")
    _free(host, port)
    import uvicorn

    os.environ[start_folder.VARIABLE] = str(Path.cwd())
    os.environ[places.REACHABLE] = "0" if is_loopback(host) else "1"
    os.environ["SALTFLAT_ALLOWED_HOSTS"] = " ".join(sorted(_own_names(host)))
    certificate, key = (file and file.resolve() for file in (certificate, key))
    # Streamlit reads .streamlit/config.toml from the working directory.
    os.chdir(root)
    uvicorn.run(
        "app:app",
        host=host,
        port=port,
        app_dir=str(root),
        log_level="warning",
        access_log=False,  # addresses hold what OIDC providers send
        server_header=False,
        proxy_headers=bool(rules.proxies),
        forwarded_allow_ips=list(rules.proxies),
        ssl_certfile=certificate,
        ssl_keyfile=key,
    )


def _free(host: str, port: int) -> None:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise SaltflatError(
                f"Port {port} on {host} can't be used ({error.strerror}). Choose another with --port."
            ) from None
