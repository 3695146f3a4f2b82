"""Every table that is verified, by name and without Spark: what the command line can offer."""

EVENT_TABLES = (
    "item_counts_5m",
    "item_counts_hour",
    "item_counts_day",
    "item_listeners",
    "item_trends",
    "user_counts_day",
    "user_item_affinity",
    "session_counts",
    "platform_activity_minute",
    "minute_users",
    "recommendation_outcomes",
)
USER_TABLES = ("users",)
ITEM_TABLES = ("items", "artists", "albums", "genres", "item_genres")
# These two hold something of every topic.
REJECTED = "rejected_events"
ACCOUNTS = "stream_offsets"
ALL_TABLES = (*EVENT_TABLES, *USER_TABLES, *ITEM_TABLES, REJECTED, ACCOUNTS)
