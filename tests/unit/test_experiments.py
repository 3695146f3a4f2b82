"""Who is shown which variant: by a hash that anybody can compute."""

import pytest
from scipy.stats import chisquare

from encore.errors import UsageError
from serving.experiments import Variant, assigned, bucket, parse


@pytest.mark.parametrize(
    ("user", "number"), [("ada", 6386), ("new", 643), ("ghost", 1713), ("Žofie", 1852)]
)
def test_a_bucket_is_what_sha256sum_says(user: str, number: int) -> None:
    # printf caps:ada | sha256sum | cut -c1-8, as a number, modulo 10000
    assert bucket("caps", user) == number


def test_buckets_are_used_alike() -> None:
    tenths = [0] * 10
    for number in range(1, 1001):
        tenths[bucket("blend", f"u{number}") // 1000] += 1
    assert tenths == [100, 96, 96, 88, 90, 96, 103, 113, 108, 110]  # by sha256sum and awk
    many = [0] * 100
    for number in range(50_000):
        many[bucket("blend", f"listener {number}") // 100] += 1
    assert chisquare(many).pvalue > 0.001
    # The variant of one experiment says nothing of that of another.
    both = [0] * 4
    for number in range(20_000):
        first, second = (bucket(name, f"u{number}") < 5000 for name in ("one", "two"))
        both[2 * first + second] += 1
    assert chisquare(both).pvalue > 0.001


def test_variants_have_what_they_show_and_share_the_rest_alike() -> None:
    variants = parse(
        "caps", ["control", "b:max_per_artist=2,without=explore+popular,share=0.2", "c:run=7"]
    )
    assert variants == [
        Variant("caps", "control", 0, 4000),
        Variant("caps", "b", 4000, 6000, None, 2, 0, ("explore", "popular")),
        Variant("caps", "c", 6000, 10_000, 7),
    ]
    found = [assigned(variants, user) for user in ("new", "ada")]
    assert [one and one.label for one in found] == ["caps:control", "caps:c"]
    assert assigned([], "ada") is None


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["control"], "two variants"),
        (["a", "a"], "called alike"),
        (["A b", "b"], "is no name"),
        (["a", "b:runs=7"], "runs is not known"),
        (["a", "b:run=seven"], "a number cannot be read"),
        (["a", "b:without=noise"], "no source 'noise'"),
        (["a:share=0.5", "b:share=0.4"], "add up to 0.9"),
        (["a:share=0.9", "b:share=0.1", "c"], "add up to 1"),
        (["a:share=0.99999", "b"], "less than one bucket"),
    ],
)
def test_what_cannot_be_an_experiment_is_refused_in_words(texts: list[str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        parse("caps", texts)
