"""What an anime tagger says of photographs of a person, and what becomes of it in the profile *photo face*.

The seed is a user's list for photographs of faces (Particle1904/DatasetHelpers issue 2): tags that are always true of a
photograph, that no photograph needs, or that a portrait's subject is to learn by the trigger word. To it comes what
this project does not say about a person unasked: nothing about body, skin or age. Hair, beard, clothes, expression and
pose stay: they change from picture to picture.
"""

from __future__ import annotations

import re
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
        *("no bra", "no panties", "no pants", "sexually suggestive", "uncensored", "erection"),
    )
)
"""Whole tags that a photograph's caption does without."""

_WORDS = frozenset(
    (
        # body
        *("breast", "breasts", "cleavage", "sideboob", "underboob", "backboob", "nipple", "nipples", "areola"),
        *("areolae", "navel", "midriff", "abs", "muscle", "muscles", "muscular", "toned", "pectorals", "pecs", "bulge"),
        *("biceps", "thighs", "hips", "ass", "butt", "buttocks", "nude", "nudity", "naked", "topless"),
        *("bottomless", "shirtless", "barefoot", "bareback", "pubic", "penis", "pussy", "testicles", "genitals"),
        *("crotch", "groin", "cameltoe", "curvy", "plump", "fat", "skinny", "slim", "slender", "petite", "chubby"),
        *("obese", "tall", "short-statured", "armpit", "armpits", "collarbone", "collarbones", "clavicle", "ribs"),
        *("belly", "stomach", "veins", "veiny", "toes", "toenails", "feet", "soles", "lips", "teeth"),
        *("nose", "forehead", "eyelashes", "eyebrows", "cheekbones", "gyaru", "kogal", "futanari"),
        # skin
        *("skin", "skinned", "dark-skinned", "light-skinned", "tan", "tanned", "tanlines", "tanline", "freckles"),
        *("mole", "moles", "scar", "scars", "scarred", "birthmark", "wrinkle", "wrinkles", "wrinkled", "acne"),
        *("pimple", "pimples", "vitiligo", "albino", "blush", "blushing", "tattoo", "tattoos", "stretch-marks"),
        # age
        *("mature", "old", "older", "elderly", "aged", "child", "children", "toddler", "baby", "infant", "teenage"),
        *("teenager", "young", "younger", "loli", "shota", "milf", "dilf", "age", "adult", "minor"),
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


def photographed(tag: str) -> str:
    """What a caption of a photograph says for the tagger's `tag` (with spaces, small letters); empty drops it."""
    if tag in RENAMED:
        return RENAMED[tag]
    words = tag.replace("(", " ").replace(")", " ").split()
    spoken = {*words, *(part for word in words for part in word.split("-"))}
    if tag in DROPPED or _PATTERNS.fullmatch(tag) or spoken & _WORDS:
        return ""
    return tag
