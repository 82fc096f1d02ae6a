// Package process holds what each of our long-lived processes needs: ports, the log, the operators' server.
package process

import (
	"cmp"
	"fmt"
	"net"
	"strconv"
)

// SplitPort reads host:port; no host is loopback.
func SplitPort(address string) (host string, port int, err error) {
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, err
	}
	n, err := strconv.ParseUint(text, 10, 16)
	return cmp.Or(host, "127.0.0.1"), int(n), err
}

// Listen listens on the host:port that a setting names. No host is loopback, not every interface as net.Listen has it;
// that is 0.0.0.0 or [::].
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
