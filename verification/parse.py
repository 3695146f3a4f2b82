"""The contract in Spark SQL: typed columns, and the reason where a record breaks it.

Both steps are pure: a row in, a row out, so that accepted and rejected stay countable.
"""

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import StringType, StructType

from encore.events import (
    EVENT_TYPES,
    MAX_RECORD_BYTES,
    Field,
    Kind,
    Reason,
)
from verification.contract import spark_schema

_CORRUPT = "_corrupt"
# Half a surrogate pair, escaped: no text, though Spark reads it as a question mark. A backslash
# that is itself escaped begins no escape.
_HIGH, _LOW = (rf"\\u[dD][{digits}][0-9a-fA-F]{{2}}" for digits in ("89abAB", "c-fC-F"))
_HALF_A_PAIR = rf"(?<!\\)(?:\\\\)*(?:{_HIGH}(?!{_LOW})|(?<!{_HIGH}){_LOW})"
# Jackson as Spark sets it up is laxer than JSON: single quotes and NaN would pass.
_JSON_OPTIONS = {
    "mode": "PERMISSIVE",
    "columnNameOfCorruptRecord": _CORRUPT,
    "allowSingleQuotes": "false",
    "allowNonNumericNumbers": "false",
}


def parse(records: DataFrame, fields: Sequence[Field]) -> DataFrame:
    """Add ``text`` (the value as text) and ``record`` (a struct of the declared fields).

    ``record._corrupt`` is not NULL where the text is no JSON object or a field has another type.
    """
    schema = StructType([*spark_schema(fields).fields]).add(_CORRUPT, StringType())
    text = F.col("value").cast("string")
    return records.withColumn("text", text).withColumn(
        "record", F.from_json("text", schema, _JSON_OPTIONS)
    )


def check(parsed: DataFrame, fields: Sequence[Field], *, rules: Sequence[Column] = ()) -> DataFrame:
    """Replace ``text`` and ``record`` by the declared fields, ``reason`` and ``field``.

    The first rule that a record breaks, in the order bytes, JSON, types, fields, ``rules``, is
    its reason. Declared fields are NULL where there is a reason; ``key`` and ``value`` are NULL
    where there is none, since only rejected records keep their bytes.
    """
    verdict = F.coalesce(
        *_byte_rules(),
        *_json_rules(fields),
        *(rule for field in fields for rule in _field_rules(field)),
        *rules,
    )
    rejected = F.col("verdict").isNotNull()
    return parsed.withColumn("verdict", verdict).select(
        "partition",
        "offset",
        "arrived_at",
        F.when(rejected, F.col("key")).alias("key"),
        F.when(rejected, F.col("value")).alias("value"),
        F.col("verdict.reason").alias("reason"),
        F.col("verdict.field").alias("field"),
        *(F.when(~rejected, _value(field)).alias(field.name) for field in fields),
    )


def event_rules(future_tolerance_ms: int) -> list[Column]:
    """Return the rules of events beyond single fields: what a type requires, and the future."""
    required = [
        _break(Reason.MISSING, name, _named("event_type").isin(types) & _named(name).isNull())
        for name, types in _required_by_type().items()
    ]
    arrival_ms = F.unix_millis("arrived_at")
    future = _named("event_ts") > arrival_ms + F.lit(future_tolerance_ms)
    return [*required, _break(Reason.IN_THE_FUTURE, "event_ts", future)]


def _required_by_type() -> dict[str, list[str]]:
    names = dict.fromkeys(name for one in EVENT_TYPES for name in one.requires)
    return {name: [one.name for one in EVENT_TYPES if name in one.requires] for name in names}


def _byte_rules() -> list[Column]:
    value, text = F.col("value"), F.col("text")
    return [
        _break(Reason.EMPTY, None, value.isNull() | (F.octet_length(value) == 0)),
        _break(Reason.TOO_LARGE, None, F.octet_length(value) > MAX_RECORD_BYTES),
        _break(Reason.INVALID_UTF8, None, ~F.is_valid_utf8(text)),
    ]


def _json_rules(fields: Sequence[Field]) -> list[Column]:
    text, corrupt = F.col("text"), _named(_CORRUPT).isNotNull()
    no_object = ~F.ltrim(text).startswith("{")
    wrong = [
        _break(Reason.WRONG_TYPE, field.name, corrupt & _present(field) & _value(field).isNull())
        for field in fields
    ]
    return [
        _break(Reason.MALFORMED_JSON, None, no_object),
        _break(Reason.MALFORMED_JSON, None, corrupt & F.try_parse_json(text).isNull()),
        _break(Reason.MALFORMED_JSON, None, text.rlike(_HALF_A_PAIR)),
        *wrong,
        _break(Reason.WRONG_TYPE, None, corrupt),
    ]


def _present(field: Field) -> Column:
    return F.get_json_object("text", f"$.{field.name}").isNotNull()


def _field_rules(field: Field) -> list[Column]:
    value = _value(field)
    rules: list[Column] = []
    if field.required:
        empty = value == "" if field.kind is Kind.TEXT else F.lit(False)
        rules.append(_break(Reason.MISSING, field.name, value.isNull() | empty))
    if field.minimum is not None:
        rules.append(_break(Reason.OUT_OF_RANGE, field.name, value < F.lit(field.minimum)))
    if field.maximum is not None:
        rules.append(_break(Reason.OUT_OF_RANGE, field.name, value > F.lit(field.maximum)))
    return rules + _text_rules(field)


def _text_rules(field: Field) -> list[Column]:
    if field.kind not in (Kind.TEXT, Kind.TEXTS):
        return []
    value = _value(field)
    joined = value if field.kind is Kind.TEXT else F.array_join(value, " ")
    longest = value if field.kind is Kind.TEXT else F.array_max(F.transform(value, F.length))
    length = F.length(longest) if field.kind is Kind.TEXT else longest
    # PostgreSQL stores no NUL. The text is searched first, as almost no record has the escape.
    has_nul = F.col("text").contains("\\u0000") & joined.contains("\x00")
    rules = [
        _break(Reason.TOO_LONG, field.name, length > field.max_length),
        _break(Reason.FORBIDDEN_CHARACTER, field.name, has_nul),
    ]
    if field.pattern:
        rules.append(_break(Reason.NOT_ALLOWED, field.name, ~value.rlike(field.pattern)))
    if field.choices:
        rules.append(_break(Reason.NOT_ALLOWED, field.name, ~value.isin(*field.choices)))
    return rules


def _named(name: str) -> Column:
    return F.col(f"record.{name}")


def _value(field: Field) -> Column:
    return _named(field.name)


def _break(reason: Reason, field: str | None, condition: Column) -> Column:
    """Return a struct of reason and field where the condition holds, else NULL."""
    name = F.lit(field).cast("string").alias("field")
    return F.when(condition, F.struct(F.lit(reason.value).alias("reason"), name))
