package rank

import (
	"fmt"
	"math"
	"strconv"

	"gavel/internal/rank/profile"
)

// order says by what campaigns are sorted.
type order string

const (
	byProbability order = "probability" // of a sale
	byValue       order = "value"       // probability × value of a sale
)

// Orders are the values of by.
var Orders = []string{string(byProbability), string(byValue)}

// request is a ranking that is asked for. Its texts point into the body or the scanner.
type request struct {
	source profile.Source
	named  bool     // the request names campaigns:
	names  []string // these; else all are meant
	by     string   // empty: the default
	limit  int      // 0: the default
}

// decode reads a request:
//
//	{"profile": {"user_agent": "…", "country": "DE", …}, "campaigns": ["…"], "by": "value", "limit": 10}
//
// Unknown and repeated keys are errors, which name the key. The body is bounded by the server.
func (w *work) decode(body []byte) error {
	r, q := &w.scanner, &w.request
	r.begin(body)
	q.named, q.names, q.by, q.limit = false, q.names[:0], "", 0
	seen := [4]bool{}
	once := func(i int, key string) error {
		if seen[i] {
			return fmt.Errorf("the body has the key %q twice", key)
		}
		seen[i] = true
		return nil
	}
	err := r.object("an object with the key profile", func(key string) (err error) {
		switch key {
		case "profile":
			if err := once(0, key); err != nil {
				return err
			}
			return w.decodeProfile()
		case "campaigns":
			if err := once(1, key); err != nil {
				return err
			}
			q.named = true
			return r.list("a list of campaign ids", func() error {
				name, err := r.text("a campaign's id")
				q.names = append(q.names, name)
				return err
			})
		case "by":
			if err := once(2, key); err != nil {
				return err
			}
			q.by, err = r.text(`"probability" or "value"`)
			return err
		case "limit":
			if err := once(3, key); err != nil {
				return err
			}
			text, err := r.number("a whole number")
			if err != nil {
				return err
			}
			if q.limit, err = strconv.Atoi(text); err != nil || q.limit < 1 {
				q.limit = math.MaxInt // refused by check, which knows the bound
			}
			return nil
		}
		return fmt.Errorf("the body has the key %q; the keys are profile, campaigns, by, limit", shown(key))
	})
	if err == nil {
		err = r.end()
	}
	if err == nil && !seen[0] {
		err = fmt.Errorf("the body lacks the key profile")
	}
	return err
}

// decodeProfile reads the user's profile. Values are texts or numbers; null says nothing.
func (w *work) decodeProfile() error {
	r := &w.scanner
	var seen uint64 // a bit for each name
	return r.object("the user's profile, an object", func(key string) error {
		var text string
		var err error
		switch c := r.next(); {
		case c == '"':
			text, err = r.text("a text")
		case c == '-' || c >= '0' && c <= '9':
			text, err = r.number("a number")
		case r.word("null"):
		default:
			err = r.unexpected("a text, a number or null")
		}
		if err != nil {
			return fmt.Errorf("profile.%s: %w", shown(key), err)
		}
		place, ok := w.server.options.Profiles.Set(&w.request.source, key, text)
		if !ok {
			return fmt.Errorf("profile.%s: is no field of a profile; the fields are %v, and user_agent, zone, time", shown(key),
				w.server.options.Profiles.Fields())
		}
		if seen&(1<<place) != 0 {
			return fmt.Errorf("profile.%s: is there twice", shown(key))
		}
		seen |= 1 << place
		return nil
	})
}
