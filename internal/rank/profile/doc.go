// Package profile makes the profile of a user who clicks: what a request says of the user, in the values that classifiers
// know.
//
//	JSON, or URL and headers ──► Source (texts as they were sent) ──► Reader.Read ──► score.Profile (closed values)
//
// Every value is one of a closed list, Other where the request says something that the list lacks, or empty where it says
// nothing. So a request can be odd, but never wrong, and no value appears that training could not have produced. Provider
// and the fields of the configuration that name no values are open: they have any short text.
package profile

// Other is the value of a field whose text is malformed or not in its list.
const Other = "other"

// The fields that every profile has, in its order. The configured fields follow.
const (
	Device   = "device"   // of Devices
	System   = "system"   // of Systems
	Browser  = "browser"  // of Browsers
	Provider = "provider" // the network's operator: an open text in lower case
	Country  = "country"  // ISO 3166-1 alpha-2
	Language = "language" // ISO 639-1
	Hour     = "hour"     // of the user's day: 0 to 23
	Weekday  = "weekday"  // of the user: mon to sun
)

// Names are the fields that every profile has.
var Names = []string{Device, System, Browser, Provider, Country, Language, Hour, Weekday}

// Contextual are the fields that say little of one user: they stay without consent, unless the configuration says otherwise.
var Contextual = []string{Device, System, Browser, Country, Language, Hour, Weekday}

// The texts of a request that are not fields themselves.
const (
	UserAgent = "user_agent" // gives device, system and browser, unless the request names them
	Zone      = "zone"       // the user's time zone: an IANA name or an offset
	Time      = "time"       // when the user clicked: Unix milliseconds
)
