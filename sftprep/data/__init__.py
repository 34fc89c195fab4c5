"""The values that travel between stages. These modules import the errors and nothing else.

block          Source, Block            bytes of whole records, with their place in the input
conversation   Conversation, Chat       a record, whatever its schema was
pieces         Piece, Rendered          a rendered record: template text and places for contents
control_tokens AddedToken               the tokenizer's control tokens, found in a template's text
runs           TextRuns                 the texts of a block that are encoded, in columns
ragged         Ragged                   rows of different lengths in one flat array
batch          Batch                    rows of ids with their loss mask
result         BlockResult, LostRecord  what became of a block's records
"""
