"""Turn texts into ids, exactly as HF tokenizers does.

tokenizer            Tokenizer           a loaded tokenizer as plain data
loading              load_tokenizer      loads one through transformers
proof                ContentEncoding     how content is encoded safely, proven once per tokenizer
cached, disk_cache                       recall the results of loading and proof from earlier runs
encoder              Encoder             encodes the texts of a block
backends                                 the two libraries that encode: HF tokenizers and gigatoken
gigatoken_support                        the tokenizers for which gigatoken gives HF's ids
unicode_differences                      the characters for which gigatoken may give other ids
boundary/                                loss boundaries inside a text
tokenizer_json, byte_level               parts of a ``tokenizer.json`` that several modules read
"""
