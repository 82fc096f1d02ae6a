package auction

// scratch is the memory of one search for candidates. It is pooled, so that a search allocates nothing.
type scratch struct {
	request query // clauses of the request, shared by its impressions
	query   query // clauses of the request and of one impression
	cursor  cursor
}

// admitter says whether a campaign may take part. It is called after all other checks. nil admits every campaign.
type admitter interface {
	admit(ordinal int, c *Campaign) NoBidReason
}

// examined bounds the work of an auction: for each candidate wanted, at most so many matching campaigns are checked.
// Without it, thousands of campaigns that pacing holds back would make an auction slow.
const examined = 32

// Candidates appends to dst the campaigns that may bid on each impression. If it adds nothing, it returns the reason of
// the campaign that came furthest. It allocates nothing if dst has room. The same request gives the same candidates.
//
// If more than SetOptions.Limit campaigns match, three quarters of the candidates are those of highest expected value:
// goal value times the prior rates. So the best payers always take part. The others come from the remaining matches,
// starting at a position that the request's id selects. So every matching campaign takes part at times, and a model can
// learn about it.
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
	s.addWithheld(&sc.request, req)

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

// impression appends at most limit candidates of one impression. It returns the furthest reason among the campaigns
// that matched and were rejected, or NoBidNone if none matched.
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
	walk := func(from, to, wanted int) (last int) {
		sc.cursor.start(&sc.query, from, to)
		left := examined * wanted
		for last = from; wanted > 0 && left > 0; left-- {
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
			wanted--
		}
		return last
	}
	n, before := len(s.compiled), len(dst)
	rotating := limit / 4
	rest := walk(0, n, limit-rotating)
	if rest < n {
		start := rest + int(turn%uint64(n-rest))
		walk(start, n, limit-(len(dst)-before))
		if wanted := limit - (len(dst) - before); wanted > 0 {
			walk(rest, start, wanted)
		}
	}
	return dst, reason
}

// check tests what the index cannot: the schedule, the creatives, the terms and the floor.
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
	if floor > c.Goal.Value { // the value cannot reach it: a probability is at most 1
		return Candidate{}, NoBidFloor
	}
	return Candidate{Impression: index, Campaign: c.Campaign, Creative: creative, Deal: deal, Floor: floor}, NoBidNone
}

// diagnose returns the reason why the index let no campaign through for any impression.
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
		if !s.matches(sc) {
			reason = further(reason, NoBidFormat)
			continue
		}
		s.addExclusions(&sc.query, req)
		if !s.matches(sc) {
			reason = further(reason, NoBidBlocked)
			continue
		}
		return NoBidPrivacy // only the consent of the user, or transparency data, were missing
	}
	return reason
}

func (s *CampaignSet) matches(sc *scratch) bool {
	sc.cursor.start(&sc.query, 0, len(s.compiled))
	return sc.cursor.next() >= 0
}

// further returns the reason that is nearer to a bid, which tells an operator more.
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
	case NoBidBlocked, NoBidPrivacy:
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
