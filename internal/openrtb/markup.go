package openrtb

import (
	"net/url"
	"strings"

	"gavel/internal/auction"
)

// Gavel's own macros in a creative's markup. The exchange's macros (${AUCTION_ID}, ${AUCTION_PRICE}, …) are left for
// the exchange to fill in.
const (
	ClickMacro        = "${CLICK_URL}"     // counts the click and redirects to the landing page
	ClickEncodedMacro = "${CLICK_URL_ENC}" // the same, percent-encoded for use as a parameter of another URL
	ImpressionMacro   = "${IMPRESSION_URL}"
)

// markupOf returns the markup of a creative to send for imp: with its macros filled in and missing tracking added. It
// returns false if the impression cannot show the creative.
func markupOf(imp *auction.Impression, kind auction.CreativeKind, markup string, links *Links) (string, bool) {
	switch kind {
	case auction.BannerCreative:
		return bannerMarkup(markup, links), imp.Banner != nil
	case auction.VideoCreative:
		return vastMarkup(markup, links), imp.Video != nil
	case auction.AudioCreative:
		return vastMarkup(markup, links), imp.Audio != nil
	case auction.NativeCreative:
		if imp.Native == nil {
			return "", false
		}
		return nativeMarkup(imp.Native, markup, links)
	}
	return "", false
}

// bannerMarkup returns HTML. If the markup has no ${IMPRESSION_URL}, a pixel that calls it is appended.
func bannerMarkup(markup string, links *Links) string {
	var b strings.Builder
	b.Grow(len(markup) + len(links.Click) + len(links.Impression) + 128)
	fill(&b, markup, links)
	if links.Impression != "" && !strings.Contains(markup, ImpressionMacro) {
		b.WriteString(`<img src="`)
		b.WriteString(links.Impression)
		b.WriteString(`" width="1" height="1" style="display:none" alt="">`)
	}
	return b.String()
}

// vastMarkup returns VAST, inline or wrapper. Without ${IMPRESSION_URL}, every ad gets an <Impression> before its
// <Creatives>. Without ${CLICK_URL}, every linear creative gets a <ClickTracking>, in its <VideoClicks> if it has them.
func vastMarkup(markup string, links *Links) string {
	var b strings.Builder
	b.Grow(len(markup) + len(links.Click) + len(links.Impression) + 256)
	if links.Impression != "" && !strings.Contains(markup, ImpressionMacro) {
		markup = strings.ReplaceAll(markup, "<Creatives>", "<Impression><![CDATA["+ImpressionMacro+"]]></Impression><Creatives>")
	}
	if links.Click != "" && !strings.Contains(markup, ClickMacro) && !strings.Contains(markup, ClickEncodedMacro) {
		const tracking = "<ClickTracking><![CDATA[" + ClickMacro + "]]></ClickTracking>"
		if strings.Contains(markup, "</VideoClicks>") {
			markup = strings.ReplaceAll(markup, "</VideoClicks>", tracking+"</VideoClicks>")
		} else {
			markup = strings.ReplaceAll(markup, "</Linear>", "<VideoClicks>"+tracking+"</VideoClicks></Linear>")
		}
	}
	fill(&b, markup, links)
	return b.String()
}

// fill writes markup to b, with Gavel's macros filled in.
func fill(b *strings.Builder, markup string, links *Links) {
	for {
		i := strings.Index(markup, "${")
		if i < 0 {
			b.WriteString(markup)
			return
		}
		b.WriteString(markup[:i])
		markup = markup[i:]
		switch {
		case strings.HasPrefix(markup, ClickMacro):
			b.WriteString(links.Click)
			markup = markup[len(ClickMacro):]
		case strings.HasPrefix(markup, ClickEncodedMacro):
			b.WriteString(url.QueryEscape(links.Click))
			markup = markup[len(ClickEncodedMacro):]
		case strings.HasPrefix(markup, ImpressionMacro):
			b.WriteString(links.Impression)
			markup = markup[len(ImpressionMacro):]
		default:
			b.WriteString("${")
			markup = markup[len("${"):]
		}
	}
}

// insecure is Prebid Server's rule for markup that a secure impression must not get: the markup has an http: URL and no
// https: URL.
func insecure(markup string) bool {
	return (strings.Contains(markup, "http:") || strings.Contains(markup, "http%3A")) &&
		!strings.Contains(markup, "https:") && !strings.Contains(markup, "https%3A")
}
