package openrtb

import (
	"encoding/json"

	"gavel/internal/auction"
)

// The extension of a bid with transparency data, as the community extension "DSA transparency" has it.
type (
	bidExt struct {
		DSA bidDSA `json:"dsa"`
	}
	bidDSA struct {
		Behalf       string            `json:"behalf,omitempty"`
		Paid         string            `json:"paid,omitempty"`
		Transparency []dsaTransparency `json:"transparency,omitempty"`
		AdRender     int8              `json:"adrender"`
	}
	dsaTransparency struct {
		Domain string `json:"domain"`
		Params []int  `json:"dsaparams"`
	}
)

// transparency returns the extension of a bid, or nil: if the exchange does not ask for it, if the campaign has none, or if
// it would contradict who renders. Where a bid without is rejected, an auction leaves such campaigns out.
func transparency(req *auction.Request, t *auction.Transparency) json.RawMessage {
	asked := &req.Privacy.DSA
	if t == nil || !asked.Asked {
		return nil
	}
	if asked.Render == auction.RenderNever && !t.Renders || asked.Render == auction.RenderAlways && t.Renders {
		return nil
	}
	var out bidDSA
	if t.Renders {
		out.AdRender = 1
	}
	if !asked.Withheld {
		out.Behalf, out.Paid = t.Behalf, t.Paid
		for _, u := range t.Users {
			out.Transparency = append(out.Transparency, dsaTransparency{u.Domain, u.Params})
		}
	}
	text, _ := json.Marshal(bidExt{out}) // cannot fail: strings and numbers
	return text
}
