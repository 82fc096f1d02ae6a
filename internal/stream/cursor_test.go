package stream_test

import (
	"math"
	"strings"
	"testing"

	"gavel/internal/stream"
)

func TestCursor(t *testing.T) {
	for _, seq := range []uint64{0, 1, 7, 1 << 40, math.MaxUint64} {
		c := stream.CursorAt(seq)
		got, err := stream.ParseCursor(c.String())
		if err != nil || got != c || got.Seq() != seq || got.IsZero() != (seq == 0) {
			t.Errorf("%d read back as %v, %v", seq, got, err)
		}
		if strings.ContainsAny(c.String(), ":, \n") {
			t.Errorf("text %q cannot stand in a list", c)
		}
	}
	for _, bad := range []string{"", "-1", "x", "7 ", "orders@7", "18446744073709551616", "1.5"} {
		if c, err := stream.ParseCursor(bad); err == nil || !strings.Contains(err.Error(), "decimal number") {
			t.Errorf("%q: %v, %v", bad, c, err)
		}
	}
	a := stream.CursorAt(3)
	if a.Compare(a.Next()) >= 0 || a.Next().Compare(a) <= 0 || a.Compare(stream.CursorAt(3)) != 0 || a.Next() != stream.CursorAt(4) {
		t.Error("cursors do not compare")
	}
	if (stream.Cursor{}).Next() != stream.CursorAt(1) {
		t.Error("the first message is not behind the zero cursor")
	}
}

func TestValidKey(t *testing.T) {
	for key, want := range map[string]bool{
		"2026-01-31.c2hvZXM": true, "bidder.YQ": true, "a/b=c_d": true,
		"": false, ".a": false, "a.": false, "a b": false, "é": false, "a*": false, "a>": false,
	} {
		if got := stream.ValidKey(key); got != want {
			t.Errorf("%q: %v, want %v", key, got, want)
		}
	}
}
