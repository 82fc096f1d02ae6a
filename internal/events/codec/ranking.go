package codec

import (
	"math"

	"gavel/internal/events"
	"gavel/internal/packed"
)

func appendRanking(b []byte, k *events.Ranking) []byte {
	b = packed.AppendList(b, 7)
	b = packed.AppendText(b, k.Policy)
	b = packed.AppendFloat64(b, k.Propensity)
	b = packed.AppendFloat64(b, k.Probability)
	b = packed.AppendInt(b, int64(min(k.Version, math.MaxInt64)))
	b = packed.AppendInt(b, int64(min(k.Prior, math.MaxInt64)))
	b = packed.AppendTexts(b, k.Fields)
	return packed.AppendTexts(b, k.Values)
}

// readRanking reads the body of a ranking. A body whose fields and values differ in number, or with a propensity that is no
// probability above 0, is a fault: an example made of it would be wrong.
func readRanking(r *reader) *events.Ranking {
	k := &events.Ranking{}
	outer, ok := r.open()
	k.Policy = r.str()
	k.Propensity = r.float64()
	k.Probability = r.float64()
	k.Version = uint64(r.int())
	k.Prior = uint64(r.int())
	k.Fields = r.strs()
	k.Values = r.strs()
	r.close(outer)
	switch {
	case !ok:
		r.fail("a ranking without its body")
	case len(k.Fields) != len(k.Values):
		r.fail("a ranking of %d fields with %d values", len(k.Fields), len(k.Values))
	case !(k.Propensity > 0 && k.Propensity <= 1):
		r.fail("a ranking with the propensity %v", k.Propensity)
	case !(k.Probability >= 0 && k.Probability <= 1):
		r.fail("a ranking with the probability %v", k.Probability)
	}
	return k
}
