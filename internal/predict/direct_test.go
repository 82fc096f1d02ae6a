package predict

import (
	"strings"
	"testing"
	"time"
)

// Large requests go to a worker.
func TestDirectRows(t *testing.T) {
	m := &fakeModel{direct: true}
	_, client := startServer(t, map[string]Model{"ctr": m}, Options{})
	f := func(n int, want int64) {
		t.Helper()
		before := m.started.Load()
		body := `{"instances":[[1,2]` + strings.Repeat(",[1,2]", n-1) + `]}`
		if status, got := ask(t, client, "POST /v1/models/ctr:predict", body); status != 200 || strings.Count(got, "1.2") != n {
			t.Errorf("%d rows: status %d, %s", n, status, got)
		}
		if started := m.started.Load() - before; started != want {
			t.Errorf("%d rows: %d started on the loop, want %d", n, started, want)
		}
	}
	f(directRows, 1)
	f(directRows+1, 0)
	before := m.started.Load()
	if status, _ := ask(t, client, "POST /v1/models/ctr:predict", one+strings.Repeat(" ", directBytes)); status != 200 || m.started.Load() != before {
		t.Errorf("a body of %d bytes: status %d, %d started on the loop, want none", directBytes+len(one), status, m.started.Load()-before)
	}
}

// A panic on the loop is logged and leaks nothing, and a worker tries again.
func TestDirectPanic(t *testing.T) {
	f := func(name string, m *fakeModel, model Model, wantStatus int, wantPanics float64) {
		t.Helper()
		s, client := startServer(t, map[string]Model{"ctr": model}, Options{})
		if status, got := ask(t, client, "POST /v1/models/ctr:predict", one); status != wantStatus {
			t.Errorf("%s: status %d, %s; want %d", name, status, got, wantStatus)
		}
		if n := counted(t, s.metrics.panics); n != wantPanics || m.held.Load() != 0 {
			t.Errorf("%s: %v panics counted, %d versions held; want %v, none", name, n, m.held.Load(), wantPanics)
		}
	}
	m := &fakeModel{}
	f("no version", m, panicking{m}, 500, 2)
	m = &fakeModel{direct: true, bad: true}
	f("a start that fails", m, m, 200, 1)
}

type panicking struct{ *fakeModel }

func (panicking) Acquire(int64) (Version, error)              { panic("no version") }
func (panicking) AcquireBy(int64, time.Time) (Version, error) { panic("no version") }
