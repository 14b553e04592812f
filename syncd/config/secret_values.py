"""How a key of the settings that is a secret is read: typed in, or from the file that ``x_file`` names."""

from __future__ import annotations

from pydantic import ValidationInfo

from syncd.config.base import Parsed
from syncd.config.files import SecretFile, resolve
from syncd.config.problem import Refused
from syncd.config.secret import Normalise, Secret, masked, unchanged


def parse_secret(normalise: Normalise = unchanged, show: Normalise = masked) -> Parsed:
    """Return a validator that makes a ``Secret`` of a text or of a ``SecretFile``."""

    def parse(value: object, info: ValidationInfo) -> Secret:
        if isinstance(value, SecretFile):
            return Secret.from_file(resolve(value.path, info), normalise=normalise, show=show)
        if not isinstance(value, str):
            raise Refused("must be text", "write it in quotes")
        if not value.strip():
            raise Refused("is blank", "give the secret itself")
        return Secret(value, normalise=normalise, show=show)

    return Parsed(parse, Secret.shown)
