package auction

// scratch is what one walk needs; pooled, so that a walk allocates nothing.
type scratch struct {
	request query // clauses of the request, shared by its impressions
	query   query // those and the impression's
	cursor  cursor
}

// admitter says whether a campaign takes part; it is asked after all else has been checked. nil admits everyone.
type admitter interface {
	admit(ordinal int, c *Campaign) NoBidReason
}

// examined bounds how many matching campaigns are looked at for each candidate place, so that thousands of campaigns
// held back by pacing cannot make an auction slow.
const examined = 32

// Candidates appends to dst the campaigns that may bid on each impression, and returns why there are none if it adds
// nothing: the reason of whichever campaign came furthest. It allocates nothing if dst has room, and is deterministic.
//
// If more than SetOptions.Limit match, three quarters of the places go to those of highest expected value (goal value
// times the prior rates), so that the best known payers are never passed over, and the rest to matches from a place
// in the remainder that the request's id picks, so that every matching campaign is asked for in turn and a model can learn
// of it.
func (s *CampaignSet) Candidates(req *Request, dst []Candidate) ([]Candidate, NoBidReason) {
	return s.candidates(req, dst, nil)
}

func (s *CampaignSet) candidates(req *Request, dst []Candidate, admit admitter) ([]Candidate, NoBidReason) {
	if len(req.Impressions) == 0 {
		return dst, NoBidInvalid
	}
	if !s.takesCurrency(req) {
		return dst, NoBidCurrency
	}
	sc := s.scratch.Get().(*scratch)
	defer s.scratch.Put(sc)
	sc.request.reset()
	s.addTargeting(&sc.request, req)
	s.addExclusions(&sc.request, req)

	limit := min(s.options.Limit, max(1, s.options.MaxCandidates/len(req.Impressions)))
	before, reason := len(dst), NoBidNone
	seed := hashString(req.ID)
	for i := range req.Impressions {
		if len(dst)-before >= s.options.MaxCandidates {
			break
		}
		var r NoBidReason
		dst, r = s.impression(req, i, dst, admit, sc, limit, mix(seed+uint64(i)))
		reason = further(reason, r)
	}
	if len(dst) > before {
		return dst, NoBidNone
	}
	if reason == NoBidNone {
		reason = s.diagnose(req, sc)
	}
	return dst, reason
}

// impression appends the candidates of one impression, at most limit, and returns the furthest reason among the
// campaigns that matched and were turned away; NoBidNone if none matched.
func (s *CampaignSet) impression(req *Request, index int, dst []Candidate, admit admitter, sc *scratch, limit int, turn uint64) ([]Candidate, NoBidReason) {
	imp := &req.Impressions[index]
	if imp.PrivateAuction && len(imp.Deals) == 0 {
		return dst, NoBidNone
	}
	sc.query.copyFrom(&sc.request)
	s.addDeals(&sc.query, imp)
	s.addFormats(&sc.query, imp)
	sc.query.sortClauses()

	reason := NoBidNone
	walk := func(from, to, places int) (last int) {
		sc.cursor.start(&sc.query, from, to)
		left := examined * places
		for last = from; places > 0 && left > 0; left-- {
			o := sc.cursor.next()
			if o < 0 {
				return to
			}
			last = o + 1
			candidate, r := s.check(req, index, o, turn)
			if r == NoBidNone && admit != nil {
				r = admit.admit(o, candidate.Campaign)
			}
			if r != NoBidNone {
				reason = further(reason, r)
				continue
			}
			dst = append(dst, candidate)
			places--
		}
		return last
	}
	n, before := len(s.compiled), len(dst)
	rotating := limit / 4
	rest := walk(0, n, limit-rotating)
	if rest < n {
		places := limit - (len(dst) - before)
		start := rest + int(turn%uint64(n-rest))
		walk(start, n, places)
		if places = limit - (len(dst) - before); places > 0 {
			walk(rest, start, places)
		}
	}
	return dst, reason
}

// check looks at one campaign that the index let through.
func (s *CampaignSet) check(req *Request, index, ordinal int, turn uint64) (Candidate, NoBidReason) {
	c, imp := &s.compiled[ordinal], &req.Impressions[index]
	if c.start != 0 || c.end != 0 {
		now := req.Received.UnixNano()
		if c.start != 0 && now < c.start || c.end != 0 && now >= c.end {
			return Candidate{}, NoBidNoCampaign
		}
	}
	creative := c.creative(imp, mix(turn+uint64(ordinal)))
	if creative == nil {
		return Candidate{}, NoBidFormat
	}
	deal, floor, reason := s.terms(imp, c)
	if reason != NoBidNone {
		return Candidate{}, reason
	}
	if floor > c.Goal.Value { // a probability is at most 1
		return Candidate{}, NoBidFloor
	}
	return Candidate{Impression: index, Campaign: c.Campaign, Creative: creative, Deal: deal, Floor: floor}, NoBidNone
}

// diagnose finds how far the campaigns came when the index let none through for any impression.
func (s *CampaignSet) diagnose(req *Request, sc *scratch) NoBidReason {
	reason := NoBidNoCampaign
	sc.request.reset()
	s.addTargeting(&sc.request, req)
	for i := range req.Impressions {
		imp := &req.Impressions[i]
		if imp.PrivateAuction && len(imp.Deals) == 0 {
			continue
		}
		sc.query.copyFrom(&sc.request)
		s.addDeals(&sc.query, imp)
		if !s.matches(sc) {
			continue
		}
		s.addFormats(&sc.query, imp)
		if s.matches(sc) {
			return NoBidBlocked // only the exclusions were missing
		}
		reason = NoBidFormat
	}
	return reason
}

func (s *CampaignSet) matches(sc *scratch) bool {
	sc.cursor.start(&sc.query, 0, len(s.compiled))
	return sc.cursor.next() >= 0
}

// further is the reason that is nearer to a bid: what an operator wants to hear of.
func further(a, b NoBidReason) NoBidReason {
	if reach(b) > reach(a) {
		return b
	}
	return a
}

func reach(r NoBidReason) int {
	switch r {
	case NoBidNone:
		return 0
	case NoBidNoCampaign:
		return 1
	case NoBidFormat:
		return 2
	case NoBidBlocked:
		return 3
	case NoBidCurrency:
		return 4
	case NoBidRow:
		return 5
	case NoBidFloor:
		return 6
	case NoBidBudget:
		return 7
	case NoBidPacing:
		return 8
	default:
		return 9
	}
}

// hashString is FNV-1a; mix is the finalizer of SplitMix64 (Steele, Lea and Flood 2014).
func hashString(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return h
}

func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
