package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
)

// A client of the Open Inference Protocol. Each connection stays open and asks one request after the other: a random model, random
// rows. Requests are made before the clock starts, so that the client costs the server's cores little.

func init() {
	commands["http"] = command{"requests to a server over connections that stay open: `driver http ASKED.json`", overHTTP}
}

// askedOver is the file of the subcommand: the server, its models, and bodies of requests by the models' table.
type askedOver struct {
	Address string                         `json:"address"` // host:port
	Models  []member                       `json:"models"`
	Bodies  map[string]map[string][]string `json:"bodies"` // by table, then by rows
}

// httpRequest is a round of some seconds.
type httpRequest struct {
	Connections int     `json:"connections"`
	Rows        int     `json:"rows"` // of a request
	Seconds     float64 `json:"seconds"`
	Seed        uint64  `json:"seed"`
}

// httpAnswer answers it. Latencies are of whole requests.
type httpAnswer struct {
	timed
	RowsPerSecond float64 `json:"rows_per_second"`
	Requests      int     `json:"requests"`
	Refused       int     `json:"refused"` // answers with another status than 200; they have no latency
	Why           string  `json:"why,omitempty"`
}

const httpTimeout = 30 * time.Second

func overHTTP(args []string, l *lines) error {
	if len(args) != 1 {
		return fmt.Errorf("name one file of a server and its models; there are %d arguments", len(args))
	}
	data, err := os.ReadFile(args[0])
	if err != nil {
		return err
	}
	var a askedOver
	if err := json.Unmarshal(data, &a); err != nil {
		return fmt.Errorf("%s: %w", args[0], err)
	}
	for {
		var r httpRequest
		if more, err := l.next(&r); !more {
			return err
		}
		found, err := a.time(r)
		if err != nil {
			return err
		}
		if err := l.answer(found); err != nil {
			return err
		}
	}
}

// time has all connections ask until the seconds are over.
func (a *askedOver) time(r httpRequest) (*httpAnswer, error) {
	all := make([]*connection, r.Connections)
	for i := range all {
		all[i] = &connection{askedOver: a, random: rand.New(rand.NewPCG(r.Seed, uint64(i)))}
	}
	var asking sync.WaitGroup
	began := time.Now()
	until := began.Add(time.Duration(r.Seconds * float64(time.Second)))
	for _, c := range all {
		asking.Go(func() { c.askUntil(until, r.Rows) })
	}
	asking.Wait()
	seconds := time.Since(began).Seconds()
	found := &httpAnswer{}
	var took []time.Duration
	for _, c := range all {
		if c.fault != nil {
			return nil, c.fault
		}
		took = append(took, c.took...)
		found.Refused += c.refused
		if found.Why == "" {
			found.Why = c.why
		}
	}
	if len(took) == 0 {
		return nil, fmt.Errorf("%s answered nothing within %v s; %d requests were refused: %s", a.Address, r.Seconds, found.Refused, found.Why)
	}
	found.Requests, found.RowsPerSecond = len(took), float64(len(took)*r.Rows)/seconds
	sum := time.Duration(0)
	for _, t := range took {
		sum += t
	}
	found.timed = *percentiles(took)
	found.RowUS = us(sum) / float64(len(took)*r.Rows)
	return found, nil
}

// connection asks one request after the other.
type connection struct {
	*askedOver
	random  *rand.Rand
	conn    net.Conn
	answers *bufio.Reader
	request []byte
	took    []time.Duration
	refused int
	why     string // the first refusal
	fault   error
}

func (c *connection) askUntil(until time.Time, rows int) {
	defer func() {
		if c.conn != nil {
			c.conn.Close()
		}
	}()
	size := fmt.Sprint(rows)
	for time.Now().Before(until) {
		m := c.Models[c.random.IntN(len(c.Models))]
		bodies := c.Bodies[m.Table][size]
		if len(bodies) == 0 {
			c.fault = fmt.Errorf("there are no requests with %s rows of %q", size, m.Table)
			return
		}
		body := bodies[c.random.IntN(len(bodies))]
		c.request = fmt.Appendf(c.request[:0], "POST /v2/models/%s/infer HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", m.Name, c.Address, len(body))
		c.request = append(c.request, body...)
		if c.fault = c.ask(); c.fault != nil {
			return
		}
	}
}

// ask sends the request and reads its answer whole.
func (c *connection) ask() error {
	if c.conn == nil {
		conn, err := net.DialTimeout("tcp", c.Address, httpTimeout)
		if err != nil {
			return err
		}
		c.conn, c.answers = conn, bufio.NewReaderSize(conn, 64<<10)
	}
	began := time.Now()
	if err := c.conn.SetDeadline(began.Add(httpTimeout)); err != nil {
		return err
	}
	if _, err := c.conn.Write(c.request); err != nil {
		return err
	}
	answer, err := http.ReadResponse(c.answers, nil)
	if err != nil {
		return err
	}
	var said []byte
	if answer.StatusCode == http.StatusOK {
		_, err = io.Copy(io.Discard, answer.Body)
	} else {
		said, err = io.ReadAll(io.LimitReader(answer.Body, 1<<16))
	}
	if err = errors.Join(err, answer.Body.Close()); err != nil {
		return err
	}
	if answer.StatusCode == http.StatusOK {
		c.took = append(c.took, time.Since(began))
	} else if c.refused++; c.why == "" {
		c.why = fmt.Sprintf("%s: %.200s", answer.Status, said)
	}
	if answer.Close {
		err = c.conn.Close()
		c.conn = nil
	}
	return err
}
