"""Signing in through a provider: Streamlit does it (`st.login`), the door asks for it and checks the list."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlencode, urlsplit

from streamlit.auth_util import (
    encode_provider_token,
    get_redirect_uri,
    get_secrets_auth_section,
    is_authlib_installed,
    validate_auth_credentials,
)
from streamlit.errors import StreamlitAuthError
from streamlit.runtime.secrets import StreamlitSecretNotFoundError

from fvm_core.access.rules import Rules
from fvm_core.errors import SaltflatError
from fvm_core.workspace import Workspace
from ui.gate import sign_in, tickets

SHORTEST_SECRET = 32


def check(rules: Rules) -> None:
    """Refuse to start with a sign-in that can't work or could be forged.

    Raises:
        SaltflatError: a package or a setting is missing.
    """
    if rules.oidc is None:
        return
    if not is_authlib_installed():
        raise SaltflatError(
            "Signing in through a provider needs two more packages: pip install 'saltflat[oidc]'"
        )
    try:
        section = get_secrets_auth_section()
        validate_auth_credentials(rules.oidc.provider)
        address = get_redirect_uri(section) or ""
    except (StreamlitAuthError, StreamlitSecretNotFoundError) as error:
        raise SaltflatError(f"[auth] in Streamlit's secrets.toml is not complete: {error}") from None
    if len(section.get("cookie_secret", "")) < SHORTEST_SECRET:
        raise SaltflatError(
            "cookie_secret under [auth] in Streamlit's secrets.toml is too short to keep sign-ins from being "
            f"forged: take {SHORTEST_SECRET} random characters or more."
        )
    if urlsplit(address).path != sign_in.CALLBACK:
        raise SaltflatError(
            "redirect_uri under [auth] in Streamlit's secrets.toml has to be the address of this app with "
            f"{sign_in.CALLBACK} behind it."
        )


def login_address(rules: Rules) -> str:
    """Where Streamlit starts the sign-in; the address holds for two minutes."""
    return f"{sign_in.LOGIN}?{urlencode({'provider': encode_provider_token(rules.oidc.provider)})}"


def known_to_provider(cookies: Mapping[str, str], rules: Rules, workspace: Workspace) -> bool:
    """Whether somebody has signed in there and is still not let in here."""
    ticket = tickets.oidc_ticket(cookies, rules)
    return ticket is not None and not tickets.sessions(workspace).is_revoked(ticket)


def revoke(cookies: Mapping[str, str], rules: Rules, workspace: Workspace) -> bool:
    """Let these cookies count no longer, wherever copies of them are; whether there were any."""
    ticket = tickets.oidc_ticket(cookies, rules)
    if ticket is None:
        return False
    tickets.sessions(workspace).revoke(ticket, rules)
    return True
