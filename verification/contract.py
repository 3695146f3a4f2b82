"""The event contract as Spark's types, derived from the declarations in encore.events."""

from collections.abc import Sequence

from pyspark.sql.types import (
    ArrayType,
    DataType,
    DoubleType,
    LongType,
    StringType,
    StructField,
    StructType,
)

from encore.events import Field, Kind

_TYPES: dict[Kind, DataType] = {
    Kind.TEXT: StringType(),
    Kind.INTEGER: LongType(),
    Kind.NUMBER: DoubleType(),
    Kind.TEXTS: ArrayType(StringType()),
}


def spark_schema(fields: Sequence[Field]) -> StructType:
    """Return the columns of a record, in the order of its declaration, all nullable."""
    return StructType([StructField(field.name, _TYPES[field.kind]) for field in fields])
