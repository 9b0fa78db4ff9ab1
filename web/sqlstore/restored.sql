UPDATE sessions SET epoch = lower(hex(randomblob(8)))
