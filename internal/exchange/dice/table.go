package dice

import "sort"

// Table draws an index by weight.
type Table []float64 // cumulative

// NewTable returns a table of n indices, n above 0.
func NewTable(n int, weight func(i int) float64) Table {
	t := make(Table, n)
	sum := 0.0
	for i := range t {
		sum += weight(i)
		t[i] = sum
	}
	return t
}

// Pick draws an index.
func (t Table) Pick(k Key) int {
	return min(sort.SearchFloat64s(t, k.Uniform()*t[len(t)-1]), len(t)-1)
}
