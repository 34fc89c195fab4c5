"""Texts -> ids, exactly as HF tokenizers encode them.

tokenizer            Tokenizer           a loaded tokenizer as plain data
loading              load_tokenizer      loads one through transformers
proof                ContentEncoding     how content is encoded safely, proven once per tokenizer
cached, disk_cache                       both of these, recalled from an earlier run
encoder              Encoder             encodes the texts of a block
backends                                 the two libraries that encode: HF tokenizers and gigatoken
gigatoken_support                        the tokenizers for which gigatoken gives HF's ids
unicode_differences                      the characters for which it does not
boundary/                                loss boundaries inside a text
control_strings      ControlStrings      counts the records whose content spells a control token
tokenizer_json, byte_level               what the others read in a ``tokenizer.json``
"""
