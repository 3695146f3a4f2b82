"""Words for titles and for the names of bands. Faker makes only the people."""

from typing import Final

ADJECTIVES: Final = (
    "Amber", "Ancient", "Autumn", "Blue", "Borrowed", "Bright", "Broken", "Burning",
    "Careless", "Crimson", "Crooked", "Distant", "Electric", "Empty", "Endless", "Fading",
    "Faithful", "Feral", "Forgotten", "Frozen", "Gentle", "Golden", "Half-Lit", "Hidden",
    "Hollow", "Honest", "Hungry", "Idle", "Lonely", "Lost", "Lucid", "Midnight", "Moving",
    "Neon", "Nervous", "Northern", "Open", "Pale", "Paper", "Patient", "Quiet", "Reckless",
    "Restless", "Rusted", "Sacred", "Salted", "Secret", "Silver", "Slow", "Southern",
    "Stolen", "Strange", "Sudden", "Tender", "Velvet", "Violet", "Wandering", "Wasted",
    "Wild", "Winter",
)  # fmt: skip
NOUNS: Final = (
    "Afternoons", "Airports", "Anchors", "Angels", "Answers", "Arrows", "Ashes", "Avenues",
    "Balconies", "Bells", "Birds", "Boulevards", "Bridges", "Candles", "Cathedrals", "Cities",
    "Coasts", "Comets", "Corners", "Crowds", "Dancers", "Daylight", "Deserts", "Diamonds",
    "Doorways", "Dreams", "Echoes", "Embers", "Engines", "Feathers", "Fields", "Fires",
    "Flowers", "Ghosts", "Harbours", "Hearts", "Highways", "Horses", "Islands", "Kitchens",
    "Lanterns", "Letters", "Lights", "Lovers", "Machines", "Magnets", "Mirrors", "Mountains",
    "Oceans", "Orchards", "Planets", "Postcards", "Promises", "Rivers", "Rooftops",
    "Satellites", "Seasons", "Shadows", "Signals", "Skylines", "Stations", "Stories",
    "Strangers", "Summers", "Telephones", "Tigers", "Trains", "Valleys", "Waves", "Windows",
    "Wolves",
)  # fmt: skip
PHRASES: Final = (
    "After the", "Before the", "Beneath the", "Between the", "Beyond the", "Dancing with",
    "Down by the", "Every One of the", "Far from the", "Follow the", "Give Me the",
    "Goodbye to the", "Hold the", "In Love with the", "Kiss the", "Leave the",
    "Letters to the", "Like the", "Nothing but", "Only the", "Remember the", "Return of the",
    "Song for the", "Talking to the", "The Last of the", "Through the", "Waiting for the",
    "We Are the", "When the", "Without the",
)  # fmt: skip
GENRES: Final = (
    "Pop", "Rock", "Indie", "Hip-Hop", "R&B", "Electronic", "House", "Techno", "Jazz",
    "Blues", "Soul", "Classical", "Metal", "Punk", "Folk", "Country", "Latin", "Reggae",
)  # fmt: skip
