package plan

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"gavel/internal/engine"
)

// node is a node of a plan while it is checked. Its methods read settings and objects, and report what is wrong with them.
// After a fault they return something harmless, so that check goes on and finds the others.
type node struct {
	index  int // in the plan's nodes
	number int // of its value
	op, at string
	reads  []int          // the values that it reads
	set    map[string]any // nil, bool, int64, float64, string, []any of these
	obj    map[string]string

	in       []kind             // kinds of the values that it reads
	out      kind               // of its own, once it is checked
	made     *linear            // what a rewrite made of the node: it is built, without a check
	lists    *listed            // the coefficients of a linear, if it lists them
	objects  map[string]*Object // by name; those that could be opened
	asked    map[string]bool    // settings, and objects with a leading "obj "
	contents []func() error
	faults   []error
}

// fault reports what is wrong with the node.
func (n *node) fault(format string, args ...any) {
	n.faults = append(n.faults, fmt.Errorf("plan: %v: "+format, append([]any{n}, args...)...))
}

// String is how messages name the node: `node 7 select (steps[1] columns: ColumnTransformer)`.
func (n *node) String() string { return fmt.Sprintf("node %d %s (%s)", n.index, n.op, n.at) }

// dense reports a fault unless each value that the node reads is dense and of one of the types, float64 if none is given.
func (n *node) dense(types ...engine.Type) {
	if len(types) == 0 {
		types = []engine.Type{engine.Float64}
	}
	for i, k := range n.in {
		if k.sparse || !slices.Contains(types, k.of) {
			n.fault("input %d is %v, it takes dense %v", i, k, types)
		}
	}
}

// numbers reports a fault unless each value that the node reads is float64, dense or sparse.
func (n *node) numbers() {
	for i, k := range n.in {
		if k.of != engine.Float64 {
			n.fault("input %d is %v, it takes float64", i, k)
		}
	}
}

// column reports a fault unless the node's only input has one column.
func (n *node) column() {
	if n.in[0].width != 1 {
		n.fault("input 0 is %v, it takes one column", n.in[0])
	}
}

// has says whether the setting is there. It does not count as asking for it.
func (n *node) has(name string) bool { _, ok := n.set[name]; return ok }

// setting asks for a setting, which must be there.
func (n *node) setting(name string) (value any, ok bool) {
	n.asked[name] = true
	if value, ok = n.set[name]; !ok {
		n.fault("setting %q is missing", name)
	}
	return value, ok
}

// null says whether the setting is there and null. Then it has been asked for.
func (n *node) null(name string) bool {
	value, ok := n.set[name]
	if ok && value == nil {
		n.asked[name] = true
		return true
	}
	return false
}

// integer is a setting in [low, high]; low after a fault.
func (n *node) integer(name string, low, high int) int {
	value, ok := n.setting(name)
	if !ok {
		return low
	}
	i, ok := value.(int64)
	if !ok || i < int64(low) || i > int64(high) {
		n.fault("setting %q is %v, must be an integer in [%d, %d]", name, show(value), low, high)
		return low
	}
	return int(i)
}

// float is a setting that is a float or an integer; it may be NaN or infinite.
func (n *node) float(name string) float64 {
	value, ok := n.setting(name)
	if !ok {
		return 0
	}
	f, ok := asFloat(value)
	if !ok {
		n.fault("setting %q is %v, must be a number", name, show(value))
	}
	return f
}

// flag is a setting that is true or false; false if it is not there.
func (n *node) flag(name string) bool {
	if n.asked[name] = true; !n.has(name) {
		return false
	}
	value, ok := n.set[name].(bool)
	if !ok {
		n.fault("setting %q is %v, must be true or false", name, show(n.set[name]))
	}
	return value
}

// word is a setting that is one of the texts; the first after a fault.
func (n *node) word(name string, words ...string) string {
	value, ok := n.setting(name)
	if !ok {
		return words[0]
	}
	s, ok := value.(string)
	if !ok || !slices.Contains(words, s) {
		n.fault("setting %q is %v, must be one of %q", name, show(value), words)
		return words[0]
	}
	return s
}

// text is a setting that is a text; empty after a fault.
func (n *node) text(name string) string {
	value, ok := n.setting(name)
	if !ok {
		return ""
	}
	s, ok := value.(string)
	if !ok {
		n.fault("setting %q is %v, must be a text", name, show(value))
	}
	return s
}

// integers is a setting that is a list of integers in [low, high], count of them unless that is negative.
func (n *node) integers(name string, count, low, high int) []int {
	value, ok := n.setting(name)
	if !ok {
		return nil
	}
	list, ok := value.([]any)
	if !ok || count >= 0 && len(list) != count {
		n.fault("setting %q is %v, must be a list of %s integers", name, show(value), some(count))
		return nil
	}
	values := make([]int, len(list))
	for j, v := range list {
		i, ok := v.(int64)
		if !ok || i < int64(low) || i > int64(high) {
			n.fault("setting %q holds %v at %d, must be integers in [%d, %d]", name, show(v), j, low, high)
			return nil
		}
		values[j] = int(i)
	}
	return values
}

// object is a parameter with the type and dimensions; a dimension of -1 is any. Of an object that is not as it should be, there
// is no content, and dimensions that were any are 0.
func (n *node) object(name string, of ObjectType, dims ...int) *Object {
	n.asked["obj "+name] = true
	nothing := &Object{of: of, dims: make([]int, len(dims))}
	for i, d := range dims {
		nothing.dims[i] = max(d, 0)
	}
	if _, ok := n.obj[name]; !ok {
		n.fault("object %q is missing", name)
		return nothing
	}
	o, ok := n.objects[name]
	if !ok { // it could not be opened, which is a fault already
		return nothing
	}
	fits := o.of == of && len(o.dims) == len(dims)
	for i := range dims {
		fits = fits && (dims[i] < 0 || o.dims[i] == dims[i])
	}
	if !fits {
		n.fault("object %q is %v, must be %v", name, o, &Object{of: of, dims: dims})
		return nothing
	}
	return o
}

// hasObject says whether there is a parameter of that name. It does not count as asking for it.
func (n *node) hasObject(name string) bool { _, ok := n.obj[name]; return ok }

// content has the values of an object checked, before C may read them. check is called once for each role of an object, and not
// again when another node or version uses the object in the same role; so the role must name all else that check depends on, as
// "column below 12". It is called only if the node has no other fault.
func (n *node) content(o *Object, role string, check func() error) {
	n.contents = append(n.contents, func() error { return o.once(role, check) })
}

// finish reports settings and objects that nobody asked for, then faults in objects' contents, and joins all.
func (n *node) finish() error {
	for _, name := range slices.Sorted(maps.Keys(n.set)) {
		if !n.asked[name] {
			n.fault("setting %q is unknown", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(n.obj)) {
		if !n.asked["obj "+name] {
			n.fault("object %q is unknown", name)
		}
	}
	if len(n.faults) == 0 {
		for _, check := range n.contents {
			if err := check(); err != nil {
				n.fault("%v", err)
			}
		}
	}
	return errors.Join(n.faults...)
}

// asFloat is a number of a setting.
func asFloat(value any) (float64, bool) {
	switch v := value.(type) {
	case float64:
		return v, true
	case int64:
		return float64(v), v >= -1<<53 && v <= 1<<53
	default:
		return math.NaN(), false
	}
}

// show writes a setting into a message, shortened.
func show(value any) string {
	text := fmt.Sprintf("%v", value)
	if s, ok := value.(string); ok {
		text = fmt.Sprintf("%q", s)
	}
	if len(text) > 60 {
		text = strings.ToValidUTF8(text[:60], "") + "…"
	}
	return text
}

// some is a count for a message.
func some(count int) string {
	if count < 0 {
		return "any number of"
	}
	return fmt.Sprint(count)
}
