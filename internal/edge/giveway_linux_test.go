package edge

import (
	"io"
	"testing"
	"time"
)

// Threads give way after a refusal, now and then, and no longer when none has been refused for a while.
func TestGiveWay(t *testing.T) {
	l, c, peer := stepped(t, &gate{})
	f := func(when string, want bool) {
		t.Helper()
		if got := l.giveWay(); got != want {
			t.Errorf("%s: gave way %v, want %v", when, got, want)
		}
	}
	l.start = l.start.Add(-time.Hour)
	f("nothing was refused", false)
	if _, err := io.WriteString(peer, request("POST", "/shed", "")); err != nil {
		t.Fatal(err)
	}
	for !c.asked {
		l.take(eventsMost)
	}
	if got := time.Duration(l.scarce.Load() - l.clock.Load()); got != scarceFor {
		t.Errorf("cores are scarce for %v after a refusal", got)
	}
	l.scarce.Add(int64(time.Minute)) // the test may be held up
	f("one was", true)
	l.gaveWay.Store(l.now() - int64(giveWayEvery))
	f("a while later", true)
	l.gaveWay.Store(l.now() + int64(time.Minute))
	f("right after another", false)
	l.gaveWay.Store(0)
	l.scarce.Store(l.now())
	f("when none was refused for a while", false)
}
