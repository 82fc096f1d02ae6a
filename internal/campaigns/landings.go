package campaigns

import (
	"sync"

	"gavel/internal/auction"
)

// maxLandings bounds the landing pages that are kept. When it is exceeded, the pages of creatives that no longer serve are
// dropped.
const maxLandings = 1 << 20

// Landings knows the landing pages of the creatives of every set that has served. An ad may be clicked hours after its
// campaign was removed from the file, and its reader must still arrive. The zero value is empty. Safe for concurrent use.
type Landings struct {
	mu    sync.RWMutex // guards pages
	pages map[creativeKey]string
}

type creativeKey struct{ campaign, creative string }

// Learn adds the creatives of a set that begins to serve. A page that is known for a creative is replaced.
func (l *Landings) Learn(set *auction.CampaignSet) {
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

// Page is the landing page of a creative; false if none such has served since the process began.
func (l *Landings) Page(campaign, creative string) (string, bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	page, ok := l.pages[creativeKey{campaign, creative}]
	return page, ok
}
