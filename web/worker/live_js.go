package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"syscall/js"
	"time"

	"github.com/syumai/workers/cloudflare"

	"github.com/session-interop/session-writer/web/server"
)

// ticketLife is how long a device may use a ticket. It comes at once, or exchanges again.
const ticketLife = time.Minute

// A live has the Durable Objects of live.js tell devices. It documents the tickets.
type live struct{ watcher js.Value }

// newLive returns what is given by live.js, which gives nothing if there is no key.
func newLive() server.Live {
	watcher := cloudflare.GetBinding("WATCHER")
	if watcher.IsUndefined() {
		return server.NoLive
	}
	return live{watcher}
}

func (l live) Address(topic, device string) string {
	said := fmt.Sprintf("%s.%s.%d", topic, device, time.Now().Add(ticketLife).Unix())
	mac := hmac.New(sha256.New, []byte(l.watcher.Get("key").String()))
	mac.Write([]byte(said))
	return "live?ticket=" + said + "." + hex.EncodeToString(mac.Sum(nil))
}

// Changed does not wait until devices are told, and nor does Ended.
func (l live) Changed(topic, session, cursor string) {
	l.watcher.Call("changed", topic, session, cursor)
}

func (l live) Ended(topic, device string) { l.watcher.Call("ended", topic, device) }

func (l live) Listen(http.ResponseWriter, *http.Request, string, string, time.Duration) error {
	return errors.New("live.js answers requests for WebSockets, and did not")
}

func (l live) Close() {}
