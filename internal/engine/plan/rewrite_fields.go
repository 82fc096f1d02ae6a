package plan

import "slices"

// fieldRules come after the rules that find equal nodes, since they change what a node gives.
var fieldRules = []rule{{"read fewer fields", readFewerFields}, {"drop a select of all", dropSelectOfAll}}

// readFewerFields: csv gives only the fields that selections of it need. The quotes and the number of all fields are checked as before, so
// the same rows are refused.
func readFewerFields(r *rewriter, v *vertex) bool {
	if !v.is("csv") {
		return false
	}
	readers := r.readersOf(v)
	needed := make([]bool, v.out.width)
	for _, reader := range readers {
		if !reader.is("select") {
			return false
		}
		for _, c := range reader.columns() {
			needed[c] = true
		}
	}
	if !slices.Contains(needed, false) || !slices.Contains(needed, true) {
		return false
	}
	fields := v.columns()
	var kept []int
	place := make([]int, len(needed)) // of each field among those that are kept
	for c, need := range needed {
		if need {
			place[c] = len(kept)
			kept = append(kept, fields[c])
		}
	}
	n := *v.node
	n.set = map[string]any{"columns": columnsSet(kept)["columns"]}
	for name, value := range v.node.set {
		if name != "columns" {
			n.set[name] = value
		}
	}
	v.node, v.out.width = &n, len(kept)
	n.out = v.out
	for _, reader := range readers {
		columns := reader.columns()
		for i, c := range columns {
			columns[i] = place[c]
		}
		of := *reader.node
		of.set = columnsSet(columns)
		reader.node = &of
	}
	return true
}
