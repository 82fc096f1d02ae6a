package main

import (
	"sync"

	"gavel/internal/auction"
)

// maxLandings bounds the pages that are kept of creatives which no longer serve.
const maxLandings = 1 << 20

// landings knows where the creatives of every set that served lead: an ad may be clicked hours after its campaign was
// edited out of the file, and its reader must arrive. The zero value is empty. Safe for concurrent use.
type landings struct {
	mu    sync.RWMutex // guards pages
	pages map[creativeKey]string
}

type creativeKey struct{ campaign, creative string }

// learn adds the creatives of a set that begins to serve; the newest page of a creative counts.
func (l *landings) learn(set *auction.CampaignSet) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.pages == nil || len(l.pages) > maxLandings {
		l.pages = make(map[creativeKey]string)
	}
	for _, c := range set.All() {
		for i := range c.Creatives {
			l.pages[creativeKey{c.ID, c.Creatives[i].ID}] = c.Creatives[i].ClickURL
		}
	}
}

// page is where a creative leads; false if none such served since the process began.
func (l *landings) page(campaign, creative string) (string, bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	page, ok := l.pages[creativeKey{campaign, creative}]
	return page, ok
}
