package scoring

import "gavel/internal/models"

// VersionStatus says whether one version of a model is loading, serving or refused.
type VersionStatus struct {
	Version int64
	State   State
	Error   string // why the version was refused; "" in other states
}

// State is the state of a version, by TensorFlow Serving's names.
type State string

// The states that versions can have.
const (
	StateStart     State = "START" // it is loaded when it is asked for
	StateLoading   State = "LOADING"
	StateAvailable State = "AVAILABLE"
	StateEnd       State = "END" // refused
)

// Versions returns the versions that serve, load or were refused, each once.
func (m *Model) Versions() []VersionStatus { return versionsOf(m.manager.Status()) }

func versionsOf(st models.Status) (all []VersionStatus) {
	known := map[int64]bool{0: true} // 0 in a pointer means no version
	add := func(number int64, state State, why string) {
		if !known[number] {
			known[number] = true
			all = append(all, VersionStatus{Version: number, State: state, Error: why})
		}
	}
	for _, v := range []*models.VersionStatus{st.Stable, st.Canary} {
		if v != nil {
			add(v.Version, StateAvailable, "")
		}
	}
	for _, r := range st.Refused {
		add(r.Version, StateEnd, r.Error)
	}
	state := StateLoading
	if st.Asleep {
		state = StateStart
	}
	add(st.Pointer.Stable, state, "")
	if st.Pointer.Canary != nil {
		add(st.Pointer.Canary.Version, state, "")
	}
	return all
}
