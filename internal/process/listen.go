// Package process has what each long-lived process needs: the order of starts and stops, listening, the log, the operators'
// server.
package process

import (
	"cmp"
	"fmt"
	"net"
	"strconv"
)

// SplitPort reads host:port. An empty host means loopback.
func SplitPort(address string) (host string, port int, err error) {
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, err
	}
	n, err := strconv.ParseUint(text, 10, 16)
	return cmp.Or(host, "127.0.0.1"), int(n), err
}

// Listen listens on address, the host:port of a setting. An empty host means loopback; net.Listen would take every
// interface. To listen on every interface, the setting must be 0.0.0.0:port or [::]:port.
func Listen(setting, address string) (net.Listener, error) {
	host, port, err := SplitPort(address)
	if err != nil {
		return nil, fmt.Errorf("process: cannot listen on %s %q: %w", setting, address, err)
	}
	listener, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port)))
	if err != nil {
		return nil, fmt.Errorf("process: cannot listen on %s %s: %w", setting, address, err)
	}
	return listener, nil
}
