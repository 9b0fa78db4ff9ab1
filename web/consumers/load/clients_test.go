package load

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/session-interop/session-writer/web/sqlstore"
)

// Traffic is what clients do with a server, and what was measured of it.
type traffic struct {
	b      *testing.B
	to     served
	client *http.Client

	mu    sync.Mutex
	times []time.Duration // how long each request took
	took  time.Duration   // all of them
	used  []time.Duration // the CPU of the server's processes
	wire  atomic.Int64    // bytes that were sent and received
}

// clientsOf returns the traffic of some clients, each of which has a connection.
func clientsOf(b *testing.B, to served, clients int) *traffic {
	t := &traffic{b: b, to: to, used: make([]time.Duration, len(to.pids))}
	t.client = &http.Client{Transport: &http.Transport{
		MaxIdleConnsPerHost: clients,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, network, address)
			return counted{conn, &t.wire}, err
		},
	}}
	return t
}

// A counted connection counts its bytes.
type counted struct {
	net.Conn
	bytes *atomic.Int64
}

func (c counted) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.bytes.Add(int64(n))
	return n, err
}

func (c counted) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.bytes.Add(int64(n))
	return n, err
}

// post makes a request.
func (t *traffic) post(query, cookie, body string) (http.Header, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, t.to.url+t.to.path+"?session=cart"+query, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	if cookie != "" {
		req.Header.Set("Cookie", cookie)
	}
	began := time.Now()
	res, err := t.client.Do(req)
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(res.Body)
	took := time.Since(began)
	_ = res.Body.Close()
	if err == nil && res.StatusCode >= 300 {
		err = fmt.Errorf("%s: %s: %s", t.to.name, res.Status, text)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.times = append(t.times, took)
	return res.Header, err
}

// run has so many clients call ask, each at least once, and again until the time is over.
func (t *traffic) run(clients int, during time.Duration, ask func(client int) error) {
	t.b.Helper()
	before := make([]time.Duration, len(t.used))
	for i, pid := range t.to.pids {
		before[i] = cpu(t.b, pid)
	}
	began := time.Now()
	failed := make([]error, clients)
	var wg sync.WaitGroup
	for client := range clients {
		wg.Go(func() {
			for again := true; again; again = time.Since(began) < during {
				if failed[client] = ask(client); failed[client] != nil {
					return
				}
			}
		})
	}
	wg.Wait()
	t.took += time.Since(began)
	for i, pid := range t.to.pids {
		t.used[i] += cpu(t.b, pid) - before[i]
	}
	if i := slices.IndexFunc(failed, func(err error) bool { return err != nil }); i >= 0 {
		t.b.Fatal(failed[i])
	}
}

// forget forgets what was measured so far.
func (t *traffic) forget() {
	t.times, t.took = nil, 0
	clear(t.used)
	t.wire.Store(0)
}

// rate returns how many requests there were in a second.
func (t *traffic) rate() float64 { return float64(len(t.times)) / t.took.Seconds() }

// percentile returns in how many milliseconds so many of 100 requests were answered.
func (t *traffic) percentile(percent int) float64 {
	slices.Sort(t.times)
	return t.times[len(t.times)*percent/100].Seconds() * 1000
}

// cpu returns the CPU of a request in milliseconds, for each process.
func (t *traffic) cpu() (each []float64) {
	for _, used := range t.used {
		each = append(each, used.Seconds()*1000/float64(len(t.times)))
	}
	return each
}

// bytes returns how many bytes a request and its answer have, with their headers.
func (t *traffic) bytes() float64 { return float64(t.wire.Load()) / float64(len(t.times)) }

// A crowd are clients that save some of a hundred keys each time. Two are of one owner.
type crowd struct {
	*traffic
	entries int
	devices []*device
	saved   atomic.Int64
}

// A device is one client.
type device struct {
	number        int
	cookie, owner string
	cursor        string
}

// newCrowd has each client be known to the server, and save once. Owners come one after
// another, because a server that has just been started refuses some of 250 at once whom it
// has to look for in the database.
func newCrowd(b *testing.B, to served, clients, entries int) *crowd {
	b.Helper()
	c := &crowd{traffic: clientsOf(b, to, clients), entries: entries}
	for number := range clients {
		if number%2 == 1 {
			another := *c.devices[number-1]
			another.number = number
			c.devices = append(c.devices, &another)
			continue
		}
		header, err := c.post("", "", c.item(number))
		if err != nil {
			b.Fatal(err)
		}
		cookie, _, _ := strings.Cut(header.Get("Set-Cookie"), ";")
		d := &device{number: number, cookie: cookie, owner: header.Get("Session-Owner")}
		c.devices = append(c.devices, d)
		if err := c.save(d); err != nil {
			b.Fatal(err)
		}
	}
	c.run(0)
	c.forget()
	return c
}

func (c *crowd) run(during time.Duration) {
	c.b.Helper()
	c.traffic.run(len(c.devices), during, func(client int) error { return c.save(c.devices[client]) })
}

func (c *crowd) save(d *device) error {
	header, err := c.post("&owner="+d.owner+"&cursor="+d.cursor, d.cookie, c.item(d.number))
	d.cursor = header.Get("Session-Cursor")
	return err
}

// item returns what a client saves next.
func (c *crowd) item(client int) string {
	saved := int(c.saved.Add(1))
	var set []string
	for i := range c.entries {
		set = append(set, fmt.Sprintf(`"key%d":%s`, (saved*7+i)%100, value(saved)))
	}
	return item(saved, client, strings.Join(set, ","))
}

// item returns what is sent, an item of one batch, with the entries as JSON.
func item(saved, client int, set string) string {
	return fmt.Sprintf(`[{"format":1,"batches":[{"stamp":"%s","set":{%s}}]}]`, stamp(time.Now().UnixMilli(), saved, client), set)
}

func stamp(millis int64, count, writer int) string {
	return fmt.Sprintf("%013d-%04x-%012x", millis, count&0xffff, writer)
}

// value returns the value of an entry.
func value(n int) string {
	return fmt.Sprintf(`{"value":%d,"text":"some text, as entries have it"}`, n)
}

// Visits are exchanges of owners of a grown database.
type visits struct {
	*traffic
	entries int // in each session
	cursors sync.Map
}

// visit exchanges one entry of the owner of a number, who has what was there before.
func (v *visits) visit(number, client int) error {
	cursor, ok := v.cursors.Load(number)
	if !ok {
		cursor = cursorOf(number, v.entries)
	}
	saved := len(v.to.name) + number
	header, err := v.post("&owner="+sqlstore.Tag(idOf(number))+"&cursor="+cursor.(string), cookieOf(number), item(saved, client+1, fmt.Sprintf(`"key%d":%s`, saved%v.entries, value(saved))))
	if err == nil {
		v.cursors.Store(number, header.Get("Session-Cursor"))
	}
	return err
}

// load exchanges as a new device of the owner of a number, which is given all there is.
func (v *visits) load(number int) error {
	_, err := v.post("&owner="+sqlstore.Tag(idOf(number)), cookieOf(number), "")
	return err
}
