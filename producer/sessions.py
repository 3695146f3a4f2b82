"""Sessions: a state machine, stepped over all sessions of a block at once.

The states are the event types and the home page. What follows a song is calibrated on the
figures of eventsim, the usual simulator of a music service: next song .75, advert .08 (free
listeners only), thumbs up .05, add to playlist .025, home .02, logout .02, thumbs down .01.
Likes, dislikes and playlists are moved, around these means, by how well the song matches.
The end of a session has the same chance after each event, so its length is drawn beforehand.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from producer.arrays import Codes, Doubles, Ints, sigmoid
from producer.behaviour import (
    ADVERT,
    DISLIKE,
    HOME_PAGE,
    LIKE,
    LISTEN,
    LOGIN,
    LOGOUT,
    PAGE_VIEW,
    PAGES,
    PLAYLIST_ADD,
    SEARCH,
    SUBSCRIPTION,
    UNLIKE,
    Behaviour,
    no_behaviour,
)
from producer.choice import Plays, choose_tracks, hear
from producer.looking import Look
from producer.world import World

MEAN_EVENTS: Final = 25.0
MOST_EVENTS: Final = 300
MEAN_GAP_MS: Final = 90_000.0
_HOME: Final = 11
_STATES: Final = 12
_LOGOUT_AT_END: Final = 0.5
_FIRST_STATES: Final = {LOGIN: 0.3, _HOME: 0.3, LISTEN: 0.4}

_AFTER: Final[dict[int, dict[int, float]]] = {
    LISTEN: {
        ADVERT: 0.08, LIKE: 0.05, PLAYLIST_ADD: 0.025, _HOME: 0.02, DISLIKE: 0.01,
        SEARCH: 0.02, PAGE_VIEW: 0.022, UNLIKE: 0.001, SUBSCRIPTION: 0.0006,
    },
    ADVERT: {ADVERT: 0.05, _HOME: 0.03, PAGE_VIEW: 0.02},
    LIKE: {PLAYLIST_ADD: 0.06, _HOME: 0.02},
    DISLIKE: {_HOME: 0.01},
    UNLIKE: {_HOME: 0.05},
    PLAYLIST_ADD: {PAGE_VIEW: 0.06, _HOME: 0.03},
    SEARCH: {SEARCH: 0.10, PAGE_VIEW: 0.10},
    PAGE_VIEW: {PAGE_VIEW: 0.15, _HOME: 0.15, SEARCH: 0.06, SUBSCRIPTION: 0.004},
    LOGIN: {_HOME: 0.55, SEARCH: 0.05},
    SUBSCRIPTION: {_HOME: 0.5},
    _HOME: {SEARCH: 0.14, PAGE_VIEW: 0.12},
}  # fmt: skip

# What an event takes beside the song itself: the mean of an exponential, in ms.
_OVERHEAD_MS: Final = {
    LISTEN: 1_500, ADVERT: 25_000, LIKE: 5_000, DISLIKE: 4_000, UNLIKE: 6_000,
    PLAYLIST_ADD: 9_000, SEARCH: 15_000, PAGE_VIEW: 20_000, LOGIN: 4_000, LOGOUT: 6_000,
    SUBSCRIPTION: 45_000, _HOME: 14_000,
}  # fmt: skip
_PAUSE_SHARE: Final = 0.009
_MEAN_PAUSE_MS: Final = 240_000
_PAGE_SHARES: Final = (0.0, 0.27, 0.2, 0.24, 0.1, 0.09, 0.06, 0.04)


def _transitions() -> Doubles:
    """Return the chance of each next state, by level and state: shape (2, states, states)."""
    table = np.zeros((2, _STATES, _STATES))
    for state, following in _AFTER.items():
        for next_state, chance in following.items():
            table[:, state, next_state] = chance
    table[1, :, ADVERT] = 0
    table[:, :, LISTEN] = 1 - table.sum(axis=2)
    return table


_TABLE: Final = _transitions()


@dataclass(slots=True)
class _Inclination:
    """How much more than usual each song invites a like, a dislike or a playlist."""

    like: Doubles
    dislike: Doubles
    add: Doubles


@dataclass(slots=True)
class _Steps:
    """What the state machine wrote for each position: state, level, position of the song."""

    state: Ints
    level: Codes
    song: Ints
    unliked: Ints


def simulate(
    world: World,
    users: Ints,
    starts: Doubles,
    rng: np.random.Generator,
    look: Look | None = None,
) -> Behaviour:
    """Return the events of one session for each user, beginning at ``starts`` (ms).

    A user comes at most once. Marks the users busy until their session ends and moves their
    level, last like and favourites on. With lists to ``look`` at, each session begins with one,
    whose impressions follow the other events, not yet in the order of time.
    """
    if not len(users):
        return no_behaviour()
    lengths = np.minimum(rng.geometric(1 / MEAN_EVENTS, len(users)), MOST_EVENTS)
    order = np.argsort(-lengths, kind="stable")  # open sessions are always the first so many
    users, starts, lengths = users[order], starts[order], lengths[order]
    session = np.repeat(np.arange(len(users)), lengths)
    listeners = users[session]
    catalogue = world.catalogue
    track, fit = choose_tracks(
        listeners, world.taste, world.favourites, catalogue, world.sampler, rng
    )
    if look is not None:
        look.choose(listeners, world.taste, catalogue, track, fit)
    plays = hear(track, fit, catalogue.durations, rng)
    levels = world.people.levels[users]
    steps = _step(world, users, lengths, plays, rng)
    gaps = _gaps(steps, plays, rng)
    offsets = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    elapsed = np.cumsum(gaps)
    time = starts[session] + elapsed - (elapsed[offsets] - gaps[offsets])[session]
    world.busy_until[users] = time[offsets + lengths - 1]
    world.visits[users] += 1
    _remember_favourites(world, listeners, steps, plays, rng)
    events = _events(listeners, time, world.visits[listeners], steps, plays, rng)
    if look is None:
        return events
    shown = look.impressions(users, starts, world.visits[users], levels, catalogue)
    return events.joined(shown)


def _step(
    world: World, users: Ints, lengths: Ints, plays: Plays, rng: np.random.Generator
) -> _Steps:
    """Run the state machine; the positions of a session lie together, longest session first."""
    total = int(lengths.sum())
    offsets = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    steps = _Steps(
        np.empty(total, dtype=np.int64),
        np.empty(total, dtype=np.uint8),
        np.full(total, -1, dtype=np.int64),
        np.full(total, -1, dtype=np.int64),
    )
    inclination = _inclination(plays)
    uniform = rng.random(total)
    logs_out = rng.random(len(users)) < _LOGOUT_AT_END
    level, liked = world.people.levels[users], world.liked[users]
    song = np.full(len(users), -1, dtype=np.int64)
    state = _first_states(rng, len(users))
    still_open = np.searchsorted(-lengths, -np.arange(int(lengths.max(initial=0))), side="left")
    for step, count in enumerate(still_open.tolist()):
        here = offsets[:count] + step
        if step:
            state = _next_states(state[:count], level[:count], song[:count], inclination,
                                 uniform[here])  # fmt: skip
        ending = (lengths[:count] == step + 1) & logs_out[:count] & (step > 0)
        state = np.where(ending, LOGOUT, state[:count])
        _apply(state, here, plays, level[:count], song[:count], liked[:count], steps)
    world.people.levels[users], world.liked[users] = level, liked
    return steps


def _apply(
    state: Ints, here: Ints, plays: Plays, level: Codes, song: Ints, liked: Ints, steps: _Steps
) -> None:
    """Write down one step of the open sessions and what it changes for them, in place."""
    previous = steps.state[here - 1]
    searched = (state == LISTEN) & (song >= 0) & (previous == SEARCH)
    song[state == LISTEN] = here[state == LISTEN]
    song[searched] = here[searched] - 1  # what was searched for is what is played
    liking = state == LIKE
    liked[liking] = plays.track[song[liking]]
    nothing = (state == UNLIKE) & (liked < 0)
    state[nothing] = PAGE_VIEW
    unliking = state == UNLIKE
    steps.unliked[here[unliking]] = liked[unliking]
    liked[unliking] = -1
    changing = state == SUBSCRIPTION
    level[changing] = 1 - level[changing]
    steps.state[here], steps.level[here], steps.song[here] = state, level, song


def _next_states(
    state: Ints, level: Codes, song: Ints, inclination: _Inclination, uniform: Doubles
) -> Ints:
    chances = _TABLE[level, state]
    after_song = np.flatnonzero(state == LISTEN)
    heard = song[after_song]
    for column, factor in (
        (LIKE, inclination.like),
        (DISLIKE, inclination.dislike),
        (PLAYLIST_ADD, inclination.add),
    ):
        chances[after_song, column] *= factor[heard]
    chances[:, LISTEN] = 0
    chances[:, LISTEN] = 1 - chances.sum(axis=1)
    following = (np.cumsum(chances, axis=1) < uniform[:, None]).sum(axis=1)
    return np.asarray(np.minimum(following, _STATES - 1), dtype=np.int64)


def _first_states(rng: np.random.Generator, count: int) -> Ints:
    states = np.array(list(_FIRST_STATES), dtype=np.int64)
    drawn = rng.choice(len(states), count, p=list(_FIRST_STATES.values()))
    return np.asarray(states[drawn], dtype=np.int64)


def _inclination(plays: Plays) -> _Inclination:
    """Return factors whose mean over all songs is about 1."""
    loved = sigmoid(2.2 * (plays.match - 1.9)) * ~plays.skipped
    disliked = sigmoid(-2.0 * (plays.match - 0.3)) * plays.skipped
    return _Inclination(
        like=np.minimum(2.85 * loved, 8.0),
        dislike=np.minimum(5.7 * disliked, 10.0),
        add=np.minimum(2.85 * loved, 8.0),
    )


def _gaps(steps: _Steps, plays: Plays, rng: np.random.Generator) -> Doubles:
    """Return the time before each event, in ms: an event stands at the end of what it took."""
    mean = np.array([_OVERHEAD_MS[state] for state in range(_STATES)], dtype=np.float64)
    total = len(steps.state)
    gaps = 200 + mean[steps.state] * rng.exponential(1.0, total)
    paused = rng.random(total) < _PAUSE_SHARE
    gaps += np.where(paused, rng.exponential(_MEAN_PAUSE_MS, total), 0.0)
    return np.asarray(gaps + np.where(steps.state == LISTEN, plays.ms_played[steps.song], 0))


def _remember_favourites(
    world: World, listeners: Ints, steps: _Steps, plays: Plays, rng: np.random.Generator
) -> None:
    """Let some of the songs heard to their end become old favourites."""
    kept = rng.random(len(listeners)) < 0.15
    slots = rng.integers(0, world.favourites.shape[1], len(listeners))
    chosen = np.flatnonzero((steps.state == LISTEN) & plays.complete[steps.song] & kept)
    world.favourites[listeners[chosen], slots[chosen]] = plays.track[steps.song[chosen]]


def _events(
    listeners: Ints, time: Doubles, visit: Ints, steps: _Steps, plays: Plays,
    rng: np.random.Generator,
) -> Behaviour:  # fmt: skip
    state = steps.state
    page = rng.choice(len(PAGES), len(state), p=_PAGE_SHARES).astype(np.uint8)
    page[state == _HOME] = HOME_PAGE
    of_song = np.isin(state, (LISTEN, LIKE, DISLIKE, PLAYLIST_ADD))
    track = np.where(of_song, plays.track[steps.song], -1)
    track = np.where(state == SEARCH, plays.track, track)  # its artist is what is searched for
    track = np.where(state == UNLIKE, steps.unliked, track)
    return Behaviour(
        time=time,
        user=listeners,
        visit=visit,
        code=np.where(state == _HOME, PAGE_VIEW, state).astype(np.uint8),
        track=track,
        ms_played=plays.ms_played[steps.song],
        page=page,
        level=steps.level,
        note=np.full(len(state), -1, dtype=np.int64),
    )
