"""Everything the bot refuses or fails at, as one tree.

LoreleiError               base; str(error) is a sentence a member may read: the cause and the remedy
├── ConfigError            config.toml or the environment is wrong (for the host, at start)
├── Refused                a member asked for something that is not possible or not allowed now
│   ├── NotFound           the thing is gone or never was (a deleted dataset, an old button)
│   └── NotYours           it belongs to somebody else
├── PictureRefused         one file cannot be used; the rest of its batch goes on
├── TaggerError            the tagger's model is missing, damaged, or its process failed
├── MeasureError           the process that measures or draws pictures cannot work
├── StoreError             the database cannot be opened or migrated (for the host)
├── StorageError           a file could not be written or read (disk full)
│   └── DamagedFile        a file is not what its hash promises
└── PostError              a message did not reach Discord, as far as we know
    ├── PostUnclear        the answer was lost: it may be there; look before sending again
    └── PostRefused        Discord clearly said no (permission, channel gone, file too large)
        └── MessageGone    the message to edit was deleted
"""

from __future__ import annotations


class LoreleiError(Exception):
    """Base of the bot's errors; the message is a sentence a member may read."""


class ConfigError(LoreleiError):
    """config.toml or the environment is wrong; the message names the key and the remedy."""


class Refused(LoreleiError):
    """Not possible or not allowed now."""


class NotFound(Refused):
    """The thing is gone or never was."""


class NotYours(Refused):
    """It belongs to somebody else."""


class PictureRefused(LoreleiError):
    """One file cannot be used."""


class TaggerError(LoreleiError):
    """The tagger cannot work; captions fall back to trigger and class word until it can."""


class MeasureError(LoreleiError):
    """Pictures cannot be measured or drawn now."""


class StoreError(LoreleiError):
    """The database cannot be opened or migrated."""


class StorageError(LoreleiError):
    """A file could not be written or read."""


class DamagedFile(StorageError):
    """A file is not what its hash promises."""


class PostError(LoreleiError):
    """A message did not reach Discord, as far as we know."""


class PostUnclear(PostError):
    """The answer was lost, or Discord failed: the message may be there."""


class PostRefused(PostError):
    """Discord clearly said no."""


class MessageGone(PostRefused):
    """The message to edit was deleted."""
