package server

// defaultLive is none: a Worker is over when it has answered.
func defaultLive(Config) Live { return NoLive }
