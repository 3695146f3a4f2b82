"""What the contract says of a rejected record's topic and of the field it was rejected for."""

from typing import Final

from encore.contract_doc import allowed
from encore.events import (
    EVENT_FIELDS,
    EVENT_TYPES,
    ITEM_FIELDS,
    MAX_RECORD_BYTES,
    USER_FIELDS,
    Field,
    Topics,
)

# A topic is told by its ending, not by KAFKA_TOPIC_PREFIX: the table may hold the rejected
# records of a prefix that was in use before.
_ENDINGS: Final = Topics.of("")
_FIELDS: Final = {
    _ENDINGS.events: EVENT_FIELDS,
    _ENDINGS.users: USER_FIELDS,
    _ENDINGS.items: ITEM_FIELDS,
}
_ENTITIES: Final = {_ENDINGS.users: "user_id", _ENDINGS.items: "item_id"}


def fields_of(topic: str) -> tuple[Field, ...]:
    """Return the declared fields of a topic's records, none for a topic that is not ours."""
    return _FIELDS.get(_ending(topic), ())


def key_field(topic: str) -> str:
    """Return the field that a topic's records are keyed by."""
    return _ENTITIES.get(_ending(topic), "user_id")


def entity_table(topic: str) -> str | None:
    """Return the table of the entities that a topic announces, or None for a topic of events."""
    ending = _ending(topic)
    return ending.removeprefix(".") if ending in _ENTITIES else None


def rule_of(topic: str, field: str | None) -> str:
    """Return what the contract says of a field in a sentence; without a field, of a record."""
    if field is None:
        return f"a record is one JSON object in UTF-8, of at most {MAX_RECORD_BYTES:,} bytes"
    declared = {one.name: one for one in fields_of(topic)}.get(field)
    if declared is None:
        return f"{field} is not declared"
    said = [declared.kind.value, _needed(topic, declared), declared.unit]
    said.append(allowed(declared).replace("`", ""))
    return f"{field}: {'; '.join(word for word in said if word)}. {declared.doc}"


def _needed(topic: str, field: Field) -> str:
    if field.required:
        return "required"
    if fields_of(topic) is not EVENT_FIELDS:
        return ""
    types = [one.name for one in EVENT_TYPES if field.name in one.requires]
    return f"required of {', '.join(types)}" if types else ""


def _ending(topic: str) -> str:
    return topic[topic.rfind(".") :] if "." in topic else topic
