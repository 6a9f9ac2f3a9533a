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


def operations(tags, texts, captions, ids, patterns):
    """Operations of these tags, members' texts and captions, on pictures with these ids; `patterns` as they are."""
    return st.one_of(
        st.builds(RemoveTags, tags=st.lists(tags, min_size=1, max_size=3).map(tuple)),
        st.builds(RenameTag, old=tags, new=texts),
        st.builds(MoveTag, tag=tags),
        st.builds(AddTags, text=texts, place=st.sampled_from(["first", "last"])),
        st.builds(ReplaceText, find=texts.filter(bool), by=texts),
        patterns,
        st.builds(SortTags, by=st.sampled_from(["name", "frequency"])),
        st.builds(Dedupe),
        st.builds(ImportCaptions, texts=st.dictionaries(ids, captions)),
        st.builds(
            Recaption,
            mode=st.sampled_from(["overwrite", "append", "fill"]),
            tags=st.dictionaries(ids, st.lists(tags, max_size=4).map(tuple)),
        ),
    )
