"""What readers of the lists tell of them: whether less is played of what is shown."""

from psycopg2 import extensions


def fallen(cursor: extensions.cursor) -> str | None:
    """Return a warning where click-through fell beyond its interval, by ``click_through_drift``."""
    cursor.execute(
        "SELECT to_char(hour AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI'), click_through,"
        " impressions, earlier_click_through, difference_high FROM click_through_drift"
    )
    row = cursor.fetchone()
    if row is None or row[4] is None or row[4] >= 0:
        return None
    hour, rate, impressions, earlier, bound = row
    return (
        f"click-through fell: {rate:.4f} of {impressions} impressions in the hour from {hour} UTC, "
        f"{earlier:.4f} before (by {-bound:.4f} at least)"
    )
