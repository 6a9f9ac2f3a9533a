-- Whether the tagger still had to write the caption before the edit (0): undoing the edit has it wait again.
ALTER TABLE caption_edit_item ADD COLUMN tagged INTEGER NOT NULL DEFAULT 1;
