package throttle

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestDue(t *testing.T) {
	var line Line
	start := time.Date(2026, 11, 2, 8, 0, 0, 0, time.UTC)
	f := func(after time.Duration, wantHeld int64, want bool) {
		t.Helper()
		if held, ok := line.Due(start.Add(after)); held != wantHeld || ok != want {
			t.Errorf("after %v: %d held, due %v; want %d, %v", after, held, ok, wantHeld, want)
		}
	}
	f(0, 0, true)
	f(time.Millisecond, 0, false)
	f(999*time.Millisecond, 0, false)
	f(time.Second, 2, true)
	f(3*time.Second, 0, true)
}

func TestWarn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		var line Line
		log := slog.New(slog.NewTextHandler(&out, nil))
		for range 3 {
			line.Warn(log, "lost", "n", 1)
		}
		time.Sleep(time.Second)
		line.Warn(log, "lost", "n", 2)
		text := out.String()
		if strings.Count(text, "\n") != 2 || !strings.Contains(text, "msg=lost n=1 not_logged=0\n") ||
			!strings.HasSuffix(text, "msg=lost n=2 not_logged=2\n") {
			t.Errorf("logged:\n%s", text)
		}
	})
}
