package features

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"

	"github.com/cespare/xxhash/v2"
)

// The encoders a feature can have.
const (
	HashEncoder       = "hash"       // maps the text's hash to one of Buckets indices
	VocabularyEncoder = "vocabulary" // maps the text to its position in Values, any other text to one more index
)

// CrossTransform joins the values of the features in Of; it has no source.
const CrossTransform = "cross"

// Bounds of a spec.
const (
	MaxFeatures  = 4096
	MaxSlots     = 256
	MaxParts     = 16            // of a cross
	MaxTableRows = math.MaxInt32 // indices are int32
)

// Feature is one feature of a spec, as a recipe declares it.
type Feature struct {
	Name      string   `yaml:"name"`                // [a-z][a-z0-9_]{0,62}
	Source    string   `yaml:"source,omitempty"`    // see Sources; "" for a cross
	Transform string   `yaml:"transform,omitempty"` // see Transforms; "" leaves the value as it is
	Of        []string `yaml:"of,omitempty"`        // cross: two or more features above
	Slots     int      `yaml:"slots,omitempty"`     // how many values it may have; 0 means 1
	Encoder   string   `yaml:"encoder"`             // HashEncoder or VocabularyEncoder
	Buckets   int      `yaml:"buckets,omitempty"`   // hash
	Values    Values   `yaml:"values,omitempty"`    // vocabulary: texts after the transform, in the order of their indices
}

// Values are a vocabulary. In YAML each must be a string: Go and Python both refuse a bare 1 or true.
type Values []string

// UnmarshalYAML decodes a list of texts.
func (v *Values) UnmarshalYAML(decode func(any) error) error {
	var raw []any
	if err := decode(&raw); err != nil {
		return err
	}
	*v = make(Values, 0, len(raw))
	for _, item := range raw {
		text, ok := item.(string)
		if !ok {
			return fmt.Errorf("values: %v is not a text; put it in quotes", item)
		}
		*v = append(*v, text)
	}
	return nil
}

// Column says which indices one position of a row may hold apart from 0: [Low, High).
type Column struct {
	Feature   string
	Low, High int32
}

var namePattern = regexp.MustCompile(`^[a-z][a-z0-9_]{0,62}$`)

// feature is a compiled Feature.
type feature struct {
	name   string
	scope  scope
	src    source
	tr     *transform // nil: none
	of     []int      // cross: indices of the parts
	first  int        // position of its first slot in a row
	slots  int
	hashed bool // the value's hash is needed, by the encoder, by a cross, or to drop repeated values

	seed    uint64
	offset  int32
	buckets uint64 // hash; 0: vocabulary
	vocab   map[string]int32
	other   int32
}

// NewEncoder compiles a spec. The error joins every fault, each naming the feature and the remedy.
func NewEncoder(spec []Feature) (*Encoder, error) {
	c := compiler{byName: make(map[string]int, len(spec)), next: 1}
	if len(spec) == 0 {
		c.faults = append(c.faults, errors.New("features: there are none; declare at least one"))
	}
	if len(spec) > MaxFeatures {
		return nil, fmt.Errorf("features: %d exceed the bound of %d", len(spec), MaxFeatures)
	}
	for i := range spec {
		c.add(i, &spec[i])
	}
	if c.next > MaxTableRows {
		c.faults = append(c.faults, fmt.Errorf("features: %d indices do not fit int32; use fewer buckets", c.next))
	}
	if err := errors.Join(c.faults...); err != nil {
		return nil, err
	}
	return newEncoder(c.features, c.rowLen, int(c.next)), nil
}

type compiler struct {
	features []feature
	byName   map[string]int
	rowLen   int
	next     int64
	faults   []error
}

func (c *compiler) add(i int, spec *Feature) {
	fault := func(key, format string, args ...any) {
		place := fmt.Sprintf("features[%d]", i)
		if spec.Name != "" {
			place += fmt.Sprintf(" %q", spec.Name)
		}
		c.faults = append(c.faults, fmt.Errorf("%s: %s: %s", place, key, fmt.Sprintf(format, args...)))
	}
	f := feature{name: spec.Name, first: c.rowLen, slots: max(spec.Slots, 1), seed: xxhash.Sum64String(spec.Name)}
	if !namePattern.MatchString(spec.Name) {
		fault("name", "want a letter, then letters, digits and _, all lower case, 63 at most")
	}
	if _, twice := c.byName[spec.Name]; twice {
		fault("name", "is used twice; rename one")
	}
	if spec.Slots < 0 || spec.Slots > MaxSlots {
		fault("slots", "%d is not in 1 … %d", spec.Slots, MaxSlots)
		f.slots = 1
	}
	if spec.Transform == CrossTransform {
		c.cross(&f, spec, fault)
	} else {
		c.source(&f, spec, fault)
	}
	size := c.encoder(&f, spec, fault)
	f.offset = int32(min(c.next, MaxTableRows))
	f.other = f.offset + int32(max(len(spec.Values), 0))
	f.hashed = f.buckets > 0 || f.slots > 1
	c.next += size
	c.rowLen += f.slots
	c.features = append(c.features, f)
	c.byName[spec.Name] = i
}

func (c *compiler) cross(f *feature, spec *Feature, fault func(key, format string, args ...any)) {
	if spec.Source != "" {
		fault("source", "a cross takes its values from the features in `of`; remove the key")
	}
	if spec.Encoder == VocabularyEncoder {
		fault("encoder", "a cross has no text to look up; use hash")
	}
	if len(spec.Of) < 2 {
		fault("of", "a cross names two or more features above, such as [campaign, domain]")
	}
	if len(spec.Of) > MaxParts {
		fault("of", "%d features exceed the bound of %d", len(spec.Of), MaxParts)
	}
	for _, name := range spec.Of {
		part, ok := c.byName[name]
		if !ok {
			above := make([]string, 0, len(c.byName))
			for n := range c.byName {
				above = append(above, n)
			}
			fault("of", "%q is not a feature above this one%s", name, didYouMean(name, above))
			continue
		}
		f.of = append(f.of, part)
		f.scope = max(f.scope, c.features[part].scope)
		c.features[part].hashed = true
	}
}

func (c *compiler) source(f *feature, spec *Feature, fault func(key, format string, args ...any)) {
	if len(spec.Of) > 0 {
		fault("of", "only a cross has it; add `transform: cross` or remove the key")
	}
	src, ok := lookupSource(spec.Source)
	if !ok {
		switch {
		case spec.Source == "":
			fault("source", "is missing; every feature but a cross needs one, such as device.os")
		case strings.HasPrefix(spec.Source, segmentPrefix):
			fault("source", "%s needs the name of the user data instead of <data>, such as user.segment.interest", segmentPrefix+"<data>")
		default:
			fault("source", "%q is unknown%s; `trainer features` lists them", spec.Source, didYouMean(spec.Source, sourceNames()))
		}
		return
	}
	f.src, f.scope = src, src.scope
	if f.slots > 1 && src.list == nil {
		fault("slots", "%s has one value; remove the key", spec.Source)
	}
	if spec.Transform == "" {
		if src.name == "request.time" {
			fault("transform", "request.time is never the same twice; add hour_of_week or hour_of_day")
		}
		return
	}
	tr := lookupTransform(spec.Transform)
	if tr == nil {
		fault("transform", "%q is unknown%s; `trainer features` lists them", spec.Transform,
			didYouMean(spec.Transform, append(transformNames(), CrossTransform)))
		return
	}
	f.tr = tr
	if tr.local != "" {
		if src.name != "request.time" {
			fault("transform", "%s takes request.time, not %s", tr.name, spec.Source)
		}
		f.src, _ = lookupSource(tr.local)
	} else if src.number != nil && tr.number == nil {
		fault("transform", "%s takes text, and %s is a number; remove the key", tr.name, spec.Source)
	}
}

// encoder checks and sets the encoder, and returns how many indices it has.
func (c *compiler) encoder(f *feature, spec *Feature, fault func(key, format string, args ...any)) int64 {
	switch spec.Encoder {
	case HashEncoder:
		if len(spec.Values) > 0 {
			fault("values", "a hash encoder has none; remove the key or use a vocabulary")
		}
		if spec.Buckets < 1 || spec.Buckets >= MaxTableRows {
			fault("buckets", "%d is not in 1 … %d", spec.Buckets, MaxTableRows-1)
			return 1
		}
		f.buckets = uint64(spec.Buckets)
		return int64(spec.Buckets)
	case VocabularyEncoder:
		if spec.Buckets != 0 {
			fault("buckets", "a vocabulary has none; remove the key or use hash")
		}
		if len(spec.Values) == 0 {
			fault("values", "a vocabulary needs some, such as [US, CA]")
		}
		f.vocab = make(map[string]int32, len(spec.Values))
		for i, value := range spec.Values {
			if _, twice := f.vocab[value]; twice {
				fault("values", "%q is in the list twice; keep one", value)
			}
			if value == "" {
				fault("values", "the empty text means a missing value; remove it")
			}
			if normal, changes := normalForm(f.tr, value); changes {
				fault("values", "%q cannot occur, because %s changes it to %q; write that", value, f.tr.name, normal)
			}
			f.vocab[value] = int32(c.next) + int32(i)
		}
		return int64(len(spec.Values)) + 1
	default:
		fault("encoder", "%q is unknown; use hash or vocabulary", spec.Encoder)
		return 1
	}
}

// normalForm returns the value after the transform, and whether the transform changes it.
func normalForm(tr *transform, value string) (string, bool) {
	if tr == nil || !tr.idempotent {
		return value, false
	}
	var buf []byte
	normal, _ := tr.text(value, &buf)
	return strings.Clone(normal), normal != value
}

// didYouMean returns ", did you mean …?" with the name nearest to the one given, or "" if none is near.
func didYouMean(name string, names []string) string {
	best, distance := "", len(name)/2+1
	slices.Sort(names)
	for _, n := range names {
		if d := editDistance(name, n); d < distance {
			best, distance = n, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(", did you mean %s?", best)
}

func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}
