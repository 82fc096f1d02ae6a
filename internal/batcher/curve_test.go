package batcher

import "testing"

func near(t *testing.T, what string, got, want float64) {
	t.Helper()
	if got < want*0.98 || got > want*1.02 {
		t.Errorf("%s is %v, want %v", what, got, want)
	}
}

// A curve that has observed a time linear in rows at some sizes predicts it at the sizes between.
func TestCurve(t *testing.T) {
	var c curve
	if mean, high := c.predict(5); mean != 0 || high != 0 || c.known() {
		t.Errorf("an empty curve predicts %v, %v", mean, high)
	}
	cost := func(rows int) int64 { return 40e3 + int64(rows)*3e3 }
	for range 100 {
		for _, n := range []int{1, 4, 16, 64, 128} {
			c.observe(n, cost(n))
		}
	}
	for _, n := range []int{1, 2, 7, 16, 33, 100, 128} {
		mean, high := c.predict(n)
		near(t, "the mean", mean, float64(cost(n)))
		near(t, "the high estimate of steady times", high, float64(cost(n)))
	}
	above, _ := c.predict(256)
	near(t, "the mean beyond the largest size, in proportion,", above, 2*float64(cost(128)))
}

// One outlier hardly changes the mean; a lasting change is learned.
func TestCurveOutlier(t *testing.T) {
	var c curve
	for range 100 {
		c.observe(1, 40e3)
	}
	c.observe(1, 10e6)
	if mean, _ := c.predict(1); mean > 45e3 {
		t.Errorf("the mean is %v after one outlier, want at most 45e3", mean)
	}
	for range 100 {
		c.observe(1, 400e3)
	}
	mean, _ := c.predict(1)
	near(t, "the mean after a lasting change", mean, 400e3)
}
