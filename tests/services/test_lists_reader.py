"""The lists that the producer's listeners look at are what readers of the database see."""

import numpy as np
import psycopg2
import pytest

from database.engine import transaction
from producer.lists import ListsReader
from tests.api import seed

pytestmark = pytest.mark.services

LISTS = """
INSERT INTO recommendations
VALUES (1, 'u1', 1, 't3', 1, 'personal', ''), (1, 'u1', 2, 't4', 1, 'popular', ''),
       (1, 'u2', 1, 't1', 1, 'personal', ''), (1, 'u3', 1, 't5', 1, 'explore', '');
INSERT INTO live_recommendations
VALUES ('u2', 1, now(), '{t2,t6}', '{1,1}', '{personal,personal}', '{"",""}'),
       ('u3', 99, now(), '{t6}', '{1}', '{personal}', '{""}');
"""


def test_the_newest_list_of_each_listener_is_read_and_the_popular_one_for_others(
    database_url: str,
) -> None:
    seed(database_url)
    with transaction(database_url) as cursor:
        cursor.execute(LISTS)
    reader = ListsReader(database_url)
    reader.read()
    lists = reader.lists
    assert lists is not None
    rows = lists.rows(np.array([0, 1, 2, 3]))
    assert lists.tracks[rows, :3].tolist() == [[2, 3, -1], [1, 5, -1], [4, -1, -1], [0, 1, 2]]
    said = [[reader.notes.texts[one] for one in lists.notes[row, :2] if one >= 0] for row in rows]
    assert said == [
        [',"position":1,"source":"personal","model_run_id":1', ',"position":2,"source":"popular"'],
        [f',"position":{place},"source":"personal","model_run_id":1' for place in (1, 2)],
        [',"position":1,"source":"explore","model_run_id":1'],
        [f',"position":{place},"source":"popular"' for place in (1, 2)],
    ]


def test_without_tables_there_are_no_lists_and_production_goes_on(database_url: str) -> None:
    reader = ListsReader(database_url)
    with pytest.raises(psycopg2.errors.UndefinedFunction):
        reader.read()
    with reader.reading():
        assert reader.lists is None
