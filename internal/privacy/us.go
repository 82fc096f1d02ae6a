package privacy

// usPrivacy is what a US Privacy string says.
type usPrivacy uint8

const (
	usUnreadable    usPrivacy = iota
	usNotApplicable           // "1---"
	usOptedOut                // of the sale of personal data
	usAllowed
)

// readUSPrivacy reads a US Privacy string, version 1: four characters, as in "1YNN": notice given, opted out of sale, the
// publisher's agreement. Other lengths, versions and letters are unreadable.
func readUSPrivacy(text string) usPrivacy {
	if len(text) != 4 || text[0] != '1' {
		return usUnreadable
	}
	for i := 1; i < 4; i++ {
		switch text[i] {
		case 'Y', 'y', 'N', 'n', '-':
		default:
			return usUnreadable
		}
	}
	switch {
	case text[1:] == "---":
		return usNotApplicable
	case text[2] == 'N', text[2] == 'n':
		return usAllowed
	case text[2] == 'Y', text[2] == 'y':
		return usOptedOut
	}
	return usUnreadable // it applies, but does not say whether the user opted out
}
