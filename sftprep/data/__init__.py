"""The values that stages pass to each other. From sftprep, these modules import only ``errors``.

block          Source, Block            bytes of whole records, with their place in the input
conversation   Conversation, Chat       a record in the form that all schemas have in common
policy         Policy                   which text of a conversation is trained
pieces         Piece, Rendered          a rendered record: template text and slots for contents
control_tokens AddedToken               the tokenizer's control tokens, found in a template's text
runs           TextRuns                 the texts of a block that get encoded, in columns
ragged         Ragged                   rows of different lengths in one flat array
batch          Batch                    rows of ids with their loss mask
result         BlockResult, LostRecord  the rows of a block, and its records without a row
"""
