package openrtb

import (
	"reflect"
	"strings"

	"github.com/prebid/openrtb/v20/native1"
	nativeresponse "github.com/prebid/openrtb/v20/native1/response"

	"gavel/internal/auction"
)

// The fields that Gavel reads of a native request (native1/request), versions 1.0 to 1.2.
type (
	wireNativeRequest struct {
		Native   *wireNativeRequest `json:"native"` // the request itself, if it is wrapped
		Assets   []wireAsset        `json:"assets"`
		Trackers []wireTracker      `json:"eventtrackers"`
	}
	wireAsset struct {
		ID       int64      `json:"id"`
		Required int64      `json:"required"`
		Title    *wireText  `json:"title"`
		Img      *wireImage `json:"img"`
		Video    *struct{}  `json:"video"`
		Data     *wireText  `json:"data"`
	}
	wireText struct {
		Type int64 `json:"type"`
		Len  int64 `json:"len"`
	}
	wireImage struct {
		Type int64 `json:"type"`
		WMin int64 `json:"wmin"`
		HMin int64 `json:"hmin"`
	}
	wireTracker struct {
		Event   int64   `json:"event"`
		Methods []int64 `json:"methods"`
	}
)

// wrappedNative is native markup, under the root key of Native 1.0 and 1.1 or without it.
type wrappedNative struct {
	Native *nativeresponse.Response `json:"native"`
	nativeresponse.Response
}

// nativeMarkup answers a native request with the creative's assets. markup is a native 1.2 response. nativeMarkup takes
// the requested assets of it, with the request's ids. If the request lists no assets, it takes all. It returns false if
// a required asset is missing, or if the request or the markup cannot be read.
func nativeMarkup(native *auction.Native, markup string, links *Links) (string, bool) {
	request, ok := readNativeRequest(native.Request)
	if !ok {
		return "", false
	}
	var wrapped wrappedNative
	if err := strict.UnmarshalFromString(markup, &wrapped); err != nil {
		return "", false
	}
	response := &wrapped.Response
	if wrapped.Native != nil {
		response = wrapped.Native
	}
	if len(request.Assets) > 0 {
		if response.Assets, ok = chooseAssets(request.Assets, response.Assets); !ok {
			return "", false
		}
	} else {
		for i := range response.Assets {
			id := int64(i + 1)
			response.Assets[i].ID = &id
		}
	}
	response.Ver = "1.2"
	if links.Click != "" && !strings.Contains(markup, ClickMacro) && !strings.Contains(markup, ClickEncodedMacro) {
		response.Link.URL = ClickMacro
	}
	if links.Impression != "" && !strings.Contains(markup, ImpressionMacro) {
		if wantsPixel(request.Trackers) {
			response.EventTrackers = append(response.EventTrackers, nativeresponse.EventTracker{
				Event: native1.EventTypeImpression, Method: native1.EventTrackingMethodImage, URL: ImpressionMacro,
			})
		} else {
			response.ImpTrackers = append(response.ImpTrackers, ImpressionMacro)
		}
	}
	text, err := strict.MarshalToString(response)
	if err != nil {
		return "", false
	}
	var b strings.Builder
	b.Grow(len(text) + len(links.Click) + len(links.Impression))
	fill(&b, text, links)
	return b.String(), true
}

// readNativeRequest reads the native request, with the same conversions as Decode. An empty text is a request without assets.
func readNativeRequest(text string) (*wireNativeRequest, bool) {
	request := new(wireNativeRequest)
	if strings.TrimSpace(text) == "" {
		return request, true
	}
	if err := strict.UnmarshalFromString(text, request); err != nil {
		*request = wireNativeRequest{}
		var tree any
		if tooDeep(text) || generic.UnmarshalFromString(text, &tree) != nil || !coerce(tree, reflect.ValueOf(request).Elem()) {
			return nil, false
		}
	}
	if request.Native != nil {
		request = request.Native
	}
	return request, true
}

// chooseAssets returns the first asset that fits each requested one, or false if none fits a required one.
func chooseAssets(asked []wireAsset, have []nativeresponse.Asset) ([]nativeresponse.Asset, bool) {
	used := make([]bool, len(have))
	chosen := make([]nativeresponse.Asset, 0, min(len(asked), len(have)))
	for i := range asked {
		found := false
		for j := range have {
			if !used[j] && assetFits(&asked[i], &have[j]) {
				used[j], found = true, true
				asset := have[j]
				asset.ID, asset.Required = &asked[i].ID, 0
				chosen = append(chosen, asset)
				break
			}
		}
		if !found && asked[i].Required == 1 {
			return nil, false
		}
	}
	return chosen, true
}

func assetFits(asked *wireAsset, have *nativeresponse.Asset) bool {
	fits := func(text string, bound int64) bool { return bound <= 0 || int64(len([]rune(text))) <= bound }
	switch {
	case asked.Title != nil:
		return have.Title != nil && fits(have.Title.Text, asked.Title.Len)
	case asked.Img != nil:
		img := have.Img
		return img != nil && (asked.Img.Type == 0 || img.Type == 0 || int64(img.Type) == asked.Img.Type) &&
			(img.W == 0 || img.W >= asked.Img.WMin) && (img.H == 0 || img.H >= asked.Img.HMin)
	case asked.Data != nil:
		return have.Data != nil && int64(have.Data.Type) == asked.Data.Type && fits(have.Data.Value, asked.Data.Len)
	case asked.Video != nil:
		return have.Video != nil
	}
	return false
}

// wantsPixel reports whether the request accepts image event trackers for impressions (native 1.2).
func wantsPixel(trackers []wireTracker) bool {
	for _, t := range trackers {
		if t.Event == int64(native1.EventTypeImpression) {
			for _, m := range t.Methods {
				if m == int64(native1.EventTrackingMethodImage) {
					return true
				}
			}
		}
	}
	return false
}
