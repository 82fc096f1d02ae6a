package auction

import (
	"fmt"
	"log/slog"
)

// Raw is a bid request as it was decoded: with everything that the exchange sent of the user, and the signals of what may
// be done with it. Nothing that scores, records or logs a request takes a Raw: package privacy erases what the law
// forbids, and makes a Request of the rest.
type Raw struct {
	Draft
	Signals Signals
	// Unreadable counts floors and quantities that could not be read. Their impressions and deals get no bid.
	Unreadable int
}

// Draft has the fields of a Request that the law has not seen. It is a type of its own, so that it cannot be used as one.
type Draft Request

// Signals are what a request says of the user's rights, from all places that OpenRTB 2.5 and 2.6 allow. Strings are as
// they were sent.
type Signals struct {
	GDPR      Answer // regs.gdpr
	Consent   string // user.consent: a TC string
	USPrivacy string // regs.us_privacy
	GPP       string // regs.gpp
	Sections  []int  // regs.gpp_sid: the sections of GPP that apply

	COPPA      bool // regs.coppa
	LimitAds   bool // device.lmt
	DoNotTrack bool // device.dnt
	GPC        bool // regs.ext.gpc; of rankings, the header Sec-GPC
}

// Answer is a yes or no that can be left out.
type Answer int8

const (
	Unanswered Answer = iota
	No
	Yes
)

// Format implements fmt.Formatter: a raw request does not show in messages.
func (r *Raw) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(hidden)) }

// LogValue implements slog.LogValuer: a raw request does not show in logs.
func (r *Raw) LogValue() slog.Value { return slog.StringValue(hidden) }

// MarshalText implements encoding.TextMarshaler, which JSON uses too.
func (r *Raw) MarshalText() ([]byte, error) { return []byte(hidden), nil }

const hidden = "(a raw bid request)"
