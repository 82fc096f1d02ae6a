package leases

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"gavel/internal/stream"
)

// ErrHeld means that a living process leases under the same name.
var ErrHeld = errors.New("leases: another process uses this bidder's name: give each bidder a name of its own, or stop that one")

// Claim makes sure that no living process leases under this bidder's name, before this one does: call it before the first
// Renew. If one does, the error is ErrHeld, and says which. A process of this machine that has ended is not waited for. For
// any other process whose heartbeat has not expired, Claim waits two and a half times Every, in which a living one renews it.
func (m *Manager) Claim(ctx context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.open(ctx); err != nil {
		return err
	}
	first, err := m.heartbeat(ctx)
	if err != nil || first.Run == "" || !m.o.Now().Before(time.UnixMilli(first.Expires)) || first.Host == m.host && ended(first.PID) {
		return err
	}
	m.log.Info("another process may use this bidder's name: waiting for its next heartbeat", "bidder", m.o.Bidder, "host", first.Host, "pid", first.PID)
	wait := time.NewTimer(2*m.o.Every + m.o.Every/2)
	defer wait.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-wait.C:
	}
	second, err := m.heartbeat(ctx)
	if err != nil {
		return err
	}
	if second != first && m.o.Now().Before(time.UnixMilli(second.Expires)) {
		return fmt.Errorf("%w (%q is process %d on %s)", ErrHeld, m.o.Bidder, second.PID, second.Host)
	}
	return nil
}

// heartbeat reads the heartbeat of our name; its Run is "" if there is none.
func (m *Manager) heartbeat(ctx context.Context) (h heartbeat, err error) {
	value, _, err := m.bucket.Get(ctx, heartbeatKey(m.o.Bidder))
	switch {
	case errors.Is(err, stream.ErrNotFound):
		return h, nil
	case err != nil:
		return h, fmt.Errorf("leases: cannot read the heartbeat of %q: %w", m.o.Bidder, err)
	}
	if err := json.Unmarshal(value, &h); err != nil {
		return h, fmt.Errorf("leases: heartbeat of %q damaged: %w", m.o.Bidder, err)
	}
	return h, nil
}

// ended reports whether a process of this machine has ended. One with our own id has: in a container, each run may have it.
func ended(pid int) bool {
	return pid > 0 && (pid == os.Getpid() || errors.Is(syscall.Kill(pid, 0), syscall.ESRCH))
}
