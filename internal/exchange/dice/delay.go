package dice

import (
	"fmt"
	"time"
)

// Delay is exponentially distributed, with bounds.
type Delay struct {
	Min  time.Duration `yaml:"min"`
	Mean time.Duration `yaml:"mean"` // before the bounds
	Max  time.Duration `yaml:"max"`
}

// Draw draws one.
func (d Delay) Draw(k Key) time.Duration {
	return min(max(time.Duration(k.Exp()*float64(d.Mean)), d.Min), d.Max)
}

// Fault says what is wrong with it; nil: nothing.
func (d Delay) Fault(name string) error {
	if d.Min >= 0 && d.Min <= d.Max && d.Mean >= 0 {
		return nil
	}
	return fmt.Errorf("%s: want 0 ≤ min ≤ max and mean ≥ 0, not %v, %v, %v", name, d.Min, d.Mean, d.Max)
}
