package auction

import (
	"cmp"
	"strings"
)

func (s *CampaignSet) takesCurrency(req *Request) bool {
	for _, c := range req.Currencies {
		if c == s.options.Currency {
			return true
		}
	}
	return len(req.Currencies) == 0 && s.options.Currency == "USD"
}

// addTargeting adds a clause for each dimension by which campaigns target requests.
func (s *CampaignSet) addTargeting(q *query, req *Request) {
	q.begin(false)
	q.or(s.everyone)
	q.end()
	geo := &req.Device.Geo
	require(q, &s.countries, geo.Country)
	region := splitRegion(strings.ToUpper(geo.Region)) // some exchanges write us-ca
	require(q, &s.regions, regionKey{cmp.Or(geo.Country, region.country), region.region}, regionKey{"", region.region})
	require(q, &s.deviceTypes, req.Device.Type)
	require(q, &s.os, req.Device.OS)
	language := req.Device.Language
	if language == "" {
		language = req.Inventory.Language
	}
	require(q, &s.languages, language)
	require(q, &s.exchanges, req.Exchange)
	if len(s.hours.values) > 0 {
		hour, known := 0, false
		if s.options.LocalHour != nil {
			hour, known = s.options.LocalHour(req)
		}
		if !known {
			hour = -1
		}
		require(q, &s.hours, hour)
	}
	if len(s.pages.values) > 0 {
		q.begin(false)
		for _, category := range req.Inventory.Categories {
			for k := category; k != ""; k = parentCategory(k) {
				q.or(s.pages.values[k])
			}
		}
		endOpen(q, &s.pages)
	}
	if len(s.allowDomains.values) > 0 {
		q.begin(false)
		orInventory(q, &s.allowDomains, &req.Inventory)
		endOpen(q, &s.allowDomains)
	}
}

// addExclusions adds what the request excludes (seats, bcat, badv, bapp) and what campaigns exclude (domains).
func (s *CampaignSet) addExclusions(q *query, req *Request) {
	if len(req.Seats) > 0 {
		q.begin(false)
		for _, seat := range req.Seats {
			q.or(s.seats.values[seat])
		}
		q.end()
	}
	q.begin(true)
	for _, seat := range req.BlockedSeats {
		q.or(s.seats.values[seat])
	}
	for _, category := range req.BlockedCategories {
		q.or(s.categories.values[category])
	}
	for _, domain := range req.BlockedDomains {
		q.or(s.domains.values[domain])
	}
	for _, app := range req.BlockedApps {
		q.or(s.apps.values[strings.ToLower(app)])
	}
	orInventory(q, &s.denyDomains, &req.Inventory)
	q.end()
}

// addWithheld excludes the campaigns that the law, or their own terms, keep from the request.
func (s *CampaignSet) addWithheld(q *query, req *Request) {
	p := &req.Privacy
	q.begin(true)
	if p.Contextual {
		q.or(s.withheld.values[fromContextual])
	}
	if p.COPPA {
		q.or(s.withheld.values[fromChildren])
	}
	if p.DSA.Required {
		q.or(s.withheld.values[withoutDSA])
		switch p.DSA.Render {
		case RenderNever:
			q.or(s.withheld.values[withoutRendering])
		case RenderAlways:
			q.or(s.withheld.values[withRendering])
		}
	}
	q.end()
}

// orInventory adds the campaigns under the site's domain, a domain above it, or the app's bundle.
func orInventory(q *query, d *dimension[string], inventory *Inventory) {
	if len(d.values) == 0 {
		return
	}
	for k := inventory.Domain; k != ""; k = parentDomain(k) {
		q.or(d.values[k])
	}
	if inventory.Bundle != "" {
		q.or(d.values[strings.ToLower(inventory.Bundle)])
	}
}

func (s *CampaignSet) addDeals(q *query, imp *Impression) {
	if len(s.deals.values) == 0 {
		return
	}
	q.begin(false)
	for i := range imp.Deals {
		q.or(s.deals.values[imp.Deals[i].ID])
	}
	endOpen(q, &s.deals)
}

func (s *CampaignSet) addFormats(q *query, imp *Impression) {
	q.begin(false)
	if imp.Banner != nil {
		for _, size := range imp.Banner.Sizes {
			q.or(s.formats.values[formatKey{BannerCreative, size}])
		}
	}
	if imp.Video != nil {
		q.or(s.formats.values[formatKey{kind: VideoCreative}])
	}
	if imp.Audio != nil {
		q.or(s.formats.values[formatKey{kind: AudioCreative}])
	}
	if imp.Native != nil {
		q.or(s.formats.values[formatKey{kind: NativeCreative}])
	}
	q.end()
}
