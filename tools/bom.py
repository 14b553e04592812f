"""Write the bill of materials of an installed syncd, as CycloneDX 1.6: every part with its version and its licences.

cyclonedx-bom describes the Python libraries, with the texts of their licences. Inside an image (``--image``) the
interpreter and the Debian packages below it are added, whose licence texts lie in ``/usr/share/doc``. The result is
checked against the format's schema. The same installation gives the same document, byte for byte.

A script of its own, without syncd: the image is built with it. Its environment has to have cyclonedx-bom.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

COPYRIGHTS = Path("/usr/share/doc")
Part = dict[str, Any]


def describe_environment(python: str, pyproject: str) -> dict[str, Any]:
    """Return the document about the libraries beside that interpreter."""
    command = [sys.executable, "-m", "cyclonedx_py", "environment", "--output-reproducible", "--gather-license-texts"]
    command += ["--spec-version", "1.6", "--pyproject", pyproject, python]
    made: dict[str, Any] = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    return made


def iterate_image_parts() -> Iterator[Part]:
    """Yield what an image has below the libraries: the interpreter, and the packages of Debian."""
    release = dict(
        re.findall(r'^(ID|VERSION_ID)="?([^"\n]+)', Path("/etc/os-release").read_text("utf-8"), re.MULTILINE)
    )
    version = ".".join(map(str, sys.version_info[:3]))
    yield {
        "type": "application",
        "name": "python",
        "version": version,
        "purl": f"pkg:generic/python@{version}",
        "licenses": [{"license": {"id": "PSF-2.0"}}],
    }
    form = "${binary:Package}\t${source:Package}\t${Version}\t${Architecture}\t${db:Status-Abbrev}\n"
    listed = subprocess.run(["dpkg-query", "-W", "-f", form], capture_output=True, text=True, check=True)  # noqa: S607
    for line in listed.stdout.splitlines():
        name, source, version, architecture, status = line.split("\t")
        if status.strip() == "ii":
            plain = name.partition(":")[0]
            base = f"distro={release['ID']}-{release['VERSION_ID']}"
            yield {
                "type": "library",
                "name": plain,
                "version": version,
                "purl": f"pkg:deb/{release['ID']}/{plain}@{quote(version, safe='')}?arch={architecture}&{base}",
                "licenses": read_licences(COPYRIGHTS, plain),
                "properties": [{"name": "debian:source", "value": source}],
            }


def read_licences(documents: Path, package: str) -> list[Part]:
    """Return the names of the licences that a Debian package states, or where its statement is to be read."""
    place = documents / package / "copyright"
    text = place.read_text("utf-8", "replace") if place.is_file() else ""
    names = sorted({" ".join(name.split()) for name in re.findall(r"^License: *(\S.*)$", text, re.MULTILINE)})
    if not names:
        names = [f"see {place}" if text else "not stated"]
    return [{"license": {"name": name}} for name in names]


def main() -> int:
    """Write the document; fail when it is not valid."""
    parser = argparse.ArgumentParser(description="Write the bill of materials of an installed syncd.")
    parser.add_argument("python", help="the interpreter of its virtual environment")
    parser.add_argument("output", type=Path)
    parser.add_argument("--pyproject", default="pyproject.toml")
    parser.add_argument("--image", action="store_true", help="with the interpreter and the system below it")
    options = parser.parse_args()
    document = describe_environment(options.python, options.pyproject)
    if options.image:
        document["components"] += [part | {"bom-ref": part["purl"]} for part in iterate_image_parts()]
    text = json.dumps(document, indent=1, sort_keys=True) + "\n"
    problem = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    if problem is not None:
        sys.stderr.write(f"the bill of materials is not valid: {problem}\n")
        return 1
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
