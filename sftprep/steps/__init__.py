"""The steps that the pipeline takes with the records of one block. Each step uses several stages.

rendering      Rendering     dialogues -> rendered dialogues, within a chat template's limits
examples       ExampleMaker  parsed records -> the rendered examples that become rows
making         RowMaker      rendered examples -> rows, cut to ``max_length`` and counted
string_search  StringSearch  which records hold which of many strings
losses                       the entries of records that have no row
"""
