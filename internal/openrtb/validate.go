package openrtb

import (
	"fmt"
	"math"
	"slices"

	"github.com/prebid/openrtb/v20/openrtb2"
)

// ValidateResponse checks a bid response against its request as an exchange does. It applies the rules of Prebid
// Server's bid validation: id, impid, crid, price, currency, creative size, secure markup. It also checks that the deal
// was offered and the format requested. It returns every fault; nil means that the response is valid.
func ValidateResponse(req *openrtb2.BidRequest, resp *openrtb2.BidResponse) []error {
	var faults []error
	fault := func(format string, args ...any) {
		faults = append(faults, fmt.Errorf("openrtb: bid response: "+format, args...))
	}
	if resp.ID != req.ID {
		fault("id is %q, the request's is %q", resp.ID, req.ID)
	}
	if len(resp.SeatBid) == 0 {
		if resp.NBR == nil {
			fault("has neither bids nor nbr")
		}
		return faults
	}
	cur, allowed := resp.Cur, req.Cur
	if cur == "" {
		cur = "USD"
	}
	if len(allowed) == 0 {
		allowed = []string{"USD"}
	}
	if !slices.Contains(allowed, cur) {
		fault("cur is %q, the request allows %q", cur, allowed)
	}
	ids := map[string]bool{}
	for i := range resp.SeatBid {
		if len(resp.SeatBid[i].Bid) == 0 {
			fault("seatbid[%d] has no bids", i)
		}
		for j := range resp.SeatBid[i].Bid {
			bid := &resp.SeatBid[i].Bid[j]
			place := fmt.Sprintf("seatbid[%d].bid[%d]", i, j)
			if bid.ID == "" {
				fault("%s.id is missing", place)
			} else if ids[bid.ID] {
				fault("%s.id %q is also the id of another bid", place, bid.ID)
			}
			ids[bid.ID] = true
			validateBid(req, bid, func(format string, args ...any) { fault(place+format, args...) })
		}
	}
	return faults
}

func validateBid(req *openrtb2.BidRequest, bid *openrtb2.Bid, fault func(string, ...any)) {
	if math.IsNaN(bid.Price) || math.IsInf(bid.Price, 0) || bid.Price < 0 || bid.Price == 0 && bid.DealID == "" {
		fault(".price %v must be above 0 (0 only with a deal)", bid.Price)
	}
	if bid.CrID == "" {
		fault(".crid is missing")
	}
	if bid.AdM == "" && bid.NURL == "" {
		fault(" has neither adm nor nurl")
	}
	at := slices.IndexFunc(req.Imp, func(imp openrtb2.Imp) bool { return imp.ID == bid.ImpID })
	if at < 0 {
		fault(".impid %q is not in the request", bid.ImpID)
		return
	}
	imp := &req.Imp[at]
	if imp.Secure != nil && *imp.Secure == 1 && insecure(bid.AdM) {
		fault(".adm has http: URLs, but impression %q is secure", imp.ID)
	}
	switch {
	case bid.DealID != "" && (imp.PMP == nil ||
		!slices.ContainsFunc(imp.PMP.Deals, func(d openrtb2.Deal) bool { return d.ID == bid.DealID })):
		fault(".dealid %q was not offered for impression %q", bid.DealID, imp.ID)
	case bid.DealID == "" && imp.PMP != nil && imp.PMP.PrivateAuction == 1:
		fault(" has no dealid, but impression %q is a private auction", imp.ID)
	}
	asked := true
	switch bid.MType {
	case openrtb2.MarkupBanner:
		if asked = imp.Banner != nil; asked && !sizeAllowed(imp.Banner, bid.W, bid.H) {
			fault(" is %d×%d, which impression %q does not allow", bid.W, bid.H, imp.ID)
		}
	case openrtb2.MarkupVideo:
		asked = imp.Video != nil
	case openrtb2.MarkupAudio:
		asked = imp.Audio != nil
	case openrtb2.MarkupNative:
		asked = imp.Native != nil
	}
	if !asked {
		fault(".mtype %d is not a format of impression %q", bid.MType, imp.ID)
	}
}

// sizeAllowed reports whether a banner has the size, or no size at all.
func sizeAllowed(banner *openrtb2.Banner, w, h int64) bool {
	named := false
	if banner.W != nil && banner.H != nil && *banner.W > 0 && *banner.H > 0 {
		if named = true; *banner.W == w && *banner.H == h {
			return true
		}
	}
	for _, f := range banner.Format {
		if f.W > 0 && f.H > 0 {
			if named = true; f.W == w && f.H == h {
				return true
			}
		}
	}
	return !named
}
