package tally

import "github.com/prometheus/client_golang/prometheus"

// Collector exports the counts of all campaigns in sum, of the last Days days.
func (t *Tally) Collector() prometheus.Collector { return collector{t} }

type collector struct{ t *Tally }

var (
	clicksDesc    = prometheus.NewDesc("gavel_rank_recent_clicks", "Clicks of the last three days, UTC, of all rankers of the stream.", nil, nil)
	scoredDesc    = prometheus.NewDesc("gavel_rank_recent_scored_clicks", "Of the recent clicks, those with a predicted probability.", nil, nil)
	predictedDesc = prometheus.NewDesc("gavel_rank_recent_predicted_sales", "Sum of the probabilities that were predicted for the recent clicks.", nil, nil)
	soldDesc      = prometheus.NewDesc("gavel_rank_recent_sold_clicks", "Clicks with a sale that was reported in the last three days.", nil, nil)
	readDesc      = prometheus.NewDesc("gavel_rank_recent_read_seconds", "When the stream stored the last message that is counted, Unix time; 0: none was.", nil, nil)
)

// Describe implements prometheus.Collector.
func (c collector) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{clicksDesc, scoredDesc, predictedDesc, soldDesc, readDesc} {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (c collector) Collect(to chan<- prometheus.Metric) {
	s := c.t.Snapshot(Days)
	var sum Counts
	for _, one := range s.Campaigns {
		sum.Add(one)
	}
	read := 0.0
	if !s.Last.IsZero() {
		read = float64(s.Last.UnixMilli()) / 1000
	}
	for _, m := range []struct {
		desc  *prometheus.Desc
		value float64
	}{
		{clicksDesc, float64(sum.Clicks)}, {scoredDesc, float64(sum.Scored)}, {predictedDesc, sum.Predicted}, {soldDesc, float64(sum.Sold)}, {readDesc, read},
	} {
		to <- prometheus.MustNewConstMetric(m.desc, prometheus.GaugeValue, m.value)
	}
}
