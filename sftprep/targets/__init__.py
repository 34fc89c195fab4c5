"""What each trainer wants: the columns of a shard, one module for each trainer."""
