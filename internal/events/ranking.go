package events

// Ranking is what the event of a ranking's click says beside its campaign. It has the profile's values alone, each of a closed list
// or a short text that the configuration asked for: never an address, a user agent or a cookie.
type Ranking struct {
	Policy      string  // that chose the campaign, as package explore names it
	Propensity  float64 // with which probability the policy chooses this campaign for this profile: above 0, at most 1
	Probability float64 // of a sale, as the classifier or prior predicted; 0: not scored
	Version     uint64  // the classifier's; 0: the campaign had none, and the newest prior scored it
	Prior       uint64  // that the classifier adds to; 0: none

	// Fields are the names of the profile's fields, Values their values; both have the same length.
	Fields, Values []string
}
