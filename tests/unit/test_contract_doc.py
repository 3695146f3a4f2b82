"""The documentation of the contract is what its declaration says."""

from pathlib import Path

from encore.contract_doc import contract_markdown
from encore.events import EVENT_FIELDS, EVENT_TYPE_NAMES, Reason


def test_the_document_is_up_to_date() -> None:
    document = Path(__file__).resolve().parents[2] / "docs" / "events.md"
    assert document.read_text(encoding="utf-8") == contract_markdown(), (
        "run `python -m encore.contract_doc > docs/events.md`"
    )


def test_every_field_type_and_reason_is_in_the_document() -> None:
    text = contract_markdown()
    names = [field.name for field in EVENT_FIELDS] + list(EVENT_TYPE_NAMES)
    names += [reason.value for reason in Reason]
    assert [name for name in names if f"`{name}`" not in text] == []
