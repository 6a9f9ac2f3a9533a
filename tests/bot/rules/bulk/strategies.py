"""Any bulk operation, for Hypothesis."""

from hypothesis import strategies as st

from bot.rules.bulk.operations import (
    AddTags,
    Dedupe,
    ImportCaptions,
    MoveTag,
    Recaption,
    RemoveTags,
    RenameTag,
    ReplaceText,
    SortTags,
)


def on_tags(tags, texts, ids):
    """What works on tags and leaves sentences alone; of these tags and members' texts, on pictures with these ids."""
    return st.one_of(
        st.builds(RemoveTags, tags=st.lists(tags, min_size=1, max_size=3).map(tuple)),
        st.builds(RenameTag, old=tags, new=texts),
        st.builds(MoveTag, tag=tags),
        st.builds(AddTags, text=texts, place=st.sampled_from(["first", "last"])),
        st.builds(SortTags, by=st.sampled_from(["name", "frequency"])),
        st.builds(Dedupe),
        st.builds(Recaption, mode=st.sampled_from(["append", "fill"]), tags=_written(tags, ids)),
    )


def on_text(tags, texts, ids, patterns):
    """What works on whatever is written; `patterns` as they are."""
    return st.one_of(
        st.builds(ReplaceText, find=(texts | tags | st.sampled_from([", ", " ", "."])).filter(bool), by=texts),
        patterns,
        st.builds(ImportCaptions, texts=st.dictionaries(ids, texts)),
        st.builds(Recaption, mode=st.just("overwrite"), tags=_written(tags, ids)),
    )


def _written(tags, ids):
    return st.dictionaries(ids, st.lists(tags, max_size=4).map(tuple))
