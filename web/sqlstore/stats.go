package sqlstore

import (
	"sync/atomic"
	"time"
)

// Stats are what a DB has done since New, and what it does at the moment. Other processes
// that use the same database have their own.
type Stats struct {
	// Owners counts those that AddOwner added.
	Owners uint64
	// Merged counts the entries that were merged into sessions, removals included. An
	// entry that a device sends again counts again.
	Merged uint64
	// Pruned counts the calls of Prune that did all they had to do, and LastPruned is when
	// the last of them ended: zero if there was none.
	Pruned     uint64
	LastPruned time.Time
	// Working is how many calls use the database, and Waiting how many wait for that.
	Working, Waiting int
}

// counts are the parts of Stats that only grow.
type counts struct {
	owners, merged, pruned atomic.Uint64
	lastPruned             atomic.Pointer[time.Time]
}

func (c *counts) prunedAt(t time.Time) {
	c.lastPruned.Store(&t)
	c.pruned.Add(1)
}

// Stats returns what the DB has done and does.
func (d *DB) Stats() Stats {
	stats := Stats{Owners: d.counts.owners.Load(), Merged: d.counts.merged.Load(), Pruned: d.counts.pruned.Load()}
	if last := d.counts.lastPruned.Load(); last != nil {
		stats.LastPruned = *last
	}
	stats.Working, stats.Waiting = d.turns.Count()
	return stats
}
