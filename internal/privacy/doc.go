// Package privacy is the law: what a request says of the user's rights, what an operator's rules make of it, and which
// fields of the request are erased.
//
//	auction.Raw ──► Law.Apply: signals ──► verdict ──► erased fields ──► auction.Request, or no-bid "privacy"
//
// A decoder gives an auction.Raw, which nothing that scores, records or logs accepts. Law.Apply is the only code that
// makes an auction.Request of it; a test over all packages holds that. So whatever features, events and logs read has
// passed by the law.
//
// The strings are read as their specifications lay out the bits: TCF v2.0 to v2.2 (tcf.go), the Global Privacy Platform
// (gpp.go) with the sections of the United States (states.go), and US Privacy (us.go). They are read where they lie,
// without a copy. A string that cannot be read counts as no consent, or as an opt-out.
package privacy
