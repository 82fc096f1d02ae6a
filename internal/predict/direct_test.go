package predict

import (
	"strings"
	"testing"
	"time"
)

// Small requests are started on the loop, but for some after which there may be more to read; large ones go to a worker.
func TestDirectRows(t *testing.T) {
	m := &fakeModel{direct: true}
	_, client := startServer(t, map[string]Model{"ctr": m}, Options{})
	f := func(n int) (started int64) {
		t.Helper()
		body := `{"instances":[[1,2]` + strings.Repeat(",[1,2]", n-1) + `]}`
		for range 10 {
			if status, got := ask(t, client, "POST /v1/models/ctr:predict", body); status != 200 || strings.Count(got, "1.2") != n {
				t.Errorf("%d rows: status %d, %s", n, status, got)
			}
		}
		return m.started.Swap(0)
	}
	if n := f(directRows); n == 0 {
		t.Errorf("%d rows: none was started on the loop", directRows)
	}
	if n := f(directRows + 1); n != 0 {
		t.Errorf("%d rows: %d were started on the loop, want none", directRows+1, n)
	}
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
