"""What a release asks for, and how its bill of materials reads what Debian states."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.optional import import_or_skip
from tests.unit import pages
from tools import release

VERSION = release.load_version()
FITTING = {
    "changelog": "# Changelog\n\n## [1.2.3] - 2026-11-30\n\n## [1.2.2] - 2026-10-01\n",
    "dockerfile": "FROM x\nARG VERSION=1.2.3\n",
    "chart": 'version: 7.0.0\nappVersion: "1.2.3"\n',
}


def test_a_version_that_is_told_everywhere_is_released() -> None:
    """Nothing is in its way; a project without a chart needs none."""
    assert list(release.iterate_problems("1.2.3", **FITTING)) == []
    assert list(release.iterate_problems("1.2.3", **FITTING | {"chart": ""})) == []


@pytest.mark.parametrize(
    ("name", "old", "new", "said"),
    [
        ("changelog", "2026-11-30", "unreleased", "calls 1.2.3 unreleased"),
        ("changelog", "## [1.2.3]", "## [1.2.4]", "does not begin with 1.2.3"),
        ("dockerfile", "1.2.3", "1.2.30", "the Dockerfile's ARG VERSION is not 1.2.3"),
        ("chart", '"1.2.3"', "1.2.2", "the chart's appVersion is not 1.2.3"),
    ],
)
def test_a_version_that_is_not_told_somewhere_is_refused(name: str, old: str, new: str, said: str) -> None:
    """Each place is named by itself."""
    (problem,) = release.iterate_problems("1.2.3", **FITTING | {name: FITTING[name].replace(old, new)})
    assert said in problem


def test_the_version_is_the_same_everywhere() -> None:
    """Changelog, Dockerfile and chart are those of pyproject.toml, but for a date that is still to come; pages too."""
    texts = {
        "changelog": release.read("CHANGELOG.md").replace("] - unreleased", "] - 2000-01-01", 1),
        "dockerfile": release.read("Dockerfile"),
        "chart": release.read("deploy/helm/syncd/Chart.yaml"),
    }
    assert list(release.iterate_problems(VERSION, **texts)) == []
    for page in (pages.ROOT / "CONTRIBUTING.md", pages.DOCS / "tutorial/sandbox.md"):
        assert re.findall(r"^syncd (\d\S+)$", page.read_text("utf-8"), re.MULTILINE) == [VERSION]
    assert f"This is {VERSION}" in (pages.ROOT / "README.md").read_text("utf-8")


def test_licences_of_a_debian_package_are_read_or_pointed_to(tmp_path: Path) -> None:
    """Their names where the statement has fields, its place where it is prose, and a word where there is none."""
    bom = import_or_skip("tools.bom", reason="the bill of materials was not tested: cyclonedx-bom is not here")
    for package, text in {
        "fields": "Files: *\nLicense: MIT\n\nFiles: b\nLicense:  GPL-2+ \nLicense: MIT\n",
        "prose": "Free.",
    }.items():
        (tmp_path / package).mkdir()
        (tmp_path / package / "copyright").write_text(text)
    names = [
        [part["license"]["name"] for part in bom.read_licences(tmp_path, name)] for name in ("fields", "prose", "no")
    ]
    assert names == [["GPL-2+", "MIT"], [f"see {tmp_path}/prose/copyright"], ["not stated"]]
