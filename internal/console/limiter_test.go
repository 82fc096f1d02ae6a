package console

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gavel/internal/limit"
)

func TestScrapeLimiter(t *testing.T) {
	limiter, err := limit.New(limit.Options{Most: 64, Processors: 2, Target: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	metrics := prometheus.NewRegistry()
	metrics.MustRegister(NewLimiter(limiter))
	expect(t, scrape(t, metrics), map[string]string{
		"gavel_openrtb_auctions_limit":    "64",
		"gavel_openrtb_auctions_capacity": "64",
	})
}
