package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"gavel/internal/events"
	"gavel/internal/events/notices"
)

// place is a ranker's directory with its addresses, for rankers that run as processes of their own.
type place struct {
	*testing.T
	dir, listen, admin, stream string
	client                     *http.Client
}

// newPlace makes the files of a ranker below dir, with a deadline for requests.
func newPlace(t *testing.T, dir string, deadline time.Duration) *place {
	t.Helper()
	p := &place{T: t, dir: dir, listen: freeAddress(t), admin: freeAddress(t), stream: freeAddress(t)}
	p.client = &http.Client{Transport: &http.Transport{}, Timeout: 30 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	t.Cleanup(p.client.CloseIdleConnections)
	for name, text := range map[string]string{
		"campaigns.yaml": "campaigns:\n  - {id: shoes, value: 2, landing: 'https://shop.example/shoes?k=${TOKEN}'}\n",
		"ranker.yaml": fmt.Sprintf("listen: %s\nadmin_listen: %s\nstate_dir: %[3]s/state\ncampaigns: %[3]s/campaigns.yaml\nmodels: {sale: {scorer: bank, directory: %[3]s/classifiers}}\n"+
			"rank: {deadline: %[5]s}\nlimits: {drain_delay: 0s}\nevents: {embedded_listen: %[4]s, embedded_dir: %[3]s/stream, token_file: %[3]s/stream.token}\n",
			p.listen, p.admin, dir, p.stream, deadline),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

// start starts a ranker and waits until it is ready. It is killed with the test.
func (p *place) start() (*exec.Cmd, *lines) {
	p.Helper()
	log := &lines{added: make(chan struct{}, 1)}
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), serveEnv+"="+filepath.Join(p.dir, "ranker.yaml"))
	c.Stdout, c.Stderr = log, log
	if err := c.Start(); err != nil {
		p.Fatal(err)
	}
	ended := make(chan error)
	p.Cleanup(func() { kill(c) })
	log.await(p.T, "msg=serving", ended)
	return c, log
}

// kill ends a process at once, if it has not ended.
func kill(c *exec.Cmd) {
	if c.ProcessState == nil {
		_ = c.Process.Kill()
		_ = c.Wait()
	}
}

// click clicks, and returns the token that the landing page got.
func (p *place) click() (token string, err error) {
	response, err := p.client.Get("http://" + p.listen + "/click?country=DE")
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, response.Body)
	page, err := url.Parse(response.Header.Get("Location"))
	if err != nil || response.StatusCode != http.StatusFound || page.Query().Get("k") == "" {
		return "", fmt.Errorf("a click got %s and %v", response.Status, page)
	}
	return page.Query().Get("k"), nil
}

func (p *place) get(path string) (status int, body string) {
	p.Helper()
	response, err := p.client.Get("http://" + path)
	if err != nil {
		p.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		p.Fatal(err)
	}
	return response.StatusCode, string(text)
}

// A ranker is killed under load, three times. Each click that a user got an answer to is in the stream, once; a sale of it is
// taken by the next ranker; and the page counts all of them.
func TestKilled(t *testing.T) {
	p := newPlace(t, t.TempDir(), 10*time.Second)
	var mu sync.Mutex // guards tokens
	var tokens []string
	for round := range 3 {
		c, _ := p.start()
		enough := make(chan struct{})
		var users sync.WaitGroup
		for range 4 {
			users.Go(func() {
				for {
					token, err := p.click()
					if err != nil {
						return // it was killed
					}
					mu.Lock()
					if tokens = append(tokens, token); len(tokens) == 40*(round+1) {
						close(enough)
					}
					mu.Unlock()
				}
			})
		}
		select {
		case <-enough:
		case <-time.After(time.Minute):
			t.Error("no 40 clicks within a minute")
		}
		kill(c)
		users.Wait()
	}
	c, log := p.start()
	if status, text := p.get(p.listen + "/sale?t=" + tokens[0]); status != http.StatusNoContent {
		t.Errorf("a sale of a click before the kill: %d %s\n%s", status, text, log)
	}
	keys, err := notices.OpenKeyring(filepath.Join(p.dir, "state", "token.keys"))
	if err != nil {
		t.Fatal(err)
	}
	missing := map[string]bool{}
	for _, token := range tokens {
		claims, err := keys.Verify(events.TypeSale, token, time.Now(), time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		missing[claims.Bid] = true
	}
	clicks := map[string]int{}
	readUntil(t, p.stream, filepath.Join(p.dir, "stream.token"), func(e events.Event) bool {
		if e.Type == events.TypeRanking {
			clicks[e.Key]++
			delete(missing, e.Key)
		}
		return e.Type == events.TypeSale && len(missing) == 0 // the sale is the last event
	})
	for id, n := range clicks {
		if n != 1 {
			t.Errorf("click %s is in the stream %d times", id, n)
		}
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		_, text := p.get(p.admin + "/campaigns.json")
		var page struct{ Total struct{ Clicks, Sold int } }
		if err := json.Unmarshal([]byte(text), &page); err != nil {
			t.Fatal(err)
		}
		if page.Total.Clicks == len(clicks) && page.Total.Sold == 1 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the page has %+v, the stream %d clicks\n%s", page.Total, len(clicks), log)
		}
	}
	if err := errors.Join(c.Process.Signal(syscall.SIGTERM), c.Wait()); err != nil {
		t.Errorf("it ended with %v\n%s", err, log)
	}
}

// On a full disk every user arrives, and the ranker says which clicks were not stored. When there is room again, clicks are stored again.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("none", dir, "tmpfs", 0, "size=24m"); err != nil {
		t.Skipf("a small file system cannot be mounted here: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	p := newPlace(t, dir, 100*time.Millisecond)
	_, log := p.start()
	clicks := func(what string, until func() bool) {
		t.Helper()
		for deadline := time.Now().Add(time.Minute); !until(); {
			if _, err := p.click(); err != nil {
				t.Fatalf("%s: %v\n%s", what, err, log)
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s: not within a minute\n%s", what, log)
			}
		}
	}
	n := 0
	clicks("before", func() bool { n++; return n > 20 })
	filler := filepath.Join(dir, "filler")
	file, err := os.Create(filler)
	if err != nil {
		t.Fatal(err)
	}
	for block := make([]byte, 1<<16); err == nil; {
		_, err = file.Write(block)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	file.Close()
	clicks("while the disk is full", func() bool { return strings.Contains(log.String(), "click not stored") })
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	unstored := func() string {
		_, text := p.get(p.admin + "/metrics")
		for line := range strings.Lines(text) {
			if strings.HasPrefix(line, "gavel_rank_clicks_unstored_total ") {
				return line
			}
		}
		return ""
	}
	clicks("after", func() bool { // five in a row are stored
		before := unstored()
		for range 5 {
			if _, err := p.click(); err != nil {
				t.Fatal(err)
			}
		}
		return unstored() == before
	})
}
