package process

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
)

// HostCheck answers 421 to requests whose Host is none of the server's names, and passes the others to next. Without it, a
// web page could read the server through the browser of somebody who can reach it, by pointing its own name at the server's
// address (DNS rebinding).
//
// The names are hosts, localhost and names below it, the machine's name, and every IP address: a page that a browser loaded
// from an address can read no other one.
func HostCheck(hosts []string, next http.Handler) http.Handler {
	known := map[string]bool{"localhost": true, "": true} // browsers always send a Host that is not empty
	if name, err := os.Hostname(); err == nil {
		known[strings.ToLower(name)] = true
	}
	for _, h := range hosts {
		known[strings.ToLower(h)] = true
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := strings.TrimSuffix(strings.ToLower(bareHost(r.Host)), ".")
		_, err := netip.ParseAddr(host)
		if err == nil || known[host] || strings.HasSuffix(host, ".localhost") {
			next.ServeHTTP(w, r)
			return
		}
		http.Error(w, fmt.Sprintf("this server is not known as %q; the setting admin_hosts adds names", host), http.StatusMisdirectedRequest)
	})
}

// bareHost returns a Host header without port and brackets.
func bareHost(host string) string {
	if bare, _, err := net.SplitHostPort(host); err == nil {
		return bare
	}
	return strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
}
