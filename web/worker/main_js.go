// Command worker is the Cloudflare Worker: the server of package server, on D1.
package main

import (
	"context"
	"database/sql"
	"log"
	"time"

	"github.com/syumai/workers"
	"github.com/syumai/workers/cloudflare/cron"
	"github.com/syumai/workers/cloudflare/d1"

	"github.com/session-interop/session-writer/web/server"
	"github.com/session-interop/session-writer/web/sqlstore"
)

// main is run anew for every request. The page is not in here: Cloudflare
// serves it from the Worker's static assets.
func main() {
	log.SetFlags(0)
	log.SetPrefix("session-writer: ")

	connector, err := d1.OpenConnector("DB")
	if err != nil {
		log.Fatalf("binding DB: %v: wrangler.jsonc should have it among d1_databases", err)
	}
	db := sqlstore.New(sql.OpenDB(connector), sqlstore.Limits{})
	handler, err := server.New(server.Config{DB: db, TrustHost: true, Live: newLive()})
	if err != nil {
		log.Fatal(err)
	}
	cron.ScheduleTaskNonBlock(func(ctx context.Context) error {
		return db.Prune(ctx, time.Now())
	})
	workers.Serve(drained(handler))
}
