package privacy

import (
	"strings"

	"gavel/internal/auction"
)

// Erase removes what identifies the user, or says what the user is like, and places more precise than a region. Unless
// req.Privacy.Detail is set, it also removes the details by which a device can be recognised. What stays is the context: the
// page or app without the parameters of its address, the kind of device, its system and language, country and region.
// TestErase lists each field.
func Erase(req *auction.Request) {
	u, d := &req.User, &req.Device
	clear(u.Keywords)
	clear(u.Segments)
	*u = auction.User{Keywords: u.Keywords[:0], Segments: u.Segments[:0]}
	d.IP = ""
	d.Geo.City, d.Geo.Zip, d.Geo.Metro = "", "", ""
	if !req.Privacy.Detail {
		d.UserAgent, d.OSVersion, d.Make, d.Model, d.Carrier = "", "", "", "", ""
		d.W, d.H = 0, 0
	}
	req.Inventory.Page = bare(req.Inventory.Page)
}

// bare returns an address without its user, query and fragment, in which sites put identifiers. If an address has a user, only
// what follows it stays.
func bare(address string) string {
	if i := strings.IndexAny(address, "?#;"); i >= 0 {
		address = address[:i]
	}
	host := address
	if _, after, ok := strings.Cut(address, "://"); ok {
		host = after
	}
	authority, _, _ := strings.Cut(host, "/")
	if i := strings.LastIndexByte(authority, '@'); i >= 0 {
		return host[i+1:]
	}
	return address
}
