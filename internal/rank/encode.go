package rank

import (
	"strconv"

	"gavel/internal/rank/explore"
	"gavel/internal/rank/score"
)

// encode writes the answer into w.out:
//
//	{"ranking": [{"campaign": "…", "probability": 0.0012, "value": 0.03, "version": 1790000000000, "prior": 1780000000000}, …],
//	 "candidates": 5000, "unscored": 0, "partial": "deadline", "inactive": 2, "policy": "thompson", "propensity": 0.21}
//
// partial is there if not all could be scored, inactive if campaigns were named that are not active, and policy and
// propensity if the first campaign was chosen by a policy.
func (w *work) encode(p *plan, partial score.Partial, choice explore.Choice) {
	out := append(w.out[:0], `{"ranking":[`...)
	for i, e := range w.best {
		if i > 0 {
			out = append(out, ',')
		}
		place := w.candidates.place(e.position)
		sale := probability(w.logits[e.position])
		c := w.scorer(p, e.position)
		out = appendText(append(out, `{"campaign":`...), p.set.IDs[place])
		out = appendFloat(append(out, `,"probability":`...), sale)
		out = appendFloat(append(out, `,"value":`...), sale*p.set.Values[place])
		out = strconv.AppendUint(append(out, `,"version":`...), c.Version, 10)
		out = append(strconv.AppendUint(append(out, `,"prior":`...), c.Prior, 10), '}')
	}
	out = strconv.AppendInt(append(out, `],"candidates":`...), int64(w.candidates.len()), 10)
	out = strconv.AppendInt(append(out, `,"unscored":`...), int64(w.unscored), 10)
	if partial != "" {
		out = append(append(append(out, `,"partial":"`...), partial...), '"')
	}
	if w.candidates.inactive > 0 {
		out = strconv.AppendInt(append(out, `,"inactive":`...), int64(w.candidates.inactive), 10)
	}
	if choice.Policy != "" && choice.Policy != explore.Best {
		out = append(append(append(out, `,"policy":"`...), choice.Policy...), '"')
		out = appendFloat(append(out, `,"propensity":`...), choice.Propensity)
	}
	w.out = append(out, '}')
}

func appendFloat(b []byte, v float64) []byte { return strconv.AppendFloat(b, v, 'g', -1, 64) }

// appendText appends a JSON string. s has no control characters.
func appendText(b []byte, s string) []byte {
	b = append(b, '"')
	for i := range len(s) {
		if s[i] == '"' || s[i] == '\\' {
			b = append(b, '\\')
		}
		b = append(b, s[i])
	}
	return append(b, '"')
}
