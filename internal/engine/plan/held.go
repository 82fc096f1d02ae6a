package plan

// held are the objects that one version holds. They stay mapped until release.
type held struct {
	from    *Objects
	user    string // "ctr version 3"
	objects map[string]*Object
}

func (s *Objects) hold(user string) *held {
	return &held{from: s, user: user, objects: map[string]*Object{}}
}

// get opens an object, or returns it where it is held already.
func (h *held) get(sum string) (*Object, error) {
	if o, ok := h.objects[sum]; ok {
		return o, nil
	}
	o, err := h.from.acquire(sum, h.user)
	if err == nil {
		h.objects[sum] = o
	}
	return o, err
}

// keep releases what is not in sums.
func (h *held) keep(sums map[string]bool) {
	for sum := range h.objects {
		if !sums[sum] {
			h.from.release(sum, h.user)
			delete(h.objects, sum)
		}
	}
}

func (h *held) release() { h.keep(nil) }
