package operator

import (
	"testing"
	"time"
)

func TestAgeText(t *testing.T) {
	f := func(age time.Duration, want string) {
		t.Helper()
		if got := ageText(age); got != want {
			t.Errorf("%v: %q, want %q", age, got, want)
		}
	}
	f(119*time.Second, "119s")
	f(2*time.Minute, "2m")
	f(2*time.Hour, "2h")
	f(48*time.Hour, "2d")
}

func TestBytesText(t *testing.T) {
	f := func(n int64, want string) {
		t.Helper()
		if got := bytesText(n); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
	f(512, "0.5 KiB")
	f(3<<19, "1.5 MiB")
	f(5<<29, "2.5 GiB")
}
