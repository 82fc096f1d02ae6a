package modelstore

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// watch starts a watcher that ends with the test.
func watch(t *testing.T, s *Store, opts WatchOptions) <-chan State {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	opts.Logger = slog.New(slog.DiscardHandler)
	states, err := s.Watch(ctx, "ctr", opts)
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		for range states {
		}
	})
	return states
}

// next waits for a state that is as wanted, through those before it.
func next(t *testing.T, states <-chan State, what string, ok func(State) bool) State {
	t.Helper()
	timeout := time.After(10 * time.Second)
	for {
		select {
		case st, open := <-states:
			if !open {
				t.Fatalf("%s: the watcher ended", what)
			}
			if ok(st) {
				return st
			}
		case <-timeout:
			t.Fatalf("%s: waited 10 s in vain", what)
		}
	}
}

func TestWatch(t *testing.T) {
	f := func(name string, opts WatchOptions) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			s := New(t.TempDir())
			if err := os.Mkdir(filepath.Join(s.Root(), "ctr"), 0o755); err != nil {
				t.Fatal(err)
			}
			states := watch(t, s, opts)
			next(t, states, "at once, of an empty model", func(st State) bool { return st.Err == nil && st.Pointer.Stable == 0 })
			publish(t, s, 1)
			next(t, states, "a version", func(st State) bool {
				return st.FromFile && st.Pointer.Stable == 1 && slices.Equal(st.Versions, []int64{1}) && st.Stamps[1] != 0
			})
			if err := s.Place("ctr", staged(t, s, 2), 2); err != nil {
				t.Fatal(err)
			}
			next(t, states, "a version that is not pointed at", func(st State) bool { return len(st.Versions) == 2 })
			if err := s.SetCanary("ctr", 2, 0.5); err != nil {
				t.Fatal(err)
			}
			last := next(t, states, "a canary", func(st State) bool { return st.Pointer.Canary != nil })
			good, err := os.ReadFile(filepath.Join(s.Root(), "ctr", PointerFile))
			if err != nil {
				t.Fatal(err)
			}
			put(t, filepath.Join(s.Root(), "ctr", PointerFile), "{")
			broken := next(t, states, "a broken pointer", func(st State) bool { return st.Err != nil })
			if !broken.Pointer.Equal(last.Pointer) {
				t.Errorf("with its error comes %v, not the last good pointer", broken.Pointer)
			}
			put(t, filepath.Join(s.Root(), "ctr", PointerFile), string(good))
			next(t, states, "a mended pointer", func(st State) bool { return st.Equal(last) })
		})
	}
	f("by the kernel's notices", WatchOptions{Poll: time.Hour, Settle: time.Millisecond})
	f("by polling", WatchOptions{Poll: 10 * time.Millisecond, NoNotify: true})
	f("by both", WatchOptions{Poll: 10 * time.Millisecond, Settle: time.Millisecond})
}

// TestWatchFindsFilesThatChange is for what the kernel does not tell: files within a version.
func TestWatchFindsFilesThatChange(t *testing.T) {
	s := New(t.TempDir())
	publish(t, s, 1)
	states := watch(t, s, WatchOptions{Poll: 10 * time.Millisecond})
	first := next(t, states, "the first state", func(State) bool { return true })
	put(t, filepath.Join(s.Root(), "ctr", "1", "saved_model.pb"), "another graph")
	next(t, states, "another stamp", func(st State) bool { return st.Stamps[1] != first.Stamps[1] })
}

// TestWatchBeforeTheModelExists starts where the store itself is not there yet.
func TestWatchBeforeTheModelExists(t *testing.T) {
	s := New(filepath.Join(t.TempDir(), "store"))
	states := watch(t, s, WatchOptions{Poll: 10 * time.Millisecond})
	next(t, states, "nothing", func(st State) bool { return st.Err == nil && len(st.Versions) == 0 })
	publish(t, s, 1)
	next(t, states, "the first version", func(st State) bool { return st.Pointer.Stable == 1 })
}

// TestWatchCoalesces changes much while nobody receives: one state is kept, and it is the latest.
func TestWatchCoalesces(t *testing.T) {
	s := New(t.TempDir())
	states := watch(t, s, WatchOptions{Poll: 10 * time.Millisecond, Settle: time.Millisecond})
	for v := range int64(8) {
		publish(t, s, v+1)
	}
	deadline := time.Now().Add(10 * time.Second)
	received := 0
	for {
		st := <-states
		received++
		if st.Pointer.Stable == 8 && len(st.Versions) == 8 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the latest state never came")
		}
	}
	if received > 10 {
		t.Errorf("%d states were received for 8 changes that nobody watched", received)
	}
	select {
	case st := <-states:
		t.Errorf("a state came though nothing changed: %+v", st)
	case <-time.After(60 * time.Millisecond): // six polls
	}
}
