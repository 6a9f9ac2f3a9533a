"""What an anime tagger says of photographs of a person, and what becomes of it in the profile *photo face*.

The seed is a user's list for photographs of faces (Particle1904/DatasetHelpers issue 2): tags that are always true of a
photograph, that no photograph needs, or that a portrait's subject is to learn by the trigger word. To it comes what
this project does not say about a person unasked: nothing about body, skin or age. Hair, beard, clothes, expression and
pose stay: they change from picture to picture.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from types import MappingProxyType

RENAMED = MappingProxyType(
    {
        "1girl": "woman",
        "1boy": "man",
        **dict.fromkeys(("2girls", "2boys"), "two people"),
        **dict.fromkeys(("3girls", "3boys", "multiple girls", "multiple boys"), "several people"),
        "realistic": "photo",
        "photorealistic": "photo",
        "photo (medium)": "photo",
        "poster (object)": "poster",
        "cellphone picture": "photo",
    }
)
"""Tag of the tagger → what a caption of a photograph calls it."""

DROPPED = frozenset(
    (
        *("real life insert", "real life", "solo", "solo focus", "female focus", "male focus", "no humans"),
        *("blurry background", "depth of field", "photo background", "simple background", "blurry"),
        *("cosplay", "cosplay photo", "photo inset", "science fiction", "nose blush", "interracial", "nsfw"),
        *("height difference", "size difference", "body markings", "facial mark", "facial tattoo"),
        *("no bra", "no panties", "no pants", "sexually suggestive", "uncensored", "erection", "spread legs"),
        *("linea alba", "median furrow", "bags under eyes", "little girl", "little boy", "double eyelid"),
    )
)
"""Whole tags that a photograph's caption does without."""

_WORDS = frozenset(
    (
        # body
        *("breast", "breasts", "cleavage", "sideboob", "underboob", "backboob", "nipple", "nipples", "areola"),
        *("areolae", "navel", "midriff", "abs", "muscle", "muscles", "muscular", "toned", "pectorals", "pecs", "bulge"),
        *("biceps", "ass", "butt", "buttocks", "nude", "nudity", "naked", "topless"),
        *("bottomless", "shirtless", "barefoot", "bareback", "pubic", "penis", "pussy", "testicles", "genitals"),
        *("crotch", "groin", "cameltoe", "curvy", "plump", "fat", "skinny", "slim", "slender", "petite", "chubby"),
        *("obese", "tall", "short-statured", "armpit", "armpits", "collarbone", "collarbones", "clavicle", "ribs"),
        *("belly", "veins", "veiny", "toes", "toenails", "feet", "soles", "lips", "teeth"),
        *("nose", "forehead", "eyelashes", "eyebrows", "cheekbones", "gyaru", "kogal", "futanari"),
        *("pregnant", "pregnancy", "bust", "busty", "voluptuous", "underweight", "overweight", "thin", "hairy"),
        *(
            "dimple",
            "dimples",
            "lactation",
            "lactating",
            "sex",
            "sexual",
            "hetero",
            "cum",
            "pantyshot",
            "skindentation",
        ),
        # skin
        *("skin", "skinned", "dark-skinned", "light-skinned", "tan", "tanned", "tanlines", "tanline", "freckles"),
        *("mole", "moles", "scar", "scars", "scarred", "birthmark", "wrinkle", "wrinkles", "wrinkled", "acne"),
        *("pimple", "pimples", "vitiligo", "albino", "blush", "blushing", "tattoo", "tattoos", "stretch-marks"),
        *("sweat", "sweating", "sweaty", "sunburn", "sunburned", "sunburnt", "bruise", "bruises", "bruised"),
        *("goosebumps", "asian", "african", "caucasian"),
        # age
        *("mature", "old", "older", "elderly", "aged", "child", "children", "toddler", "baby", "infant", "teenage"),
        *("teenager", "young", "younger", "loli", "shota", "milf", "dilf", "age", "adult", "minor"),
        *("kid", "kids", "grandmother", "grandfather", "grandma", "grandpa"),
    )
)
"""Words that speak of body, skin or age; a tag with one of them is dropped whole."""

_PATTERNS = re.compile(
    r"bare (?:shoulders|arms|legs|back|chest)|(?:flat|large|hairy) chest|(?:chest|body|arm|leg) hair"
    r"|(?:\w+ )?(?:aqua|amber|black|blue|brown|dark|golden?|gr[ae]y|green|hazel|light|multicolored|orange|pink|purple"
    r"|red|violet|white|yellow) eyes"
    r"|heterochromia"
)
"""Bare parts; the colour of eyes, which the trigger word is to learn. `closed eyes` is an expression and stays."""


_PARTS = frozenset(
    (
        *("thigh", "thighs", "hip", "hips", "leg", "legs", "waist", "shoulder", "shoulders", "stomach", "neck"),
        *("chin", "cheek", "cheeks", "torso", "calves"),
    )
)
"""Parts of the body that clothes and poses are named by, too: `leg warmers`, `crossed legs`, `hand on own hip`."""
_LOOKED_AT = frozenset(("focus", "gap", "bone", "bones", "blade", "blades"))
_POSED = re.compile(r"\w|\w+(?:ed|ing)|on|off|over|around|between|behind|under|to|against|in|own|spread|bound|puffy")


def photographed(tag: str) -> str:
    """What a caption of a photograph says for the tagger's `tag` (with spaces, small letters); empty drops it."""
    if tag in RENAMED:
        return RENAMED[tag]
    words = tag.replace("(", " ").replace(")", " ").split()
    spoken = {*words, *(part for word in words for part in word.split("-"))}
    if tag in DROPPED or _PATTERNS.fullmatch(tag) or spoken & _WORDS or _is_of_a_part(words):
        return ""
    return tag


def _is_of_a_part(words: Sequence[str]) -> bool:
    """Whether a tag is about a part of the body itself: `long legs`, `thigh gap`; not what is worn there or done."""
    named = words[:-1] if words and words[-1] in _LOOKED_AT else words
    return bool(named) and named[-1] in _PARTS and not any(map(_POSED.fullmatch, named[:-1]))
