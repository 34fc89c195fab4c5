"""Where blocks are worked on: processes of this machine (``local``)."""
