package tally

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"gavel/internal/files"
	"gavel/internal/stream"
)

const (
	layout   = 1
	maxBytes = 256 << 20
)

// kept is the file.
type kept struct {
	Layout    int              `json:"layout"`
	Position  string           `json:"position"`
	Last      time.Time        `json:"last"`
	Newest    int64            `json:"newest_day"`
	Campaigns map[string]*days `json:"campaigns"`
}

// load reads the file. If it returns an error, nothing is counted yet.
func (t *Tally) load() error {
	info, err := os.Stat(t.o.File)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("tally: cannot read the counts: %w", err)
	}
	if info.Size() > maxBytes {
		return fmt.Errorf("tally: cannot read the counts: %s has %d bytes, more than %d", t.o.File, info.Size(), maxBytes)
	}
	data, err := os.ReadFile(t.o.File)
	if err != nil {
		return fmt.Errorf("tally: cannot read the counts: %w", err)
	}
	var k kept
	if err := json.Unmarshal(data, &k); err != nil {
		return fmt.Errorf("tally: %s is damaged: %w", t.o.File, err)
	}
	position, err := stream.ParseCursor(k.Position)
	if err != nil || k.Layout != layout || len(k.Campaigns) > MaxCampaigns {
		return fmt.Errorf("tally: %s is damaged, or of another release: layout %d, position %q", t.o.File, k.Layout, k.Position)
	}
	for id, c := range k.Campaigns {
		if c == nil {
			return fmt.Errorf("tally: %s is damaged: campaign %q has no counts", t.o.File, id)
		}
	}
	if k.Campaigns != nil {
		t.campaigns = k.Campaigns
	}
	t.position, t.last, t.newest = position, k.Last, k.Newest
	return nil
}

// save puts the file in place whole. If that fails, it is tried again at the next save.
func (t *Tally) save() {
	t.mu.Lock()
	if !t.dirty {
		t.mu.Unlock()
		return
	}
	data, err := json.Marshal(kept{layout, t.position.String(), t.last, t.newest, t.campaigns})
	t.dirty = false
	t.mu.Unlock()
	if err == nil {
		aside := t.o.File + ".aside"
		if err = os.WriteFile(aside, data, 0o600); err == nil {
			err = files.Put(aside, t.o.File)
		}
	}
	if err != nil {
		t.o.Log.Warn("the page's counts cannot be kept; after a restart they are read from the stream again", "file", t.o.File, "error", err)
		t.mu.Lock()
		t.dirty = true
		t.mu.Unlock()
	}
}
