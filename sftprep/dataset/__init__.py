"""A dataset on disk: staging, journal, commit, manifest, ledgers, accounting and reuse."""
