"""Links are handed out by group, as few requests as there can be, however the store cuts them."""

from __future__ import annotations

import pytest

from syncd.model.change import LinkBatch, LinkKind
from syncd.sync.apply import links as linking
from syncd.sync.apply.links import iterate_links


class PlannedLinks:
    """A store that holds links of groups 1, 2, … of these sizes."""

    def __init__(self, sizes: list[int]) -> None:
        self._links = [record for record, size in enumerate(sizes, 1) for _ in range(size)]
        self.outcomes = self

    async def load_links(self, run_id: int, kind: LinkKind, after: int, limit: int) -> list[LinkBatch]:
        part = range(after + 1, min(after + 1 + limit, len(self._links)))
        return [
            LinkBatch(
                record=record,
                bps_id=f"g{record}",
                seqs=seqs,
                targets=[1000 + seq for seq in seqs],
                members=[f"u{seq}" for seq in seqs],
                kind=kind,
            )
            for record in sorted({self._links[seq] for seq in part})
            if (seqs := [seq for seq in part if self._links[seq] == record])
        ]


@pytest.mark.parametrize("at_once", [1, 7, 100, 855, 10_000])
async def test_a_group_takes_no_more_requests_than_it_must(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A group that the store hands out in pieces is put together again; no link is lost, doubled or misnamed."""
    monkeypatch.setattr(linking, "_AT_ONCE", at_once)
    sizes = [1, 450, 3, 200, 201]
    store = PlannedLinks(sizes)
    batches = [batch async for batch in iterate_links(store, 1, "ownership", 200)]  # type: ignore[arg-type]  # as much as it needs
    calls = {record: [len(batch.seqs) for batch in batches if batch.record == record] for record in range(1, 6)}
    assert {record: len(found) for record, found in calls.items()} == {1: 1, 2: 3, 3: 1, 4: 1, 5: 2}
    assert sorted(seq for batch in batches for seq in batch.seqs) == list(range(sum(sizes)))
    for batch in batches:
        assert batch.kind == "ownership"
        assert batch.members == [f"u{seq}" for seq in batch.seqs]
        assert batch.targets == [1000 + seq for seq in batch.seqs]
