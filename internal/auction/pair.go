package auction

import "fmt"

// Pair returns the candidate that an impression makes with a campaign, whether or not the campaign may bid on it. If creative
// is "", it has the creative that an auction of this request would take, else the campaign's creative with that id. The error
// says what is unknown, or that no creative fits.
func (s *CampaignSet) Pair(req *Request, impression, campaign, creative string) (Candidate, error) {
	index := -1
	for i := range req.Impressions {
		if req.Impressions[i].ID == impression {
			index = i
		}
	}
	if index < 0 {
		return Candidate{}, fmt.Errorf("the request has no impression %q of a known format", impression)
	}
	ordinal, ok := s.byID[campaign]
	if !ok {
		return Candidate{}, fmt.Errorf("there is no campaign %q", campaign)
	}
	c, imp := &s.compiled[ordinal], &req.Impressions[index]
	found := Candidate{Impression: index, Campaign: c.Campaign}
	if creative == "" {
		if found.Creative = c.creative(imp, s.turn(req, index, ordinal)); found.Creative == nil {
			return Candidate{}, fmt.Errorf("no creative of campaign %q fits impression %q; name one", campaign, impression)
		}
	} else {
		for i := range c.creatives {
			if c.creatives[i].ID == creative {
				found.Creative = c.creatives[i].Creative
			}
		}
		if found.Creative == nil {
			return Candidate{}, fmt.Errorf("campaign %q has no creative %q", campaign, creative)
		}
	}
	found.Deal, found.Floor, _ = s.terms(imp, c)
	return found, nil
}

// turn selects among the creatives of a campaign that fit an impression.
func (s *CampaignSet) turn(req *Request, index, ordinal int) uint64 {
	return mix(mix(hashString(req.ID)+uint64(index)) + uint64(ordinal))
}
