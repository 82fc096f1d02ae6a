package leases

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gavel/internal/stream/memory"
)

// A second process under one name does not start while the first one lives, and says who that is.
func TestClaim(t *testing.T) {
	gone := exec.Command("true") // its id belongs to nobody any more
	if err := gone.Run(); err != nil {
		t.Fatal(err)
	}
	f := func(name, host string, pid int, living bool, want error, wait time.Duration) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			buckets, c := memory.New(nil), &clock{}
			c.now = time.Now()
			first := newBidder(t, buckets, c, "b", nil)
			first.m.host, first.m.pid = host, pid
			first.renew()
			stop := make(chan struct{})
			if living {
				go func() {
					for {
						select {
						case <-stop:
							return
						case <-time.After(time.Second):
							c.add(time.Second)
							_ = first.m.Renew(t.Context())
						}
					}
				}()
			}
			second := newBidder(t, buckets, c, "b", nil)
			began := time.Now()
			err := second.m.Claim(t.Context())
			if !errors.Is(err, want) || time.Since(began) != wait {
				t.Errorf("%s: %v after %v, want %v after %v", name, err, time.Since(began), want, wait)
			}
			if want != nil && !strings.Contains(err.Error(), `"b" is process 7 on elsewhere`) {
				t.Errorf("%s: %v does not say who", name, err)
			}
			close(stop)
			synctest.Wait()
		})
	}
	here, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	f("elsewhere, and lives", "elsewhere", 7, true, ErrHeld, 2500*time.Millisecond)
	f("elsewhere, and is silent", "elsewhere", 7, false, nil, 2500*time.Millisecond)
	f("here, and ended", here, gone.Process.Pid, false, nil, 0)
	f("here, under our own process id", here, os.Getpid(), false, nil, 0)
	f("here, and lives, but is silent", here, os.Getppid(), false, nil, 2500*time.Millisecond)
}

// Nothing is waited for where nobody was, or where the last one ended well.
func TestClaimOfFreeName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		buckets, c := memory.New(nil), newClock()
		for range 2 {
			b := newBidder(t, buckets, c, "b", nil)
			b.m.host = "elsewhere"
			began := time.Now()
			if err := b.m.Claim(t.Context()); err != nil || time.Since(began) != 0 {
				t.Errorf("%v after %v", err, time.Since(began))
			}
			b.renew()
			if err := b.m.Close(t.Context()); err != nil {
				t.Error(err)
			}
			c.add(time.Millisecond)
		}
	})
}
